"""Explanations and the interface of everything that writes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from engine.models.request import Usage
from engine.neuron import NeuronId
from engine.records import ActivationRecord, NeuronStatistics, TokenMeans

#: A neuron's values above zero, or below.
Side = Literal["positive", "negative"]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What an explainer may look at: explain-fold material and nothing else.

    Attributes:
        train: The records of the train split, strongest first.
        others: Explain-fold records outside the train split (bands, random, bottom).
        token_means: The token look-up table of the explain fold.
        statistics: The neuron's moments.
        side: On the ``negative`` side every activation here has its sign turned.
        sample: Counts the samples of one neuron; explainers that are not deterministic
            pass it on to their model's request.
    """

    neuron: NeuronId
    train: tuple[ActivationRecord, ...]
    others: tuple[ActivationRecord, ...]
    token_means: TokenMeans
    statistics: NeuronStatistics
    side: Side = "positive"
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of an explanation as it arrives; pieces joined make the sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class Preparing:
    """What an explainer does before its first word, where that takes a while.

    Attributes:
        text: For people, such as ``reading the explain text up to layer 3``.
        share: Of it that is done, 0 to 1.
    """

    text: str
    share: float


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
        side: Which side of the neuron it is about. A ``negative`` one explains, predicts
            and is scored on the activations with their sign turned.
        usage: Tokens that a language model used to write it.
    """

    neuron: NeuronId
    text: str
    explainer: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Any] | None = None
    windows: tuple[int, ...] = ()
    seconds: float = 0.0
    side: Side = "positive"
    usage: Usage = field(default_factory=Usage)


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

    def explain(self, evidence: Evidence) -> AsyncIterator[Preparing | Word | Explanation]:
        """Stream words, then exactly one :class:`Explanation`, last.

        One that has to prepare itself says so first (:class:`Preparing`).

        Raises:
            MethodError: if the evidence is not enough to explain anything.
        """
        ...
