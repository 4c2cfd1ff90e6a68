"""What runs beside the screen: one scan, one explanation. Events become messages.

A job is a task that is kept, never a loose one; closing the app awaits them all, so
that a scan has written its checkpoint before the process ends.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from textual.message import Message

from engine.errors import NeuroglassError
from engine.neuron import NeuronId
from tui import tasks
from tui.messages import ExplainMoved, IndexChanged, Problem, ScanMoved

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.scan_request import ScanRequest

#: A scan reports four times a second; the screen follows twice.
REPORT_SECONDS = 0.5


class Jobs:
    """The scan and the explanation under way.

    Args:
        post: Takes each message, on the event loop.
    """

    def __init__(self, post: Callable[[Message], object]) -> None:
        self._post = post
        self._scan: asyncio.Task[None] | None = None
        self._explain: asyncio.Task[None] | None = None

    @property
    def scanning(self) -> bool:
        """Whether a scan is running."""
        return self._scan is not None and not self._scan.done()

    @property
    def explaining(self) -> bool:
        """Whether an explanation is running."""
        return self._explain is not None and not self._explain.done()

    def start_scan(self, engine: Engine, request: ScanRequest) -> None:
        """Start, or go on with, a scan; nothing happens while one runs."""
        if not self.scanning:
            self._scan = tasks.start(self._run_scan(engine, request), "scan")

    async def stop_scan(self) -> None:
        """Stop the scan and wait until what it did is on disk."""
        await _stop(self._scan)

    def start_explain(self, engine: Engine, neuron: NeuronId, text: str | None = None) -> None:
        """Explain and score a neuron; nothing happens while one is being explained.

        Args:
            text: The user's own explanation, to be scored alone.
        """
        if not self.explaining:
            self._explain = tasks.start(self._run_explain(engine, neuron, text), "explain")

    async def cancel_explain(self) -> None:
        """Cancel the explanation."""
        await _stop(self._explain)

    async def close(self) -> None:
        """Stop everything."""
        await self.cancel_explain()
        await self.stop_scan()

    async def _run_scan(self, engine: Engine, request: ScanRequest) -> None:
        from engine.events import ScanFinished, ScanProgress, ScanPublished

        reported = 0.0
        try:
            async with aclosing(engine.scan(request)) as events:
                async for event in events:
                    now = time.monotonic()
                    if isinstance(event, ScanProgress):
                        if now - reported < REPORT_SECONDS:
                            continue
                        reported = now
                    if isinstance(event, ScanPublished | ScanFinished):
                        await self._reload(engine)
                    self._post(ScanMoved(event))
        except asyncio.CancelledError:
            await self._reload(engine)
            self._post(ScanMoved(None))
            raise
        except NeuroglassError as error:
            self._post(Problem(error.message, error.remedy))
            self._post(ScanMoved(None))

    async def _reload(self, engine: Engine) -> None:
        try:
            index = await asyncio.to_thread(engine.reload_index)
        except NeuroglassError as error:
            self._post(Problem(error.message, error.remedy))
            return
        if index is not None:
            self._post(IndexChanged(index))

    async def _run_explain(self, engine: Engine, neuron: NeuronId, text: str | None) -> None:
        try:
            # Its first import takes a while; a thread keeps the keys alive meanwhile.
            await asyncio.to_thread(importlib.import_module, "engine.pipeline")
            if text is None:
                stream = engine.explain(neuron)
            else:
                from engine.known import words_of

                words = words_of(engine.catalogue, neuron, text, engine.choices.side)
                stream = engine.score(words)
            async with aclosing(stream) as events:
                async for event in events:
                    self._post(ExplainMoved(neuron, event))
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._post(ExplainMoved(neuron, None))
            raise
        except NeuroglassError as error:
            from engine.events import PipelineFailed

            event = PipelineFailed("explain", error.message, error.remedy)
            self._post(ExplainMoved(neuron, event))


async def _stop(task: asyncio.Task[None] | None) -> None:
    if task is None or task.done():
        return
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
