"""Which explanations, or neurons, an export or a report is about."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from engine.neuron import NeuronId
from engine.store import codec
from engine.store.searching import match


@dataclass(frozen=True, slots=True)
class Selection:
    """Limits that all hold together; the empty selection is everything.

    Attributes:
        layers, neurons: These only; empty: all.
        text: Every word begins a word of the explanation.
        score_low, score_high: Of the top-and-random correlation, inclusive; what has no
            score is within no such limits.
        starred: Starred neurons only.
        tag: Neurons with this tag only; empty: all.
        explainer: By this explainer only; empty: by any.
        best: Of each neuron the best of what is left, instead of all.
    """

    layers: tuple[int, ...] = ()
    neurons: tuple[NeuronId, ...] = ()
    text: str = ""
    score_low: float | None = None
    score_high: float | None = None
    starred: bool = False
    tag: str = ""
    explainer: str = ""
    best: bool = False

    @property
    def about_explanations(self) -> bool:
        """Whether it leaves out neurons by what was found out about them."""
        return bool(
            self.text or self.explainer or self.score_low is not None or self.score_high is not None
        )


_NEURONS = (
    "(:layers = '[]' OR layer IN (SELECT value FROM json_each(:layers))) "
    "AND (:neurons = '[]' OR name IN (SELECT value FROM json_each(:neurons))) "
    "AND (NOT :starred OR starred_at IS NOT NULL) "
    "AND (:tag = '' OR EXISTS (SELECT 1 FROM neuron_tags JOIN tags ON tags.id = tag_id "
    "WHERE neuron_tags.neuron_id = neurons.id AND tags.name = :tag))"
)


def explanations(
    db: sqlite3.Connection, model: str, only: Selection
) -> list[tuple[int, NeuronId, float | None]]:
    """Row ids, neurons and scores, by neuron, the best explanation of each first."""
    query = match(only.text)
    rows = db.execute(
        "SELECT e.explanation_id, e.layer, e.neuron_index, e.ev_correlation "
        "FROM explanations_with_scores AS e "
        "WHERE e.model_hash = :model AND e.neuron_id IN "
        f"(SELECT neurons.id FROM neurons WHERE {_NEURONS}) "
        "AND (:explainer = '' OR e.explainer = :explainer) "
        "AND (:low IS NULL OR e.ev_correlation >= :low) "
        "AND (:high IS NULL OR e.ev_correlation <= :high) "
        "AND (:query = '' OR e.explanation_id IN "
        "(SELECT rowid FROM explanations_fts WHERE explanations_fts MATCH :query)) "
        "ORDER BY e.layer, e.neuron_index, e.ev_correlation IS NULL, e.ev_correlation DESC, "
        "e.explanation_id DESC",
        {**_values(model, only), "query": query or ""},
    )
    found: list[tuple[int, NeuronId, float | None]] = []
    if only.text and not query:
        return found
    for row, layer, index, score in rows:
        neuron = NeuronId(layer, index)
        if not (only.best and found and found[-1][1] == neuron):
            found.append((row, neuron, score))
    return found


def neurons(db: sqlite3.Connection, model: str, only: Selection) -> list[NeuronId]:
    """Neurons that the database knows of and that lie within the selection's limits.

    Limits on explanations are left to :func:`explanations`.
    """
    rows = db.execute(
        "SELECT layer, neuron_index FROM neurons JOIN models ON models.id = neurons.model_id "
        f"WHERE models.hash = :model AND {_NEURONS.replace('name IN', 'neurons.name IN')} "
        "ORDER BY layer, neuron_index",
        _values(model, only),
    )
    return [NeuronId(layer, index) for layer, index in rows]


def _values(model: str, only: Selection) -> dict[str, object]:
    return {
        "model": model,
        "layers": json.dumps(list(only.layers)),
        "neurons": json.dumps([str(neuron) for neuron in only.neurons]),
        "starred": int(only.starred),
        "tag": codec.clean(only.tag),
        "explainer": only.explainer,
        "low": only.score_low,
        "high": only.score_high,
    }
