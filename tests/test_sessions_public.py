"""UI sessions on published neurons as pictures: browsing, loading, what is broken, scoring."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import public_samples as samples
import pytest
from loopback.files import Files
from loopback.server import Loopback, Script, Seen
from ui_player import WIDE, Play, settled

from engine.choices import Choices
from engine.engine import Engine


@pytest.fixture
def source(tmp_path: Path) -> str:
    return str(samples.write_dataset(tmp_path / "made-up"))


def brain(seen: Seen) -> Script:
    """Says 9 at the names of rivers and 2 at each full stop."""
    pairs = []
    for line in seen.body["messages"][-1]["content"].splitlines():
        number, tab, token = line.partition("\t")
        if tab and number.isdigit() and (token in samples.RIVERS or token == "."):
            pairs.append([int(number), 9 if token in samples.RIVERS else 2])
    return json.dumps({"activations": pairs})


@WIDE
async def test_published_neurons_are_browsed(
    play: Play, size: tuple[int, int], source: str
) -> None:
    async with play(size, source=source) as (pilot, shoot):
        await shoot("1 the first neuron")
        await pilot.press("right_square_bracket")
        await shoot("2 another layer")
        await pilot.press("8", "full_stop")
        await shoot("3 scored by its authors")
        await pilot.press("tab", "tab", "end")
        await shoot("4 related tokens and neurons")
        await pilot.press("shift+tab", "shift+tab", "end", "1", "full_stop")
        await shoot("5 a broken file")
        await pilot.press("g", "f")
        await shoot("6 no model behind it")


async def test_a_neuron_is_loaded_and_cannot_be(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "served"
    samples.write_neuron(root / "data", 0, 0)
    with Files(root) as files:
        monkeypatch.setenv("NEUROGLASS_PUBLIC_DATA", files.url)
        async with play((120, 40), source="openai:gpt2-xl") as (pilot, shoot):
            await shoot("1 from a server")
            files.hold = threading.Event()
            engine = pilot.app.engine  # type: ignore[attr-defined]
            engine.loading = True
            await pilot.press("j", "j", "j", "j")
            await shoot("2 loading")
            files.hold.set()
            files.hold, engine.loading = None, False
            await shoot("3 no such neuron")
            await pilot.press("home")
            await shoot("4 back")


@WIDE
async def test_a_published_explanation_is_scored_again(
    play: Play, size: tuple[int, int], source: str, loopback: Loopback
) -> None:
    loopback.brain = brain
    async with play(size, source=source) as (pilot, shoot):
        engine: Any = pilot.app.engine  # type: ignore[attr-defined]
        assert isinstance(engine, Engine)
        await engine.remember(
            Choices(simulator="json", explainer="summary", explainer_model=loopback.name)
        )
        await pilot.press("right_square_bracket", "E")
        await shoot("1 their words")
        await pilot.press("enter")
        await settled(pilot)
        await pilot.press("s")
        await settled(pilot)
        explorer = pilot.app.explorer  # type: ignore[attr-defined]
        stored = engine.store.explanations(engine.dataset.model_id, explorer.session.neuron)
        assert [one.explainer for one in stored] == ["published"]
        await pilot.press("v")
        await settled(pilot)
        entries = pilot.app.screen.query_one("#compare").entries  # type: ignore[attr-defined]
        assert [entry.published for entry in entries] == [True, False]
        await pilot.press("d", "d", "escape")
        await settled(pilot)
        assert [one.id > 0 for one in explorer.neuron_view.saved] == [False, True]
        assert explorer.layer_view.scores[4] == 0.92
        await pilot.press("S")
        assert not pilot.app.jobs.scanning  # type: ignore[attr-defined]
