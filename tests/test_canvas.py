"""The differences that are sent draw exactly the screen that was meant, as a terminal sees it."""

from __future__ import annotations

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual._compositor import CompositorUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from tui.canvas import REST, Canvas, cells_of
from tui.pens import pen_of, switch

SYSTEM = ColorSystem.TRUECOLOR
STYLES = (
    Style(),
    Style(color="#c6c6c6", bgcolor="#121212"),
    Style(color="#585858", bgcolor="#121212"),
    Style(color="#121212", bgcolor="#ffaf00"),
    Style(color="#ffaf5f", bgcolor="#121212", bold=True),
    Style(bold=True, underline=True),
    Style(reverse=True, italic=True),
    Style(color="color(12)", strike=True),
    Style(underline=True, bgcolor="#303030"),
)
#: What every terminal agrees about, so that pyte can be the judge.
LETTERS = ["a", "b", "Z", " ", " ", "▂", "é", "⏎", "漢", "字", "한", "e\u0301"]
strips = st.lists(
    st.tuples(st.lists(st.sampled_from(LETTERS), max_size=6), st.sampled_from(STYLES)),
    min_size=1,
    max_size=6,
).map(lambda parts: Strip([Segment("".join(text), style) for text, style in parts]))
places = st.tuples(st.integers(0, 23), st.integers(0, 5), strips)
frames = st.lists(st.lists(places, max_size=6), min_size=1, max_size=6)


def _cell(screen: pyte.Screen, x: int, y: int) -> tuple[object, ...]:
    char = screen.buffer[y][x]
    return (
        char.data,
        char.fg,
        char.bg,
        char.bold,
        char.italics,
        char.underscore,
        char.strikethrough,
        char.reverse,
    )


def _seen(screen: pyte.Screen) -> list[list[tuple[object, ...]]]:
    """Every cell; of a blank only what shows."""
    rows = []
    for y in range(screen.lines):
        row = []
        for x in range(screen.columns):
            cell = _cell(screen, x, y)
            if cell[0] == " ":
                data, ink, ground, _, _, underlined, struck, reverse = cell
                ink = ink if underlined or struck or reverse else ""
                cell = (data, ink, ground, False, False, underlined, struck, reverse)
            row.append(cell)
        rows.append(row)
    return rows


def _whole(canvas: Canvas, screen: pyte.Screen) -> list[list[tuple[object, ...]]]:
    """The frame drawn the slow and certain way: cell by cell, each with its style in full."""
    stream = pyte.Stream(screen)
    for y in range(canvas.height):
        for x in range(canvas.width):
            cell, pen = canvas.cell(x, y)
            if cell != REST:
                stream.feed(f"\x1b[{y + 1};{x + 1}H{switch(None, pen)}{cell}")
    return _seen(screen)


def _terminal(width: int, height: int) -> tuple[pyte.Screen, pyte.Stream]:
    screen = pyte.Screen(width, height)
    screen.reset_mode(7, private=True)  # no line wrap, as the app sets it
    return screen, pyte.Stream(screen)


@settings(max_examples=150, deadline=None)
@given(frames, st.booleans())
def test_differences_add_up_to_the_screen(
    frames: list[list[tuple[int, int, Strip]]], erases: bool
) -> None:
    canvas = Canvas(24, 6, erases=erases)
    screen, stream = _terminal(24, 6)
    for strips in frames:
        for x, y, strip in strips:
            canvas.put(x, y, strip, SYSTEM)
        stream.feed(canvas.changes())
        assert _seen(screen) == _whole(canvas, _terminal(24, 6)[0])
        assert canvas.changes() == ""


@settings(max_examples=50, deadline=None)
@given(frames)
def test_frames_that_are_left_out_leave_no_trace(
    frames: list[list[tuple[int, int, Strip]]],
) -> None:
    every, last = Canvas(24, 6), Canvas(24, 6)
    screen, stream = _terminal(24, 6)
    stream.feed((every.changes() and last.changes()) or "")
    for strips in frames:
        for x, y, strip in strips:
            every.put(x, y, strip, SYSTEM)
            last.put(x, y, strip, SYSTEM)
        every.changes()
    stream.feed(last.changes())
    assert _seen(screen) == _whole(every, _terminal(24, 6)[0])


