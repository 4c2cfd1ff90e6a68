"""The app with language models, which a server on this machine plays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from loopback.server import Loopback, Script, Seen
from test_app import running, screen_text, until
from textual.pilot import Pilot

from engine.choices import Choices
from engine.engine import Engine
from engine.neuron import NeuronId
from engine.paths import write_pointer
from tests.small_index import FOLDER
from tui.app import NeuroglassApp

NEURON = NeuronId(1, 1)


def brain(seen: Seen) -> Script:
    """A sentence, and a few activations that depend on the record."""
    if "Predict how strongly" not in seen.text:
        return "words that begin with the letter t"
    size = len(str(seen.body["messages"][-1]["content"])) % 7
    return json.dumps({"activations": [[2, 5], [5 + size, 9]]})


@pytest.fixture
def small_home(tmp_path: Path, loopback: Loopback) -> Path:
    """A home on the small index, with a language model chosen."""
    loopback.brain = brain
    home = tmp_path / "models-home"
    home.mkdir()
    write_pointer(home, FOLDER)

    async def remember() -> None:
        async with await Engine.open(home) as engine:
            await engine.remember(
                Choices(explainer="summary", explainer_model=loopback.name, simulator="json")
            )

    asyncio.run(remember())
    return home


@asynccontextmanager
async def at_neuron(home: Path) -> AsyncIterator[tuple[NeuroglassApp, Pilot[object]]]:
    async with running(home) as (app, pilot):
        await pilot.press(":", *str(NEURON), "enter")
        await until(pilot, lambda: "Neuron 1:1" in screen_text(app))
        yield app, pilot


def asked(server: Loopback) -> int:
    return sum(seen.path.endswith("/chat/completions") for seen in server.requests)


async def explain(app: NeuroglassApp, pilot: Pilot[object]) -> None:
    await pilot.press("e")
    await until(pilot, lambda: "enter go" in screen_text(app))
    await pilot.press("enter")


async def test_asked_once_then_scored_and_saved(small_home: Path, loopback: Loopback) -> None:
    async with at_neuron(small_home) as (app, pilot):
        await explain(app, pilot)
        await until(pilot, lambda: "by json, valid split" in screen_text(app))
        assert "another-neuron" in screen_text(app)
        sent = asked(loopback)
        assert sent == 21
        await pilot.press("s")
        await until(pilot, lambda: "Saved." in screen_text(app))
        await pilot.press("e")  # agreed to already: no question, and nothing to send
        await until(pilot, lambda: "21 replies kept" in screen_text(app))
        assert asked(loopback) == sent


async def test_a_cancelled_run_goes_on_where_it_was(small_home: Path, loopback: Loopback) -> None:
    calls = 0

    def slow(seen: Seen) -> Script:
        nonlocal calls
        calls += 1
        if calls > 6:
            import time

            time.sleep(0.4)
        return brain(seen)

    loopback.brain = slow
    async with at_neuron(small_home) as (app, pilot):
        await explain(app, pilot)
        await until(pilot, lambda: asked(loopback) >= 8)
        await pilot.press("x")
        await until(pilot, lambda: "Cancelled" in screen_text(app))
        calls = -1000
        before = asked(loopback)
        await pilot.press("e")
        await until(pilot, lambda: "by json, valid split" in screen_text(app))
        assert asked(loopback) - before < 21


async def test_own_words_are_scored_and_compared(small_home: Path, loopback: Loopback) -> None:
    async with at_neuron(small_home) as (app, pilot):
        await pilot.press("E", *"the letter t", "enter")
        await until(pilot, lambda: "by json, valid split" in screen_text(app))
        await pilot.press("s")
        await until(pilot, lambda: "Saved." in screen_text(app))
        await explain(app, pilot)
        await until(pilot, lambda: "words that begin" in screen_text(app))
        await until(pilot, lambda: "by json, valid split" in screen_text(app))
        await pilot.press("s")
        await until(pilot, lambda: "Saved." in screen_text(app))
        await pilot.press("v")
        await until(pilot, lambda: "Explanations of 1:1" in screen_text(app))
        assert "the letter t" in screen_text(app) and "words that begin" in screen_text(app)
        await pilot.press("l", "enter")
        await until(pilot, lambda: "Explanations of" not in screen_text(app))
        await pilot.press("v", "d")
        await until(pilot, lambda: "u brings it back" in screen_text(app))
        await pilot.press("escape")
        assert app.engine is not None and app.engine.index is not None
        left = app.engine.store.explanations(app.engine.index.model_id, NEURON)
        assert len(left) == 1


async def test_choices_are_made_once(small_home: Path, loopback: Loopback) -> None:
    async with at_neuron(small_home) as (app, pilot):
        await pilot.press("c")
        await until(pilot, lambda: "21 requests" in screen_text(app))
        await pilot.press("j", "j", "j", "j", "l", "s")
        await until(pilot, lambda: "How to explain" not in screen_text(app))
        assert app.engine is not None and app.engine.choices.calibration == "linear"
    async with at_neuron(small_home) as (app, pilot):
        assert app.engine is not None and app.engine.choices.calibration == "linear"
        await pilot.press("c", "j", "enter", "ctrl+u", *"x", "enter", "s")
        await until(pilot, lambda: "How to explain" in screen_text(app))
        await pilot.press("escape")
        assert app.engine.choices.explainer_model == loopback.name
