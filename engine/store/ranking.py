"""Reads for rankings over a whole model: narrow rows, and only those not yet seen."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.store.searching import match


def scorings_since(db: sqlite3.Connection, model: str, scoring: int) -> list[tuple[Any, ...]]:
    """Scorings of a model with a greater row id.

    Returns:
        (scoring, explanation, layer, neuron index, top-and-random correlation or None,
        coverage, explainer) of each, by row id.
    """
    rows = db.execute(
        "SELECT scorings.id, explanations.id, layer, neuron_index, ev_correlation, "
        "coalesce(coverage, 0.0), explainer FROM scorings "
        "JOIN explanations ON explanations.id = scorings.explanation_id "
        "JOIN neurons ON neurons.id = explanations.neuron_id "
        "JOIN models ON models.id = neurons.model_id "
        "LEFT JOIN scores ON scores.scoring_id = scorings.id AND scope = 'top-and-random' "
        "WHERE scorings.id > ? AND models.hash = ? AND deleted_at IS NULL ORDER BY scorings.id",
        (scoring, model),
    )
    return [tuple(row) for row in rows]


def senses_since(
    db: sqlite3.Connection, model: str, explanation: int
) -> list[tuple[int, int, int, int]]:
    """How many senses explanations with a greater row id tell apart.

    Returns:
        (explanation, layer, neuron index, number) of each that has any, by row id.
    """
    # Rules are long to read: only those are that have senses in them.
    rows = db.execute(
        "SELECT explanations.id, layer, neuron_index, "
        "coalesce(json_array_length(rules, '$.senses'), 0) FROM explanations "
        "JOIN neurons ON neurons.id = explanations.neuron_id "
        "JOIN models ON models.id = neurons.model_id "
        "WHERE explanations.id > ? AND models.hash = ? AND deleted_at IS NULL "
        "AND rules IS NOT NULL AND json_valid(rules) "
        "AND (explainer = 'senses' OR explanations.settings LIKE '%\"by_sense\"%') "
        "ORDER BY explanations.id",
        (explanation, model),
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows if row[3]]


#: Factors and primes of :func:`mark`.
_BY, _OF = (7919, 7907), (10_007, 10_009)


def mark(ids: NDArray[np.int64]) -> int:
    """A number by which sets of row ids are told apart, below 2^27 for each id.

    Their sum would not do: when 3 is deleted as 1 and 2 are brought back, it is the same.
    """
    return int((ids * _BY[0] % _OF[0] * (ids * _BY[1] % _OF[1])).sum())


def scoring_counts(db: sqlite3.Connection, model: str) -> tuple[int, int, int]:
    """How many scorings a model has, the row id of the newest, and :func:`mark` of all.

    All are 0 without any. If none of the three has changed, neither have the scorings.
    """
    marks = f"scorings.id * {_BY[0]} % {_OF[0]} * (scorings.id * {_BY[1]} % {_OF[1]})"
    row = db.execute(
        f"SELECT count(*), coalesce(max(scorings.id), 0), coalesce(sum({marks}), 0) "
        "FROM scorings "
        "JOIN explanations ON explanations.id = scorings.explanation_id "
        "JOIN neurons ON neurons.id = explanations.neuron_id "
        "JOIN models ON models.id = neurons.model_id WHERE models.hash = ? AND deleted_at IS NULL",
        (model,),
    ).fetchone()
    return row[0], row[1], row[2]


def explained_neurons(
    db: sqlite3.Connection, model: str
) -> list[tuple[int, int, int, float | None]]:
    """Layer, index, explanations and best top-and-random correlation of explained neurons."""
    rows = db.execute(
        "SELECT layer, neuron_index, count(*), max(ev_correlation) FROM explanations "
        "JOIN neurons ON neurons.id = explanations.neuron_id "
        "JOIN models ON models.id = neurons.model_id "
        "JOIN current_scorings ON current_scorings.explanation_id = explanations.id "
        "LEFT JOIN scores ON scores.scoring_id = current_scorings.scoring_id "
        "AND scores.scope = 'top-and-random' "
        "WHERE models.hash = ? AND deleted_at IS NULL GROUP BY neurons.id",
        (model,),
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def texts(db: sqlite3.Connection, ids: Sequence[int]) -> dict[int, str]:
    """Explanation row id to its text; unknown ids are left out."""
    rows = db.execute(
        "SELECT id, text FROM explanations WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    )
    return {row[0]: row[1] for row in rows}


def with_words(db: sqlite3.Connection, text: str, model: str) -> set[int] | None:
    """Explanations in which every word begins some word; None where no word is given."""
    query = match(text)
    if not query:
        return None
    rows = db.execute(
        "SELECT explanations.id FROM explanations_fts "
        "JOIN explanations ON explanations.id = explanations_fts.rowid "
        "JOIN neurons ON neurons.id = explanations.neuron_id "
        "JOIN models ON models.id = neurons.model_id "
        "WHERE explanations_fts MATCH ? AND models.hash = ? AND deleted_at IS NULL",
        (query, model),
    )
    return {row[0] for row in rows}
