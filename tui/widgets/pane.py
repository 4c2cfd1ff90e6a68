"""A pane that is drawn by lines and sends only what changed.

Textual redraws whole regions; over SSH every cell counts.  A pane describes what it
shows as rows of styled text, compares them with what it showed before, and marks only
the columns that differ.  Neighbours of equal style are one segment on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.filter import ANSIToTruecolor
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

if TYPE_CHECKING:
    from tui.app import NeuroglassApp
    from tui.theme import Palette

Span = tuple[str, Style]
Row = tuple[Span, ...]


def width_of(spans: Iterable[Span]) -> int:
    """Cells that spans take."""
    return sum(cell_len(text) for text, _ in spans)


def merged(spans: Iterable[Span], width: int, fill: Style) -> Row:
    """Spans with equal styles joined, cut or filled to exactly ``width`` cells."""
    out: list[Span] = []
    left = width
    for text, style in spans:
        if not text:
            continue
        size = cell_len(text)
        if size > left:
            text, size = (set_cell_size(text, left), left) if left else ("", 0)
        left -= size
        if out and out[-1][1] == style:
            out[-1] = (out[-1][0] + text, style)
        elif text:
            out.append((text, style))
        if not left:
            break
    if left:
        if out and out[-1][1] == fill:
            out[-1] = (out[-1][0] + " " * left, fill)
        else:
            out.append((" " * left, fill))
    return tuple(out)


def between(left: Sequence[Span], right: Sequence[Span], width: int, fill: Style) -> list[Span]:
    """``left`` flush left and ``right`` flush right; the left one gives way, and says so."""
    room = max(width - width_of(right), 0)
    gap = min(2, room) if width_of(left) > room else 0
    return [*merged(left, room - gap, fill), ("… "[:gap], fill), *right]


def fitted(text: str, width: int) -> str:
    """Inert text in exactly so many cells; what is cut off is marked."""
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    return text + " " * (width - cell_len(text))


def squeezed(text: str, width: int) -> str:
    """Inert text in at most so many cells: what is wrong and what to do stand at its ends,
    so that its middle gives way."""
    if cell_len(text) <= width:
        return text
    end = text
    while cell_len(end) > width // 2:
        end = end[1:]
    return set_cell_size(text, max(width - cell_len(end) - 1, 0)) + "…" + end


def changed_columns(old: Row, new: Row) -> tuple[int, int] | None:
    """The first column that differs and the one after the last; None if rows are equal."""
    if old == new:
        return None
    head = 0
    start = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        start += cell_len(old[head][0])
        head += 1
    tail = 0
    end = width_of(new)
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        end -= cell_len(new[-1 - tail][0])
        tail += 1
    return start, max(end, start + 1)


def wrapped(text: str, width: int) -> list[str]:
    """Break inert text at spaces into lines of at most ``width`` cells."""
    lines: list[str] = []
    line = ""
    width = max(width, 1)
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if cell_len(joined) <= width:
            line = joined
            continue
        if line:
            lines.append(line)
        while cell_len(word) > width:
            part = set_cell_size(word, width).rstrip(" ") or word[:1]
            lines.append(part)
            word = word[len(part) :]
        line = word
    return [*lines, line] if line or not lines else lines


class Pane(Widget):
    """Base of everything drawn by lines. Subclasses implement :meth:`build`."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Pane { height: 1; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._rows: list[Row] = []
        self._strips: list[Strip | None] = []
        self._held: bool | None = None

    @property
    def place(self) -> object:
        """Where the cursor is, to be compared; None where that can't be told."""
        return None

    def found(self, text: str) -> Sequence[Any]:
        """The places where a text stands, in the order of :attr:`place`."""
        return ()

    def show_place(self, place: Any) -> None:
        """Put the cursor on a place."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Move several times, draw once."""
        self._held = False
        try:
            yield
        finally:
            wanted, self._held = self._held, None
            if wanted:
                self.redraw()

    def build(self, width: int, height: int) -> list[list[Span]]:
        """The rows to show, at most ``height``; missing ones are blank."""
        raise NotImplementedError

    @property
    def palette(self) -> Palette:
        """The styles to draw with."""
        return cast("NeuroglassApp", self.app).palette

    def redraw(self, *, everything: bool = False) -> None:
        """Build again and repaint what differs from what is shown."""
        if self._held is not None and not everything:
            self._held = True
            return
        width, height = self.size
        if not width or not height or not self.is_mounted:
            return
        fill = self.palette.text
        rows = [merged(row, width, fill) for row in self.build(width, height)[:height]]
        rows += [((" " * width, fill),)] * (height - len(rows))
        old, self._rows = self._rows, rows
        if everything or len(old) != len(rows) or width_of(old[0]) != width:
            self._strips = [None] * height
            self.refresh()
            return
        regions = []
        for y, (before, after) in enumerate(zip(old, rows, strict=True)):
            columns = changed_columns(before, after)
            if columns is not None:
                self._strips[y] = None
                regions.append(Region(columns[0], y, columns[1] - columns[0], 1))
        if regions:
            self.refresh(*regions)

    def on_focus(self, event: events.Focus) -> None:
        """Draw the focus by what changes. Textual would repaint the pane and its parents."""
        event.prevent_default()
        self.set_reactive(Widget.has_focus, True)
        self.redraw()

    def on_blur(self, event: events.Blur) -> None:
        """As for gaining the focus."""
        event.prevent_default()
        self.set_reactive(Widget.has_focus, False)
        self.redraw()

    def on_resize(self) -> None:
        self.redraw(everything=True)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Lines as they are: without border, padding and filters there is nothing to add."""
        filters = [one for one in self.get_line_filters() if not isinstance(one, ANSIToTruecolor)]
        if filters or self.styles.gutter.totals != (0, 0):
            return super().render_lines(crop)
        lines = [self.render_line(y) for y in crop.line_range]
        if crop.column_span == (0, self.size.width):
            return lines
        return [line.crop(*crop.column_span) for line in lines]

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y >= len(self._rows):
            return Strip.blank(width, self.palette.text)
        strip = self._strips[y]
        if strip is None:
            strip = Strip([Segment(text, style) for text, style in self._rows[y]])
            self._strips[y] = strip
        return strip.adjust_cell_length(width, self.palette.text)


class TooSmall(Pane):
    """What a terminal says that no layout fits."""

    def build(self, width: int, height: int) -> list[list[Span]]:
        text = "neuroglass needs 40 columns and 12 rows. q quits."
        return [[(line, self.palette.text)] for line in wrapped(text, width)]


class Line(Pane):
    """One row of text with a left and a right part.

    Args:
        keep_left: When both don't fit, leave the right one out instead of cutting the left.
    """

    def __init__(self, *, id: str | None = None, keep_left: bool = False) -> None:  # noqa: A002
        super().__init__(id=id)
        self._keep_left = keep_left
        self._left: list[Span] = []
        self._right: list[Span] = []

    def show(self, left: Iterable[Span], right: Iterable[Span] = ()) -> None:
        """Replace the text."""
        self._left, self._right = list(left), list(right)
        self.redraw()

    def build(self, width: int, height: int) -> list[list[Span]]:
        if self._keep_left and width_of(self._left) + width_of(self._right) > width:
            return [self._left]
        return [between(self._left, self._right, width, self.palette.text)]
