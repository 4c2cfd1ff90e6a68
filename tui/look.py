"""How heatmaps are drawn, as the user has chosen it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """How passages are drawn.

    Attributes:
        numbers: Values in figures below the tokens.
        per_excerpt: Colours reach from zero to the excerpt's own extreme, not the neuron's.
        difference: Where there is a simulation, real minus simulated instead of both.
    """

    numbers: bool = False
    per_excerpt: bool = False
    difference: bool = False


PLAIN = Look()
