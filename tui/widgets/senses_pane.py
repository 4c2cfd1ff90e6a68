"""A neuron's senses as a list, and what is known of the one under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.geometry import Size

from engine.glyphs import inert
from tui.find import rows_with
from tui.widgets.pane import Pane, Span, fitted, wrapped

if TYPE_CHECKING:
    from engine.senses.model import Sense, Senses

#: Cells before the sentence: mark, number, share.
_GUTTER = 9


class SenseList(Pane, can_focus=True):
    """Number, share of the activation and sentence of each.

    Attributes:
        short: A row for each, whatever the room.
    """

    DEFAULT_CSS = "SenseList { height: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.short = False
        self._senses: Sequence[Sense] = ()
        self.row = 0

    def show(self, senses: Senses) -> None:
        """Show a neuron's senses; the cursor goes to the first."""
        self._senses, self.row = senses.senses, 0
        self.refresh(layout=True)
        self.redraw()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """A row for each, the heading, and a blank one."""
        return len(self._senses) + 2

    # -- moving

    @property
    def place(self) -> object:
        return self.row

    def found(self, text: str) -> Sequence[int]:
        return rows_with((inert(one.text) for one in self._senses), text)

    def show_place(self, place: int) -> None:
        self.row = place
        self.redraw()

    def to_row(self, number: int) -> None:
        """Put the cursor on a sense, counted from 1."""
        self.show_place(max(0, min(number, len(self._senses)) - 1))

    def move(self, direction: str) -> None:
        """Move the cursor as the action of that name says."""
        last = max(len(self._senses) - 1, 0)
        steps = {"down": 1, "up": -1, "half_down": 3, "half_up": -3}
        steps |= {"page_down": last, "page_up": -last, "home": -last, "end": last}
        self.row = max(0, min(self.row + steps.get(direction, 0), last))
        self.redraw()

    # -- drawing

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        count = len(self._senses)
        title = palette.accent if self.has_focus else palette.text
        name = f"{count} sense{'s' if count != 1 else ''}"
        rows: list[list[Span]] = [
            [(f" {name}", title), ("  and their share of the activation", palette.faint)]
        ]
        room = max(width - _GUTTER - 1, 8)
        texts = [wrapped(inert(one.text), room) for one in self._senses]
        gap = 0
        if self.short or 1 + sum(len(lines) for lines in texts) > height:
            texts = [[fitted(inert(one.text), room)] for one in self._senses]
        elif 1 + sum(len(lines) + 1 for lines in texts) <= height:
            gap = 1
        top = max(0, self.row - (height - 2)) if 1 + len(texts) > height else 0
        for number in range(top, count):
            rows += [[]] * gap
            rows += self._entry(number, texts[number], room)
        return rows

    def _entry(self, number: int, lines: Sequence[str], room: int) -> list[list[Span]]:
        palette = self.palette
        here = number == self.row
        style = palette.selected if here else palette.text
        mark = (palette.accent if self.has_focus else palette.faint) if here else palette.text
        share = f"{self._senses[number].share:.0%}"
        rows: list[list[Span]] = []
        for n, line in enumerate(lines):
            before = f"{number + 1} {share:>4}  " if n == 0 else " " * (_GUTTER - 1)
            rows.append(
                [("▌" if here else " ", mark), (before, style), (fitted(line, room), style)]
            )
        return rows


class SenseFacts(Pane):
    """What a sense needs, and whether so many senses predict other documents better.

    Attributes:
        sentence: Whether the sentence is shown, as where the list cuts it off.
    """

    DEFAULT_CSS = "SenseFacts { height: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.sentence = False
        self._senses: Senses | None = None
        self._row = 0

    def show(self, senses: Senses, row: int) -> None:
        """Show one of the senses."""
        self._senses, self._row = senses, row
        self.redraw()

    def build(self, width: int, height: int) -> list[list[Span]]:
        if self._senses is None:
            return []
        palette, sense = self.palette, self._senses.senses[self._row]
        own, after, most = sense.needs
        needs = f"Lost without itself {own:.0%}, the one before {after:.0%}, "
        needs += f"the most needed before {most:.0%}"
        if len(needs) > width - 2:
            needs = f"Without: itself -{own:.0%}, one before -{after:.0%}, most needed -{most:.0%}"
        held = held_out(self._senses)
        if not self.sentence:
            rows: list[list[Span]] = [
                [
                    (f" Sense {self._row + 1}", palette.strong),
                    (
                        f"  {sense.share:.0%} of the activation, {sense.tokens:,} tokens",
                        palette.dim,
                    ),
                ]
            ]
            rows += [[(f" {line}", palette.text)] for line in wrapped(needs, width - 2)]
            rows += [[(f" {line}", palette.text)] for line in wrapped(held, width - 2)]
            for one in sense.patterns[: max(height - 1 - len(rows), 0)]:
                words = fitted(inert(one.words()), max(width - 8, 0))
                rows.append([(f" {one.share:>4.0%}  ", palette.dim), (words, palette.dim)])
            return rows
        rest = [
            [(f" {fitted(needs, width - 2)}", palette.dim)],
            [(f" {fitted(held, width - 2)}", palette.dim)],
        ]
        lines = wrapped(inert(sense.text), width - 2)
        room = max(height - len(rest), 1)
        if len(lines) > room:
            lines[room - 1] = fitted(" ".join(lines[room - 1 :]), width - 2)
        return [[(f" {line}", palette.text)] for line in lines[:room]] + rest


def held_out(senses: Senses) -> str:
    """How well so many senses predict documents left out, beside a single one."""
    chosen = senses.chosen
    if chosen is None:
        return "It fires too seldom to tell senses apart."
    one = senses.held_out[0]
    if chosen.groups == 1:
        return f"Left-out documents: R² {one.r2:.2f}; more are not clearly better"
    gain = chosen.r2 - one.r2
    return (
        f"Left-out documents: R² {chosen.r2:.2f}, as one {one.r2:.2f} "
        f"({gain:+.2f} ± {chosen.error:.2f})"
    )
