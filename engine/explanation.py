"""Explanations and the interface of everything that writes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from engine.neuron import NeuronId
from engine.records import ActivationRecord, NeuronStatistics, TokenMeans


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What an explainer may look at: explain-fold material and nothing else.

    Attributes:
        train: The records of the train split, strongest first.
        others: Explain-fold records outside the train split (bands, random, bottom).
        token_means: The token look-up table of the explain fold.
        statistics: The neuron's moments.
    """

    neuron: NeuronId
    train: tuple[ActivationRecord, ...]
    others: tuple[ActivationRecord, ...]
    token_means: TokenMeans
    statistics: NeuronStatistics


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of an explanation as it arrives; pieces joined make the sentence."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """A sentence about a neuron, and where it came from.

    Attributes:
        text: One sentence, stripped, without a final full stop. Untrusted when a
            model wrote it.
        explainer: Name of the explainer, such as ``token-lookup``.
        settings: The explainer's settings, JSON values.
        rules: A structure that a simulator can apply by itself (JSON values), or
            None when the sentence is all there is.
        windows: Index windows of the records it was written from.
        seconds: How long the explainer took.
    """

    neuron: NeuronId
    text: str
    explainer: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Any] | None = None
    windows: tuple[int, ...] = ()
    seconds: float = 0.0


class Explainer(Protocol):
    """Writes an explanation from evidence."""

    @property
    def name(self) -> str:
        """Stable name, stored with every explanation."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that changes its output, as JSON values."""
        ...

    def explain(self, evidence: Evidence) -> AsyncIterator[Word | Explanation]:
        """Stream words, then exactly one :class:`Explanation`, last.

        Raises:
            MethodError: if the evidence is not enough to explain anything.
        """
        ...
