"""What one read asks of the tables; each function runs inside one read transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from engine.models.request import Usage
from engine.neuron import NeuronId
from engine.score import Baseline, Scope, Score, ScoreStatus
from engine.simulation import Scale, SimulationStatus
from engine.store import codec, judgements
from engine.store.kinds import (
    Annotation,
    Counts,
    IndexFacts,
    Order,
    StoredExplanation,
    StoredSimulation,
    StoredSource,
)

_BEST = "ev_correlation IS NULL, ev_correlation DESC, explanation_id DESC"
_ORDERS: dict[Order, str] = {
    "best": _BEST,
    "newest": "explanation_id DESC",
    "neuron": f"layer, neuron_index, {_BEST}",
}


def explanations_of(
    db: sqlite3.Connection, model: str, neuron: NeuronId
) -> list[StoredExplanation]:
    """The neuron's explanations, best first, never scored ones last."""
    ids = db.execute(
        "SELECT explanation_id FROM explanations_with_scores WHERE model_hash = ? "
        f"AND layer = ? AND neuron_index = ? ORDER BY {_BEST}",
        (model, neuron.layer, neuron.index),
    )
    return load(db, [row[0] for row in ids])


def list_explanations(
    db: sqlite3.Connection, model: str, limit: int, offset: int, order: Order
) -> list[StoredExplanation]:
    """A page of the model's explanations."""
    if order == "newest":  # needs no score, and so not the view
        ids = db.execute(
            "SELECT explanations.id FROM explanations "
            "JOIN neurons ON neurons.id = explanations.neuron_id "
            "JOIN models ON models.id = neurons.model_id "
            "WHERE models.hash = ? AND deleted_at IS NULL "
            "ORDER BY explanations.id DESC LIMIT ? OFFSET ?",
            (model, limit, offset),
        )
    else:
        ids = db.execute(
            "SELECT explanation_id FROM explanations_with_scores WHERE model_hash = ? "
            f"ORDER BY {_ORDERS[order]} LIMIT ? OFFSET ?",
            (model, limit, offset),
        )
    return load(db, [row[0] for row in ids])


def load(
    db: sqlite3.Connection, ids: Sequence[int], *, deleted: bool = False
) -> list[StoredExplanation]:
    """Whole explanations in the order of ``ids``; unknown ids are left out.

    Args:
        deleted: Also those that were deleted.
    """
    wanted = json.dumps(list(ids))
    rows = db.execute(
        "SELECT explanations.*, models.hash AS model_hash, indexes.hash AS index_hash, "
        "neurons.layer, neurons.neuron_index, scorings.id AS scoring_id, scorings.simulator, "
        "scorings.settings AS simulator_settings, scorings.split, "
        "scorings.created_at AS scored_at, scorings.seconds AS scoring_seconds, "
        "scorings.input_tokens AS scoring_input, scorings.output_tokens AS scoring_output, "
        "scorings.cached_input_tokens AS scoring_cached, scorings.requests AS scoring_requests "
        "FROM explanations "
        "JOIN neurons ON neurons.id = explanations.neuron_id "
        "JOIN models ON models.id = neurons.model_id "
        "JOIN indexes ON indexes.id = explanations.index_id "
        "JOIN current_scorings ON current_scorings.explanation_id = explanations.id "
        "LEFT JOIN scorings ON scorings.id = current_scorings.scoring_id "
        "WHERE explanations.id IN (SELECT value FROM json_each(?)) AND (? OR deleted_at IS NULL)",
        (wanted, deleted),
    ).fetchall()
    windows: dict[int, list[int]] = {}
    for row in db.execute(
        "SELECT explanation_id, window FROM explanation_records "
        "WHERE explanation_id IN (SELECT value FROM json_each(?)) "
        "ORDER BY explanation_id, position",
        (wanted,),
    ):
        windows.setdefault(row[0], []).append(row[1])
    scorings = json.dumps([row["scoring_id"] for row in rows if row["scoring_id"] is not None])
    scores: dict[int, list[Score]] = {}
    for row in _of_scorings(db, "scores", scorings):
        scores.setdefault(row["scoring_id"], []).append(_score(row))
    baselines: dict[int, dict[tuple[str, str], list[Score]]] = {}
    for row in _of_scorings(db, "baselines", scorings):
        named = baselines.setdefault(row["scoring_id"], {})
        named.setdefault((row["name"], row["description"]), []).append(_score(row))
    judged = judgements.newest(db, wanted)
    found = {}
    for row in rows:
        scoring = row["scoring_id"]
        found[row["id"]] = StoredExplanation(
            id=row["id"],
            model=row["model_hash"],
            index_id=row["index_hash"],
            neuron=NeuronId(row["layer"], row["neuron_index"]),
            text=row["text"],
            explainer=row["explainer"],
            settings=codec.load(row["settings"]),
            rules=codec.load(row["rules"]),
            windows=tuple(windows.get(row["id"], ())),
            seconds=row["seconds"],
            versions=codec.load(row["versions"]),
            created_at=row["created_at"],
            scoring_id=scoring,
            simulator=row["simulator"],
            simulator_settings=codec.load(row["simulator_settings"]),
            split=row["split"],
            scored_at=row["scored_at"],
            scoring_seconds=row["scoring_seconds"],
            scores=tuple(scores.get(scoring, ())),
            baselines=tuple(
                Baseline(name, description, tuple(each))
                for (name, description), each in baselines.get(scoring, {}).items()
            ),
            side=row["side"],
            usage=judgements.usage(row),
            scoring_usage=Usage(
                row["scoring_input"] or 0,
                row["scoring_output"] or 0,
                row["scoring_cached"] or 0,
                row["scoring_requests"] or 0,
            ),
            judgements=tuple(judged.get(row["id"], ())),
            deleted_at=row["deleted_at"],
        )
    return [found[key] for key in ids if key in found]


