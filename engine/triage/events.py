"""Typed events of a triage; each stream ends with exactly one terminal event."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from engine.models.request import Usage
from engine.neuron import NeuronId


@dataclass(frozen=True, slots=True)
class TriageStarted:
    """First event.

    Attributes:
        triage: The run's row in the store.
        total: Neurons asked for; ``skipped`` of them are explained alike already, and
            ``done`` by an earlier part of this run.
    """

    triage: int
    scope: str
    explainer: str
    simulator: str
    total: int
    skipped: int
    done: int


@dataclass(frozen=True, slots=True)
class NeuronDone:
    """A neuron is explained and scored, and that is on disk.

    Attributes:
        score: Top-and-random correlation; None when undefined.
        explanation: Its row in the store.
        text: The explanation. Untrusted.
    """

    neuron: NeuronId
    score: float | None
    explanation: int
    text: str


@dataclass(frozen=True, slots=True)
class NeuronFailed:
    """A neuron could not be explained, and that is on disk; the run goes on."""

    neuron: NeuronId
    message: str


@dataclass(frozen=True, slots=True)
class TriageProgress:
    """Where the run stands.

    Attributes:
        done, failed: Of this run, its earlier parts among them.
        rate: Neurons per second of late; None while unknown.
        seconds_left: Estimate; None while unknown.
        usage, replayed, money: What language models used in the whole run.
        note: What it is waiting for; else empty. Untrusted.
    """

    total: int
    skipped: int
    done: int
    failed: int
    rate: float | None
    seconds_left: float | None
    usage: Usage = field(default_factory=Usage)
    replayed: int = 0
    money: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class TriageFinished:
    """Terminal: nothing is left to do. ``seconds`` are those of this part of the run."""

    done: int
    failed: int
    skipped: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TriageStopped:
    """Terminal: it was stopped; what is done is kept, and the run can go on."""

    done: int
    failed: int
    left: int


@dataclass(frozen=True, slots=True)
class TriageWaiting:
    """Terminal: batches are with the vendors; resuming the run later collects them.

    Attributes:
        batches: How many are under way.
        requests: Theirs; ``answered`` of them, as the vendors tell.
        note: The same in words, with what came of the last ones.
    """

    done: int
    failed: int
    left: int
    batches: int
    requests: int
    answered: int
    note: str


@dataclass(frozen=True, slots=True)
class TriageFailed:
    """Terminal: every further neuron would fail alike; what is done is kept.

    Attributes:
        exit_code: What kind of failure, as :mod:`engine.errors` numbers them.
    """

    message: str
    remedy: str
    exit_code: int = 8


TriageEvent = (
    TriageStarted
    | NeuronDone
    | NeuronFailed
    | TriageProgress
    | TriageFinished
    | TriageStopped
    | TriageWaiting
    | TriageFailed
)


def event_json(event: TriageEvent) -> dict[str, Any]:
    """An event as JSON values, a neuron by its name."""
    facts = asdict(event)
    if isinstance(event, NeuronDone | NeuronFailed):
        facts["neuron"] = str(event.neuron)
    return {"event": type(event).__name__, **facts}
