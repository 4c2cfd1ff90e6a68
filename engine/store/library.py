"""All saved explanations of all models: which ones, in which order, and some at a time.

A list of any length is its row ids in order, which one statement finds; only the rows in
sight are read.  Over 10,000 scored explanations the ids take some 40 ms, best first, and a
page of rows 2 ms: both are for a thread.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.explanation import Side
from engine.neuron import NeuronId
from engine.store.searching import match

#: A status of its own, beside those of a score.
UNSCORED = "unscored"


class LibraryOrder(StrEnum):
    """Orders of the library, as people say them."""

    BEST = "best first"
    WORST = "worst first"
    NEWEST = "newest first"
    NEURON = "by neuron"
    SUREST = "narrowest interval first"
    EXPLAINER = "by explainer"


_BEST = "ev_correlation IS NULL, ev_correlation DESC, explanations.id DESC"
# Rounded: widths that read alike are alike, and the newest of them comes first.
_WIDTH = "round(interval_high - interval_low, 3)"
_ORDERS = {
    LibraryOrder.BEST: _BEST,
    LibraryOrder.WORST: "ev_correlation IS NULL, ev_correlation, explanations.id DESC",
    LibraryOrder.NEWEST: "explanations.id DESC",
    LibraryOrder.NEURON: f"models.name, models.id, layer, neuron_index, {_BEST}",
    LibraryOrder.SUREST: f"{_WIDTH} IS NULL, {_WIDTH}, explanations.id DESC",
    LibraryOrder.EXPLAINER: f"explainer, {_BEST}",
}


@dataclass(frozen=True, slots=True)
class LibraryFilter:
    """Which explanations; every limit is inclusive, and all have to be met.

    Attributes:
        text: Words, each of which begins a word of the explanation, or of its neuron's
            note. Any text may be given; without a letter or digit it asks for nothing.
        model: Hash of a model, or its name.
        layer, neuron: Of the neuron.
        explainer, simulator: Their names.
        score_low, score_high: Of the top-and-random correlation.
        starred: Whether the neuron has a star; None: either.
        tag: One of the neuron's tags.
        side: ``positive`` or ``negative``.
        status: A :class:`engine.score.ScoreStatus`, or ``unscored``.
        deleted: Those that were deleted and can be brought back, instead of the others.
    """

    text: str = ""
    model: str | None = None
    layer: int | None = None
    neuron: NeuronId | None = None
    explainer: str | None = None
    simulator: str | None = None
    score_low: float | None = None
    score_high: float | None = None
    starred: bool | None = None
    tag: str | None = None
    side: str | None = None
    status: str | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class LibraryRow:
    """One line of the library.

    Attributes:
        model, model_name: Hash and name of the model; the name may be unknown.
        index_id, index_path: Of the index that it was made from.
        score, low, high: The top-and-random correlation and its interval; None without.
        coverage, records: Of that score; None when it was never scored.
        status: Of that score, or ``unscored``.
        starred, tags, note: Of the neuron; tags and note are untrusted text.
        deleted_at: None unless it was deleted.
    """

    id: int
    model: str
    model_name: str | None
    index_id: str
    index_path: str
    neuron: NeuronId
    text: str
    explainer: str
    simulator: str | None
    side: Side
    score: float | None
    low: float | None
    high: float | None
    coverage: float | None
    records: int | None
    status: str
    starred: bool
    tags: tuple[str, ...]
    note: str
    created_at: str
    deleted_at: str | None


@dataclass(frozen=True, slots=True)
class Facets:
    """What can be asked for: each name with how many explanations have it, by name."""

    models: tuple[tuple[str, int], ...]
    layers: tuple[tuple[int, int], ...]
    explainers: tuple[tuple[str, int], ...]
    simulators: tuple[tuple[str, int], ...]
    tags: tuple[tuple[str, int], ...]
    deleted: int


_SCORED = (
    "JOIN current_scorings ON current_scorings.explanation_id = explanations.id "
    "LEFT JOIN scorings ON scorings.id = current_scorings.scoring_id "
    "LEFT JOIN scores ON scores.scoring_id = scorings.id AND scores.scope = 'top-and-random' "
)
_NAMED = (
    "FROM explanations JOIN neurons ON neurons.id = explanations.neuron_id "
    "JOIN models ON models.id = neurons.model_id "
)


def ids(db: sqlite3.Connection, only: LibraryFilter, order: LibraryOrder) -> list[int]:
    """Row ids of all explanations that the filter lets through, in order."""
    where, values, scored = _conditions(only)
    # Which scoring speaks for an explanation is worked out for each row: only if asked for.
    scored = scored or order not in (LibraryOrder.NEWEST,)
    rows = db.execute(
        f"SELECT explanations.id {_NAMED}{_SCORED if scored else ''}"
        f"WHERE {' AND '.join(where)} ORDER BY {_ORDERS[order]}",
        values,
    )
    return [row[0] for row in rows.fetchall()]


def size(db: sqlite3.Connection) -> int:
    """How many explanations there are, without deleted ones."""
    [count] = db.execute("SELECT count(*) FROM explanations WHERE deleted_at IS NULL").fetchone()
    return int(count)


def rows(db: sqlite3.Connection, wanted: Sequence[int]) -> dict[int, LibraryRow]:
    """Row id to what the library shows of it; unknown ids are left out."""
    keys = json.dumps(list(wanted))
    tags: dict[int, list[str]] = {}
    for row in db.execute(
        "SELECT explanations.id, tags.name FROM explanations "
        "JOIN neuron_tags ON neuron_tags.neuron_id = explanations.neuron_id "
        "JOIN tags ON tags.id = neuron_tags.tag_id "
        "WHERE explanations.id IN (SELECT value FROM json_each(?)) ORDER BY neuron_tags.rowid",
        (keys,),
    ):
        tags.setdefault(row[0], []).append(row[1])
    found = db.execute(
        "SELECT explanations.id, models.hash AS model, models.name AS model_name, "
        "indexes.hash AS index_id, indexes.path AS index_path, layer, neuron_index, "
        "explanations.text, explainer, simulator, side, ev_correlation AS score, "
        "interval_low AS low, interval_high AS high, coverage, records, "
        f"coalesce(status, '{UNSCORED}') AS status, starred_at, notes.text AS note, "
        f"explanations.created_at, deleted_at {_NAMED}{_SCORED}"
        "JOIN indexes ON indexes.id = explanations.index_id "
        "LEFT JOIN notes ON notes.neuron_id = neurons.id "
        "WHERE explanations.id IN (SELECT value FROM json_each(?))",
        (keys,),
    )
    return {row["id"]: _row(row, tags.get(row["id"], ())) for row in found}


def _row(row: sqlite3.Row, tags: Sequence[str]) -> LibraryRow:
    return LibraryRow(
        id=row["id"],
        model=row["model"],
        model_name=row["model_name"],
        index_id=row["index_id"],
        index_path=row["index_path"],
        neuron=NeuronId(row["layer"], row["neuron_index"]),
        text=row["text"],
        explainer=row["explainer"],
        simulator=row["simulator"],
        side=row["side"],
        score=row["score"],
        low=row["low"],
        high=row["high"],
        coverage=row["coverage"],
        records=row["records"],
        status=row["status"],
        starred=row["starred_at"] is not None,
        tags=tuple(tags),
        note=row["note"] or "",
        created_at=row["created_at"],
        deleted_at=row["deleted_at"],
    )


def facets(db: sqlite3.Connection) -> Facets:
    """What the explanations that are not deleted can be told apart by."""

    def counted(sql: str) -> tuple[tuple[str, int], ...]:
        return tuple((row[0], row[1]) for row in db.execute(sql))

    kept = "WHERE deleted_at IS NULL"
    layers = db.execute(f"SELECT layer, count(*) {_NAMED} {kept} GROUP BY layer ORDER BY layer")
    [gone] = db.execute("SELECT count(*) FROM explanations WHERE deleted_at IS NOT NULL").fetchone()
    return Facets(
        models=counted(
            f"SELECT coalesce(models.name, models.hash), count(*) {_NAMED} {kept} "
            "GROUP BY 1 ORDER BY 1"
        ),
        layers=tuple((row[0], row[1]) for row in layers),
        explainers=counted(
            f"SELECT explainer, count(*) FROM explanations {kept} GROUP BY 1 ORDER BY 1"
        ),
        simulators=counted(
            f"SELECT simulator, count(*) FROM explanations {_SCORED}{kept} "
            "AND simulator IS NOT NULL GROUP BY 1 ORDER BY 1"
        ),
        tags=counted(
            f"SELECT tags.name, count(*) FROM explanations "
            "JOIN neuron_tags ON neuron_tags.neuron_id = explanations.neuron_id "
            f"JOIN tags ON tags.id = neuron_tags.tag_id {kept} GROUP BY 1 ORDER BY 1"
        ),
        deleted=gone,
    )


def _conditions(only: LibraryFilter) -> tuple[list[str], list[object], bool]:
    """SQL, its values, and whether it names a scoring's columns."""
    where = [f"deleted_at IS {'NOT ' if only.deleted else ''}NULL"]
    values: list[object] = []
    for column, value in (
        ("layer = ?", only.layer),
        ("explainer = ?", only.explainer),
        ("side = ?", only.side),
        ("simulator = ?", only.simulator),
        ("ev_correlation >= ?", only.score_low),
        ("ev_correlation <= ?", only.score_high),
        (f"coalesce(status, '{UNSCORED}') = ?", only.status),
    ):
        if value is not None:
            where.append(column)
            values.append(value)
    scored = any(
        one is not None for one in (only.simulator, only.score_low, only.score_high, only.status)
    )
    if only.model is not None:
        where.append("? IN (models.hash, models.name)")
        values.append(only.model)
    if only.neuron is not None:
        where.append("(layer, neuron_index) = (?, ?)")
        values += [only.neuron.layer, only.neuron.index]
    if only.starred is not None:
        where.append(f"starred_at IS {'NOT ' if only.starred else ''}NULL")
    if only.tag is not None:
        where.append(
            "explanations.neuron_id IN (SELECT neuron_id FROM neuron_tags "
            "JOIN tags ON tags.id = neuron_tags.tag_id WHERE tags.name = ?)"
        )
        values.append(only.tag)
    if query := match(only.text):
        where.append(
            "(explanations.id IN (SELECT rowid FROM explanations_fts WHERE explanations_fts "
            "MATCH ?) OR explanations.neuron_id IN (SELECT notes.neuron_id FROM notes_fts "
            "JOIN notes ON notes.id = notes_fts.rowid WHERE notes_fts MATCH ?))"
        )
        values += [query, query]
    return where, values, scored
