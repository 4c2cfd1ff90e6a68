"""UI sessions as pictures: what a user sees from the first start to a scored neuron.

Every session drives the real app over the real engine on the committed small index
(see ``tests/small_index.py``). Only time is taken out: a paced engine stops a real
stream of events where the picture is taken, and tells a recorded scan's progress.

The pictures lie under ``snapshots/test_sessions/``; ``make snapshots`` redraws them.
Look at each before committing it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from textual.pilot import Pilot

from engine.engine import Engine
from engine.events import (
    PipelineEvent,
    ScanEvent,
    ScanFailed,
    ScanProgress,
    ScanPublished,
    ScanStage,
)
from engine.explanation import Word
from engine.neuron import NeuronId
from engine.paths import write_pointer
from engine.scan_request import ScanRequest
from tests.small_index import FOLDER
from tui.app import make_app

SIZES = [(120, 40), (80, 24)]
BUSY = {"open", "read", "explain"}
WIDE = pytest.mark.parametrize("size", SIZES, ids=["120x40", "80x24"])


class PacedEngine(Engine):
    """The engine, with streams that stop where a picture is to be taken.

    Attributes:
        scan_events: What the scan tells before it goes quiet.
        words: How many words an explanation streams before it goes quiet; None for all.
    """

    scan_events: Sequence[ScanEvent] = ()
    words: int | None = None

    async def scan(self, request: ScanRequest | None = None) -> AsyncGenerator[ScanEvent, None]:
        for event in self.scan_events:
            if isinstance(event, ScanPublished):
                write_pointer(self.home, Path(event.path))
            yield event
        if not self.scan_events or not isinstance(self.scan_events[-1], ScanFailed):
            await asyncio.Event().wait()

    async def explain(self, neuron: NeuronId, **names: Any) -> AsyncGenerator[PipelineEvent, None]:
        words = 0
        async for event in super().explain(neuron, **names):
            words += isinstance(event, Word)
            if self.words is not None and words > self.words:
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
        scan_events: Sequence[ScanEvent] = (),
        words: int | None = None,
        **settings: Any,
    ) -> AsyncIterator[tuple[Pilot[object], Shoot]]:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        if scanned:
            write_pointer(home, FOLDER)

        async def factory() -> Engine:
            engine = await PacedEngine.open(home, index=index)
            assert isinstance(engine, PacedEngine)
            engine.scan_events, engine.words = scan_events, words
            return engine

        settings.setdefault("scan", bool(scan_events))
        app = make_app(factory, **settings)
        pictures = snapshot.use_extension(SVGImageExtension)

        async def shoot(name: str) -> None:
            await settled(pilot)
            picture = app.export_screenshot(title="neuroglass", simplify=True)
            assert pictures(name=name) == picture

        async with app.run_test(size=size) as pilot:
            await settled(pilot)
            yield pilot, shoot

    return play


async def settled(pilot: Pilot[object]) -> None:
    """Wait until nothing is read, opened or explained, and all is drawn.

    A paced explanation never ends; it counts as settled when it has told all it will.
    """
    quiet = 0
    for _ in range(400):
        await pilot.pause(0.01)
        names = {task.get_name() for task in asyncio.all_tasks()}
        app = pilot.app
        engine = getattr(app, "engine", None)
        paced = engine is not None and engine.words is not None
        busy = names & (BUSY - {"explain"} if paced else BUSY)
        quiet = 0 if busy else quiet + 1
        if quiet >= 12:
            return
    raise AssertionError(f"still busy: {names & BUSY}")


PROGRESS = ScanProgress(288, 5000, 18_432, 312_000, 12_345.0, 23.8, 0)


@WIDE
async def test_first_start(play: Play, size: tuple[int, int], tmp_path: Path) -> None:
    stage = [ScanStage("loading the model")]
    async with play(size, scanned=False, scan_events=stage) as (_, shoot):
        await shoot("1 loading")
    published = [PROGRESS, ScanPublished(str(FOLDER), 288, 5000), PROGRESS]
    async with play(size, scanned=False, scan_events=published) as (pilot, shoot):
        await shoot("2 scan running")
        await pilot.press("n", "n")
        await shoot("3 browsing during the scan")


@WIDE
async def test_a_neuron_is_browsed(play: Play, size: tuple[int, int]) -> None:
    async with play(size) as (pilot, shoot):
        await shoot("1 opened")
        await pilot.press("]", "]", "]", "n", "n", "n")
        await shoot("2 another layer")
        await pilot.press("tab", "j", "j", "l", "l", "l")
        await shoot("3 token cursor")
        await pilot.press("7")
        await shoot("4 negative side")
        await pilot.press("g", *"1:7", "enter")
        await shoot("5 went to 1-7")
        await pilot.press("o")
        await shoot("6 sorted by strength")


@WIDE
async def test_explained_scored_and_kept(play: Play, size: tuple[int, int]) -> None:
    async with play(size, words=6) as (pilot, shoot):
        await pilot.press("g", *"1:1", "enter", "e")
        await shoot("1 words streaming")
        await pilot.press("x")
        await shoot("2 cancelled")
    async with play(size) as (pilot, shoot):
        await pilot.press("g", *"1:1", "enter", "e")
        await shoot("3 scored")
        await pilot.press("8")
        await shoot("4 real and simulated")
        await pilot.press("w")
        await shoot("5 the worst record")
        await pilot.press("s", "*")
        await shoot("6 saved and starred")


@WIDE
async def test_help_and_prompts(play: Play, size: tuple[int, int]) -> None:
    async with play(size) as (pilot, shoot):
        await pilot.press("?")
        await shoot("1 keys")
        await pilot.press("escape", "g", *"9:9")
        await shoot("2 go to")
        await pilot.press("enter")
        await shoot("3 no such neuron")


@WIDE
async def test_empty_and_error_states(play: Play, size: tuple[int, int], tmp_path: Path) -> None:
    async with play(size, scanned=False) as (_, shoot):
        await shoot("1 nothing scanned")
    failed = [ScanFailed("There is no checkpoint directory ./gpt2.", "Name 'demo' or a folder.")]
    async with play(size, scanned=False, scan_events=failed) as (_, shoot):
        await shoot("2 scan failed")
    # A fixed name, since the message shows it.
    broken = Path("/tmp/neuroglass-broken-index")
    shutil.rmtree(broken, ignore_errors=True)
    shutil.copytree(FOLDER, broken)
    try:
        (broken / "manifest.json").write_text("{")
        async with play(size, index=broken) as (_, shoot):
            await shoot("3 damaged index")
    finally:
        shutil.rmtree(broken)


async def test_light_colourless_and_small(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async with play((120, 40), theme="neuroglass-light") as (pilot, shoot):
        await pilot.press("e")
        await shoot("light")
    async with play((60, 20)) as (_, shoot):
        await shoot("small")
    async with play((20, 10)) as (_, shoot):
        await shoot("tiny")
    monkeypatch.setenv("NO_COLOR", "1")
    async with play((120, 40)) as (pilot, shoot):
        await pilot.press("e")
        await shoot("no colour")