def best_scores(db: sqlite3.Connection, model: str, layer: int) -> dict[int, float]:
    """Neuron index to its best top-and-random correlation, where there is one."""
    rows = db.execute(
        "SELECT neurons.neuron_index, max(scores.ev_correlation) AS best FROM neurons "
        "JOIN models ON models.id = neurons.model_id "
        "JOIN explanations ON explanations.neuron_id = neurons.id "
        "JOIN current_scorings ON current_scorings.explanation_id = explanations.id "
        "JOIN scores ON scores.scoring_id = current_scorings.scoring_id "
        "AND scores.scope = 'top-and-random' "
        "WHERE models.hash = ? AND neurons.layer = ? AND deleted_at IS NULL "
        "GROUP BY neurons.id HAVING best IS NOT NULL",
        (model, layer),
    )
    return {row[0]: row[1] for row in rows}


def annotations_of(db: sqlite3.Connection, model: str, layer: int) -> dict[int, Annotation]:
    """Neuron index to its star, tags and note, where there is any of them."""
    key = (model, layer)
    tags: dict[int, list[str]] = {}
    for row in db.execute(
        "SELECT neurons.neuron_index, tags.name FROM neuron_tags "
        "JOIN tags ON tags.id = neuron_tags.tag_id "
        "JOIN neurons ON neurons.id = neuron_tags.neuron_id "
        "JOIN models ON models.id = neurons.model_id "
        "WHERE models.hash = ? AND neurons.layer = ? ORDER BY neuron_tags.rowid",
        key,
    ):
        tags.setdefault(row[0], []).append(row[1])
    rows = db.execute(
        "SELECT neurons.neuron_index, neurons.starred_at, notes.text FROM neurons "
        "JOIN models ON models.id = neurons.model_id "
        "LEFT JOIN notes ON notes.neuron_id = neurons.id "
        "WHERE models.hash = ? AND neurons.layer = ?",
        key,
    )
    return {
        index: Annotation(starred_at is not None, tuple(tags.get(index, ())), note or "")
        for index, starred_at, note in rows
        if starred_at is not None or note or index in tags
    }


def starred(db: sqlite3.Connection, model: str) -> list[NeuronId]:
    """The starred neurons in the order of layer and index."""
    rows = db.execute(
        "SELECT layer, neuron_index FROM neurons JOIN models ON models.id = neurons.model_id "
        "WHERE models.hash = ? AND starred_at IS NOT NULL ORDER BY layer, neuron_index",
        (model,),
    )
    return [NeuronId(layer, index) for layer, index in rows]


