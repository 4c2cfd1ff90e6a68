"""What a neuron reads and writes by its weights, and which neurons are like it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from textual.app import ComposeResult

from engine.errors import NeuroglassError
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui.actions import EFFECTS
from tui.hints import hints
from tui.screens.frame import Frame
from tui.widgets.effects_pane import EffectsPane, sections_of
from tui.widgets.pane import Span

if TYPE_CHECKING:
    from engine.effects import Effects
    from engine.engine import Engine
    from engine.similarity import SimilarNeurons

#: Rows read of each list; a large terminal shows that many.
COUNT = 20


class EffectsScreen(Frame):
    """Look; follow a connection, or open the neuron at its end."""

    NAME = EFFECTS

    def __init__(self, engine: Engine, neuron: NeuronId) -> None:
        super().__init__()
        self._engine = engine
        self._pane = EffectsPane()
        self._pane.neuron = neuron

    def body(self) -> ComposeResult:
        yield self._pane

    def ready(self) -> None:
        self.set_focus(self._pane)
        self._load(self._pane.neuron)

    def head(self) -> tuple[list[Span], list[Span]]:
        palette = self._app.palette
        left = [(" Effects of ", palette.strong), (str(self._pane.neuron), palette.accent)]
        return left, [("direct paths by weights, no attention ", palette.faint)]

    def _load(self, neuron: NeuronId) -> None:
        pane = self._pane
        pane.neuron, pane.section, pane.row = neuron, 0, 0
        pane.remark = ("Loading the model …", False)
        self.draw_top()
        pane.show(sections_of(None, {}))
        self.run_worker(self._read(neuron), name="effects", exclusive=True)

    async def _read(self, neuron: NeuronId) -> None:
        """The index's part at once, the model's when it is loaded, words last."""
        engine, pane = self._engine, self._pane
        similar: dict[str, SimilarNeurons] = {}
        effects: Effects | None = None
        problem = ""
        try:
            similar["activation"] = await engine.similar(neuron, "activation", COUNT)
        except NeuroglassError as error:
            problem = str(error)
        else:
            pane.show(sections_of(None, similar))
        try:
            effects = await engine.effects(neuron, COUNT)
            similar["input"] = await engine.similar(neuron, "input", COUNT)
            similar["output"] = await engine.similar(neuron, "output", COUNT)
        except NeuroglassError as error:
            problem = str(error)
        pane.remark = (inert(problem), bool(problem))
        pane.show(sections_of(effects, similar, missing="–"))
        with suppress(NeuroglassError):  # the store may be closed meanwhile
            pane.hints = await asyncio.to_thread(hints, engine, list(pane.neurons()))
        pane.redraw()

    def action_pane(self, by: int) -> None:
        """Go to the next or previous group of lists."""
        self._pane.move("group" if by > 0 else "-group")

    def action_group(self, by: int) -> None:
        """Go to a neighbouring group of lists, or to the one that the count numbers."""
        count = self.take_count()
        if count is None:
            self.action_pane(by)
        else:
            self._pane.to_group(count)

    def action_open(self) -> None:
        """Open the neuron under the cursor."""
        self._follow(opened=True)

    def action_effects_follow(self) -> None:
        """Show the effects of the neuron under the cursor."""
        self._follow(opened=False)

    def _follow(self, *, opened: bool) -> None:
        pane = self._pane
        entry, index = pane.current, self._engine.index
        if entry is None or index is None:
            return
        if entry.neuron is None:
            self.say("That is a token: enter and f take a neuron.")
            return
        try:
            index.check(entry.neuron)
        except NeuroglassError as error:
            self.say(inert(str(error)), error=True)
            return
        if opened:
            self.open_neuron(entry.neuron)
        else:
            self._load(entry.neuron)
