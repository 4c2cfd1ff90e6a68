"""Streams and threads that end when nobody listens any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


@asynccontextmanager
async def closing(stream: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Close any async iterator on leaving; only generators can be, others are left."""
    try:
        yield stream
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


async def in_thread(work: Callable[[Callable[[], bool]], T]) -> T:
    """Run in a thread what can be stopped.

    Args:
        work: Gets a function that becomes true when the caller was cancelled.
    """
    left = threading.Event()
    try:
        return await asyncio.to_thread(work, left.is_set)
    finally:
        left.set()