def card(
    db: sqlite3.Connection, explanation_id: int, scoring_id: int | None
) -> list[StoredSimulation]:
    """The records of one scoring in the order scored."""
    rows = db.execute(
        "SELECT simulations.* FROM simulations "
        "JOIN current_scorings ON current_scorings.explanation_id = ?1 "
        "JOIN scorings ON scorings.id = simulations.scoring_id "
        "AND scorings.explanation_id = ?1 "
        "WHERE simulations.scoring_id = coalesce(?2, current_scorings.scoring_id) "
        "ORDER BY simulations.position",
        (explanation_id, scoring_id),
    )
    return [
        StoredSimulation(
            window=row["window"],
            document_name=row["document_name"],
            offset=row["document_offset"],
            role=row["role"],
            scale=Scale(row["scale"]),
            status=SimulationStatus(row["status"]),
            message=row["message"],
            coverage=row["coverage"],
            ev_correlation=row["ev_correlation"],
            token_ids=np.array(codec.load(row["token_ids"]), dtype=np.int32),
            tokens=tuple(codec.load(row["tokens"])),
            expected=codec.load_floats(row["expected"]),
            activations=codec.load_floats(row["activations"]),
        )
        for row in rows
    ]


def sources(db: sqlite3.Connection, explanation_id: int) -> list[StoredSource]:
    """The records that the explanation was written from, in the explainer's order."""
    rows = db.execute(
        "SELECT window, document_name, document_offset FROM explanation_records "
        "WHERE explanation_id = ? ORDER BY position",
        (explanation_id,),
    )
    return [StoredSource(*row) for row in rows]


def counts(db: sqlite3.Connection, model: str | None) -> Counts:
    """How many rows there are, of one model or of all."""
    of_neuron = (
        "JOIN neurons ON neurons.id = {}.neuron_id JOIN models ON "
        "models.id = neurons.model_id WHERE (?1 IS NULL OR models.hash = ?1)"
    )
    of_explanation = (
        "JOIN explanations ON explanations.id = scorings.explanation_id "
        + of_neuron.format("explanations")
        + " AND deleted_at IS NULL"
    )
    given = "WHERE (?1 IS NULL OR models.hash = ?1)"
    row = db.execute(
        f"SELECT (SELECT count(*) FROM models {given}), "
        f"(SELECT count(*) FROM indexes JOIN models ON models.id = indexes.model_id {given}), "
        f"(SELECT count(*) FROM explanations {of_neuron.format('explanations')} "
        "AND deleted_at IS NULL), "
        "(SELECT count(DISTINCT explanations.neuron_id) FROM explanations "
        f"{of_neuron.format('explanations')} AND deleted_at IS NULL), "
        f"(SELECT count(*) FROM scorings {of_explanation}), "
        "(SELECT count(*) FROM simulations "
        f"JOIN scorings ON scorings.id = simulations.scoring_id {of_explanation}), "
        f"(SELECT count(*) FROM notes {of_neuron.format('notes')}), "
        "(SELECT count(*) FROM neurons JOIN models ON models.id = neurons.model_id "
        f"{given} AND neurons.starred_at IS NOT NULL)",
        (model,),
    ).fetchone()
    return Counts(*row)


def indexes(db: sqlite3.Connection) -> list[IndexFacts]:
    """Every index that a result rests on, the latest used first."""
    rows = db.execute(
        "SELECT models.hash, models.name, models.n_layers, models.n_neurons, indexes.hash, "
        "corpus_hash, path, tokens, windows, settings FROM indexes "
        "JOIN models ON models.id = indexes.model_id ORDER BY updated_at DESC, indexes.id DESC"
    )
    return [IndexFacts(*(*row[:9], codec.load(row[9]))) for row in rows]


def recall(db: sqlite3.Connection, name: str) -> Any:
    """A remembered JSON value; None when there is none."""
    row = db.execute("SELECT value FROM remembered WHERE name = ?", (name,)).fetchone()
    return None if row is None else codec.load(row[0])


def _of_scorings(db: sqlite3.Connection, table: str, scorings: str) -> Iterable[Any]:
    return db.execute(
        f"SELECT * FROM {table} WHERE scoring_id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (scorings,),
    )


def _score(row: sqlite3.Row) -> Score:
    return Score(
        scope=Scope(row["scope"]),
        status=ScoreStatus(row["status"]),
        ev_correlation=row["ev_correlation"],
        interval=judgements.interval(row),
        rsquared=row["rsquared"],
        absolute_dev_explained=row["absolute_dev_explained"],
        records=row["records"],
        tokens=row["tokens"],
        coverage=row["coverage"],
        message=row["message"],
    )
