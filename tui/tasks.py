"""Tasks of the app: kept until they end, and known by name.

A task that nobody holds may be collected while it runs; and whoever plays a session must
know what is still under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_running: set[asyncio.Task[Any]] = set()


def start(work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Run a coroutine beside the others."""
    task = asyncio.create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


def running() -> set[str]:
    """Names of what this event loop has not finished."""
    loop = asyncio.get_running_loop()
    return {task.get_name() for task in _running if task.get_loop() is loop}
