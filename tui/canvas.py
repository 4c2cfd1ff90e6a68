"""What the terminal shows, what it should show, and the shortest way from one to the other.

Textual sends every cell of a region that has changed, with its style in full. Over SSH
the bytes are what counts, so here the screen is kept as cells, and only cells that
differ from what was sent before are sent again, with the fewest style codes and moves
of the cursor: all that has one style before what has the next. Since a difference is
taken when the line is free, frames that were overtaken meanwhile are never sent at all.

Nothing that moves the cursor by itself gets through: control characters are dropped,
and after a character whose width terminals disagree about the cursor is placed anew.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from rich.cells import get_character_cell_size, split_graphemes
from rich.color import ColorSystem
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

from tui.pens import PLAIN_PEN, Pen, on_blank, pen_of, switch

#: What a move of the cursor within a row costs.
LEAP_BYTES = 4
#: A gap so wide is gone over with blanks where it is drawn anyway: a move is longer.
BRIDGE_CELLS = 3
#: What erasing blanks costs, and a longer move behind them.
ERASE_BYTES = 6
_DOWN = "\x1bD"  # index, as in a VT100; unlike a line feed no terminal driver lengthens it
#: The second cell of a character that takes two.
REST = ""
#: Characters of two cells that all terminals agree about: East Asian scripts.
_AGREED = ((0x1100, 0x115F), (0x2E80, 0xA4CF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFF00, 0xFF60))


@lru_cache(maxsize=4096)
def cells_of(text: str) -> tuple[str, ...]:
    """One string for each cell: a character with its marks, or :data:`REST`."""
    if text.isascii() and text.isprintable():
        return tuple(text)
    text = "".join(c for c in text if unicodedata.category(c) != "Cc")
    out: list[str] = []
    for start, stop, width in split_graphemes(text)[0]:
        if width:
            out += [text[start:stop], *[REST] * (width - 1)]
    return tuple(out)


@lru_cache(maxsize=4096)
def _uncertain(cell: str) -> bool:
    """Whether terminals may disagree about a cell's width."""
    if len(cell) != 1:
        return cell != REST
    return get_character_cell_size(cell) != 1 and not any(a <= ord(cell) <= b for a, b in _AGREED)


