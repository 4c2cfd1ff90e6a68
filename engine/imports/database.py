"""Reading another ``neuroglass.db``: a copy of it, as the lines that a dataset would have.

The file is never written to, whoever else has it open, and nothing in it is run: only a
schema that is exactly ours is read, and its rows pass the same checks as a dataset's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from engine.errors import FileError, StoreError
from engine.exports.dataset import LISTS, public_name, sha256
from engine.exports.lines import explanation_lines, rest_on
from engine.exports.schema import PARTS
from engine.imports.checks import Mistaken, checked, parsed
from engine.imports.dataset import Facts, Line
from engine.store.connection import connect, open_for_writing, translate

REMEDY = "Nothing was imported."
_MAGIC = b"SQLite format 3\0"
#: Tables that keep statistics for SQLite itself.
_OWN = ("sqlite_stat1", "sqlite_stat4", "sqlite_sequence")


def is_database(path: Path) -> bool:
    """Whether the file says that it is one. OSError if it can't be read."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


class OtherDatabase:
    """A private copy of somebody's database, brought to the present schema.

    Args:
        path: The database.
        copy: Where to put the copy.

    Raises:
        FileError: not a neuroglass database, one of a newer version, or a damaged one.
    """

    def __init__(self, path: Path, copy: Path) -> None:
        self._path = path
        try:
            with closing(_read_only(path)) as source, closing(sqlite3.connect(copy)) as target:
                source.execute("PRAGMA trusted_schema = OFF")
                source.backup(target)
            open_for_writing(copy).close()
        except sqlite3.Error as error:
            told = translate(error, path)
            raise FileError(told.message, REMEDY) from error
        except StoreError as error:
            raise FileError(error.message.replace(str(copy), str(path)), REMEDY) from error
        self._db = connect(copy, read_only=True)
        if _schema(copy) != _schema_of_ours(copy.with_name("ours.db")):
            self.close()
            raise FileError(f"{path} has tables that neuroglass did not make.", REMEDY)

    def close(self) -> None:
        """Let go of the copy."""
        self._db.close()

    def facts(self) -> Facts:
        """What a dataset's manifest would say."""
        models = [
            {
                "hash": row["hash"],
                "name": public_name(row["name"]) if row["name"] else "",
                "layers": row["n_layers"] or 0,
                "neurons": row["n_neurons"] or 0,
            }
            for row in self._db.execute("SELECT * FROM models ORDER BY id")
        ]
        indexes = rest_on(self._db, self._ids())
        return Facts("", "", sha256(self._path), tuple(models), tuple(indexes))

    def lines(self) -> Iterator[Line]:
        """As :func:`engine.imports.dataset.read_lines`."""
        try:
            for part, row in explanation_lines(self._db, self._ids()):
                yield self._line(part, row)
            yield from self._neurons()
        except (sqlite3.Error, ValueError) as error:
            raise FileError(f"{self._path} is damaged: {error}.", REMEDY) from error

    def _line(self, part: str, row: dict[str, Any]) -> Line:
        where = f"{self._path}, a row of {part}"
        try:
            if part == "records":
                row |= {name: parsed(row[name]) for name in LISTS}
            return Line(where, part, checked(row, PARTS[part].fields))
        except Mistaken as mistake:
            raise FileError(f"{where}, {mistake}.", REMEDY) from None

    def _ids(self) -> list[int]:
        rows = self._db.execute("SELECT id FROM explanations WHERE deleted_at IS NULL ORDER BY id")
        return [row[0] for row in rows]

    def _neurons(self) -> Iterator[Line]:
        """Those that somebody marked; statistics are an index's matter."""
        tags: dict[int, list[str]] = {}
        for row in self._db.execute(
            "SELECT neuron_id, name FROM neuron_tags JOIN tags ON tags.id = tag_id ORDER BY name"
        ):
            tags.setdefault(row[0], []).append(row[1])
        for row in self._db.execute(
            "SELECT n.id, m.hash, n.layer, n.neuron_index, n.starred_at, notes.text "
            "FROM neurons AS n JOIN models AS m ON m.id = n.model_id "
            "LEFT JOIN notes ON notes.neuron_id = n.id ORDER BY n.id"
        ):
            if row["starred_at"] or row["text"] or row["id"] in tags:
                zeros = {one.name: 0.0 for one in PARTS["neurons"].fields if one.kind == "float"}
                said = {
                    **zeros,
                    "model": row["hash"],
                    "layer": row["layer"],
                    "neuron": row["neuron_index"],
                    "starred_at": row["starred_at"],
                    "tags": tags.get(row["id"], []),
                    "note": row["text"],
                }
                yield self._line("neurons", said)


def _read_only(path: Path) -> sqlite3.Connection:
    """A connection that also reads a database whose folder can't be written."""
    try:
        connection = connect(path, read_only=True)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return connection
    except sqlite3.OperationalError:
        return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def _schema(path: Path) -> set[tuple[str, str, str]]:
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master").fetchall()
    return {row for row in rows if row[1] not in _OWN}


def _schema_of_ours(path: Path) -> set[tuple[str, str, str]]:
    open_for_writing(path).close()
    return _schema(path)
