"""What the user is looking at, without any widget: current neuron, order, groups, results.

Pure values and functions, so that they are tested without a terminal.  The engine's
types are named for the type checker alone: importing this loads neither numpy nor the
engine, which the first paint has no time for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from engine.neuron import NeuronId
from tui.history import History
from tui.look import PLAIN, Look

if TYPE_CHECKING:
    from engine.catalogue import Catalogue
    from engine.events import Spent
    from engine.explanation import Explanation
    from engine.index import LayerStatistics
    from engine.judgement import Judgement
    from engine.public_data.shapes import PublicNeuron
    from engine.records import NeuronRecord, TokenMeans
    from engine.score import ScoreCard, ScoredRecord
    from engine.store import Annotation, StoredExplanation, StoredSimulation


class Sort(StrEnum):
    """Orders of the neuron list; each is worded as the list says it."""

    INDEX = "by index"
    STRONGEST = "strongest first"
    SPARSEST = "sparsest first"
    EXPLAINED = "best explained first"
    STARRED = "starred first"

    def next(self) -> Sort:
        """The order after this one."""
        orders = list(Sort)
        return orders[(orders.index(self) + 1) % len(orders)]


@dataclass(frozen=True, slots=True)
class GroupTab:
    """A group of excerpts: the engine's name of it, two labels and a description."""

    key: str
    label: str
    short: str
    description: str


HELD_OUT = "held-out"
#: Keys but the last are values of :class:`engine.records.Group`.
GROUPS: tuple[GroupTab, ...] = (
    GroupTab("top", "Top", "Top", "strongest windows"),
    GroupTab("band-3", ".99–.999", ".999", "windows from .99 to .999"),
    GroupTab("band-2", ".9–.99", ".99", "windows from .9 to .99"),
    GroupTab("band-1", ".5–.9", ".9", "windows from .5 to .9"),
    GroupTab("band-0", "0–.5", ".5", "windows below the median"),
    GroupTab("random", "Random", "Rand", "windows drawn at random"),
    GroupTab("bottom", "Negative", "Neg", "most negative windows"),
    GroupTab(HELD_OUT, "Held-out", "Held", "held-out, real above simulated"),
)


@dataclass(slots=True)
class Result:
    """A running or finished explanation of one neuron, kept until the app ends.

    Attributes:
        words: What has streamed in so far.
        stage: What it is doing, for people; empty when it has ended.
        preparing: What the explainer does before its first word, for people.
        failure: Message and remedy, empty while all is well.
        saved: Row in the store, None while unsaved.
        candidate: Which of several candidates the words are of; empty for a single one.
        candidates: Text, score on valid and whether kept, of each that was scored.
        judgements: Of further scorers, as they come.
        remarks: What else went wrong without ending it.
        spent: What language models have used.
    """

    neuron: NeuronId
    words: list[str] = field(default_factory=list)
    stage: str = ""
    preparing: str = ""
    failure: str = ""
    explanation: Explanation | None = None
    card: ScoreCard | None = None
    records: list[ScoredRecord] = field(default_factory=list)
    saved: int | None = None
    candidate: str = ""
    candidates: list[tuple[str, float | None, bool]] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    spent: Spent | None = None

    @property
    def running(self) -> bool:
        """Whether more is to come."""
        return bool(self.stage)

    @property
    def unsaved(self) -> bool:
        """Whether quitting would lose something."""
        return self.explanation is not None and self.saved is None and not self.running


@dataclass(slots=True)
class LayerView:
    """One layer as the list shows it.

    Attributes:
        scores: The best of each neuron.
        present: The neurons there are, rising.
        grows: Whether columns and scores fill while neurons are loaded: those of a
            published dataset do.
    """

    layer: int
    statistics: LayerStatistics
    scores: dict[int, float]
    annotations: Mapping[int, Annotation]
    present: Sequence[int]
    grows: bool = False


@dataclass(slots=True)
class NeuronView:
    """One neuron as the panes show it; read in one go from index and store.

    Attributes:
        public: What a published dataset has beside; None for an index.
        caveats: What a score on these excerpts is subject to.
    """

    record: NeuronRecord
    means: TokenMeans
    saved: Sequence[StoredExplanation]
    held_out: Sequence[StoredSimulation]
    annotation: Annotation | None
    public: PublicNeuron | None = None
    caveats: Sequence[str] = ()


def read_layer(index: Catalogue, store: object, layer: int) -> LayerView:
    """Read a layer's columns, best scores and annotations (a few milliseconds)."""
    from engine.catalogue import dataset_of
    from engine.known import best_scores_of
    from engine.store import Store

    assert isinstance(store, Store)
    return LayerView(
        layer,
        index.layer(layer),
        best_scores_of(index, store, layer),
        store.annotations(index.model_id, layer),
        index.present(layer),
        dataset_of(index) is not None,
    )


