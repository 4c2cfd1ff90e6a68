"""What the terminal shows, what it should show, and the shortest way from one to the other.

Textual sends every cell of a region that has changed, with its style in full. Over SSH
the bytes are what counts, so here the screen is kept as cells, and only cells that
differ from what was sent before are sent again, with the fewest style codes and moves
of the cursor. Since a difference is taken when the line is free, frames that were
overtaken meanwhile are never sent at all.

Nothing that moves the cursor by itself gets through: control characters are dropped,
and after a character whose width terminals disagree about the cursor is placed anew.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from rich.cells import get_character_cell_size, split_graphemes
from rich.color import ColorSystem
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import SGR_STYLES, Strip

#: What a move of the cursor within a row costs.
LEAP_BYTES = 4
#: The second cell of a character that takes two.
REST = ""
#: Attributes that show on a blank: underlined, blinking, reverse, struck and the like.
_SEEN_ON_BLANKS = frozenset({"4", "5", "6", "7", "9", "21", "51", "52", "53"})
#: Which code takes an attribute away.
_OFF = {
    "1": "22",
    "2": "22",
    "3": "23",
    "4": "24",
    "5": "25",
    "6": "25",
    "7": "27",
    "8": "28",
    "9": "29",
    "21": "24",
    "51": "54",
    "52": "54",
    "53": "55",
}
#: Characters of two cells that all terminals agree about: East Asian scripts.
_AGREED = ((0x1100, 0x115F), (0x2E80, 0xA4CF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFF00, 0xFF60))


class Pen(NamedTuple):
    """How a terminal draws: codes of attributes, of foreground and of background."""

    attributes: frozenset[str] = frozenset()
    ink: str = "39"
    ground: str = "49"


_pens: dict[Pen, Pen] = {}


def _one(pen: Pen) -> Pen:
    """The one object of equal pens, so that they can be compared by identity."""
    return _pens.setdefault(pen, pen)


_PLAIN = _one(Pen())


@lru_cache(maxsize=4096)
def pen_of(style: Style | None, system: ColorSystem) -> Pen:
    """The pen of a style in so many colours; links are left out."""
    if style is None:
        return _PLAIN
    bits = style._attributes & style._set_attributes  # as Textual's own Strip reads them
    attributes = frozenset(SGR_STYLES[n] for n in range(bits.bit_length()) if bits & (1 << n))
    ink, ground = "39", "49"
    if style.color is not None:
        ink = ";".join(style.color.downgrade(system).get_ansi_codes())
    if style.bgcolor is not None:
        ground = ";".join(style.bgcolor.downgrade(system).get_ansi_codes(foreground=False))
    return _one(Pen(attributes, ink, ground))


@lru_cache(maxsize=4096)
def _on_blank(pen: Pen) -> Pen:
    """The part of a pen that shows on a blank."""
    seen = pen.attributes & _SEEN_ON_BLANKS
    return _one(Pen(seen, pen.ink if seen else "", pen.ground))


@lru_cache(maxsize=4096)
def switch(old: Pen | None, new: Pen) -> str:
    """The shortest codes that turn one pen into another; ``old`` is None if unknown."""
    anew = ["0", *sorted(new.attributes)]
    anew += [new.ink] * (new.ink != "39") + [new.ground] * (new.ground != "49")
    if old is None:
        return f"\x1b[{';'.join(anew)}m"
    off = {_OFF[code] for code in old.attributes - new.attributes}
    on = {code for code in new.attributes if code not in old.attributes or _OFF[code] in off}
    codes = [*sorted(off), *sorted(on)]
    codes += [new.ink] * (new.ink != old.ink) + [new.ground] * (new.ground != old.ground)
    short = min(";".join(codes), ";".join(anew), key=len) if codes else ""
    return f"\x1b[{short}m" if short else ""


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
    if len(cell) > 1:
        return True
    return get_character_cell_size(cell) != 1 and not any(a <= ord(cell) <= b for a, b in _AGREED)


class Canvas:
    """The cells of a screen, as they were sent and as they should be.

    Args:
        width, height: Size in cells.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._cells = [[" "] * width for _ in range(height)]
        self._pens = [[_PLAIN] * width for _ in range(height)]
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
        way = _Way()
        different = []
        for y in sorted(self._touched):
            cells, pens, sent = self._cells[y], self._pens[y], self._sent[y]
            if sent is not None and sent[0] == cells and sent[1] == pens:
                continue
            different.append(y)
            for start, stop in _runs(cells, pens, sent):
                way.run(y, start, stop, cells, pens)
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
            pen is old_pen or (cell == " " and _on_blank(pen) is _on_blank(old_pen))
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


class _Way:
    """A sequence that is being written: where cursor and pen are."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self._y = self._x = -1  # unknown
        self._pen: Pen | None = None

    def run(self, y: int, start: int, stop: int, cells: list[str], pens: list[Pen]) -> None:
        """Send some columns of a row."""
        if cells[start] == REST:
            start -= 1
        x = start
        while x < stop:
            end = x + 1
            while end < stop and pens[end] is pens[x]:
                end += 1
            text = "".join(cells[x:end])
            if y != self._y or x != self._x:
                self._move(y, x)
            if text.isspace():
                self._blank(pens[x])
            else:
                self._switch(pens[x])
            if text.isascii():
                self.out.append(text)
                self._x = end
            else:
                self._carefully(y, x, end, cells)
            if end == len(cells):  # there some terminals stay, and some wait beyond it
                self._x = -1
            x = end

    def _carefully(self, y: int, x: int, end: int, cells: list[str]) -> None:
        """Send cells with one pen, and find the place again after each uncertain one."""
        self._x = x
        for place in range(x, end):
            cell = cells[place]
            if cell == REST:
                continue
            if self._x != place:
                self._move(y, place)
            self.out.append(cell)
            wide = place + 1 < len(cells) and cells[place + 1] == REST
            self._x = -1 if _uncertain(cell) else place + 1 + wide

    def _switch(self, pen: Pen) -> None:
        if pen is not self._pen:
            self.out.append(switch(self._pen, pen))
            self._pen = pen

    def _blank(self, pen: Pen) -> None:
        """Take a pen for blanks alone: their ink matters only where it shows."""
        if self._pen is None:
            self._switch(pen)
        elif _on_blank(self._pen) is not _on_blank(pen):
            if not _on_blank(pen).attributes:
                hidden = self._pen.attributes - _SEEN_ON_BLANKS
                pen = _one(Pen(hidden, self._pen.ink, pen.ground))
            self._switch(pen)

    def _move(self, y: int, x: int) -> None:
        right = "" if x == 0 else "\x1b[C" if x == 1 else f"\x1b[{x}C"
        if y == self._y and 0 <= self._x < x:
            step = x - self._x
            self.out.append("\x1b[C" if step == 1 else f"\x1b[{step}C")
        elif y == self._y + 1 and self._y >= 0:
            self.out.append("\r\n" + right)
        elif y == self._y and x == 0:
            self.out.append("\r")
        else:
            self.out.append(f"\x1b[{y + 1};{x + 1}H" if x else f"\x1b[{y + 1}H")
        self._y, self._x = y, x