def test_after_something_else_has_written_all_is_sent_again() -> None:
    canvas = Canvas(10, 2)
    canvas.put(0, 0, Strip([Segment("hello")]), SYSTEM)
    canvas.changes()
    screen, stream = _terminal(10, 2)
    stream.feed("garbage\r\ngarbage")
    canvas.forget()
    stream.feed(canvas.changes())
    assert screen.display == ["hello     ", " " * 10]


def test_one_changed_letter_costs_a_move_a_style_and_the_letter() -> None:
    style = Style(color="#c6c6c6", bgcolor="#121212")
    canvas = Canvas(40, 3)
    canvas.put(0, 1, Strip([Segment("the same words as before", style)]), ColorSystem.EIGHT_BIT)
    canvas.changes()
    canvas.put(0, 1, Strip([Segment("the same birds as before", style)]), ColorSystem.EIGHT_BIT)
    assert canvas.changes() == "\x1b[2;10H\x1b[0;38;5;250;48;5;233mbi"


def test_a_colour_is_taken_once_for_all_that_has_it_and_blanks_are_erased() -> None:
    low, high = (Style(color="#c6c6c6", bgcolor=ground) for ground in ("#121212", "#5f0000"))
    for erases in (False, True):
        canvas = Canvas(40, 5, erases=erases)
        canvas.changes()
        for y in range(5):
            canvas.put(3, y, Strip([Segment("a", low), Segment("b", high)] * 4), SYSTEM)
            canvas.put(11, y, Strip([Segment(" " * 20, low)]), SYSTEM)
        sent = canvas.changes()
        assert sent.count("m") == 2
        assert sent.count("\x1b[21X") == (5 if erases else 0)
        screen, stream = _terminal(40, 5)
        stream.feed(sent)
        assert _seen(screen) == _whole(canvas, _terminal(40, 5)[0])


def test_no_control_character_gets_through() -> None:
    canvas = Canvas(20, 1)
    canvas.put(0, 0, Strip([Segment("a\x1b[31mb\r\nc\x9bd\x07")]), SYSTEM)
    sent = canvas.changes()
    assert sent.count("\x1b") == 2  # the place and the pen
    assert not set(sent) & {"\r", "\n", "\x9b", "\x07"}


def test_what_is_behind_an_uncertain_width_is_placed_anew() -> None:
    canvas = Canvas(20, 1)
    canvas.put(0, 0, Strip([Segment("👩\u200d🔬x")]), SYSTEM)
    assert "🔬\x1b[1;3Hx" in canvas.changes()
    assert cells_of("漢a") == ("漢", REST, "a")


def test_a_strip_is_cut_at_its_end_and_halves_become_blanks() -> None:
    canvas = Canvas(6, 1)
    canvas.put(0, 0, Strip([Segment("漢字漢")]), SYSTEM)
    canvas.put(1, 0, Strip([Segment("ab")]), SYSTEM)
    assert canvas.text() == " ab 漢"
    canvas.put(0, 0, Strip([Segment("x漢")]), SYSTEM, end=2)
    assert canvas.text() == "x b 漢"


def test_an_unknown_kind_of_update_is_left_to_textual() -> None:
    class Strange(CompositorUpdate):
        pass

    canvas = Canvas(6, 1)
    assert not canvas.draw(Strange(), SYSTEM)
    assert canvas.draw(LayoutUpdate([[Strip([Segment("ab")])]], Region(0, 0, 6, 1)), SYSTEM)
    assert canvas.text() == "ab    "


@pytest.mark.parametrize("system", list(ColorSystem))
def test_every_switch_of_pens_ends_in_the_new_one(system: ColorSystem) -> None:
    pens = [pen_of(style, system) for style in STYLES]
    for old in pens:
        for new in pens:
            screen, stream = _terminal(4, 1)
            stream.feed(switch(None, old) + switch(old, new) + "x")
            direct, other = _terminal(4, 1)
            other.feed(switch(None, new) + "x")
            assert _cell(screen, 0, 0) == _cell(direct, 0, 0), (old, new)
            assert bool(switch(old, new)) == (old != new)
