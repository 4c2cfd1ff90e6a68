"""Effects and the prompt lab in the app, over the real model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from test_app import running, screen_text, until
from textual.events import Key, Paste
from textual.pilot import Pilot

from engine.neuron import NeuronId
from engine.paths import read_pointer, write_pointer
from tui.app import NeuroglassApp
from tui.look import Look
from tui.passages import figure
from tui.screens.effects import COUNT, EffectsScreen
from tui.screens.prompt_lab import PromptScreen
from tui.widgets.effects_pane import EffectsPane

TEXT = "The court held that the tenant owed nothing."


async def go_to(app: NeuroglassApp, pilot: Pilot[object], neuron: str) -> None:
    await pilot.press(":", *neuron, "enter")
    await until(pilot, lambda: f"Neuron {neuron}" in screen_text(app))


def lab_of(app: NeuroglassApp) -> PromptScreen:
    assert isinstance(app.screen, PromptScreen)
    return app.screen


async def typed(app: NeuroglassApp, pilot: Pilot[object], text: str = TEXT) -> PromptScreen:
    """The prompt lab with a text that has been read and ranked."""
    await pilot.press("i")
    await until(pilot, lambda: "Type a text" in screen_text(app))
    lab = lab_of(app)
    lab.post_message(Paste(text))
    await until(
        pilot,
        lambda: lab._reading is not None and b"".join(lab._reading.tokens).decode() == text,
        seconds=30,
    )
    await until(pilot, lambda: lab._list.current is not None)
    return lab


# ---------------------------------------------------------------- effects


async def test_effects_are_those_of_the_engine_and_a_neuron_is_opened(home: Path) -> None:
    async with running(home) as (app, pilot):
        await go_to(app, pilot, "2:77")
        await pilot.press("f")
        await until(pilot, lambda: "upstream for it" in screen_text(app))
        await until(pilot, lambda: "Beside a neuron" in screen_text(app), seconds=30)
        assert app.engine is not None
        effects = await app.engine.effects(NeuronId(2, 77), 5)
        text = screen_text(app)
        for link in effects.readings[0].upstream + effects.downstream[0].excited:
            assert f"{link.neuron!s:<8} {link.weight:+.3f}" in text
        similar = await app.engine.similar(NeuronId(2, 77), "activation", 3)
        assert str(similar.found[0].neuron) in text
        await pilot.press("enter")  # on a token
        assert "That is a token" in screen_text(app)
        await pilot.press("tab", "j", "enter")
        second = effects.readings[0].upstream[1].neuron
        await until(pilot, lambda: f"Neuron {second}" in screen_text(app))
        assert app.explorer.session.neuron == second


async def test_connections_are_followed_and_left(home: Path) -> None:
    async with running(home) as (app, pilot):
        await go_to(app, pilot, "2:77")
        await pilot.press("f")
        await until(pilot, lambda: "Beside a neuron" in screen_text(app), seconds=30)
        screen = app.screen
        assert isinstance(screen, EffectsScreen)
        pane = screen._pane
        for width, height in ((120, 40), (80, 24), (60, 20)):
            await pilot.resize_terminal(width, height)
            await pilot.pause(0.05)
            reached = set()
            for column in range(4):
                pane.to_group(1)
                for _ in range(column):
                    pane.move("right")
                for _ in range(6 * COUNT):
                    reached.add(pane.section)
                    pane.move("down")
            assert reached == set(range(len(pane.sections)))
        await pilot.press("3", "full_stop")
        followed = pane.current
        assert followed is not None and followed.neuron is not None
        await pilot.press("f")
        await until(pilot, lambda: f"Effects of {followed.neuron}" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.explorer)
        assert app.explorer.session.neuron == NeuronId(2, 77)


async def test_keys_before_the_lists_are_drawn_move_in_them(home: Path) -> None:
    async with running(home) as (app, pilot):
        await go_to(app, pilot, "2:77")
        for key, letter in (("f", "f"), ("pageup", None), ("k", "k"), ("down", None)):
            app.post_message(Key(key, letter))
        await until(pilot, lambda: "Beside a neuron" in screen_text(app), seconds=30)
        assert app.screen.query_one(EffectsPane).section in (0, 4)  # the list below, if moved


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 20)])
async def test_finding_and_moving_reach_every_row_of_a_list(
    home: Path, size: tuple[int, int]
) -> None:
    async with running(home) as (app, pilot):
        await go_to(app, pilot, "2:77")
        await pilot.press("f")
        await until(pilot, lambda: "Beside a neuron" in screen_text(app), seconds=30)
        await pilot.resize_terminal(*size)
        await pilot.pause(0.05)
        assert app.engine is not None
        last = (await app.engine.effects(NeuronId(2, 77), COUNT)).downstream[0].excited[-1]
        row = f"{last.neuron!s:<8} {last.weight:+.3f}"
        assert row not in screen_text(app)
        await pilot.press("slash", *str(last.neuron), "enter")
        await until(pilot, lambda: row in screen_text(app))
        assert f"{COUNT} of {COUNT}" in screen_text(app)
        pane = app.screen.query_one(EffectsPane)
        section = pane.section
        await pilot.press("home")
        assert row not in screen_text(app)
        await pilot.press(*["j"] * (COUNT - 1))
        assert row in screen_text(app)
        assert (pane.section, pane.row) == (section, COUNT - 1)
        await pilot.press("j")
        assert pane.section != section
        assert row not in screen_text(app)


async def test_without_the_scanned_weights_the_index_still_says_who_is_alike(
    home: Path, tmp_path: Path
) -> None:
    """The model is gone: what takes the index alone is shown, the rest tells why."""
    path = read_pointer(home)
    assert path is not None
    own = tmp_path / "index"
    shutil.copytree(path, own)
    manifest = own / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"name": "demo"', '"name": "/no/such/model"'))
    write_pointer(home, own)
    async with running(home) as (app, pilot):
        await pilot.press("f")
        await until(pilot, lambda: "There is no checkpoint directory" in screen_text(app))
        screen = app.screen
        assert isinstance(screen, EffectsScreen)
        assert [len(one.entries) for one in screen._pane.sections].count(0) == 10
        await pilot.press("escape", "i", *"hello")
        await until(pilot, lambda: "There is no checkpoint directory" in screen_text(app))
        await pilot.press("tab", "a", "s", "c", "escape")
        await until(pilot, lambda: app.screen is app.explorer)


# ---------------------------------------------------------------- the prompt lab


async def test_the_heatmap_follows_what_is_typed(home: Path) -> None:
    async with running(home) as (app, pilot):
        await go_to(app, pilot, "2:77")
        lab = await typed(app, pilot)
        assert app.engine is not None
        experiments = await app.engine.experiments()
        expected = await experiments.read(TEXT, NeuronId(2, 77))
        assert lab._reading is not None
        np.testing.assert_allclose(lab._reading.activations, expected.activations, atol=1e-5)
        assert f"{expected.activations[-1]:.4f}" in screen_text(app)
        await pilot.press("backspace", "backspace")
        shorter = await experiments.read(TEXT[:-2], NeuronId(2, 77))
        await until(
            pilot,
            lambda: (
                lab._reading is not None
                and lab._reading.tokens == shorter.tokens
                and f"{shorter.surprise[-1]:.3f}" in screen_text(app)
            ),
        )
        await pilot.press("ctrl+u")
        await until(pilot, lambda: "Nothing typed yet." in screen_text(app))


async def test_a_burst_of_keys_ends_on_the_last_text(home: Path) -> None:
    async with running(home) as (app, pilot):
        lab = await typed(app, pilot)
        for key in ("x", "y", "backspace", "z", "left", "left", "q", "end", "w", "ctrl+w", "v"):
            await pilot.press(key)
        assert lab.text == "The court held that the tenant owed v"
        await until(
            pilot,
            lambda: lab._reading is not None and b"".join(lab._reading.tokens).decode() == lab.text,
        )


async def test_neurons_at_the_token_are_listed_and_watched(home: Path) -> None:
    async with running(home) as (app, pilot):
        lab = await typed(app, pilot)
        assert app.engine is not None
        experiments = await app.engine.experiments()
        await pilot.press("tab", "home", "l", "l")
        firing = await experiments.firing(TEXT, 2, 3)
        await until(pilot, lambda: 'Fire most at " held"' in screen_text(app))
        for one in firing:
            assert f"{one.neuron!s:>7} {one.share:>6.0%}{one.activation:>7.2f}" in screen_text(app)
        await pilot.press("tab", "j", "enter")
        chosen = firing[1].neuron
        await until(pilot, lambda: lab._reading is not None and lab._reading.neuron == chosen)
        assert f"Prompt lab   {chosen}" in screen_text(app)
        await pilot.press("k", "o")
        await until(pilot, lambda: f"Neuron {firing[0].neuron}" in screen_text(app))
        # The text is there again the next time.
        await pilot.press("i")
        assert lab_of(app).text == TEXT


async def test_the_heatmap_has_figures_too_and_both_screens_draw_alike(home: Path) -> None:
    async with running(home) as (app, pilot):
        await go_to(app, pilot, "2:77")
        lab = await typed(app, pilot)
        await pilot.press("escape", "left", "left", "V")
        reading = lab._reading
        assert reading is not None
        assert app.engine is not None and app.engine.index is not None
        maximum = app.engine.index.statistics(NeuronId(2, 77)).maximum
        values = [figure(one, maximum) for one in reading.activations.tolist()]

        def below() -> list[str]:
            """What stands below the line of tokens."""
            lines = screen_text(app).splitlines()
            number = next(n for n, line in enumerate(lines) if " court" in line and "›" not in line)
            return lines[number + 1][8:74].split()

        await until(pilot, lambda: below() == values)
        assert lab._heat.token == len(values) - 3, "the cursor stays"
        await pilot.press("z")
        await until(pilot, lambda: "One scale per excerpt" in screen_text(app))
        assert app.session.look == Look(numbers=True, per_excerpt=True)
        await pilot.press("V")
        await until(pilot, lambda: below() != values)
        await pilot.press("escape", "z")
        await until(pilot, lambda: "One scale per neuron." in screen_text(app))


async def test_ablating_shows_what_the_engine_measured(home: Path) -> None:
    async with running(home) as (app, pilot):
        await go_to(app, pilot, "2:77")
        lab = await typed(app, pilot)
        assert app.engine is not None
        experiments = await app.engine.experiments()
        await pilot.press("tab", "a")
        await until(pilot, lambda: "2:77 zero everywhere" in screen_text(app))
        found = await experiments.ablate(TEXT, NeuronId(2, 77), lab._change())
        change = np.nanmean(found.loss_after - found.loss_before)
        assert f"loss {change:+.4f}" in screen_text(app)
        for one in found.next[:3]:
            assert f"{one.before:>7.1%}{one.after:>7.1%}" in screen_text(app)
        await pilot.press("c")
        await until(pilot, lambda: "2:77 mean everywhere" in screen_text(app))
        await pilot.press("c", "w")
        await until(pilot, lambda: " at 1 of " in screen_text(app))
        # Typing on takes the result away: it was about another text.
        await pilot.press("i", "x")
        await until(pilot, lambda: "2:77 =" not in screen_text(app))


async def test_steering_writes_the_variants_side_by_side(home: Path) -> None:
    async with running(home) as (app, pilot):
        await go_to(app, pilot, "2:77")
        lab = await typed(app, pilot)
        await pilot.press("tab", "s")
        await until(pilot, lambda: "24 tokens, same dice" in screen_text(app))
        text = screen_text(app)
        assert "2:77 steered, seed 0" in text and "×1" in text
        first = list(lab._result._written)
        await pilot.press("r")
        await until(
            pilot,
            lambda: "seed 1" in screen_text(app) and "24 tokens, same dice" in screen_text(app),
        )
        assert lab._result._written != first
        await pilot.press("s", "escape")  # leaves while it writes
        await until(pilot, lambda: app.screen is app.explorer)


async def test_pasted_text_is_shown_inertly_and_cut_in_small_terminals(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("i")
        lab = lab_of(app)
        lab.post_message(Paste("red \x1b[31m\r\nnew line \u202e" + "and on and on " * 4000))
        await until(pilot, lambda: "tokens more than the model reads" in screen_text(app), 30)
        assert len(lab.text) == 20_000 and "\r" not in lab.text
        assert "\x1b" not in screen_text(app) and "\u202e" not in screen_text(app)
        await pilot.press("tab", "s")
        await until(pilot, lambda: "longer than the model reads" in screen_text(app))
        await pilot.press("i", "ctrl+u")
        lab.post_message(Paste(TEXT))
        for width, height in ((80, 24), (60, 20), (44, 14)):
            await pilot.resize_terminal(width, height)
            await pilot.press("i", "tab", "a")
            await until(pilot, lambda: "loss up to" in screen_text(app))
            assert "esc back" in screen_text(app)
            await pilot.press("s")
            await until(pilot, lambda: "×1" in screen_text(app))
            await pilot.press("tab")
            await until(pilot, lambda: "Fire most" in screen_text(app))


async def test_lines_are_those_of_the_present_text_though_nothing_is_in_sight(home: Path) -> None:
    async with running(home) as (app, pilot):
        lab = await typed(app, pilot, "One")
        await pilot.resize_terminal(20, 10)
        await pilot.press("tab", "up", "i")
        lab.post_message(Paste(", and a longer text"))
        await until(pilot, lambda: lab._reading is not None and len(lab._reading.tokens) > 4)
        await pilot.press("tab", "end", "up")
        assert app.is_running and 0 <= lab._heat.token < len(lab._heat.passages[0].tokens) - 1
