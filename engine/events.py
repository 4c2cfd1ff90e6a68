"""Typed events: what the engine's streams yield, and all that a front end draws.

Two streams exist.  A scan yields :data:`ScanEvent`; explaining and scoring yields
:data:`PipelineEvent`.  Each stream ends with exactly one terminal event.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.explanation import Explanation, Preparing, Word
from engine.judgement import Judgement
from engine.models.request import Usage
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
class ScanPlanned:
    """What the scan will take; sizes in bytes.

    Attributes:
        path: Where the index will be.
        neurons: Of the whole model.
        model_bytes: Its weights.
        record_bytes: What is kept of all neurons while it runs.
        buffer_bytes: What one batch needs, or one layer while it is written.
        text_bytes: Token ids of all windows.
        disk_bytes: The finished index's arrays.
        peak_disk_bytes: While an unfinished one is replaced by the next.
    """

    path: str
    windows: int
    tokens: int
    neurons: int
    model_bytes: int
    record_bytes: int
    buffer_bytes: int
    text_bytes: int
    disk_bytes: int
    peak_disk_bytes: int

    @property
    def memory_bytes(self) -> int:
        """All that is planned; the interpreter and its libraries come on top."""
        return self.model_bytes + self.record_bytes + self.buffer_bytes + self.text_bytes


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


ScanEvent = (
    ScanStage | ScanPlanned | ScanProgress | ScanPublished | ScanFinished | ScanStopped | ScanFailed
)

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


@dataclass(frozen=True, slots=True)
class CandidateStarted:
    """Words of another candidate follow; ``number`` counts from 1, revisions last.

    Sent only when there are several.
    """

    number: int
    total: int
    revision: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class CandidateScored:
    """One of several candidate explanations is scored on the split that chooses.

    Attributes:
        number, total: Counts from 1; revisions follow samples.
        ev_correlation: Over top and random records of the choosing split; None when
            undefined or failed.
        kept: Whether it is the best so far.
    """

    number: int
    total: int
    explanation: Explanation
    ev_correlation: float | None
    kept: bool


@dataclass(frozen=True, slots=True)
class CandidateFailed:
    """One of several candidates could not be written; the others go on."""

    number: int
    total: int
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Judging:
    """A further scorer is at work; ``done`` of ``total`` requests are answered."""

    scorer: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A further scorer is done."""

    judgement: Judgement


@dataclass(frozen=True, slots=True)
class JudgeFailed:
    """A further scorer could not judge; the score and the other scorers stand."""

    scorer: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Spent:
    """What language models have used in this stream so far.

    Attributes:
        money: In the currency of the user's prices; None when a price is not known.
        replayed: Requests answered from the reply cache.
        retry: What is being waited for, such as ``rate limit, again in 3 s``; else empty.
    """

    usage: Usage
    money: float | None
    replayed: int
    retry: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Terminal: everything is known. ``judgements`` are those of the further scorers."""

    explanation: Explanation
    card: ScoreCard
    judgements: tuple[Judgement, ...] = ()


@dataclass(frozen=True, slots=True)
class PipelineFailed:
    """Terminal: it can't go on; events so far stand.

    Attributes:
        stage: ``explain``, ``simulate`` or ``score``.
        exit_code: What kind of failure, as :mod:`engine.errors` numbers them.
        everywhere: Every other neuron would fail alike: no key, the budget spent.
    """

    stage: str
    message: str
    remedy: str
    exit_code: int = 8
    everywhere: bool = False


PipelineEvent = (
    PipelineStarted
    | Preparing
    | Word
    | Explained
    | CandidateStarted
    | CandidateScored
    | CandidateFailed
    | RecordSimulated
    | Judging
    | Judged
    | JudgeFailed
    | Spent
    | Scored
    | PipelineFailed
)
