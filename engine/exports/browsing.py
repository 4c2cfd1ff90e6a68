"""A small database beside a dataset's lines, to be opened in Datasette or ``sqlite3``."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from engine.exports.tables import EXPLANATIONS, NEURONS, Column, Kind, Row, Rows, as_text
from engine.exports.writers import plain

DATABASE = "explanations.db"
METADATA = "metadata.json"
_TYPES: dict[Kind, str] = {"int": "INTEGER", "bool": "INTEGER", "float": "REAL"}
#: What belongs to one person's database and says nothing to others.
_PRIVATE = ("starred", "tags", "note")


def write(
    folder: Path,
    rows: Rows,
    title: str,
    licence: str,
    *,
    notes: bool,
    stop: Callable[[], bool],
) -> None:
    """Write ``explanations.db`` and the ``metadata.json`` that Datasette reads with it."""
    hidden = {"explanation_id", "model_id", *(() if notes else _PRIVATE)}
    tables = {
        "explanations": [one for one in EXPLANATIONS if one.name not in hidden],
        "neurons": [one for one in NEURONS if one.name not in hidden],
    }
    with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as db:
        # Nobody else reads it before it is whole, and the folder appears whole or not at all.
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        for table, columns in tables.items():
            keys = "PRIMARY KEY (layer, neuron)" if table == "neurons" else ""
            _fill(db, table, columns, rows.of("neurons" if keys else "explanations", stop), keys)
        db.execute("CREATE INDEX explanations_neuron ON explanations(layer, neuron)")
        db.execute("CREATE INDEX explanations_score ON explanations(score)")
        db.execute(
            "CREATE VIRTUAL TABLE explanations_fts USING fts5 (explanation, "
            "content='explanations', tokenize='unicode61 remove_diacritics 2')"
        )
        db.execute("INSERT INTO explanations_fts (explanations_fts) VALUES ('rebuild')")
        db.execute(
            "CREATE VIEW scores_by_layer AS SELECT layer, count(*) AS explanations, "
            "count(score) AS scored, avg(score) AS mean, min(score) AS lowest, "
            "max(score) AS highest FROM explanations GROUP BY layer"
        )
        db.execute("COMMIT")
    about = {
        "title": title,
        "license": licence,
        "databases": {
            Path(DATABASE).stem: {
                "tables": {
                    table: {
                        "columns": {one.name: one.meaning for one in columns if one.meaning},
                        **(
                            {"fts_table": "explanations_fts", "sort_desc": "score"}
                            if table == "explanations"
                            else {"sort_desc": "maximum"}
                        ),
                    }
                    for table, columns in tables.items()
                }
            }
        },
    }
    (folder / METADATA).write_text(json.dumps(about, indent=1) + "\n", "utf-8")


def _fill(
    db: sqlite3.Connection, table: str, columns: Sequence[Column], rows: Iterable[Row], keys: str
) -> None:
    defined = [f'"{one.name}" {_TYPES.get(one.kind, "TEXT")}' for one in columns]
    key = [keys] if keys else []
    first = [] if keys else ["id INTEGER PRIMARY KEY"]
    db.execute(f"CREATE TABLE {table} ({', '.join([*first, *defined, *key])})")
    names = ", ".join(f'"{one.name}"' for one in columns)
    places = ", ".join("?" for _ in columns)
    db.executemany(
        f"INSERT INTO {table} ({names}) VALUES ({places})",
        ([_value(row[one.name]) for one in columns] for row in rows),
    )


def _value(value: Any) -> Any:
    value = plain(value)
    return as_text(value) if isinstance(value, list | dict) else value
