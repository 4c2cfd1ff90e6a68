"""Playing UI sessions: the real app on the committed small index, and a camera.

Only time is taken out: a paced engine stops a real stream of events where the picture is
taken, and tells a recorded scan's progress.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot

from engine.effects import Effects
from engine.engine import Engine
from engine.events import PipelineEvent, ScanEvent, ScanFailed, ScanPublished
from engine.experiments import Experiments
from engine.explanation import Preparing, Side, Word
from engine.neuron import NeuronId
from engine.paths import write_pointer
from engine.scan_request import ScanRequest
from engine.senses.model import Senses
from tests.small_index import FOLDER
from tui.app import make_app
from tui.replay import player

SIZES = [(120, 40), (80, 24)]
WIDE = pytest.mark.parametrize("size", SIZES, ids=["120x40", "80x24"])


class PacedEngine(Engine):
    """The engine, with streams that stop where a picture is to be taken.

    Attributes:
        scan_events: What the scan tells before it goes quiet.
        words: How many words an explanation streams before it goes quiet; None for all.
        loading: Whether the subject model is being loaded for ever.
        quiet: Whether the words have stopped.
    """

    scan_events: Sequence[ScanEvent] = ()
    words: int | None = None
    loading: bool = False
    quiet: bool = False

    async def effects(self, neuron: NeuronId, count: int = 10) -> Effects:
        if self.loading:
            await asyncio.Event().wait()
        return await super().effects(neuron, count)

    async def finding_senses(
        self, neuron: NeuronId, side: Side = "positive"
    ) -> AsyncGenerator[Preparing | Senses, None]:
        if self.loading:
            yield Preparing(f"reading the explain text up to layer {neuron.layer}", 0.4)
            await asyncio.Event().wait()
        async with aclosing(super().finding_senses(neuron, side)) as steps:
            async for step in steps:
                yield step

    async def experiments(self) -> Experiments:
        if self.loading:
            await asyncio.Event().wait()
        return await super().experiments()

    async def scan(self, request: ScanRequest | None = None) -> AsyncGenerator[ScanEvent, None]:
        for event in self.scan_events:
            if isinstance(event, ScanPublished):
                write_pointer(self.home, Path(event.path))
            yield event
        if not self.scan_events or not isinstance(self.scan_events[-1], ScanFailed):
            await asyncio.Event().wait()

    async def explain(self, neuron: NeuronId, **names: Any) -> AsyncGenerator[PipelineEvent, None]:
        words, self.quiet = 0, False
        async with aclosing(super().explain(neuron, **names)) as events:
            async for event in events:
                words += isinstance(event, Word)
                if self.words is not None and words > self.words:
                    self.quiet = True
                    await asyncio.Event().wait()
                yield event


Shoot = Callable[[str], Awaitable[None]]
Play = Callable[..., Any]


@pytest.fixture
def play(tmp_path: Path, snapshot: SnapshotAssertion) -> Play:
    """Open the app and yield a pilot and a camera."""

    @asynccontextmanager
    async def play(
        size: tuple[int, int],
        *,
        scanned: bool = True,
        index: Path | None = None,
        source: str | None = None,
        scan_events: Sequence[ScanEvent] = (),
        words: int | None = None,
        loading: bool = False,
        **settings: Any,
    ) -> AsyncIterator[tuple[Pilot[object], Shoot]]:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        if scanned:
            write_pointer(home, FOLDER)

        async def factory() -> Engine:
            engine = await PacedEngine.open(home, index=index, source=source)
            assert isinstance(engine, PacedEngine)
            engine.scan_events, engine.words = scan_events, words
            engine.loading = loading
            return engine

        settings.setdefault("scan", bool(scan_events))
        app = make_app(factory, **settings)
        pictures = snapshot.use_extension(SVGImageExtension)

        async def shoot(name: str) -> None:
            await settled(pilot)
            picture = app.export_screenshot(title="neuroglass", simplify=True)
            assert pictures(name=name) == picture

        async with app.run_test(size=size) as pilot:
            pilot.press = partial(press, pilot)  # type: ignore[method-assign]
            await settled(pilot)
            yield pilot, shoot
            if app.engine is not None:
                await app.jobs.close()
                await app.engine.close()

    return play


async def settled(pilot: Pilot[object]) -> None:
    """Wait until nothing is read, opened or explained, and all is drawn.

    A paced engine never ends what it holds back; that counts as settled.
    """
    await player.settled(pilot, but=await _held_back(pilot))


async def press(pilot: Pilot[object], *keys: str) -> None:
    """Press keys, each when what the one before began has ended."""
    for key in keys:
        await player.press(pilot, key)
        await player.done(pilot, but=await _held_back(pilot))


async def _held_back(pilot: Pilot[object]) -> frozenset[str]:
    engine = getattr(pilot.app, "engine", None)
    if engine is None:
        return frozenset()
    held: set[str] = set()
    if engine.words is not None:
        held |= {"explain"}
        while not engine.quiet and "explain" in player.busy(pilot.app):
            await pilot.pause(0.01)
    if engine.loading:
        held |= {"effects", "load", "moved", "prompt", "read", "senses"}
    return frozenset(held)
