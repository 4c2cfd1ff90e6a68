"""Work in another thread as a stream: how far it is, then what it found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from engine.explanation import Preparing

T = TypeVar("T")

#: Takes what is being done, for people, and the share of it that is done, 0 to 1.
Progress = Callable[[str, float], None]


async def with_progress(
    work: Callable[[Progress], Awaitable[T]],
) -> AsyncIterator[Preparing | T]:
    """Do some work and hear from it how far it is. Closing the stream cancels the work.

    Args:
        work: Gets a function that it may call in any thread.
    """
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[Preparing | None] = asyncio.Queue()

    def tell(what: str, share: float) -> None:
        loop.call_soon_threadsafe(heard.put_nowait, Preparing(what, share))

    task = asyncio.ensure_future(work(tell))
    task.add_done_callback(lambda _task: heard.put_nowait(None))
    try:
        while (piece := await heard.get()) is not None:
            yield piece
        yield await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
