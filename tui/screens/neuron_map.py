"""The map of all neurons: see where something is, go there, open it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult

from engine.errors import NeuroglassError
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui.actions import MAP, Action
from tui.screens.frame import Frame
from tui.session import number
from tui.widgets.map_pane import MapPane
from tui.widgets.pane import Span, fitted, width_of

if TYPE_CHECKING:
    from textual.timer import Timer

    from engine.engine import Engine
    from engine.neuron_map import Cells, NeuronMap, Pooling

#: While a key is held down, the explanation waits for a pause of so many seconds.
QUIET = 0.05
#: Texts of explanations that are kept, so that going back and forth reads nothing.
KEPT = 500
#: While a scan runs the map follows it after so many seconds.
GROWTH = 2.0


class MapScreen(Frame):
    """A map by one quantity at a time."""

    NAME = MAP
    HEADING = "Neuron map"

    def __init__(self, engine: Engine, neuron: NeuronId) -> None:
        super().__init__()
        self._engine = engine
        self._pane = MapPane(neuron)
        self._texts: dict[NeuronId, str] = {}
        self._timer: Timer | None = None
        self._again: Timer | None = None

    def body(self) -> ComposeResult:
        yield self._pane

    def ready(self) -> None:
        self.set_focus(self._pane)
        self._read_soon()

    def arrived(self) -> None:
        """Scores may have come meanwhile."""
        self._texts.clear()
        self._read_soon()

    def why_not(self, action: Action) -> str:
        if action.id == "open" and self._pane.shown is None:
            return "The map is still being read."
        return super().why_not(action)

    def takes(self, event: events.Key) -> bool:
        if self._remark[0] and not self.asking:
            self.say("")
        return False

    def index_grew(self) -> None:
        """The scan has published more: read it, not more often than every so many seconds."""
        if self._again is None:
            self._again = self.set_timer(GROWTH, self._grown)

    def _grown(self) -> None:
        self._again = None
        self._read_soon()

    # -- reading

    def _read_soon(self) -> None:
        if self.is_mounted:
            self.run_worker(self._read(), name="map", group="map", exclusive=True)

    async def _read(self) -> None:
        from engine.neuron_map import Quantity

        try:
            found = await self._engine.neuron_map(Quantity(self._app.session.quantity))
        except NeuroglassError as error:
            self._pane.fail(inert(str(error)))
            return
        cells = None
        if self._pane.factor:  # else the size decides, when it is shown
            cells = await asyncio.to_thread(_reckoned, found, self._pane.factor, self._pane.by)
        self._pane.show(found, cells)
        self.draw_footer()

    @on(MapPane.Moved)
    def _moved(self) -> None:
        self.draw_status()
        held = self._timer is not None
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(QUIET, self._rested if held else self._ready_again)
        if not held:
            self._look()

    def _ready_again(self) -> None:
        self._timer = None

    def _rested(self) -> None:
        self._timer = None
        self._look()

    def _look(self) -> None:
        """Read the explanation of the neuron under the cursor."""
        found, under = self._pane.shown, self._pane.under
        if found is None or under is None:
            return
        neuron = under[2]
        if found.explained[neuron.layer, neuron.index] and neuron not in self._texts:
            self.run_worker(self._explain(neuron), name="map", group="text", exclusive=True)

    async def _explain(self, neuron: NeuronId) -> None:
        index = self._engine.index
        if index is None:
            return
        try:
            saved = await asyncio.to_thread(self._engine.store.explanations, index.model_id, neuron)
        except NeuroglassError as error:
            self.say(inert(str(error)), error=True)
            return
        if len(self._texts) >= KEPT:
            self._texts.clear()
        self._texts[neuron] = inert(saved[0].text) if saved else ""
        self.draw_status()

    # -- the bottom line

    def status_left(self, room: int) -> list[Span]:
        """The cell under the cursor: which neurons, its value, the explanation."""
        pane, palette = self._pane, self._app.palette
        under, found = pane.under, pane.shown
        if under is None or found is None:
            return []
        first, last, strongest = under
        value = _shown(pane.value, str(found.quantity))
        if first == last:
            spans: list[Span] = [(f" {first}", palette.strong), (f"  {value}", palette.accent)]
        else:
            spans = [(f" {first}–{last.index}", palette.strong)]
            spans.append((f"  {pane.by} {value}", palette.accent))
            if pane.value is not None:
                spans.append((f"  most at {strongest}", palette.text))
        text = self._texts.get(strongest, "")
        if not found.explained[strongest.layer, strongest.index]:
            text = "not explained"
        left = room - width_of(spans) - 3
        if text and left > 8:
            spans.append((f"  {fitted(text, left)}", palette.dim))
        return spans

    # -- what can be done

    def action_open(self) -> None:
        """Open the neuron under the cursor; of several, the one of the largest value."""
        under = self._pane.under
        if under is not None:
            self.open_neuron(under[2])

    def action_map_zoom(self, by: int) -> None:
        """Zoom in or out by two."""
        if not self._pane.zoom(by):
            self.say("A cell is one neuron." if by > 0 else "The whole model is in sight.")

    def action_map_fit(self) -> None:
        """The whole model in sight."""
        self._pane.fit()

    def action_map_quantity(self, by: int) -> None:
        """Show the map by another quantity; a count names it."""
        from engine.neuron_map import Quantity

        several = list(Quantity)
        count = self.take_count()
        at = several.index(Quantity(self._app.session.quantity)) + by
        if count is not None:
            at = min(count, len(several)) - 1
        self._app.session.quantity = str(several[at % len(several)])
        self._read_soon()

    def action_map_pool(self) -> None:
        """A cell of several neurons shows their maximum, or their mean."""
        pane = self._pane
        pane.by = "mean" if pane.by == "max" else "max"
        pane.redraw()
        self.draw_status()

    def action_map_signs(self) -> None:
        """Levels as colours, or as heights of one sign for each cell."""
        pane = self._pane
        pane.signs = not pane.signs
        pane.fit()

    def action_map_unexplained(self) -> None:
        """Go to the next neuron without an explanation."""
        pane, found, under = self._pane, self._pane.shown, self._pane.under
        if found is None or under is None:
            return
        # From the end of the cell, so that it is another cell.
        target = found.next_unexplained(under[1])
        if target is None:
            self.say("Every neuron is explained.")
        else:
            pane.go(target)

    def action_layer(self, by: int) -> None:
        """Go to a neighbouring layer, to the neuron of the same index."""
        found = self._pane.shown
        if found is not None:
            here, count = self._pane.neuron, self.take_count() or 1
            layer = (here.layer + by * count) % found.n_layers
            self._pane.go(NeuronId(layer, here.index))


def _reckoned(found: NeuronMap, factor: int, by: Pooling) -> Cells:
    """The cells with their levels: 60 ms for 307,200 neurons, too long between two keys."""
    cells = found.cells(factor, by)
    cells.levels  # noqa: B018
    return cells


def _shown(value: float | None, quantity: str) -> str:
    """A value with its unit."""
    if value is None:
        return "no value"
    if quantity == "active":
        return f"{value:.2%}"
    if quantity == "explanations":
        return f"{value:.3g}"
    return number(value, 1 if quantity == "kurtosis" else 2)
