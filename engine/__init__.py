"""The engine of neuroglass: from text to scored explanations, without a user interface.

The names below are the public ones: they stay as they are within a major version, while
modules and what else is in them may move.  Each is loaded when it is first used, so that
importing this package costs next to nothing.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Threads that spin at every barrier starve each other as soon as anything else runs:
# with one other busy process, a forward pass on two cores took five times as long as
# with threads that wait. OpenMP reads this once, when torch loads, so it is set here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from engine.choices import Choices as Choices
    from engine.choices import Price as Price
    from engine.engine import Engine as Engine
    from engine.errors import NeuroglassError as NeuroglassError
    from engine.events import Explained as Explained
    from engine.events import PipelineFailed as PipelineFailed
    from engine.events import RecordSimulated as RecordSimulated
    from engine.events import ScanFailed as ScanFailed
    from engine.events import ScanFinished as ScanFinished
    from engine.events import ScanProgress as ScanProgress
    from engine.events import Scored as Scored
    from engine.explanation import Explanation as Explanation
    from engine.exports import Exports as Exports
    from engine.imports import Imported as Imported
    from engine.index import Index as Index
    from engine.keep import Keep as Keep
    from engine.models.faults import LanguageModelError as LanguageModelError
    from engine.neuron import NeuronId as NeuronId
    from engine.records import ActivationRecord as ActivationRecord
    from engine.records import Excerpt as Excerpt
    from engine.records import Group as Group
    from engine.reports import Reports as Reports
    from engine.scan_request import ScanRequest as ScanRequest
    from engine.score import Score as Score
    from engine.score import ScoreCard as ScoreCard
    from engine.simulation import Simulation as Simulation
    from engine.store import Selection as Selection
    from engine.store import Store as Store
    from engine.triage import Board as Board
    from engine.triage import Filter as Filter
    from engine.triage import NeuronDone as NeuronDone
    from engine.triage import NeuronFailed as NeuronFailed
    from engine.triage import Sorting as Sorting
    from engine.triage import TriageFailed as TriageFailed
    from engine.triage import TriageFinished as TriageFinished
    from engine.triage import TriageRequest as TriageRequest
    from engine.triage import Triages as Triages
    from engine.triage import TriageStopped as TriageStopped
    from engine.triage import TriageWaiting as TriageWaiting

#: Where each public name is, in the order of the reference.
_PUBLIC = {
    "Engine": "engine.engine",
    "NeuronId": "engine.neuron",
    "ScanRequest": "engine.scan_request",
    "Keep": "engine.keep",
    "ScanProgress": "engine.events",
    "ScanFinished": "engine.events",
    "ScanFailed": "engine.events",
    "Index": "engine.index",
    "Group": "engine.records",
    "Excerpt": "engine.records",
    "ActivationRecord": "engine.records",
    "Choices": "engine.choices",
    "Price": "engine.choices",
    "Explanation": "engine.explanation",
    "Explained": "engine.events",
    "Simulation": "engine.simulation",
    "RecordSimulated": "engine.events",
    "Score": "engine.score",
    "ScoreCard": "engine.score",
    "Scored": "engine.events",
    "PipelineFailed": "engine.events",
    "Store": "engine.store",
    "TriageRequest": "engine.triage",
    "Triages": "engine.triage",
    "NeuronDone": "engine.triage",
    "NeuronFailed": "engine.triage",
    "TriageFinished": "engine.triage",
    "TriageStopped": "engine.triage",
    "TriageWaiting": "engine.triage",
    "TriageFailed": "engine.triage",
    "Board": "engine.triage",
    "Filter": "engine.triage",
    "Sorting": "engine.triage",
    "Selection": "engine.store",
    "Exports": "engine.exports",
    "Imported": "engine.imports",
    "Reports": "engine.reports",
    "NeuroglassError": "engine.errors",
    "LanguageModelError": "engine.models.faults",
}

__all__ = list(_PUBLIC)

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _PUBLIC:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(_PUBLIC[name]), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *_PUBLIC})
