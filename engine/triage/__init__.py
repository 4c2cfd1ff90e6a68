"""Explaining many neurons: a layer, a list or the whole model, for minutes or a night.

A run is a row in the store (:class:`engine.store.StoredTriage`).  Every result is saved
as it comes, with the row, so that a run that was stopped, killed or cut off by a power
failure goes on where it was, and every process sees how far it is.  It can run in a
process of its own that outlives the front end.
"""

from engine.triage.board import Board, Distribution, Filter, Row, Sorting
from engine.triage.events import (
    NeuronDone,
    NeuronFailed,
    TriageEvent,
    TriageFailed,
    TriageFinished,
    TriageProgress,
    TriageStarted,
    TriageStopped,
    TriageWaiting,
    event_json,
)
from engine.triage.request import TriageRequest
from engine.triage.triages import Standing, Status, Triages

__all__ = [
    "Board",
    "Distribution",
    "Filter",
    "NeuronDone",
    "NeuronFailed",
    "Row",
    "Sorting",
    "Standing",
    "Status",
    "TriageEvent",
    "TriageFailed",
    "TriageFinished",
    "TriageProgress",
    "TriageRequest",
    "TriageStarted",
    "TriageStopped",
    "TriageWaiting",
    "Triages",
    "event_json",
]
