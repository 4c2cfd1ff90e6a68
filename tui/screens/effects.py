"""What a neuron reads and writes by its weights, and which neurons are like it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen

from engine.errors import NeuroglassError
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui.hints import hints
from tui.widgets.effects_pane import EffectsPane, sections_of

if TYPE_CHECKING:
    from engine.effects import Effects
    from engine.engine import Engine
    from engine.similarity import SimilarNeurons

#: Rows read of each list; a large terminal shows that many.
COUNT = 20


class EffectsScreen(ModalScreen[NeuronId]):
    """Look; the result is the neuron that is to be opened."""

    CSS = "EffectsScreen { background: $background; }"

    def __init__(self, engine: Engine, neuron: NeuronId) -> None:
        super().__init__()
        self._engine = engine
        self._pane = EffectsPane()
        self._pane.neuron = neuron

    def compose(self) -> ComposeResult:
        yield self._pane

    def on_mount(self) -> None:
        self.set_focus(self._pane)
        self._load(self._pane.neuron)

    def _load(self, neuron: NeuronId) -> None:
        pane = self._pane
        pane.neuron, pane.section, pane.row = neuron, 0, 0
        pane.remark = ("Loading the model …", False)
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
        pane.hints = await asyncio.to_thread(hints, engine, list(pane.neurons()))
        pane.redraw()

    def on_key(self, event: events.Key) -> None:
        """Every key is for the pane; none gets through to the screen below."""
        event.stop()
        event.prevent_default()
        pane = self._pane
        moves = {
            "j": "down",
            "down": "down",
            "k": "up",
            "up": "up",
            "h": "left",
            "left": "left",
            "l": "right",
            "right": "right",
            "tab": "group",
            "shift+tab": "-group",
            "home": "home",
            "end": "end",
            **{number: number for number in "123"},
        }
        if event.key in moves:
            pane.move(moves[event.key])
        elif event.key in ("escape", "q", "ctrl+c"):
            self.dismiss(None)
        elif event.key in ("enter", "f"):
            self._follow(opened=event.key == "enter")

    def _follow(self, *, opened: bool) -> None:
        pane = self._pane
        entry, index = pane.current, self._engine.index
        if entry is None or index is None:
            return
        if entry.neuron is None:
            pane.remark = ("That is a token: enter and f take a neuron.", False)
            pane.redraw()
            return
        try:
            index.check(entry.neuron)
        except NeuroglassError as error:
            pane.remark = (inert(str(error)), True)
            pane.redraw()
            return
        if opened:
            self.dismiss(entry.neuron)
        else:
            self._load(entry.neuron)