class Canvas:
    """The cells of a screen, as they were sent and as they should be.

    Args:
        width, height: Size in cells.
        erases: Whether the terminal can erase characters, in the present background.
    """

    def __init__(self, width: int, height: int, *, erases: bool = False) -> None:
        self.width, self.height = width, height
        self._erases = erases
        self._cells = [[" "] * width for _ in range(height)]
        self._pens = [[PLAIN_PEN] * width for _ in range(height)]
        #: What the terminal shows of each row; None while that is unknown.
        self._sent: list[tuple[list[str], list[Pen]] | None] = [None] * height
        self._touched = set(range(height))

    def forget(self) -> None:
        """The terminal may show anything now: send every cell again."""
        self._sent = [None] * self.height
        self._touched = set(range(self.height))

    # -- what it should show

    def draw(self, update: CompositorUpdate, system: ColorSystem) -> bool:
        """Take over what Textual has rendered; False if it is of an unknown kind."""
        if isinstance(update, LayoutUpdate):
            for y, line in enumerate(update.strips, update.region.y):
                x = update.region.x
                for strip in line:
                    self.put(x, y, strip, system)
                    x += strip.cell_length
        elif isinstance(update, ChopsUpdate):
            for y, start, stop in update.spans:
                if y < self.height:
                    ends = update.chop_ends[y]
                    for end, (x, chop) in zip(ends, update.chops[y].items(), strict=False):
                        if chop is not None and x <= stop and end > start:
                            self.put(x, y, chop, system, end)
        else:
            return False
        return True

    def put(
        self, x: int, y: int, strip: Strip, system: ColorSystem, end: int | None = None
    ) -> None:
        """Put a strip at a place, cut off at column ``end``."""
        end = self.width if end is None else min(end, self.width)
        if not 0 <= y < self.height or x >= end:
            return
        cells, pens = self._cells[y], self._pens[y]
        if cells[x] == REST:  # half of a wide character is covered
            cells[x - 1] = " "
        for text, style, control in strip:
            if control or not text:
                continue
            new = cells_of(text)
            stop = min(x + len(new), end)
            cut = new[: stop - x]
            cells[x:stop] = cut
            pens[x:stop] = [pen_of(style, system)] * len(cut)
            if len(cut) < len(new) and new[len(cut)] == REST:
                cells[stop - 1] = " "
            x = stop
            if x >= end:
                break
        if x < self.width and cells[x] == REST:
            cells[x] = " "
        self._touched.add(y)

    # -- the way there

    def changes(self, limit: int | None = None) -> str | None:
        """The shortest sequence that brings the terminal up to date; empty if it is.

        It begins with pen and cursor unknown, and is taken as sent.

        Args:
            limit: If the sequence would be longer, return None and take nothing as sent.
        """
        way = _Way(self.width, self._erases)
        different = []
        by_pen: dict[Pen, list[_Run]] = {}
        for y in sorted(self._touched):
            cells, pens, sent = self._cells[y], self._pens[y], self._sent[y]
            if sent is not None and sent[0] == cells and sent[1] == pens:
                continue
            different.append(y)
            spans = _runs(cells, pens, sent)
            # An uncertain cell may spill into the next: its row goes from left to right.
            careful = any(map(_uncertain, cells))
            for run in _parts(y, spans, cells, pens):
                if careful:
                    way.carefully(run, cells)
                else:
                    by_pen.setdefault(run.pen, []).append(run)
        way.by_pen(by_pen)
        if limit is not None and sum(map(len, way.out)) > limit:
            return None
        for y in different:
            self._sent[y] = self._cells[y][:], self._pens[y][:]
        self._touched.clear()
        return "".join(way.out)

    def cell(self, x: int, y: int) -> tuple[str, Pen]:
        """What a cell should show: text, or :data:`REST`, and pen."""
        return self._cells[y][x], self._pens[y][x]

    def text(self) -> str:
        """What it should show, a line for each row."""
        return "\n".join("".join(row) for row in self._cells)


def _runs(
    cells: list[str], pens: list[Pen], sent: tuple[list[str], list[Pen]] | None
) -> Iterator[tuple[int, int]]:
    """Columns to send: those that differ, and short gaps that are cheaper than a leap."""
    if sent is None:
        yield 0, len(cells)
        return
    start = stop = -1
    for x, (cell, old_cell, pen, old_pen) in enumerate(zip(cells, sent[0], pens, sent[1])):  # noqa: B905
        if cell == old_cell and (
            pen is old_pen or (cell == " " and on_blank(pen) is on_blank(old_pen))
        ):
            continue
        if x > stop and (start < 0 or not _cheap(cells, pens, stop, x)):
            if start >= 0:
                yield start, stop
            start = x
        stop = x + 1
    if start >= 0:
        yield start, stop


def _cheap(cells: Sequence[str], pens: Sequence[Pen], start: int, stop: int) -> bool:
    """Whether sending the cells of a gap again costs less than leaping over it."""
    if stop - start > LEAP_BYTES or any(pen is not pens[start - 1] for pen in pens[start:stop]):
        return False
    return len("".join(cells[start:stop]).encode()) <= LEAP_BYTES


class _Run(NamedTuple):
    """Cells of one row with one pen."""

    y: int
    start: int
    stop: int
    text: str
    pen: Pen


def _parts(
    y: int, spans: Iterator[tuple[int, int]], cells: list[str], pens: list[Pen]
) -> Iterator[_Run]:
    """The runs of one pen in some columns of a row; blanks go with a neighbour's pen."""
    for start, stop in spans:
        x = start - (cells[start] == REST)
        while x < stop:
            pen, end = pens[x], x + 1
            drawn = cells[x] != " "
            while end < stop:
                if pens[end] is not pen:
                    if on_blank(pens[end]) is not on_blank(pen):
                        break
                    if cells[end] != " ":
                        if drawn:
                            break
                        pen = pens[end]
                drawn = drawn or cells[end] != " "
                end += 1
            if end < len(cells) and cells[end] == REST:  # the half that stays the same
                end += 1
            yield _Run(y, x, end, "".join(cells[x:end]), pen)
            x = end


