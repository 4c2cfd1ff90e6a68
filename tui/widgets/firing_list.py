"""The neurons that fire most at a token, as a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.glyphs import exact
from engine.neuron import NeuronId
from tui.find import rows_with
from tui.session import number
from tui.widgets.pane import Pane, Span, fitted

if TYPE_CHECKING:
    from engine.experiments import Firing

_HEAD = 3


class FiringList(Pane, can_focus=True):
    """Neuron, share of its maximum, activation, standard deviations, and what it is."""

    DEFAULT_CSS = "FiringList { height: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._token = b""
        self._firing: Sequence[Firing] = ()
        self._hints: Mapping[NeuronId, str] = {}
        self._selected: NeuronId | None = None
        self._message = ""
        self.row = 0

    @property
    def current(self) -> NeuronId | None:
        """The neuron under the cursor."""
        return self._firing[self.row].neuron if self.row < len(self._firing) else None

    def show(
        self,
        token: bytes,
        firing: Sequence[Firing],
        hints: Mapping[NeuronId, str],
        selected: NeuronId,
    ) -> None:
        """Show what fires at a token; the cursor goes to the top unless it is the same."""
        if [one.neuron for one in firing] != [one.neuron for one in self._firing]:
            self.row = 0
        self._token, self._firing, self._hints = token, firing, hints
        self._selected, self._message = selected, ""
        self.redraw()

    def clear(self, message: str) -> None:
        """Show nothing but a message."""
        self._firing, self._message, self.row = (), message, 0
        self.redraw()

    def select(self, neuron: NeuronId) -> None:
        """Mark the neuron that the heatmap shows."""
        self._selected = neuron
        self.redraw()

    @property
    def place(self) -> object:
        return self.row

    def found(self, text: str) -> Sequence[int]:
        shown = (f"{one.neuron} {self._hints.get(one.neuron, '')}" for one in self._firing)
        return rows_with(shown, text)

    def show_place(self, place: int) -> None:
        self.row = place
        self.redraw()

    def to_row(self, number_: int) -> None:
        """Put the cursor on a row, counted from 1."""
        self.show_place(max(0, min(number_, len(self._firing)) - 1))

    def move(self, direction: str) -> None:
        """Move the cursor as the action of that name says."""
        page = max(1, self.size.height - _HEAD)
        last = max(len(self._firing) - 1, 0)
        steps = {"down": 1, "up": -1, "page_down": page, "page_up": -page}
        steps |= {"home": -last, "end": last}
        self.row = max(0, min(self.row + steps.get(direction, 0), last))
        self.redraw()

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        title = palette.accent if self.has_focus else palette.text
        if self._message:
            return [[(" Fire most here", title)], [], [(f" {self._message}", palette.faint)]]
        token = fitted(exact(self._token), max(width - len(" Fire most at ") - 1, 0))
        rows: list[list[Span]] = [
            [(" Fire most at ", title), (token, palette.strong)],
            [],
            [(f"  {'neuron':>7} {'of max':>6}{'value':>7}{'z':>6}", palette.faint)],
        ]
        room = height - _HEAD
        top = max(0, min(self.row - room // 2, len(self._firing) - room))
        for place in range(top, min(top + room, len(self._firing))):
            rows.append(self._row(place, width))
        if not self._firing:
            rows.append([("  none fires", palette.faint)])
        return rows

    def _row(self, place: int, width: int) -> list[Span]:
        palette, one = self.palette, self._firing[place]
        here = place == self.row and self.has_focus
        style = palette.selected if here else palette.text
        quiet = palette.selected if here else palette.dim
        shown = one.neuron == self._selected
        mark = "▌" if here else "▸" if shown else " "
        share = min(one.share, 9.99)
        text = f"{one.neuron!s:>7} {share:>6.0%}{one.activation:>7.2f}{number(one.z, 1):>6}"
        room = max(width - 5 - len(text), 0)
        hint = fitted(self._hints.get(one.neuron, ""), room)
        return [(mark, palette.accent), (f" {text}", style), (f"  {hint}", quiet)]
