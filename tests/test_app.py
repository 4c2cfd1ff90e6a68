"""The app over the real engine: what a person sees and what is kept."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import ColorSystem
from rich.style import Style
from textual import events
from textual.pilot import Pilot

from engine.engine import Engine
from engine.errors import NeuroglassError
from engine.glyphs import cells
from engine.neuron import NeuronId
from tui.app import NeuroglassApp, make_app
from tui.passages import MISSING, level_floor, levels
from tui.replay import player
from tui.session import GROUPS, clock
from tui.theme import DARK, LEVELS, LIGHT, PLAIN, THEMES, palette
from tui.widgets.map_pane import MapPane
from tui.widgets.pane import changed_columns, merged, width_of, wrapped
from tui.wrapping import wrap

SIZE = (120, 40)
#: What takes longer than so many seconds goes on beside the next key.
AT_ONCE = 0.5
ROOT = Path(__file__).resolve().parent.parent


def screen_text(app: NeuroglassApp) -> str:
    """The screen as it stands, as text."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def until(pilot: Pilot[object], holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something to become true; fail if it does not."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never happened:\n" + screen_text(pilot.app)  # type: ignore[arg-type]
        await pilot.pause(0.02)
    await pilot.pause(0.05)


async def press(pilot: Pilot[object], *keys: str) -> None:
    """Press keys, each when the one before has done what it can at once."""
    for key in keys:
        await player.press(pilot, key)
        with suppress(TimeoutError):
            await asyncio.wait_for(player.done(pilot), AT_ONCE)


@asynccontextmanager
async def running(
    home: Path, size: tuple[int, int] = SIZE, theme: str | None = None
) -> AsyncIterator[tuple[NeuroglassApp, Pilot[object]]]:
    """The app on a home with an index, with the first neuron on the screen."""

    async def factory() -> Engine:
        return await Engine.open(home)

    app = make_app(factory, scan=False, theme=theme)
    async with app.run_test(size=size) as pilot:
        pilot.press = partial(press, pilot)  # type: ignore[method-assign]
        await until(pilot, lambda: app.explorer.neuron_view is not None)
        yield app, pilot
        if app.engine is not None:
            await app.jobs.close()
            await app.engine.close()


# ------------------------------------------------------------------ starting


