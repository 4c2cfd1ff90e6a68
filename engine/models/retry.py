"""Trying again: only after faults that pass, and with growing, random pauses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from engine.models.faults import Fault, LanguageModelError
from engine.models.request import Delta, Reply

T = TypeVar("T")

#: Told before each pause: the fault, its length in seconds, and which try failed, from 1.
OnWait = Callable[[Fault, float, int], None]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently.

    Attributes:
        tries: In all; 1 never tries again.
        base_seconds: Longest pause after the first failure; doubled by each further one.
        cap_seconds: Longest pause of our own choice.
        longest_seconds: Longest pause a backend may ask for.
    """

    tries: int = 5
    base_seconds: float = 1.0
    cap_seconds: float = 30.0
    longest_seconds: float = 120.0

    def pause(self, error: LanguageModelError, attempt: int) -> float:
        """Seconds to wait after try number ``attempt`` failed.

        Anywhere between nothing and the limit, so that clients that failed together
        don't come back together; what the backend asked for is waited for in full, up
        to :attr:`longest_seconds`, with such a random pause added.
        """
        limit = min(self.cap_seconds, self.base_seconds * 2 ** (attempt - 1))
        if error.retry_after is None:
            return random.uniform(0, limit)
        asked = min(max(error.retry_after, 0.0), self.longest_seconds)
        return asked + random.uniform(0, min(limit, self.base_seconds))


async def retried(
    call: Callable[[], Awaitable[T]], policy: RetryPolicy, on_wait: OnWait | None = None
) -> T:
    """Await ``call()``, again where that may help. Raises the last LanguageModelError."""
    attempt = 1
    while True:
        try:
            return await call()
        except LanguageModelError as error:
            await _wait(error, attempt, policy, on_wait)
        attempt += 1


async def retried_stream(
    start: Callable[[], AsyncIterator[Delta | Reply]],
    policy: RetryPolicy,
    on_wait: OnWait | None = None,
) -> AsyncGenerator[Delta | Reply, None]:
    """Stream, starting over where that may help.

    No piece is given twice.  A new try usually begins with other words; while it
    repeats what was given before, only what goes beyond that is passed on, and from
    where it differs its pieces are held back.  So the pieces joined need not be the
    reply after a restart: the :class:`Reply` at the end is what counts.
    """
    attempt, given = 1, ""
    while True:
        again = ""
        try:
            async with aclosing(_generator(start())) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Reply):
                        yield piece
                        return
                    again += piece.text
                    if len(again) > len(given) and again.startswith(given):
                        news, given = again[len(given) :], again
                        yield Delta(news)
            raise LanguageModelError(Fault.BROKEN_STREAM, "The reply ended before it was whole.")
        except LanguageModelError as error:
            await _wait(error, attempt, policy, on_wait)
        attempt += 1


async def _wait(
    error: LanguageModelError, attempt: int, policy: RetryPolicy, on_wait: OnWait | None
) -> None:
    if not error.retried or attempt >= policy.tries:
        raise error
    seconds = policy.pause(error, attempt)
    if on_wait is not None:
        on_wait(error.fault, seconds, attempt)
    await asyncio.sleep(seconds)


async def _generator(pieces: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """Any async iterator as one that can be closed."""
    try:
        async for piece in pieces:
            yield piece
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()
