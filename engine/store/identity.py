"""By what the same content is known again, in this database or in another.

An explanation, a scoring and a judgement each have a hash of what they say.  Nothing
that is a matter of one database (row ids), of one moment (times) or of one machine (how
long it took) is part of it, so saving the same twice, or importing what is here already,
adds nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from engine.store import codec

Row = Mapping[str, Any]
#: Columns of a row that tie it to others and are not what it says.
_TIES = frozenset({"id", "scoring_id", "judgement_id"})


def explanation_hash(
    model: str,
    index: str,
    layer: int,
    neuron: int,
    explainer: str,
    settings: Any,
    text: str,
    rules: Any,
    windows: Sequence[int],
    side: str,
) -> str:
    """Of an explanation; settings and rules as JSON values, model and index as hashes."""
    return codec.digest(
        model,
        index,
        layer,
        neuron,
        explainer,
        settings,
        text,
        rules,
        list(windows),
        # Explanations were hashed before there was a negative side.
        *([side] if side != "positive" else []),
    )


def records_hash(simulations: Sequence[Row]) -> str:
    """Of the simulated records of a scoring, as rows of ``simulations``."""
    return codec.digest([_said(row) for row in simulations])


def scoring_hash(
    index: str,
    simulator: str,
    settings: str,
    split: str,
    records: str,
    scores: Sequence[Row],
    baselines: Sequence[Row],
) -> str:
    """Of a scoring.

    Args:
        settings: As the column has them, JSON text.
        records: :func:`records_hash`.
        scores, baselines: As rows of these tables.
    """
    return codec.digest(
        index,
        simulator,
        settings,
        split,
        records,
        [_said(row) for row in scores],
        [_said(row) for row in baselines],
    )


def judgement_hash(
    index: str,
    scorer: str,
    model: str,
    settings: str,
    split: str,
    measures: Sequence[Row],
    items: Sequence[Row],
) -> str:
    """Of a judgement; arguments as in :func:`scoring_hash`."""
    return codec.digest(
        index,
        scorer,
        model,
        settings,
        split,
        [_said(row) for row in measures],
        [_said(row) for row in items],
    )


def rehash(db: sqlite3.Connection) -> None:
    """Bring every scoring and judgement under the hashes of this module."""
    rows = db.execute(
        "SELECT scorings.id, indexes.hash, simulator, scorings.settings, split FROM scorings "
        "JOIN indexes ON indexes.id = scorings.index_id"
    ).fetchall()
    for scoring, index, simulator, settings, split in rows:
        records = records_hash(_rows(db, "simulations", "scoring_id", scoring))
        content = scoring_hash(
            index,
            simulator,
            settings,
            split,
            records,
            _rows(db, "scores", "scoring_id", scoring),
            _rows(db, "baselines", "scoring_id", scoring),
        )
        db.execute(
            "UPDATE scorings SET content_hash = ?, records_hash = ? WHERE id = ?",
            (content, records, scoring),
        )
    rows = db.execute(
        "SELECT judgements.id, indexes.hash, scorer, model, judgements.settings, split "
        "FROM judgements JOIN indexes ON indexes.id = judgements.index_id"
    ).fetchall()
    for judgement, index, scorer, model, settings, split in rows:
        content = judgement_hash(
            index,
            scorer,
            model,
            settings,
            split,
            _rows(db, "measures", "judgement_id", judgement),
            _rows(db, "judged_items", "judgement_id", judgement),
        )
        db.execute("UPDATE judgements SET content_hash = ? WHERE id = ?", (content, judgement))


def _said(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _TIES}


def _rows(db: sqlite3.Connection, table: str, key: str, value: int) -> list[dict[str, Any]]:
    cursor = db.execute(f"SELECT * FROM {table} WHERE {key} = ? ORDER BY id", (value,))
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