def test_the_first_paint_waits_for_nothing_heavy() -> None:
    code = """
import asyncio, sys
from tui.app import make_app

async def main():
    async def factory():
        heavy = {"torch", "transformers", "sqlite_utils", "numpy", "scipy"} & set(sys.modules)
        print("painted", app.screen._compositor.size.width, sorted(heavy))
        from engine.errors import StoreError
        raise StoreError("Enough.")
    app = make_app(factory)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.3)
asyncio.run(main())
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert result.stdout == "painted 80 []\n", result.stdout + result.stderr


async def test_an_index_opens_on_its_first_neuron(home: Path) -> None:
    async with running(home) as (app, _):
        text = screen_text(app)
        assert "6 layers × 1,024" in text
        assert "Neuron 0:0" in text
        assert "index complete" in text
        index = app.engine.index if app.engine else None
        assert index is not None
        assert f"{index.statistics(NeuronId(0, 0)).maximum:.2f}" in text


async def test_without_an_index_the_screen_says_what_to_do(tmp_path: Path) -> None:
    async def factory() -> Engine:
        return await Engine.open(tmp_path / "nothing")

    app = make_app(factory, scan=False)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "Nothing has been scanned yet." in screen_text(app))
        await pilot.press("j", "e", "J", "8", "full_stop", "w", "s", "*", "a", "g", "t")
        assert "S starts the scan." in screen_text(app)


async def test_neurons_appear_while_the_first_scan_runs(tmp_path: Path, demo_text: Path) -> None:
    some = tmp_path / "text"
    some.mkdir()
    for path in sorted(demo_text.iterdir())[:12]:
        (some / path.name).write_bytes(path.read_bytes())

    async def factory() -> Engine:
        return await Engine.open(tmp_path / "new")

    app = make_app(factory, sources=(str(some),))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "Reading text through the model demo." in screen_text(app))
        await until(pilot, lambda: "Neuron 0:0" in screen_text(app), seconds=90)
        # The map, too, follows the scan.
        app.session.quantity = "maximum"
        await pilot.press("g", "m")
        await until(pilot, lambda: "Largest activation" in screen_text(app))
        await until(pilot, lambda: not app.jobs.scanning, seconds=60)
        assert app.engine is not None and app.engine.index is not None
        assert app.engine.index.complete
        index, pane = app.engine.index, app.screen.query_one(MapPane)
        whole = np.stack([index.layer(n).maximum for n in range(index.n_layers)])
        await until(
            pilot, lambda: pane.shown is not None and np.array_equal(pane.shown.values, whole)
        )
        await pilot.press("escape")
        await until(pilot, lambda: "index complete" in screen_text(app))


async def test_an_expected_failure_is_shown_in_place() -> None:
    async def factory() -> Engine:
        raise NeuroglassError("The disk is full.", "Free some [b]space[/b].")

    app = make_app(factory)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "The disk is full." in screen_text(app))
        assert "Free some [b]space[/b]." in screen_text(app)


# ------------------------------------------------------------------ moving


async def test_a_burst_of_keys_ends_on_the_right_neuron(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press(*["J"] * 25)
        await until(pilot, lambda: "Neuron 0:25" in screen_text(app))
        await pilot.press("K", "right_square_bracket")
        await until(pilot, lambda: "Neuron 1:24" in screen_text(app))
        assert app.explorer.neuron_view is not None
        assert app.explorer.neuron_view.record.neuron == NeuronId(1, 24)


async def test_keys_in_a_burst_act_on_what_the_keys_before_them_did(home: Path) -> None:
    names = {"]": "right_square_bracket", "*": "asterisk", "'": "apostrophe"}

    def at_once(app: NeuroglassApp, keys: str) -> None:
        for key in keys:
            app.post_message(events.Key(names.get(key, key), key))

    async with running(home) as (app, pilot):
        assert app.engine is not None
        assert app.engine.index is not None
        await pilot.press("o", "home")
        strongest = [app.engine.index.layer(n).maximum for n in range(3)]
        order = [(-column).argsort(kind="stable").tolist() for column in strongest]
        first = order[0][0]
        await until(pilot, lambda: f"Neuron 0:{first} " in screen_text(app))

        at_once(app, "]jjj*")
        third = order[1][order[1].index(first) + 3]
        await until(pilot, lambda: f"Neuron 1:{third} ★" in screen_text(app))
        assert list(app.engine.store.annotations(app.engine.index.model_id, 1)) == [third]

        # The layer of a mark is come to from another; then on, and back to the mark.
        await pilot.press("m", "a", *":2:7", "enter")
        await until(pilot, lambda: "Neuron 2:7 " in screen_text(app))
        at_once(app, "'aJJk]j")
        next_one = order[1][order[1].index(third) + 1]
        last = order[2][order[2].index(next_one) + 1]
        await until(pilot, lambda: f"Neuron 2:{last} " in screen_text(app))
        assert app.explorer.session.neuron == NeuronId(2, last)


async def test_sorting_puts_the_strongest_first_and_keeps_the_neuron(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("J", "o")
        await until(pilot, lambda: "strongest first" in screen_text(app))
        assert app.explorer.session.neuron == NeuronId(0, 1)
        await pilot.press("home")
        assert app.engine is not None
        assert app.engine.index is not None
        strongest = int(app.engine.index.layer(0).maximum.argmax())
        await until(pilot, lambda: f"Neuron 0:{strongest} " in screen_text(app))


async def test_going_to_a_neuron_by_name(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press(":", *"5:131", "enter")
        await until(pilot, lambda: "Neuron 5:131" in screen_text(app))
        await pilot.press(":", *"77", "enter")
        await until(pilot, lambda: "Neuron 5:77" in screen_text(app))
        await pilot.press(":", *"9:1", "enter")
        await until(pilot, lambda: "There is no neuron 9:1" in screen_text(app))
        await pilot.press(":", "escape", "J")
        await until(pilot, lambda: "Neuron 5:78" in screen_text(app))


async def test_every_group_shows_what_the_index_kept(home: Path) -> None:
    async with running(home) as (app, pilot):
        for number, group in enumerate(GROUPS[:-1], start=1):
            await pilot.press(str(number), "full_stop")
            await pilot.pause(0.05)
            passages = app.explorer._heatmap.passages
            assert len(passages) > 0, group.key
            peaks = [float(p.values.max()) for p in passages]
            if group.key == "top":
                assert peaks == sorted(peaks, reverse=True)
            if group.key == "bottom":
                troughs = [float(p.values.min()) for p in passages]
                assert troughs == sorted(troughs)
        await pilot.press("8", "full_stop")
        await until(pilot, lambda: "Not scored yet." in screen_text(app))


async def test_the_status_line_tells_the_token_exactly(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("tab", "home")
        heatmap = app.explorer._heatmap
        for key in ("l", "l", "h", "j", "k", "l"):
            await pilot.press(key)
            here = heatmap.current
            assert here is not None
            passage, token = here
            await until(pilot, lambda: f"{passage.values[token]:.4f}" in screen_text(app))  # noqa: B023
        assert f"token {token + 1}/{len(passage.tokens)}" in screen_text(app)


# ------------------------------------------------------------------ explaining


async def test_explaining_scoring_and_saving(home: Path) -> None:
    async with running(home) as (app, pilot):
        explorer = app.explorer
        await pilot.press("e")
        await until(pilot, lambda: bool(explorer.session.unsaved()), seconds=30)
        result = explorer.session.results[NeuronId(0, 0)]
        assert result.explanation is not None
        assert result.card is not None
        score = result.card.score()
        text = screen_text(app)
        assert "not saved" in text
        assert "●" in text
        assert f"{score.ev_correlation:.2f}" in text
        for baseline in result.card.baselines:
            assert baseline.name[:10] in text
        await pilot.press("w")
        here = explorer._heatmap.current
        assert here is not None
        correlations = [r.ev_correlation for r in result.card.records if r.ev_correlation]
        assert here[0].correlation == min(correlations)
        await pilot.press("s")
        await until(pilot, lambda: "Saved." in screen_text(app))
        await until(pilot, lambda: explorer.neuron_view is not None and explorer.neuron_view.saved)
        assert not explorer.session.unsaved()
    async with running(home) as (app, pilot):
        await pilot.press("8", "full_stop")
        await until(pilot, lambda: "sim" in screen_text(app))
        assert len(app.explorer._heatmap.passages) == len(result.records)
        assert " ".join(result.explanation.text.split()[:3]) in screen_text(app)


async def test_cancelling_leaves_the_app_usable(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("e", "escape")
        await until(pilot, lambda: app.explorer.session.running is None)
        await pilot.press("J", "e")
        await until(pilot, lambda: NeuronId(0, 1) in app.explorer.session.results)
        await until(pilot, lambda: app.explorer.session.running is None, seconds=30)
        assert app.explorer.session.results[NeuronId(0, 1)].card is not None


async def test_quitting_asks_once_and_saves_all(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("e")
        await until(pilot, lambda: bool(app.explorer.session.unsaved()), seconds=30)
        await pilot.press("q")
        await until(pilot, lambda: "Explanation of 0:0 not saved." in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "not saved." not in screen_text(app))
        await pilot.press("q", "s")
        await until(pilot, lambda: not app.is_running)
    engine = await Engine.open(home)
    assert engine.index is not None
    assert len(engine.store.explanations(engine.index.model_id, NeuronId(0, 0))) == 1
    await engine.close()


async def test_star_and_note_are_kept_and_shown_inertly(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("*")
        await until(pilot, lambda: "★" in screen_text(app))
        await pilot.press("a")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press(*"fires", "escape")
        await until(pilot, lambda: "fires" in screen_text(app))
        assert app.engine is not None
        assert app.engine.index is not None
        evil = "[red]\x1b[31m\u202eevil\u200b\x9b"
        await app.engine.store.set_note(app.engine.index.model_id, NeuronId(0, 0), evil)
        app.explorer._feed.again()
        await until(pilot, lambda: "[red]␛[31m⇄evil◇␦" in screen_text(app))
        for char in screen_text(app):
            assert char == "\n" or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co"}


# ------------------------------------------------------------------ actions and layouts


@pytest.mark.parametrize(
    ("size", "seen", "unseen"),
    [
        ((160, 50), ("Layer 0", "Neuron 0:0", "Statistics"), ()),
        ((120, 40), ("Layer 0", "Neuron 0:0", "Statistics"), ()),
        ((80, 24), ("Layer 0", "Neuron 0:0", "Explanation"), ()),
        ((60, 20), ("Layer 0",), ("Neuron 0:0",)),
        ((30, 8), ("neuroglass needs 40 columns",), ("Layer 0",)),
    ],
)
async def test_each_size_has_its_layout(
    home: Path, size: tuple[int, int], seen: tuple[str, ...], unseen: tuple[str, ...]
) -> None:
    async with running(home, size) as (app, pilot):
        await pilot.pause(0.1)
        for text in seen:
            assert text in screen_text(app), screen_text(app)
        for text in unseen:
            assert text not in screen_text(app)
        await pilot.press("tab", "j", "l", "tab", "j", "tab")
        if size == (60, 20):
            await pilot.press("enter")
            await until(pilot, lambda: "Neuron 0:0" in screen_text(app))
            assert "Layer 0" not in screen_text(app)


async def test_resizing_reflows(home: Path) -> None:
    async with running(home) as (app, pilot):
        for size in ((80, 24), (60, 20), (30, 8), (120, 40)):
            await pilot.resize_terminal(*size)
            await pilot.pause(0.1)
        assert "Statistics" in screen_text(app)


@pytest.mark.parametrize("theme", [DARK, LIGHT, PLAIN, "nord"])
async def test_every_theme_draws(home: Path, theme: str) -> None:
    async with running(home, theme=theme) as (app, _):
        assert "Neuron 0:0" in screen_text(app)


async def test_an_idle_app_repaints_nothing(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.pause(0.3)
        frames = []
        app.screen.screen_layout_refresh_signal.subscribe(app, frames.append)
        driver = app._driver
        assert driver is not None
        driver.write = frames.append  # type: ignore[method-assign]
        await pilot.pause(1.0)
        assert frames == []


# ------------------------------------------------------------------ pure parts


def test_own_colours_are_the_same_in_256_colours_and_truecolor() -> None:
    for theme in THEMES:
        chosen = palette(theme)
        styles = [chosen.text, chosen.dim, chosen.faint, chosen.accent, *chosen.heat, *chosen.cold]
        for style in styles:
            for colour in (style.color, style.bgcolor):
                if theme.name == PLAIN:
                    assert colour is None
                    continue
                assert colour is not None
                reduced = colour.downgrade(ColorSystem.EIGHT_BIT)
                pairs = list(zip(reduced.get_truecolor(), colour.get_truecolor(), strict=True))
                # Rich takes the next darker of the light greys, ten of 255 away.
                grey = len(set(colour.get_truecolor())) == 1
                assert all(abs(a - b) <= 10 * grey for a, b in pairs), colour


@given(st.floats(1e-3, 1e3), st.booleans())
def test_levels_rise_with_the_value_and_agree_with_the_legend(top: float, negative: bool) -> None:
    extreme = -top if negative else top
    values = np.linspace(0, extreme, 200).astype(np.float32)
    got = [abs(level) for level in levels(values, extreme)]
    assert got == sorted(got)
    assert got[0] == 0
    assert got[-1] == LEVELS - 1
    for level in range(1, LEVELS):
        just = np.array([level_floor(level, extreme)] * 2, dtype=np.float64) * [0.999, 1.001]
        assert [abs(n) for n in levels(just, extreme)] == [level - 1, level]  # type: ignore[arg-type]


def test_missing_and_opposite_values_have_no_level() -> None:
    values = np.array([np.nan, -1.0, 0.0, 1.0], dtype=np.float32)
    assert levels(values, 1.0) == [MISSING, 0, 0, LEVELS - 1]
    assert levels(values, -1.0) == [MISSING, 1 - LEVELS, 0, 0]
    assert levels(values, 0.0) == [MISSING, 0, 0, 0]


@given(st.lists(st.text(alphabet=" abc漢\n", max_size=9), max_size=40), st.integers(8, 60))
def test_wrapping_keeps_every_token_in_order_and_in_width(words: list[str], width: int) -> None:
    shown = cells([word.encode() for word in words])
    lines = wrap(shown, width)
    assert [i for start, stop in lines for i in range(start, stop)] == list(range(len(words)))
    for start, stop in lines:
        size = sum(cell.width for cell in shown[start:stop])
        assert size - shown[start].text.startswith(" ") <= width or stop == start + 1


STYLES = (Style(), Style(bold=True), Style(reverse=True))
ROWS = st.lists(
    st.tuples(st.text(alphabet="ab漢 ", max_size=5), st.sampled_from(STYLES)), max_size=6
)


@given(ROWS, ROWS)
def test_repainting_the_changed_columns_gives_the_new_row(old: list, new: list) -> None:  # type: ignore[type-arg]
    def painted(row: tuple[tuple[str, Style], ...]) -> list[tuple[str, Style]]:
        out = []
        for text, style in row:
            for char in text:
                out += [(char, style)] + [("", style)] * (width_of([(char, style)]) - 1)
        return out

    before, after = (merged(row, 20, Style()) for row in (old, new))
    shown, wanted = painted(before), painted(after)
    columns = changed_columns(before, after)
    if columns is not None:
        shown[columns[0] : columns[1]] = wanted[columns[0] : columns[1]]
    assert shown == wanted
    assert len(wanted) == 20


@given(st.text(alphabet="ab 漢", max_size=60), st.integers(2, 20))
def test_wrapped_lines_fit_and_lose_no_letter(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert all(width_of([(line, Style())]) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_clock() -> None:
    assert [clock(s) for s in (0.2, 21, 725, 11220)] == ["0:00", "0:21", "12:05", "3:07:00"]
