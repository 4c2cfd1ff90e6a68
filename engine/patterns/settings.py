"""Where in texts a neuron's strong activations are: inside quotation marks, in code, ..."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.patterns.places import BACKTICKS, BRACKETS, QUOTES

#: Strong are the activations above this share of the largest ...
STRONG = 0.5
#: ... and at least so many of the largest, but never more than this share of all tokens.
LEAST, MOST = 24, 0.02
#: A place is worth telling if this share of strong activations is there ...
SHARE = 0.7
#: ... and that is so many times what is there of all tokens.
LIFT = 2.5


@dataclass(frozen=True, slots=True)
class Setting:
    """A place in texts.

    Attributes:
        name: For people and for search, such as ``inside quotation marks``.
        share: Of the strong activations that are there, by size, 0 to 1.
        usual: Share of all tokens that are there.
    """

    name: str
    share: float
    usual: float

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "name": self.name,
            "share": float(f"{self.share:.3g}"),
            "usual": float(f"{self.usual:.3g}"),
        }


def _at(places: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.bool_]]:
    inside, line, position = places["inside"], places["line"], places["position"]
    return {
        "inside quotation marks": (inside & QUOTES) > 0,
        "inside brackets": (inside & BRACKETS) > 0,
        "inside backticks": (inside & BACKTICKS) > 0,
        "at the start of a line": (line == 1) | (line == 2),
        "at the very start of a text": position < 2,
    }


#: Every name a setting may have.
NAMES = tuple(_at({name: np.zeros(0, np.int64) for name in ("inside", "line", "position")}))


def settings_of(
    places: Mapping[str, NDArray[np.int64]], real: NDArray[np.float32]
) -> tuple[Setting, ...]:
    """The settings of a neuron, the most telling first.

    Args:
        places: Of each token, as :func:`engine.patterns.places.places_of` gives them.
        real: float32 [T], its activations.
    """
    count = min(max(LEAST, int(MOST * len(real))), len(real))
    top = np.argpartition(-real, count - 1)[:count]
    top = top[np.argsort(-real[top])]
    high = real[top] >= STRONG * real[top[0]]
    high[:LEAST] = True
    strong = top[high & (real[top] > 0)]
    total = float(real[strong].sum(dtype=np.float64))
    if total <= 0:
        return ()
    found = []
    for name, there in _at(places).items():
        share = float(real[strong[there[strong]]].sum(dtype=np.float64)) / total
        usual = float(there.mean())
        if share >= SHARE and share >= LIFT * usual:
            found.append(Setting(name, share, usual))
    return tuple(sorted(found, key=lambda one: one.usual / one.share))
