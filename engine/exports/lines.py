"""What a database says of its explanations, as the lines of a dataset.

A dataset is written from these lines, and another database is imported through them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.exports.schema import PARTS, Field

#: Explanations read at a time.
PAGE = 200
Row = dict[str, Any]
_CHOSEN = "IN (SELECT value FROM json_each(?))"


def explanation_lines(
    db: sqlite3.Connection, ids: Sequence[int], *, records: bool = True
) -> Iterator[tuple[str, Row]]:
    """Name of a part and one of its lines; what belongs to an explanation follows it.

    The lists of a record are JSON text still; see :mod:`engine.exports.dataset`.

    Args:
        ids: Row ids of explanations that are not deleted.
    """
    for start in range(0, len(ids), PAGE):
        yield from _page(db, ids[start : start + PAGE], records)


def rest_on(db: sqlite3.Connection, ids: Sequence[int]) -> list[Row]:
    """The scans that some explanations and their scores rest on, without their paths."""
    wanted = json.dumps(list(ids))
    return [
        {
            "hash": row["hash"],
            "model": row["model"],
            "corpus": row["corpus_hash"],
            "tokens": row["tokens"],
            "windows": row["windows"],
            "settings": json.loads(row["settings"]),
        }
        for row in db.execute(
            "SELECT indexes.*, models.hash AS model FROM indexes "
            "JOIN models ON models.id = indexes.model_id WHERE indexes.id IN "
            f"(SELECT index_id FROM explanations WHERE id {_CHOSEN} "
            f"UNION SELECT index_id FROM scorings WHERE explanation_id {_CHOSEN} "
            f"UNION SELECT index_id FROM judgements WHERE explanation_id {_CHOSEN}) "
            "ORDER BY indexes.id",
            (wanted, wanted, wanted),
        )
    ]


def _page(db: sqlite3.Connection, ids: Sequence[int], records: bool) -> Iterator[tuple[str, Row]]:
    wanted = json.dumps(list(ids))
    found = {
        row["id"]: dict(row)
        for row in db.execute(
            'SELECT e.*, e.content_hash AS hash, m.hash AS model, i.hash AS "index", n.layer, '
            "n.neuron_index AS neuron, e.text AS explanation, v.ev_correlation AS score, "
            "v.interval_low, v.interval_high, v.status, v.coverage, v.records, v.tokens, "
            "v.simulator, v.split FROM explanations AS e JOIN neurons AS n ON n.id = e.neuron_id "
            "JOIN models AS m ON m.id = n.model_id JOIN indexes AS i ON i.id = e.index_id "
            f"JOIN explanations_with_scores AS v ON v.explanation_id = e.id WHERE e.id {_CHOSEN}",
            (wanted,),
        )
    }
    sources = _grouped(
        db,
        "SELECT explanation_id AS parent, window, document_name AS document, "
        f"document_offset AS offset FROM explanation_records WHERE explanation_id {_CHOSEN} "
        "ORDER BY explanation_id, position",
        wanted,
    )
    scorings, judgements = (
        _grouped(
            db,
            f'SELECT t.*, explanation_id AS parent, indexes.hash AS "index" FROM {table} AS t '
            f"JOIN indexes ON indexes.id = index_id WHERE explanation_id {_CHOSEN} ORDER BY t.id",
            wanted,
        )
        for table in ("scorings", "judgements")
    )
    for key in ids:
        row = found[key]
        name = row["hash"]
        yield _said("explanations", {**row, "id": name, "sources": sources.get(key, [])})
        if row["rules"] is not None:
            yield "rules", {"explanation": name, "rules": row["rules"]}
        for one in scorings.get(key, ()):
            children = {
                table: _rows(db, table, "scoring_id", one["id"])
                for table in ("scores", "baselines")
            }
            ties = {"explanation": name, "id": one["content_hash"]}
            yield _said("scorings", {**one, **children, **ties})
            if records:
                tied = {"explanation": name, "scoring": one["content_hash"]}
                for record in _rows(db, "simulations", "scoring_id", one["id"]):
                    yield _said("records", {**record, **tied})
        for one in judgements.get(key, ()):
            measures = _rows(db, "measures", "judgement_id", one["id"])
            items = _rows(db, "judged_items", "judgement_id", one["id"])
            ties = {"explanation": name, "id": one["content_hash"]}
            yield _said("judgements", {**one, **ties, "measures": measures, "items": items})


def _said(part: str, row: Mapping[str, Any]) -> tuple[str, Row]:
    return part, _fields(row, PARTS[part].fields)


def _fields(row: Mapping[str, Any], fields: Sequence[Field]) -> Row:
    """The fields of a row, and of the rows in it."""
    return {
        one.name: [_fields(inner, one.fields) for inner in row[one.name]]
        if one.kind == "list"
        else row[one.name]
        for one in fields
    }


def _grouped(db: sqlite3.Connection, sql: str, value: str) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in db.execute(sql, (value,)):
        found.setdefault(row["parent"], []).append(dict(row))
    return found


def _rows(db: sqlite3.Connection, table: str, key: str, value: int) -> list[Row]:
    rows = db.execute(f"SELECT * FROM {table} WHERE {key} = ? ORDER BY id", (value,))
    return [dict(row) for row in rows]
