"""The senses of a neuron as a value: what an explanation's rules hold, and its simulator reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import MethodError
from engine.explanation import Side
from engine.neuron import NeuronId
from engine.patterns.groups import Pattern
from engine.patterns.model import Patterns
from engine.records import ActivationRecord
from engine.senses.grouping import HeldOut
from engine.senses.wording import MATTERS

NAME = "senses"


@dataclass(frozen=True, slots=True, eq=False)
class Sense:
    """One thing that makes a neuron fire.

    Attributes:
        text: In words. Untrusted when a model wrote it.
        share: Of the activation of all strong tokens, 0 to 1.
        tokens: Strong tokens.
        excerpts: Some of its windows, the strongest first.
        places: In each excerpt, its strongest token.
        foreign: In each excerpt, bool [T], the strong tokens of other senses.
        needs: What an activation loses on average without the token itself, without the
            one before, and without the context token that matters most; 0 to 1.
        patterns: Contexts that were seen to be needed.
    """

    text: str
    share: float
    tokens: int
    excerpts: tuple[ActivationRecord, ...]
    places: tuple[int, ...]
    foreign: tuple[NDArray[np.bool_], ...]
    needs: tuple[float, float, float]
    patterns: tuple[Pattern, ...]

    def needed(self, number: int) -> tuple[int, ...]:
        """Tokens of an excerpt: its strongest, and the one before if this sense needs it.

        Args:
            number: Of the excerpt, from zero.
        """
        place = self.places[number]
        return (place - 1, place) if place and self.needs[1] >= MATTERS else (place,)

    def to_json(self) -> dict[str, Any]:
        """JSON values, without the excerpts' text."""
        return {
            "text": self.text,
            "share": float(f"{self.share:.3g}"),
            "tokens": self.tokens,
            "windows": [record.excerpt.window for record in self.excerpts],
            "places": list(self.places),
            "needs": [float(f"{value:.2g}") for value in self.needs],
            "patterns": [one.to_json() for one in self.patterns],
        }


@dataclass(frozen=True, slots=True, eq=False)
class Senses:
    """All senses of one side of a neuron, the largest share first.

    Attributes:
        whole: Patterns of the neuron as one, which predict it. On 36 random neurons of the
            demo model and held-out documents their mean correlation is .884; patterns fitted
            to each sense by itself, the highest at each token, get .862, and the mean of
            both .879.
        held_out: How well each number of senses that was tried predicts documents left out.
    """

    neuron: NeuronId
    side: Side
    senses: tuple[Sense, ...]
    whole: Patterns
    held_out: tuple[HeldOut, ...]

    @property
    def chosen(self) -> HeldOut | None:
        """How well so many senses predict documents left out; None if that wasn't tried."""
        return next((row for row in self.held_out if row.groups == len(self.senses)), None)

    @property
    def text(self) -> str:
        """The whole neuron in words."""
        return combined([(one.text, one.share) for one in self.senses])

    @property
    def windows(self) -> tuple[int, ...]:
        """Of the index, all excerpts', ascending."""
        found = {record.excerpt.window for one in self.senses for record in one.excerpts}
        return tuple(sorted(found))

    def to_json(self) -> dict[str, Any]:
        """An explanation's rules; :class:`engine.senses.explainer.SenseSimulator` reads
        them."""
        return {
            "kind": NAME,
            "senses": [one.to_json() for one in self.senses],
            "held_out": held_out_json(self.held_out),
            "whole": self.whole.to_json(),
        }


def held_out_json(rows: tuple[HeldOut, ...]) -> list[dict[str, Any]]:
    """JSON values of what chose the number."""
    return [
        {"senses": row.groups, "r2": float(f"{row.r2:.4g}"), "error": float(f"{row.error:.2g}")}
        for row in rows
    ]


def combined(parts: list[tuple[str, float]]) -> str:
    """One sentence from those of several senses and their shares."""
    if len(parts) == 1:
        return parts[0][0]
    return "; ".join(
        f"{number}) {text} ({share:.0%})" for number, (text, share) in enumerate(parts, start=1)
    )


def whole_rules(rules: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The patterns of the whole neuron in an explanation's rules, which may come from a file.

    Rules of another kind, as another neuron's may be, are returned as they are.

    Raises:
        MethodError: if there is nothing in them.
    """
    if rules is None or rules.get("kind") != NAME:
        return rules
    whole = rules.get("whole")
    if not isinstance(whole, Mapping):
        raise MethodError("The senses are damaged.", "Explain the neuron again.")
    return whole
