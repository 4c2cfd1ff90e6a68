"""What the app's jobs tell the explorer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from engine.neuron import NeuronId

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.events import PipelineEvent, ScanEvent
    from engine.index import Index


class EngineOpened(Message):
    """The engine is there; its index may not be yet."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine


class IndexChanged(Message):
    """A newer generation of the index was opened."""

    def __init__(self, index: Index) -> None:
        super().__init__()
        self.index = index


class ScanMoved(Message):
    """The scan tells where it is; None when it has ended without a word."""

    def __init__(self, event: ScanEvent | None) -> None:
        super().__init__()
        self.event = event


class ExplainMoved(Message):
    """The explanation of a neuron got further; None when it was cancelled."""

    def __init__(self, neuron: NeuronId, event: PipelineEvent | None) -> None:
        super().__init__()
        self.neuron = neuron
        self.event = event


class Problem(Message):
    """An expected failure, told in two sentences.

    Attributes:
        fatal: Nothing can be shown at all: the message takes the place of the panes.
    """

    def __init__(self, message: str, remedy: str = "", *, fatal: bool = False) -> None:
        super().__init__()
        self.message = message
        self.remedy = remedy
        self.fatal = fatal
