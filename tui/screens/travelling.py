"""Going about in the explorer: neurons, layers, groups, history, marks, finding."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engine.errors import NeuroglassError
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui import session as sessions
from tui.screens.browser import Browser
from tui.session import GROUPS, HELD_OUT
from tui.widgets.pane import Pane

#: Explanations that finding in the list looks through.
FOUND = 20_000


class Traveller(Browser):
    """What leads to other neurons and other excerpts, and how they are shown."""

    def action_neuron(self, by: int) -> None:
        """Go to a neighbour in the list's order, so many rows away as the count says."""
        self.catch_up()
        index = self._list.neighbour(by * (self.take_count() or 1))
        if index is not None:
            self.choose(NeuronId(self.session.neuron.layer, index), step=True)

    def action_history(self, by: int) -> None:
        """Go back or forward through visited neurons."""
        neuron = self.session.visited.go(by * (self.take_count() or 1))
        if neuron is None:
            self.say("This is the first one." if by < 0 else "This is the last one.")
        elif self._index is not None and sessions.holds(self._index, neuron):
            self._turn_to(neuron)
        else:
            self.say(f"{neuron} is not in this index.")

    def action_mark_set(self, letter: str) -> None:
        """Mark the neuron with a letter."""
        if not letter.isalnum():
            self.say("A mark is a letter or a digit.")
            return
        self.session.marks[letter] = self.session.neuron
        self.say(f"{self.session.neuron} is marked {inert(letter)}.")

    async def places_of(self, text: str, pane: Pane) -> Sequence[Any]:
        self.catch_up()
        engine, view = self.engine, self.layer_view
        if pane is not self._list or engine is None or view is None or self._index is None:
            return await super().places_of(text, pane)
        # In the list what is found are explanations and notes, as in the library.
        model = self._index.model_id
        hits = await asyncio.to_thread(engine.store.search, text, FOUND, model=model)
        layer = view.layer
        found = {hit.neuron.index for hit in hits if hit.neuron.layer == layer}
        return self._list.places_of(found, text)

    def action_layer(self, by: int) -> None:
        """Go to another layer, to the neuron of the same index."""
        self._layer(by * (self.take_count() or 1))

    def action_random(self) -> None:
        """Go to a random neuron."""
        if self._index is not None:
            layers = [n for n in range(self._index.n_layers) if self._index.present(n)]
            layer = random.choice(layers)
            self.choose(NeuronId(layer, random.choice(self._index.present(layer))))

    def action_sort(self) -> None:
        """Sort the list by the next column."""
        self.sort_by(self.session.sort.next())

    def sort_by(self, order: sessions.Sort) -> None:
        """Sort the list."""
        self.session.sort = order
        self._sort_list()

    def action_group(self, by: int) -> None:
        """Show a neighbouring group, or the one that the count numbers."""
        keys = [group.key for group in GROUPS]
        count = self.take_count()
        if count is None:
            self.show_group(keys[(keys.index(self.session.group) + by) % len(keys)])
        elif count <= len(keys):
            self.show_group(keys[count - 1])
        else:
            self.say(f"There are {len(keys)} groups.")

    def show_group(self, key: str) -> None:
        """Show a group of excerpts."""
        if key != self.session.group:
            self.session.group = key
            self._draw_excerpts()
        if self.has_class("narrow"):
            self._focus("heat")

    def action_difference(self) -> None:
        """Show real minus simulated, or both one above the other."""
        look = replace(self.look, difference=not self.look.difference)
        what = "Real minus simulated." if look.difference else "Real above simulated."
        if not any(passage.expected is not None for passage in self._heatmap.passages):
            what += " Held-out excerpts (8.) have both."
        self.look_so(look, what)

    def action_worst(self) -> None:
        """Show the held-out excerpt that was predicted worst."""
        self.show_group(HELD_OUT)
        self._focus("heat")
        if self._heatmap.go_to_worst():
            self.say("")
        else:
            self.say("Not scored yet: e explains and scores.")

    def go_to(self, text: str) -> bool:
        """Go to ``layer:neuron``, or a neuron of this layer. False, with a remark, if not."""
        if not text or self._index is None:
            return False
        try:
            layer = self.session.neuron.layer
            neuron = NeuronId(layer, int(text)) if text.isdecimal() else NeuronId.parse(text)
            self._index.check(neuron)
        except NeuroglassError as error:
            self._app.say(inert(str(error)), error=True)
            return False
        self._app.open_neuron(neuron)
        return True
