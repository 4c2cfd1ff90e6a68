"""Excerpts laid out: any text fits, every token is there once, values stand below it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import Color

from engine.glyphs import cells
from tui.canvas import cells_of
from tui.look import Look
from tui.passages import MISSING, Block, Passage, figure, lay_out, own_extreme
from tui.ramps import RAMPS, contrast, luminance
from tui.theme import LEVELS, THEMES, palette

PIECES = (
    " the", "word", ".", "\n", "  ", " 漢字", "한국", "e\u0301", "👩\u200d🔬", "🇩🇪", "✈\ufe0f",
    "\u200b", "\u202e", "\x1b[31m", "ا", "ไ", "ﷺ", "\u0300", "x" * 90, "",
)  # fmt: skip
whole = st.sampled_from(PIECES).map(lambda text: text.encode())
halves = st.sampled_from([b"\xe6", b"\xbc\xa2", b"\xf0\x9f", b"\x91\xa9", b"\xff", b"\xc3"])
tokens = st.lists(
    st.one_of(whole, halves, st.text(max_size=6).map(lambda text: text.encode())),
    min_size=1,
    max_size=40,
)
looks = st.builds(Look, numbers=st.booleans(), per_excerpt=st.booleans(), difference=st.booleans())
numbers = st.one_of(st.floats(-9, 99, width=32), st.just(float("nan")))


def _passage(tokens: list[bytes], data: st.DataObject, *, simulated: bool) -> Passage:
    count = len(tokens)
    values = data.draw(st.lists(st.floats(-9, 99, width=32), min_size=count, max_size=count))
    expected = data.draw(st.lists(numbers, min_size=count, max_size=count)) if simulated else None
    return Passage(
        0,
        "a",
        0,
        tuple(tokens),
        np.array(values, np.float32),
        None if expected is None else np.array(expected, np.float32),
        normalised=data.draw(st.booleans()),
    )


def _widths(block: Block, line: int) -> list[int]:
    return [block.shown(token, line)[1] for token in range(*block.lines[line])]


@settings(max_examples=200, deadline=None)
@given(tokens, st.integers(8, 100), looks, st.booleans(), st.data())
def test_every_line_fits_and_every_token_is_there_once(
    tokens: list[bytes], width: int, look: Look, simulated: bool, data: st.DataObject
) -> None:
    passage = _passage(tokens, data, simulated=simulated)
    extreme = data.draw(st.sampled_from([4.5, -0.17, 120.0]))
    block = lay_out(passage, width, extreme, look)
    assert [t for line in block.lines for t in range(*line)] == list(range(len(tokens)))
    for number in range(len(block.lines)):
        widths = _widths(block, number)
        assert sum(widths) <= width or len(widths) == 1
        for token in range(*block.lines[number]):
            text, size = block.shown(token, number)
            assert cell_len(text) == len(cells_of(text)) == size > 0
            if look.numbers and block.figures is not None:
                assert len(block.figures[token]) < size, "figures stand apart"
    assert all(-LEVELS < level <= MISSING for level in block.levels)


@given(st.one_of(whole, halves, st.binary(max_size=8)))
def test_a_cell_is_as_wide_as_all_measure_it(token: bytes) -> None:
    [cell] = cells([token])
    assert cell.width == cell_len(cell.text) == len(cells_of(cell.text))


def test_colours_may_reach_to_the_excerpts_own_extreme() -> None:
    passage = Passage(0, "a", 0, (b"a", b"b"), np.array([0.1, 1.0], np.float32))
    assert max(lay_out(passage, 20, 10.0).levels) < LEVELS - 1
    own = Look(per_excerpt=True)
    assert lay_out(passage, 20, 10.0, own).levels[1] == LEVELS - 1
    assert own_extreme(passage, -0.17, own) == 0, "nothing is below zero"


def test_a_difference_has_signs_and_says_what_is_missing() -> None:
    passage = Passage(
        0,
        "a",
        0,
        (b"one", b"two", b"x", b"four"),
        np.array([4.0, 0.0, 2.0, 1.0], np.float32),
        np.array([0.0, 10.0, 0.0, np.nan], np.float32),
        normalised=True,
    )
    block = lay_out(passage, 40, 4.0, Look(difference=True))
    assert block.expected is None
    assert block.figures == ("+10", "-10", "+5", "?")
    assert block.levels == [LEVELS - 1, 1 - LEVELS, 4, MISSING]
    block = lay_out(passage, 40, 4.0, Look(difference=True, numbers=True))
    assert block.figures == ("+4.0", "-4.0", "+2.0", "?")


def test_figures_are_as_short_as_the_scale_allows() -> None:
    shown = [figure(value, 4.0) for value in (4.51, 0.84, -0.17, 0.04, float("nan"))]
    assert shown == ["4.5", ".8", "-.2", "0", "?"]
    assert figure(-0.17, -0.2) == "-.17"
    assert figure(312.4, 400) == "312"


# -- colours

#: Severe protanopia, deuteranopia and tritanopia on linear RGB: G. Machado and others,
#: A Physiologically-based Model for Simulation of Color Vision Deficiency (2009).
VISION = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def _light(colour: str, vision: np.ndarray) -> float:
    parts = np.array([int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(np.clip(vision @ linear, 0, 1) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("name", RAMPS)
def test_lightness_alone_orders_every_ramp_for_everybody(name: str, vision: str) -> None:
    for dark, shades in zip((True, False), RAMPS[name], strict=True):
        for ramp in (shades.heat, shades.cold):
            light = [_light(colour, VISION[vision]) for colour in ramp]
            assert len(light) == LEVELS - 1
            rises = np.diff(light) * (1 if dark else -1)
            assert (rises > 0).all(), (ramp, light)


@pytest.mark.parametrize("name", RAMPS)
def test_text_can_be_read_on_every_colour_and_the_terminal_has_it(name: str) -> None:
    for theme in THEMES[:2]:
        painted = palette(theme, name)
        for style in (*painted.heat, *painted.cold):
            assert style.color is not None
            assert style.bgcolor is not None
            ink, fill = style.color.get_truecolor().hex, style.bgcolor.get_truecolor().hex
            assert contrast(ink, fill) >= 3.0, (ink, fill)
        first, ground = painted.heat[1].bgcolor, painted.heat[0].bgcolor
        assert first is not None and ground is not None
        hint = luminance(first.get_truecolor().hex) - luminance(ground.get_truecolor().hex)
        assert (hint > 0) is (theme.dark is True), "the first level is on the ramp's side"
        below = [painted.cold[n] != painted.heat[n] for n in range(2, LEVELS)]
        assert all(below), "what is below zero looks different"
    steps = {0, 95, 135, 175, 215, 255}
    for shades in RAMPS[name]:
        for colour in (*shades.heat, *shades.cold):
            triplet = Color.parse(colour).get_truecolor()
            grey = triplet.red == triplet.green == triplet.blue and (triplet.red - 8) % 10 == 0
            assert grey or set(triplet) <= steps, colour
    assert luminance("#ffffff") == pytest.approx(1)