def read_neuron(
    index: Catalogue, store: object, neuron: NeuronId, preferred: int | None = None
) -> NeuronView:
    """Read everything about one prepared neuron (a few milliseconds).

    Args:
        preferred: The saved explanation to put first; None for the best.
    """
    from engine.catalogue import dataset_of
    from engine.known import explanations_of, scored_records_of
    from engine.store import Store

    assert isinstance(store, Store)
    saved = explanations_of(index, store, neuron)
    dataset = dataset_of(index)
    saved.sort(key=lambda one: one.id != preferred)
    best = saved[0] if saved else None
    held_out = scored_records_of(index, store, best) if best is not None else []
    annotations = store.annotations(index.model_id, neuron.layer)
    return NeuronView(
        index.neuron(neuron),
        index.token_means(neuron),
        saved,
        held_out,
        annotations.get(neuron.index),
        None if dataset is None else dataset.public(neuron),
        () if dataset is None else dataset.caveats,
    )


def ordered(view: LayerView, sort: Sort, pinned: Iterable[int] = ()) -> list[int]:
    """Neuron indices in the list's order; ties keep the order of their index.

    Args:
        pinned: Neurons with an unsaved result, which count as explained.
    """
    columns, there = view.statistics, view.present
    if sort is Sort.STRONGEST:
        # What is not known comes last, as NaN does here.
        order = (-columns.maximum).argsort(kind="stable").tolist()
        return order if len(there) == len(order) else sorted(there, key=_places(order))
    if sort is Sort.SPARSEST:
        # A neuron that never fires is not sparse but dead: those come last.
        shares = columns.fraction_active.tolist()
        return sorted(there, key=lambda i: (not shares[i] > 0, shares[i] if shares[i] > 0 else 0))
    if sort is Sort.EXPLAINED:
        waiting = set(pinned)
        return sorted(
            there,
            key=lambda i: (i not in view.scores and i not in waiting, -view.scores.get(i, -1.0)),
        )
    if sort is Sort.STARRED:
        stars = {i for i, note in view.annotations.items() if note.starred}
        return sorted(there, key=lambda i: i not in stars)
    return list(there)


def holds(index: Catalogue, neuron: NeuronId) -> bool:
    """Whether there is such a neuron."""
    return neuron.layer < index.n_layers and neuron.index in index.present(neuron.layer)


def neuron_beside(index: Catalogue, neuron: NeuronId, by: int) -> NeuronId:
    """The neuron of the same index, or the one nearest to it, ``by`` layers away.

    Layers without neurons, which a part of a dataset has, are passed over.
    """
    layer = neuron.layer
    for _ in range(index.n_layers):
        layer = (layer + by) % index.n_layers
        there = index.present(layer)
        if there:
            near = min(there, key=lambda i: abs(i - neuron.index))
            return NeuronId(layer, near)
    return neuron


def _places(order: Sequence[int]) -> Callable[[int], int]:
    places = {index: place for place, index in enumerate(order)}
    return places.__getitem__


@dataclass(slots=True)
class Session:
    """Where the user is, and what was found out but not saved."""

    neuron: NeuronId = field(default_factory=lambda: NeuronId(0, 0))
    sort: Sort = Sort.INDEX
    group: str = "top"
    #: How heatmaps are drawn.
    look: Look = PLAIN
    #: What was last typed in the prompt lab.
    prompt: str = ""
    #: What the map shows, the library's filter and its order, as last chosen.
    quantity: str = "score"
    library: str = ""
    library_order: str = ""
    #: What was last looked for with ``/``.
    sought: str = ""
    #: Lines of the command line, the last one last.
    commands: list[str] = field(default_factory=list)
    #: Neurons by the letter that marks them.
    marks: dict[str, NeuronId] = field(default_factory=dict)
    visited: History = field(default_factory=History)
    results: dict[NeuronId, Result] = field(default_factory=dict)

    def unsaved(self) -> list[Result]:
        """Results that quitting would lose, in order of neurons."""
        return [result for _, result in sorted(self.results.items()) if result.unsaved]

    @property
    def running(self) -> Result | None:
        """The explanation under way, if any; one runs at a time."""
        return next((result for result in self.results.values() if result.running), None)


def clock(seconds: float) -> str:
    """``0:21``, ``12:05``, ``3:07:00``."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def number(value: float | None, places: int = 2) -> str:
    """A score or an activation; an en dash when there is none."""
    if value is None or value != value:
        return "–"
    return f"{value:.{places}f}"
