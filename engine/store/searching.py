"""Finding saved explanations and notes by their words, and patterns to search in."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Literal

from engine.neuron import NeuronId
from engine.store import codec
from engine.store.kinds import SavedPatterns, SearchHit

#: More words than this don't narrow a search; FTS5 refuses deep expressions.
SEARCHED_WORDS = 24


def search(db: sqlite3.Connection, text: str, limit: int, model: str | None) -> list[SearchHit]:
    """Explanations and notes in which every word begins some word, best match first."""
    query = match(text)
    if not query:
        return []
    ranked: list[tuple[float, SearchHit]] = []
    kinds: tuple[Literal["explanation", "note"], ...] = ("explanation", "note")
    for kind in kinds:
        table = f"{kind}s"
        rows = db.execute(
            f"SELECT {table}.id, {table}.text, models.hash, models.name, neurons.layer, "
            f"neurons.neuron_index, bm25({table}_fts) AS rank, "
            f"snippet({table}_fts, 0, '', '', '…', 24) AS snippet "
            f"FROM {table}_fts JOIN {table} ON {table}.id = {table}_fts.rowid "
            f"JOIN neurons ON neurons.id = {table}.neuron_id "
            "JOIN models ON models.id = neurons.model_id "
            f"WHERE {table}_fts MATCH ?1 AND (?2 IS NULL OR models.hash = ?2) "
            f"{'' if kind == 'note' else 'AND deleted_at IS NULL '}"
            "ORDER BY rank LIMIT ?3",
            (query, model, limit),
        ).fetchall()
        scores = _current_scores(db, (row["id"] for row in rows)) if kind != "note" else {}
        ranked += [
            (
                row["rank"],
                SearchHit(
                    kind=kind,
                    neuron=NeuronId(row["layer"], row["neuron_index"]),
                    model=row["hash"],
                    model_name=row["name"],
                    text=row["text"],
                    snippet=row["snippet"],
                    score=scores.get(row["id"]),
                    explanation_id=None if kind == "note" else row["id"],
                ),
            )
            for row in rows
        ]
    # bm25 is negative, and the better the smaller.
    ranked.sort(key=lambda pair: pair[0])
    return [hit for _, hit in ranked[:limit]]


def saved_patterns(db: sqlite3.Connection, model: str | None) -> list[SavedPatterns]:
    """Of every explanation by patterns, the oldest first."""
    rows = db.execute(
        "SELECT explanations.id, explanations.text, models.hash, neurons.layer, "
        "neurons.neuron_index, json_extract(rules, '$.patterns') AS patterns, "
        "json_extract(rules, '$.settings') AS settings FROM explanations "
        "JOIN neurons ON neurons.id = explanations.neuron_id "
        "JOIN models ON models.id = neurons.model_id "
        "WHERE explainer = 'patterns' AND json_valid(rules) AND deleted_at IS NULL "
        "AND (?1 IS NULL OR models.hash = ?1) ORDER BY explanations.id",
        (model,),
    ).fetchall()
    scores = _current_scores(db, (row["id"] for row in rows))
    return [
        SavedPatterns(
            row["hash"],
            NeuronId(row["layer"], row["neuron_index"]),
            row["id"],
            row["text"],
            scores.get(row["id"]),
            str(row["patterns"] or "null"),
            str(row["settings"] or "null"),
        )
        for row in rows
    ]


def match(text: str) -> str:
    """An FTS5 query of quoted prefixes, so that no input is syntax."""
    words = codec.clean(text).replace('"', " ").split()
    words = [word for word in words if any(map(str.isalnum, word))]
    return " ".join(f'"{word}"*' for word in words[:SEARCHED_WORDS])


def _current_scores(db: sqlite3.Connection, ids: Iterable[int]) -> dict[int, float]:
    rows = db.execute(
        "SELECT explanation_id, ev_correlation FROM current_scorings "
        "JOIN scores ON scores.scoring_id = current_scorings.scoring_id "
        "AND scores.scope = 'top-and-random' "
        "WHERE explanation_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    )
    return {row[0]: row[1] for row in rows}
