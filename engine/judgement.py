"""Scores that are no correlation: how well an explanation tells texts apart, or stands in
for its neuron.  The simulated activations' score is :mod:`engine.score`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from engine.explanation import Explanation
from engine.models.request import Usage
from engine.score import Interval, ScoreStatus


class Measured(StrEnum):
    """What a number says."""

    BALANCED_ACCURACY = "balanced accuracy"  # mean of both rates; chance is 0.5
    AUC = "auc"  # area under the ROC curve; chance is 0.5
    FIRING_SHARE = "firing share"  # generated texts that fire
    EFFECT_KEPT = "effect kept"  # of the neuron's effect on the output; 1 is all


@dataclass(frozen=True, slots=True)
class Measure:
    """One number, with what it rests on.

    Attributes:
        of: What part it covers: ``all``, or a quantile band such as ``.99-.999``.
        value: None when undefined; ``status`` and ``message`` say why.
        chance: What knowing nothing gets; None where there is no such constant.
        items: How many texts (or tokens) it covers.
        coverage: Share of them that had an answer, 0 to 1.
    """

    measured: Measured
    of: str
    value: float | None
    interval: Interval | None
    chance: float | None
    items: int
    coverage: float
    status: ScoreStatus = ScoreStatus.OK
    message: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class JudgedItem:
    """One text that was judged.

    Attributes:
        window: Window of the index, or -1 for a text that a model wrote.
        document_name, text: Untrusted.
        band: Where its maximum lies among all windows, or ``generated``.
        truth: What the neuron does: fires or not, or a value.
        prediction: What the explanation led to; None when there was no answer.
        probability: Of ``prediction`` being true, where the model gave one.
        message: Why there is no answer; empty otherwise.
    """

    window: int
    document_name: str
    text: str
    band: str
    truth: float
    prediction: float | None
    probability: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What one scorer found about one explanation.

    Attributes:
        scorer: Such as ``detection``.
        model: ``provider:model`` that answered; empty where none was needed.
        settings: Everything that changes the outcome, JSON values.
        split: Which split's documents the texts are from.
        measures: The headline first.
        chance: The same measures for another neuron's explanation on the same texts.
        chance_text: That explanation.
        items: Everything judged.
    """

    scorer: str
    model: str
    settings: Mapping[str, Any]
    split: str
    measures: tuple[Measure, ...]
    chance: tuple[Measure, ...] = ()
    chance_text: str = ""
    items: tuple[JudgedItem, ...] = ()
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0

    @property
    def headline(self) -> Measure:
        """The first measure."""
        return self.measures[0]


@dataclass(frozen=True, slots=True)
class JudgeProgress:
    """So many of so many requests are answered."""

    done: int
    total: int


class Scorer(Protocol):
    """Judges explanations of one neuron."""

    @property
    def name(self) -> str:
        """Stable name, stored with every judgement."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that changes its output, as JSON values."""
        ...

    def judge(
        self, explanation: Explanation, chance: Explanation | None
    ) -> AsyncIterator[JudgeProgress | Judgement]:
        """Stream progress, then exactly one :class:`Judgement`, last.

        Args:
            chance: Another neuron's explanation, judged on the same texts.

        Raises:
            MethodError: too few texts to judge by.
            LanguageModelError: nothing could be asked. Single failed requests are
                missing answers, counted in the coverage.
        """
        ...
