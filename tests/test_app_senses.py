"""The senses of a neuron in the app, over the real model."""

from __future__ import annotations

from pathlib import Path

from test_app import running, screen_text, until

from engine.neuron import NeuronId
from tui.screens.senses import SensesScreen

#: One that has several senses in the shared scan, and one that never fires there.
NEURON, SILENT = NeuronId(1, 840), NeuronId(1, 260)


async def test_senses_are_those_of_the_engine_with_their_excerpts(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press(":", *str(NEURON), "enter", "g", "s")
        await until(pilot, lambda: "their share of the activation" in screen_text(app), seconds=60)
        assert app.engine is not None
        senses = (await app.engine.senses(NEURON)).senses
        screen = app.screen
        assert isinstance(screen, SensesScreen) and len(senses) > 1
        assert f"{len(senses)} senses" in screen_text(app)
        await pilot.press("j")
        await until(pilot, lambda: f"{senses[1].tokens:,} tokens" in screen_text(app))
        shown = screen._heat.passages
        assert [one.window for one in shown] == [r.excerpt.window for r in senses[1].excerpts]
        assert [one.peak() for one in shown] == list(senses[1].places)
        await pilot.press("enter", "j")
        assert screen._heat.has_focus and screen._heat.current == (shown[1], senses[1].places[1])
        await pilot.press("tab", "k")
        await until(pilot, lambda: f"{senses[0].tokens:,} tokens" in screen_text(app))
        await pilot.press("s")
        await until(pilot, lambda: ", negative side" in screen_text(app))
        await until(pilot, lambda: screen._senses is not None, seconds=60)
        assert all(one.values[one.peak()] < 0 for one in screen._heat.passages)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: f"Neuron {NEURON}" in screen_text(app))


async def test_leaving_ends_the_search_and_a_silent_neuron_says_so(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press(":", *"5:131", "enter", "g", "s")
        await until(pilot, lambda: "explain text" in screen_text(app), seconds=60)
        await pilot.press("tab", "j", "slash", "x", "enter", "escape")  # nothing to move in yet
        await until(pilot, lambda: app.screen is app.explorer)
        await until(pilot, lambda: not [one for one in app.workers if one.name == "senses"])
        await pilot.press(":", *str(SILENT), "enter", "g", "s")
        text = f"Neuron {SILENT} never fires in the text"
        await until(pilot, lambda: text in screen_text(app), seconds=60)
        assert "s shows the other side." in screen_text(app)
        await pilot.press("s")
        await until(pilot, lambda: "their share of the activation" in screen_text(app), seconds=60)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.explorer)
