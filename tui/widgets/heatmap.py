"""The heatmap: excerpts of one neuron, every token coloured by its activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.style import Style
from textual import events
from textual.message import Message

from engine.glyphs import Kind
from tui.find import in_tokens
from tui.look import PLAIN, Look
from tui.passages import MISSING, Block, Passage, lay_out, own_extreme, worst
from tui.session import number
from tui.theme import BARS
from tui.widgets.pane import Pane, Span, between, squeezed, width_of, wrapped

GUTTER = 8
ROOMY = 24  # from this height on a blank row follows every excerpt
_PEAK = Style(bold=True, underline=True)
_REAL, _FIGURES, _SIMULATED, _CAPTION, _BLANK = range(5)


@dataclass(frozen=True, slots=True)
class _Row:
    block: int
    kind: int
    line: int = 0


def _any(block: Block, line: int) -> bool:
    """Whether a line's simulated row has anything but zeros."""
    assert block.expected is not None
    return any(block.expected[slice(*block.lines[line])])


class Heatmap(Pane, can_focus=True):
    """Passages below each other; a cursor stands on one token.

    Scrolling is by pages: the cursor moves inside the page, and at its edge the page
    jumps, so that most key presses repaint two tokens instead of the whole pane.
    """

    DEFAULT_CSS = "Heatmap { height: 1fr; }"

    class Clicked(Message):
        """The mouse has put the cursor on another token."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._passages: Sequence[Passage] = ()
        self._extreme = 0.0
        self._look = PLAIN
        self._message: tuple[str, ...] = ()
        self._failed = False
        self._blocks: list[Block] = []
        self._layout: list[_Row] = []
        self._width = -1  # nothing is laid out; a hidden pane has a width of 0
        self._top = 0
        self.block = 0
        self.token = 0

    # -- what is shown

    def show(
        self,
        passages: Sequence[Passage],
        extreme: float,
        *,
        keep_cursor: bool = False,
        message: Sequence[str] = (),
        failed: bool = False,
        look: Look = PLAIN,
    ) -> None:
        """Show passages, or, when there are none, a message of a few lines.

        Args:
            extreme: The neuron's maximum, or its minimum to draw what is below zero.
            keep_cursor: Stay on the same window and token if they are still there.
            failed: The message tells of an error.
            look: How they are drawn.
        """
        here = self.current
        self._passages, self._extreme, self._look = passages, extreme, look
        self._message, self._failed = tuple(message), failed
        self._width = -1
        self._top = self.block = 0
        self.token = self._peak(0) if passages else 0
        if keep_cursor and here is not None:
            self._return_to(here)
        self.redraw()

    def _return_to(self, here: tuple[Passage, int]) -> None:
        for i, passage in enumerate(self._passages):
            if passage.window == here[0].window:
                self.block = i
                self.token = min(here[1], len(passage.tokens) - 1)
                return

    @property
    def current(self) -> tuple[Passage, int] | None:
        """The passage and token under the cursor."""
        if self.block < len(self._passages):
            return self._passages[self.block], self.token
        return None

    @property
    def scale_end(self) -> float:
        """The value at the end of the colours of the passage under the cursor."""
        here = self.current
        return self._extreme if here is None else own_extreme(here[0], self._extreme, self._look)

    @property
    def passages(self) -> Sequence[Passage]:
        """What is shown."""
        return self._passages

    # -- moving

    @property
    def place(self) -> object:
        return self.block, self.token

    def found(self, text: str) -> Sequence[tuple[int, int]]:
        return [
            (block, token)
            for block, passage in enumerate(self._passages)
            for token in in_tokens(passage.tokens, text)
        ]

    def show_place(self, place: tuple[int, int]) -> None:
        self.block, self.token = place
        self.redraw()

    def to_row(self, number: int) -> None:
        """Put the cursor on an excerpt, counted from 1."""
        if self._passages:
            self.go_to(max(0, min(number, len(self._passages)) - 1))

    def move(self, direction: str) -> None:
        """Move the cursor as the action of that name says."""
        if not self._passages:
            return
        if direction in ("left", "right"):
            self._step(1 if direction == "right" else -1)
            return
        last = len(self._passages) - 1
        page = max(1, self._blocks_per_page())
        target = {
            "down": self.block + 1,
            "up": self.block - 1,
            "page_down": self.block + page,
            "page_up": self.block - page,
            "half_down": self.block + max(1, page // 2),
            "half_up": self.block - max(1, page // 2),
            "home": 0,
            "end": last,
        }[direction]
        self.go_to(min(max(target, 0), last))

    def go_to(self, block: int) -> None:
        """Put the cursor on a passage's strongest token."""
        if block == self.block and self.token == self._peak(block):
            return
        self.block, self.token = block, self._peak(block)
        self.redraw()

    def go_to_worst(self) -> bool:
        """Put the cursor on the worst predicted passage; False if there is none."""
        found = worst(self._passages)
        if found is not None:
            self.go_to(found)
        return found is not None

    def _peak(self, block: int) -> int:
        return self._passages[block].peak(negative=self._extreme < 0)

    def _step(self, by: int) -> None:
        token, block = self.token + by, self.block
        if token < 0:
            if block == 0:
                return
            block -= 1
            token = len(self._passages[block].tokens) - 1
        elif token >= len(self._passages[block].tokens):
            if block == len(self._passages) - 1:
                return
            block, token = block + 1, 0
        self.block, self.token = block, token
        self.redraw()

    def _blocks_per_page(self) -> int:
        rows = self._layout[self._top : self._top + self.size.height]
        return len({row.block for row in rows}) - 1

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse is."""
        y = self._top + event.y
        if y >= len(self._layout):
            return
        row = self._layout[y]
        block = self._blocks[row.block]
        if row.kind in (_CAPTION, _BLANK):
            return
        x = GUTTER
        start, stop = block.lines[row.line]
        for token in range(start, stop):
            x += block.shown(token, row.line)[1]
            if event.x < x:
                self.block, self.token = row.block, token
                self.redraw()
                self.post_message(self.Clicked())
                return

    def on_mouse_scroll_down(self) -> None:
        self.move("half_down")

    def on_mouse_scroll_up(self) -> None:
        self.move("half_up")

    # -- drawing

    def build(self, width: int, height: int) -> list[list[Span]]:
        if not self._passages:
            gap: list[list[Span]] = [[] for _ in range(max(1, (height - len(self._message)) // 3))]
            palette = self.palette
            first = palette.error if self._failed else palette.text
            indent = " " * min(GUTTER, max(1, (width - 40) // 2))
            return gap + [
                [(indent, palette.text), (line, palette.dim if n else first)]
                for n, text in enumerate(self._message)
                for line in wrapped(text, width - len(indent) - 1)
            ]
        self._page(width, height)
        return [self._row(row, width) for row in self._layout[self._top : self._top + height]]

    def _lay_out(self, width: int, rows: int) -> None:
        """Lay out passages until the current one, and as many rows, are there.

        Only what is near gets laid out: a neuron has forty passages, of which a page
        shows six.
        """
        if self._width != width:
            self._width, self._blocks, self._layout = width, [], []
        while len(self._blocks) < len(self._passages) and (
            len(self._blocks) <= self.block or len(self._layout) < rows
        ):
            self._add(width)

    def _add(self, width: int) -> None:
        number_ = len(self._blocks)
        room = max(width - GUTTER - 1, 8)
        block = lay_out(self._passages[number_], room, self._extreme, self._look)
        self._blocks.append(block)
        for line in range(len(block.lines)):
            self._layout.append(_Row(number_, _REAL, line))
            if block.figures is not None and any(block.figures[slice(*block.lines[line])]):
                self._layout.append(_Row(number_, _FIGURES, line))
            if block.expected is not None and (line == 0 or _any(block, line)):
                self._layout.append(_Row(number_, _SIMULATED, line))
        room = width - GUTTER - self._text_width(block, len(block.lines) - 1)
        if block.passage.expected is None and room > cell_len(self._caption(block)) + 2:
            self._layout.append(_Row(number_, _BLANK))
            return
        self._layout.append(_Row(number_, _CAPTION))
        if block.passage.expected is not None or self.size.height >= ROOMY:
            self._layout.append(_Row(number_, _BLANK))

    @staticmethod
    def _text_width(block: Block, line: int) -> int:
        return sum(block.shown(t, line)[1] for t in range(*block.lines[line]))

    def _page(self, width: int, height: int) -> None:
        """Turn the page if the cursor has left it."""
        self._lay_out(width, self._top + height)
        rows = [i for i, row in enumerate(self._layout) if row.block == self.block]
        first, last = rows[0], rows[-1]
        line = self._blocks[self.block].line_of(self.token)
        here = next(i for i in rows if self._layout[i].line == line)
        # A final blank row may hang over the edge.
        visible = self._top <= first and last - 1 < self._top + height
        if not visible:
            going_down = first >= self._top
            self._top = first if going_down else max(0, last + 1 - height)
            if here >= self._top + height:
                self._top = here - height // 2
            elif here < self._top:
                self._top = here
        self._lay_out(width, self._top + height)
        self._top = min(self._top, max(0, len(self._layout) - height))

    def _row(self, row: _Row, width: int) -> list[Span]:
        palette, block = self.palette, self._blocks[row.block]
        mine = row.block == self.block
        mark = palette.accent if self.has_focus else palette.faint
        gutter: list[Span] = [("▌" if mine and row.kind != _BLANK else " ", mark)]
        if row.kind == _BLANK:
            return []
        if row.kind == _CAPTION:
            return between(
                [*gutter, (" " * (GUTTER - 1), palette.text)],
                [(self._caption(block), palette.faint), (" ", palette.text)],
                width,
                palette.text,
            )
        if row.kind == _SIMULATED:
            text = "sim" if row.line == 0 else ""
            gutter.append((f"{text:>6} ", palette.faint))
            if block.expected_figures is not None:
                return gutter + self._figures(block, row.line, block.expected_figures)
            return gutter + self._bars(block, row.line)
        if row.kind == _FIGURES:
            assert block.figures is not None
            text = "diff" if self._is_difference(block) and row.line == 0 else ""
            gutter.append((f"{text:>6} ", palette.faint))
            return gutter + self._figures(block, row.line, block.figures)
        value = float(block.passage.values[block.peak])
        text = number(value, 2 if abs(value) < 1000 else 0) if row.line == 0 else ""
        gutter.append((f"{text:>6} ", palette.text if mine else palette.dim))
        spans = gutter + self._tokens(block, row.block, row.line)
        if block.passage.expected is None and row.line == len(block.lines) - 1:
            caption = self._caption(block)
            if width_of(spans) + cell_len(caption) + 2 < width:
                return between(
                    spans, [(caption, palette.faint), (" ", palette.text)], width, palette.text
                )
        return spans

    def _caption(self, block: Block) -> str:
        passage = block.passage
        before = ""
        if passage.expected is not None:
            before = f"r {number(passage.correlation)} · {passage.role} · "
            if passage.failure:  # the bottom line says where it is from
                return squeezed(passage.failure, self._width - GUTTER - 2)
        if not passage.document:  # published excerpts don't say where they are from
            return before.removesuffix(" · ")
        after = f" · {passage.offset:,}"
        room = max(self._width - GUTTER - 2 - cell_len(before) - len(after), 8)
        name = passage.document
        if cell_len(name) > room:  # the end of a path says more than its beginning
            while cell_len(name) >= room:
                name = name[1:]
            name = f"…{name}"
        return f"{before}{name}{after}"

    def _tokens(self, block: Block, number_: int, line: int) -> list[Span]:
        palette = self.palette
        spans: list[Span] = []
        room = self._width - GUTTER
        for token in range(*block.lines[line]):
            text, width = block.shown(token, line)
            if width > room:
                text = set_cell_size(text, max(room - 1, 0)) + "…"
            level = block.levels[token]
            style = palette.level(level if level != MISSING else 0)
            if level in (0, MISSING) and block.cells[token].kind is not Kind.TEXT:
                style = palette.faint
            marked = block.passage.marked
            if token in marked or (token == block.peak and level):
                style = style + _PEAK
            if number_ == self.block and token == self.token and self.has_focus:
                style = palette.cursor
            spans.append((text, style))
        return spans

    def _is_difference(self, block: Block) -> bool:
        return self._look.difference and block.passage.expected is not None

    def _figures(self, block: Block, line: int, figures: Sequence[str]) -> list[Span]:
        """Values below their tokens; a long one that has no room is cut to its sign."""
        palette = self.palette
        spans: list[Span] = []
        for token in range(*block.lines[line]):
            width = block.shown(token, line)[1]
            text = figures[token]
            if len(text) > width:
                text = text[:1] if text[:1] in "+-?" else "…"
            style = palette.faint if text in ("0", "?") else palette.dim
            spans.append((text + " " * (width - len(text)), style))
        return spans

    def _bars(self, block: Block, line: int) -> list[Span]:
        assert block.expected is not None
        palette = self.palette
        spans: list[Span] = []
        for token in range(*block.lines[line]):
            width = block.shown(token, line)[1]
            level = block.expected[token]
            if level == MISSING:
                spans.append(("?" * width, palette.faint))
            else:
                spans.append((BARS[abs(level)] * width, palette.bar(level)))
        return spans
