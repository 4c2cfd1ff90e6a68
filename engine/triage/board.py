"""The ranking of all explained neurons, and how scores lie by layer.

The store gives narrow rows, and only those that are new since the last look; choosing,
sorting and counting is arithmetic on columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from engine.errors import MethodError
from engine.index import Index
from engine.neuron import NeuronId
from engine.promoted import named
from engine.store import Store
from engine.store.ranking import mark

#: Bins of a layer's histogram: tenths from 0 to 1; what is below 0 is in the first.
BINS = 10


class Sorting(StrEnum):
    """Orders of the board, as people say them."""

    BEST = "best first"
    WORST = "worst first"
    STRONGEST = "strongest first"
    SPARSEST = "sparsest first"
    NEURON = "by neuron"
    NEWEST = "newest first"


@dataclass(frozen=True, slots=True)
class Filter:
    """What is shown; every limit is inclusive.

    Attributes:
        layer: One layer only; None: all.
        text: Every word begins a word of the explanation.
        score_low, score_high: Neurons without a score are within no such limits.
        active_low, active_high: Share of the tokens at which the neuron fires, 0 to 1.
        explainer: By this explainer only; the best of each neuron is then its best.
        senses_low, senses_high: Number of senses, of neurons whose senses were found in an
            explanation that is kept; others are within no such limits.
        promotes: A token among the ten that the neuron promotes most, whatever its case and
            spaces; needs :meth:`engine.triage.Triages.ready_for`.
    """

    layer: int | None = None
    text: str = ""
    score_low: float | None = None
    score_high: float | None = None
    active_low: float | None = None
    active_high: float | None = None
    explainer: str = ""
    senses_low: int | None = None
    senses_high: int | None = None
    promotes: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One neuron with its best explanation.

    Attributes:
        score: Top-and-random correlation; None when undefined.
        coverage: Share of the text that was simulated.
        fraction_active, maximum: Of the neuron.
        explanation: Row in the store.
        text: Untrusted.
        senses: How many things make it fire; None if they were never looked for.
    """

    neuron: NeuronId
    score: float | None
    coverage: float
    fraction_active: float
    maximum: float
    explanation: int
    explainer: str
    text: str
    senses: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """The scores of one layer.

    Attributes:
        neurons: Explained ones; ``scored`` of them have a score.
        mean, median: Of the scores; None without any.
        histogram: Counts by tenths of the score, from 0 to 1; negative ones in the first.
    """

    layer: int
    neurons: int
    scored: int
    mean: float | None
    median: float | None
    histogram: tuple[int, ...]


