"""Scores as values: a number never travels without what it rests on.

The arithmetic is in :mod:`engine.scoring`; here are only the results.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from engine.models.request import Usage
from engine.simulation import Simulation


class Scope(StrEnum):
    """Which of the score split's records a number covers (method.md 1.2, 1.10)."""

    TOP_AND_RANDOM = "top-and-random"
    RANDOM_ONLY = "random-only"


class ScoreStatus(StrEnum):
    """Why a number is there, or is not."""

    OK = "ok"
    PARTIAL = "partial"  # some tokens have no simulated value
    UNDEFINED = "undefined"  # no variance on one side: correlation has no value
    FAILED = "failed"  # nothing was simulated, or there are too few records


@dataclass(frozen=True, slots=True)
class Interval:
    """A bootstrap confidence interval; whole records are drawn, not tokens."""

    low: float
    high: float
    level: float = 0.95
    resamples: int = 2000


@dataclass(frozen=True, slots=True)
class Score:
    """How well expected activations match the true ones over some records.

    Attributes:
        scope: Which records.
        status: Whether the numbers can be relied on.
        ev_correlation: Pearson correlation over the concatenated tokens; None when
            undefined.
        interval: Its confidence interval; None when it can't be had.
        rsquared: 1 - mean((y-x)^2) / mean(y^2), as the method defines it: against
            the second moment, not the variance. None when undefined.
        absolute_dev_explained: 1 - mean|y-x| / mean|y|. None when undefined.
        records, tokens: How many of each the numbers cover.
        coverage: Share of the scope's tokens that had a simulated value.
        message: One line for people when the status is not ``OK``.
    """

    scope: Scope
    status: ScoreStatus
    ev_correlation: float | None
    interval: Interval | None
    rsquared: float | None
    absolute_dev_explained: float | None
    records: int
    tokens: int
    coverage: float
    message: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredRecord:
    """One held-out record: real, simulated, and how they agree.

    Attributes:
        role: ``top`` or ``random``: which half of the split it belongs to.
        simulation: The prediction; its excerpt is the record's text.
        activations: The true activations, float32 [T].
        ev_correlation: Pearson over this record alone; None when undefined.
    """

    role: str
    simulation: Simulation
    activations: NDArray[np.float32]
    ev_correlation: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """What something that knows nothing, or little, scores on the same records."""

    name: str
    description: str
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ScoreCard:
    """Everything that is known about how good one explanation is.

    Attributes:
        simulator, simulator_settings: Who simulated.
        split: Name of the split scored on, ``valid`` or ``test``.
        scores: One per scope, top-and-random first.
        records: The records in the order scored.
        baselines: Scored on the same records.
        seconds: Time spent simulating and scoring.
        usage: Tokens that language models used to simulate, the chance baseline's among
            them.
    """

    simulator: str
    simulator_settings: dict[str, object]
    split: str
    scores: tuple[Score, ...]
    records: tuple[ScoredRecord, ...]
    baselines: tuple[Baseline, ...]
    seconds: float
    usage: Usage = field(default_factory=Usage)

    def score(self, scope: Scope = Scope.TOP_AND_RANDOM) -> Score:
        """The score of one scope."""
        return next(score for score in self.scores if score.scope is scope)
