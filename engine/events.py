"""Typed events: what the engine's streams yield, and all that a front end draws.

Two streams exist.  A scan yields :data:`ScanEvent`; explaining and scoring yields
:data:`PipelineEvent`.  Each stream ends with exactly one terminal event.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.explanation import Explanation, Word
from engine.neuron import NeuronId
from engine.score import ScoreCard, ScoredRecord

# ---------------------------------------------------------------- scan


@dataclass(frozen=True, slots=True)
class ScanStage:
    """The scan entered a stage before or after the pass itself.

    Attributes:
        text: For people: ``loading the model``, ``reading text``, ``writing``.
    """

    text: str


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far the pass is.

    Attributes:
        tokens_per_second: Over the last seconds; 0.0 while unknown.
        seconds_left: Estimate; None while unknown.
        resumed_from: Windows that an earlier, interrupted run had already done.
    """

    windows_done: int
    windows_total: int
    tokens_done: int
    tokens_total: int
    tokens_per_second: float
    seconds_left: float | None
    resumed_from: int = 0


@dataclass(frozen=True, slots=True)
class ScanPublished:
    """A newer index can be opened at ``path``; partial until the scan finishes."""

    path: str
    windows_done: int
    windows_total: int


@dataclass(frozen=True, slots=True)
class ScanFinished:
    """Terminal: the index at ``path`` is complete."""

    path: str
    windows: int
    tokens: int
    seconds: float
    bytes_on_disk: int


@dataclass(frozen=True, slots=True)
class ScanStopped:
    """Terminal: cancelled; what was scanned is kept and the next scan resumes."""

    windows_done: int
    windows_total: int


@dataclass(frozen=True, slots=True)
class ScanFailed:
    """Terminal: the scan can't go on; what was scanned is kept.

    Attributes:
        exit_code: What kind of failure, as :mod:`engine.errors` numbers them.
    """

    message: str
    remedy: str
    exit_code: int = 7


ScanEvent = ScanStage | ScanProgress | ScanPublished | ScanFinished | ScanStopped | ScanFailed

# ---------------------------------------------------------------- explain, simulate, score


@dataclass(frozen=True, slots=True, eq=False)
class PipelineStarted:
    """First event.

    Attributes:
        records: How many held-out records will be simulated.
    """

    neuron: NeuronId
    explainer: str
    simulator: str
    records: int


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """The explanation is complete."""

    explanation: Explanation


@dataclass(frozen=True, slots=True, eq=False)
class RecordSimulated:
    """One held-out record is simulated; ``number`` counts from 1 to ``total``."""

    number: int
    total: int
    record: ScoredRecord


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Terminal: everything is known."""

    explanation: Explanation
    card: ScoreCard


@dataclass(frozen=True, slots=True)
class PipelineFailed:
    """Terminal: it can't go on; events so far stand.

    Attributes:
        stage: ``explain``, ``simulate`` or ``score``.
    """

    stage: str
    message: str
    remedy: str


PipelineEvent = PipelineStarted | Word | Explained | RecordSimulated | Scored | PipelineFailed