class _Way:
    """A sequence that is being written: where cursor and pen are."""

    def __init__(self, width: int, erases: bool) -> None:
        self.out: list[str] = []
        self._width = width
        self._erases = erases
        self._y = self._x = -1  # unknown
        self._pen: Pen | None = None

    def by_pen(self, runs: dict[Pen, list[_Run]]) -> None:
        """Send runs, all of one pen before those of the next.

        A move of the cursor is shorter than a change of the pen: in a heatmap, where
        every token may have a colour of its own, this sends two fifths less than row by row.
        """
        order = sorted(runs, key=lambda one: (one.ground, one.ink, sorted(one.attributes)))
        later: set[tuple[int, int]] = set()
        for pen in reversed(order):
            runs[pen] = list(_bridged(runs[pen], later))
            later |= {(run.y, x) for run in runs[pen] for x in range(run.start, run.stop)}
        for pen in order:
            for run in runs[pen]:
                if run.y != self._y or run.start != self._x:
                    self._move(run.y, run.start)
                self._switch(pen)
                self._draw(run)

    def _draw(self, run: _Run) -> None:
        """Send a run; many blanks at its end are erased."""
        text = run.text.rstrip(" ")
        blanks = len(run.text) - len(text)
        if self._erases and blanks > ERASE_BYTES and not on_blank(run.pen).attributes:
            self.out.append(f"{text}\x1b[{blanks}X")
            self._x = run.stop - blanks
            return
        self.out.append(run.text)
        self._x = run.stop
        if run.stop == self._width:  # there some terminals stay, and some wait beyond it
            self._x = -1

    def carefully(self, run: _Run, cells: list[str]) -> None:
        """Send a run cell by cell, and find the place again after each uncertain one."""
        for place in range(run.start, run.stop):
            cell = cells[place]
            if cell == REST:
                continue
            if (self._y, self._x) != (run.y, place):
                self._move(run.y, place)
            self._switch(run.pen)
            self.out.append(cell)
            if _uncertain(cell):
                self._y = self._x = -1
                continue
            self._x = place + 1
            if self._x < len(cells) and cells[self._x] == REST:
                self._x += 1
            if self._x == len(cells):  # there some terminals stay, and some wait beyond it
                self._x = -1

    def _switch(self, pen: Pen) -> None:
        if pen is not self._pen:
            self.out.append(switch(self._pen, pen))
            self._pen = pen

    def _move(self, y: int, x: int) -> None:
        self.out.append(_shortest(self._y, self._x, y, x))
        self._y, self._x = y, x


@lru_cache(maxsize=8192)
def _shortest(old_y: int, old_x: int, y: int, x: int) -> str:
    """The shortest move between two places, whose rows or columns are -1 if unknown."""
    ways = [f"\x1b[{y + 1};{x + 1}H" if x else f"\x1b[{y + 1}H"]
    if old_y >= 0:
        down = {old_y: "", old_y + 1: _DOWN}.get(y)  # there is a row below: it doesn't scroll
        if down is not None:
            ways.append(f"\r{down}{_aside(x)}")
            if old_x >= 0:
                ways.append(f"{down}{_aside(x - old_x)}")
    return min(ways, key=len)


@lru_cache(maxsize=512)
def _aside(step: int) -> str:
    """Some columns to the right, or to the left."""
    count = "" if abs(step) == 1 else str(abs(step))
    return f"\x1b[{count}C" if step > 0 else min("\b" * -step, f"\x1b[{count}D", key=len)


def _bridged(runs: Sequence[_Run], later: Container[tuple[int, int]]) -> Iterator[_Run]:
    """Runs with one pen; a short gap that is drawn later is gone over."""
    last: _Run | None = None
    for run in runs:
        if last is not None and last.y == run.y and run.start - last.stop <= BRIDGE_CELLS:
            gap = range(last.stop, run.start)
            if all((run.y, x) in later for x in gap):
                text = last.text + " " * len(gap) + run.text
                last = last._replace(stop=run.stop, text=text)
                continue
        if last is not None:
            yield last
        last = run
    if last is not None:
        yield last
