"""Where one has been: back and forward through visited neurons, like a browser."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.neuron import NeuronId

#: Older visits are forgotten.
MOST = 200


@dataclass(slots=True)
class History:
    """Visited neurons; a walk from neighbour to neighbour counts as one visit, its last.

    Attributes:
        places: In the order of visits.
        at: Which of them is looked at.
    """

    places: list[NeuronId] = field(default_factory=list)
    at: int = -1
    _walking: bool = False

    def visit(self, neuron: NeuronId, *, step: bool = False) -> None:
        """Note that a neuron is looked at.

        Args:
            step: It was come to from its neighbour, not by a jump.
        """
        if self.places and self.places[self.at] == neuron:
            return
        del self.places[self.at + 1 :]
        if step and self._walking and self.places:
            self.places[-1] = neuron
        else:
            self.places.append(neuron)
        self._walking = step
        del self.places[:-MOST]
        self.at = len(self.places) - 1

    def go(self, by: int) -> NeuronId | None:
        """Go so many visits forward, or back; None when there is none."""
        to = max(0, min(self.at + by, len(self.places) - 1))
        if to == self.at or not self.places:
            return None
        self.at, self._walking = to, False
        return self.places[to]

    def restore(self, places: Iterable[NeuronId]) -> None:
        """Take the visits of an earlier session."""
        self.places = list(places)[-MOST:]
        self.at = len(self.places) - 1
