"""One way of explaining and scoring, put together and ready to run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.explanation import Evidence, Explainer, Explanation, Side, Word
from engine.judgement import Scorer
from engine.simulation import Simulator
from engine.splits import PER_SPLIT, Splits


class Reviser(Protocol):
    """Tries an explanation on texts of its own and writes a better one."""

    def revise(
        self, explanation: Explanation, evidence: Evidence
    ) -> AsyncIterator[Word | Explanation]:
        """Stream words, then exactly one :class:`Explanation`, last.

        Raises:
            LanguageModelError: the model could not answer.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """How to explain and to score: what :class:`engine.choices.Choices` names, made.

    Attributes:
        split: Where the score is computed: ``valid``, ``test`` or ``calibration``. Where
            candidates are chosen among on valid, a score on valid becomes one on test.
        per_split: Top and random records to score on, each; None: a third of those kept.
        samples: Explanations to draw.
        reviser, revisions: Who revises the best of them, and how often.
        calibration: ``none``, ``linear`` or ``percentile``, fitted on the calibration split.
        chance: Another neuron's explanation, to be scored on the same records.
        scorers: Makes further scorers once the splits are known.
        side: Side of the neuron; records and means given must be of it already.
        parallel: Simulations under way at the same time.
        waiting: Whether a request has been put off until a batch: what is computed then
            only finds out what else is to be asked, and nothing is chosen by it.
    """

    explainer: Explainer
    simulator: Simulator
    split: str = "valid"
    per_split: int | None = PER_SPLIT
    samples: int = 1
    reviser: Reviser | None = None
    revisions: int = 0
    calibration: str = "none"
    chance: Explanation | None = None
    scorers: Callable[[Simulator, Splits], Sequence[Scorer]] = lambda _simulator, _splits: ()
    side: Side = "positive"
    parallel: int = 4
    waiting: Callable[[], bool] = lambda: False

    @property
    def selects(self) -> bool:
        """Whether candidates are chosen among on valid."""
        return self.samples > 1 or (self.reviser is not None and self.revisions > 0)

    @property
    def report_split(self) -> str:
        """Where the score is computed: never where it was chosen by."""
        return "test" if self.selects and self.split == "valid" else self.split
