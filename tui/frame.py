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
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from rich.cells import get_character_cell_size, split_graphemes
from rich.color import ColorSystem
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import SGR_STYLES, Strip

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

_PLAIN = Pen()


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
    return Pen(attributes, ink, ground)


@lru_cache(maxsize=4096)
def _on_blank(pen: Pen) -> Pen:
    """The part of a pen that shows on a blank."""
    seen = pen.attributes & _SEEN_ON_BLANKS
    return Pen(seen, pen.ink if seen else "", pen.ground)


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


class Frame:
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
                    for end, (x, strip) in zip(ends, update.chops[y].items(), strict=False):
                        if strip is not None and x <= stop and end > start:
                            self.put(x, y, strip, system, end)
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

    def changes(self) -> str:
        """The shortest sequence that brings the terminal up to date; empty if it is.

        It begins with pen and cursor unknown, and is taken as sent.
        """
        way = _Way()
        for y in sorted(self._touched):
            cells, pens, sent = self._cells[y], self._pens[y], self._sent[y]
            if sent is not None and sent[0] == cells and sent[1] == pens:
                continue
            for start, stop in _runs(cells, pens, sent):
                way.run(y, start, stop, cells, pens, last=self.width)
            self._sent[y] = cells[:], pens[:]
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
) -> Iterable[tuple[int, int]]:
    """Columns to send: those that differ, and short gaps that are cheaper than a move."""
    if sent is None:
        return [(0, len(cells))]
    runs: list[tuple[int, int]] = []
    old_cells, old_pens = sent
    for x, (cell, pen, old_cell, old_pen) in enumerate(
        zip(cells, pens, old_cells, old_pens, strict=True)
    ):
        if cell == old_cell and (
            pen is old_pen or pen == old_pen or (cell == " " and _on_blank(pen) == _on_blank(old_pen))
        ):
            continue
        if runs and _cheap(cells, pens, runs[-1][1], x):
            runs[-1] = (runs[-1][0], x + 1)
        else:
            runs.append((x, x + 1))
    return runs


def _cheap(cells: Sequence[str], pens: Sequence[Pen], start: int, stop: int) -> bool:
    """Whether sending the cells of a gap again costs less than leaping over it."""
    if stop - start > 5:
        return False
    bytes_ = sum(len(cell.encode()) for cell in cells[start:stop])
    return bytes_ <= 4 and all(pens[x] == pens[start - 1] for x in range(start, stop))


class _Way:
    """A sequence that is being written: where cursor and pen are."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self._y = self._x = -1  # unknown
        self._pen: Pen | None = None

    def run(
        self, y: int, start: int, stop: int, cells: list[str], pens: list[Pen], *, last: int
    ) -> None:
        """Send some columns of a row."""
        if cells[start] == REST:
            start -= 1
        out = self.out
        x = start
        while x < stop:
            if y != self._y or x != self._x:
                self._move(y, x)
            cell, pen = cells[x], pens[x]
            if cell == " ":
                self._blank(cells, pens, x, stop)
            elif pen is not self._pen:
                out.append(switch(self._pen, pen))
                self._pen = pen
            out.append(cell)
            width = 2 if x + 1 < len(cells) and cells[x + 1] == REST else 1
            x += width
            # At the last column some terminals wait there and some don't.
            self._x = -1 if x >= last or _uncertain(cell) else x

    def _blank(self, cells: list[str], pens: list[Pen], x: int, stop: int) -> None:
        """Make sure of a pen for a blank: its ink matters only if text follows in it."""
        pen = pens[x]
        if self._pen is not None and _on_blank(self._pen) == _on_blank(pen):
            return
        text = x
        while text < stop and cells[text] == " " and pens[text] == pen:
            text += 1
        follows = text < stop and pens[text] == pen
        if self._pen is not None and not follows and not _on_blank(pen).attributes:
            hidden = self._pen.attributes - _SEEN_ON_BLANKS
            pen = Pen(hidden, self._pen.ink, pen.ground)
        self.out.append(switch(self._pen, pen))
        self._pen = pen

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