class Board:
    """Explained neurons of one index's model, each with its best explanation.

    For one thread at a time. Over the 6144 neurons of the demo model :meth:`refresh`
    reads what is new, and a page takes a few milliseconds.
    """

    def __init__(self, store: Store, index: Index) -> None:
        self._store, self._index = store, index
        self._names: list[str] = []
        self._ints: NDArray[np.int64] = np.zeros((0, 4), dtype=np.int64)
        self._floats: NDArray[np.float64] = np.zeros((0, 2))
        self._newest, self._counts = 0, (0, 0, 0)
        layers = [index.layer(layer) for layer in range(index.n_layers)]
        self._active = np.concatenate([columns.fraction_active for columns in layers])
        self._maximum = np.concatenate([columns.maximum for columns in layers])
        self._senses: NDArray[np.int64] = np.zeros(len(self._active), dtype=np.int64)
        self._sensed = 0
        #: See :func:`engine.promoted.promoted_of_all`; None while nobody needs it.
        self.promoted: NDArray[np.int32] | None = None

    def refresh(self) -> bool:
        """Read what is new; whether anything has changed."""
        counts = self._store.scoring_counts(self._index.model_id)
        if counts == self._counts:
            return False
        self._counts = counts
        rows = self._store.scorings_since(self._index.model_id, self._newest)
        # Something was deleted, or brought back.
        new = np.array([row[0] for row in rows], np.int64)
        if mark(self._ints[:, 0]) + mark(new) != counts[2]:
            self._ints, self._floats = self._ints[:0], self._floats[:0]
            self._senses[:], self._sensed = 0, 0
            rows = self._store.scorings_since(self._index.model_id)
        width = self._index.n_neurons
        ints = [
            (scoring, explanation, layer * width + index, self._code(explainer))
            for scoring, explanation, layer, index, _, _, explainer in rows
        ]
        floats = [(math.nan if row[4] is None else row[4], row[5]) for row in rows]
        self._ints = np.concatenate([self._ints, np.array(ints, np.int64).reshape(-1, 4)])
        self._floats = np.concatenate([self._floats, np.array(floats).reshape(-1, 2)])
        self._newest = int(self._ints[:, 0].max(initial=0))
        for explanation, layer, index, count in self._store.senses_since(
            self._index.model_id, self._sensed
        ):
            if layer * width + index < len(self._senses):
                self._senses[layer * width + index] = count
            self._sensed = explanation
        return True

    def page(
        self,
        only: Filter | None = None,
        sorting: Sorting = Sorting.BEST,
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[list[Row], int]:
        """Some rows of the ranking, and how many it has in all."""
        chosen = self._sorted(self._chosen(only or Filter()), sorting)
        shown = chosen[offset : offset + limit]
        texts = self._store.explanation_texts(self._ints[shown, 1].tolist())
        rows = []
        for place in shown.tolist():
            _, explanation, neuron, code = self._ints[place].tolist()
            score, coverage = self._floats[place].tolist()
            rows.append(
                Row(
                    NeuronId(*divmod(neuron, self._index.n_neurons)),
                    None if math.isnan(score) else score,
                    coverage,
                    float(self._active[neuron]),
                    float(self._maximum[neuron]),
                    explanation,
                    self._names[code],
                    texts.get(explanation, ""),
                    int(self._senses[neuron]) or None,
                )
            )
        return rows, len(chosen)

    def by_layer(self, only: Filter | None = None) -> list[Distribution]:
        """The scores of each layer, also of those without any."""
        chosen = self._chosen(only or Filter())
        layers = self._ints[chosen, 2] // self._index.n_neurons
        found = []
        for layer in range(self._index.n_layers):
            scores = self._floats[chosen[layers == layer], 0]
            known = scores[~np.isnan(scores)]
            bins = np.clip((known * BINS).astype(np.int64), 0, BINS - 1)
            found.append(
                Distribution(
                    layer,
                    len(scores),
                    len(known),
                    float(known.mean()) if len(known) else None,
                    float(np.median(known)) if len(known) else None,
                    tuple(np.bincount(bins, minlength=BINS).tolist()),
                )
            )
        return found

    def _code(self, name: str) -> int:
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)

    def _chosen(self, only: Filter) -> NDArray[np.int64]:
        """Places of each neuron's best explanation that the filter lets through."""
        places = np.arange(len(self._ints))
        if only.explainer:
            code = self._names.index(only.explainer) if only.explainer in self._names else -1
            places = places[self._ints[:, 3] == code]
        # Another index may have had more neurons.
        places = places[self._ints[places, 2] < len(self._active)]
        scores = self._floats[places, 0]
        scoring, explanation, neuron = self._ints[places, :3].T
        # Of each explanation the newest scoring that has a value, then of each neuron
        # the best explanation.
        places = places[_last(np.lexsort((scoring, ~np.isnan(scores), explanation)), explanation)]
        scores = np.nan_to_num(self._floats[places, 0], nan=-np.inf)
        explanation, neuron = self._ints[places, 1:3].T
        places = places[_last(np.lexsort((explanation, scores, neuron)), neuron)]
        return self._limited(places, only)

    def _limited(self, places: NDArray[np.int64], only: Filter) -> NDArray[np.int64]:
        neurons = self._ints[places, 2]
        keep = np.ones(len(places), dtype=np.bool_)
        if only.layer is not None:
            keep &= neurons // self._index.n_neurons == only.layer
        for values, low, high in (
            (self._floats[places, 0], only.score_low, only.score_high),
            (self._active[neurons], only.active_low, only.active_high),
            (self._senses[neurons], only.senses_low, only.senses_high),
        ):
            if low is not None:
                keep &= values >= low
            if high is not None:
                keep &= values <= high
        if only.senses_low is not None or only.senses_high is not None:
            keep &= self._senses[neurons] > 0
        if only.promotes:
            if self.promoted is None:
                raise MethodError("What the neurons promote has not been read yet.")
            wanted = named(self._index.vocabulary, only.promotes)
            keep &= np.isin(self.promoted[neurons], wanted).any(1)
        if only.text:
            found = self._store.explanations_with_words(only.text, self._index.model_id)
            if found is not None:
                keep &= np.isin(self._ints[places, 1], np.fromiter(found, np.int64, len(found)))
        return places[keep]

    def _sorted(self, places: NDArray[np.int64], sorting: Sorting) -> NDArray[np.int64]:
        neurons, scores = self._ints[places, 2], self._floats[places, 0]
        keys = {
            Sorting.BEST: -scores,
            Sorting.WORST: scores,  # NaN sorts last either way
            Sorting.STRONGEST: -self._maximum[neurons],
            Sorting.SPARSEST: self._active[neurons],
            Sorting.NEURON: neurons,
            Sorting.NEWEST: -self._ints[places, 0],
        }
        return places[np.lexsort((neurons, keys[sorting]))]


def _last(order: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of places in an order that gathers equal groups, the last of each group."""
    sorted_groups = group[order]
    ends = np.append(sorted_groups[1:] != sorted_groups[:-1], np.ones(min(len(order), 1), bool))
    return order[ends.astype(np.bool_)]
