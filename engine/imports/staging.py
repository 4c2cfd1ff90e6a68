"""Checked lines into a database file of their own, from which they can be merged."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import FileError
from engine.exports.dataset import LISTS
from engine.exports.schema import SCORE
from engine.imports.checks import Mistaken
from engine.imports.dataset import REMEDY, Facts, Line
from engine.neuron import NeuronId
from engine.store import codec, identity, migrations

Row = dict[str, Any]
_USAGE = (
    "seconds",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "requests",
    "versions",
    "created_at",
)
_SCORE = tuple(one.name for one in SCORE)


class Staging:
    """A new database of our schema that nobody else has open. Use :meth:`fill`."""

    def __init__(self, path: Path, facts: Facts) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        # It is thrown away whatever happens.
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA foreign_keys = OFF")
        self._db.execute("BEGIN")
        migrations.apply(self._db)
        self._models: dict[str, tuple[int, int, int]] = {}
        self._indexes: dict[str, int] = {}
        self._neurons: dict[tuple[str, int, int], int] = {}
        self._tags: dict[str, int] = {}
        self._records: list[Row] = []
        self._scoring: Line | None = None
        self._explanation = self._scoring_id = 0
        self._said: Line | None = None
        self._rules: str | None = None
        self.counts: Counter[str] = Counter()
        self._describe(facts)

    def fill(self, lines: Iterable[Line]) -> None:
        """Put in every line, and close.

        Raises:
            FileError: a line contradicts itself or another.
            OSError, sqlite3.Error: the disk is full.
        """
        with closing(self._db):
            for line in lines:
                try:
                    self._put(line)
                except Mistaken as mistake:
                    raise FileError(f"{line.where}, {mistake}.", REMEDY) from None
                except (sqlite3.IntegrityError, OverflowError):
                    raise FileError(f"{line.where}, is there twice.", REMEDY) from None
                self.counts[line.part] += 1
            self._prove()
            self._close_scoring()
            self._db.execute("COMMIT")

    def _put(self, line: Line) -> None:
        if line.part != "rules":
            self._prove()
        if line.part != "records":
            self._close_scoring()
        match line.part:
            case "explanations":
                self._put_explanation(line)
            case "rules":
                self._put_rules(line.row)
            case "scorings":
                self._put_scoring(line)
            case "records":
                self._records.append(_record(line.row))
            case "judgements":
                self._put_judgement(line)
            case "neurons":
                self._put_neuron(line.row)

    # -- what it is about

    def _describe(self, facts: Facts) -> None:
        for row in facts.models:
            key = self._insert(
                "models",
                {
                    "hash": row["hash"],
                    "name": row["name"] or None,
                    "n_layers": row["layers"] or None,
                    "n_neurons": row["neurons"] or None,
                    "created_at": codec.now(),
                },
            )
            self._models[row["hash"]] = (key, row["layers"], row["neurons"])
        for row in facts.indexes:
            if row["model"] not in self._models:
                raise FileError("A scan of it is of a model that it does not name.", REMEDY)
            self._indexes[row["hash"]] = self._insert(
                "indexes",
                {
                    "model_id": self._models[row["model"]][0],
                    "hash": row["hash"],
                    "corpus_hash": row["corpus"],
                    "path": "",
                    "tokens": row["tokens"],
                    "windows": row["windows"],
                    "settings": codec.dump(row["settings"]),
                    "created_at": codec.now(),
                    "updated_at": codec.now(),
                },
            )

    def _neuron(self, row: Row) -> int:
        key = (row["model"], row["layer"], row["neuron"])
        if key not in self._neurons:
            if row["model"] not in self._models:
                raise Mistaken("is about a model that the dataset does not name")
            model, layers, neurons = self._models[row["model"]]
            known = layers or neurons
            if key[1] < 0 or key[2] < 0 or (known and (key[1] >= layers or key[2] >= neurons)):
                raise Mistaken("is about a neuron that its model has not got")
            self._neurons[key] = self._insert(
                "neurons",
                {
                    "model_id": model,
                    "layer": key[1],
                    "neuron_index": key[2],
                    "name": str(NeuronId(key[1], key[2])),
                },
            )
        return self._neurons[key]

    def _index(self, row: Row) -> int:
        if row["index"] not in self._indexes:
            raise Mistaken("rests on a scan that the dataset does not name")
        return self._indexes[row["index"]]

    # -- lines

    def _put_explanation(self, line: Line) -> None:
        self._said, self._rules = line, None
        row = line.row
        self._explanation = self._insert(
            "explanations",
            {
                "neuron_id": self._neuron(row),
                "index_id": self._index(row),
                "content_hash": row["id"],
                "text": row["explanation"],
                "explainer": row["explainer"],
                "settings": row["settings"],
                "rules": None,
                "side": row["side"],
                **{name: row[name] for name in _USAGE},
            },
        )
        self._insert_all(
            "explanation_records",
            [
                {
                    "explanation_id": self._explanation,
                    "position": position,
                    "window": source["window"],
                    "document_name": source["document"],
                    "document_offset": source["offset"],
                }
                for position, source in enumerate(row["sources"])
            ],
        )

    def _prove(self) -> None:
        """Whether the last explanation, with its rules, is what its id says."""
        line, self._said = self._said, None
        if line is None:
            return
        row = line.row
        found = identity.explanation_hash(
            row["model"],
            row["index"],
            row["layer"],
            row["neuron"],
            row["explainer"],
            codec.load(row["settings"]),
            row["explanation"],
            codec.load(self._rules),
            [source["window"] for source in row["sources"]],
            row["side"],
        )
        if found != row["id"]:
            raise _untrue(line)

    def _put_rules(self, row: Row) -> None:
        self._rules = row["rules"]
        self._db.execute(
            "UPDATE explanations SET rules = ? WHERE id = ?", (row["rules"], self._explanation)
        )

    def _put_scoring(self, line: Line) -> None:
        row = line.row
        self._scoring, self._records = line, []
        self._scoring_id = self._insert(
            "scorings",
            {
                "explanation_id": self._explanation,
                "index_id": self._index(row),
                "content_hash": row["id"],
                "records_hash": row["records_hash"],
                **{name: row[name] for name in ("simulator", "settings", "split", *_USAGE)},
            },
        )
        for table, names in (
            ("scores", _SCORE),
            ("baselines", ("name", "description", *_SCORE)),
        ):
            self._insert_all(
                table,
                [
                    {"scoring_id": self._scoring_id, **{name: one[name] for name in names}}
                    for one in row[table]
                ],
            )

    def _close_scoring(self) -> None:
        """Save the records of the last scoring, once all of them are there, and prove it."""
        line, self._scoring = self._scoring, None
        if line is None:
            return
        row = line.row
        # A dataset may come without records; their hash then stands for them.
        if self._records and identity.records_hash(self._records) != row["records_hash"]:
            raise _untrue(line)
        found = identity.scoring_hash(
            row["index"],
            row["simulator"],
            row["settings"],
            row["split"],
            row["records_hash"],
            row["scores"],
            row["baselines"],
        )
        if found != row["id"]:
            raise _untrue(line)
        self._insert_all(
            "simulations", [{"scoring_id": self._scoring_id, **one} for one in self._records]
        )

    def _put_judgement(self, line: Line) -> None:
        row = line.row
        found = identity.judgement_hash(
            row["index"],
            row["scorer"],
            row["model"],
            row["settings"],
            row["split"],
            row["measures"],
            row["items"],
        )
        if found != row["id"]:
            raise _untrue(line)
        names = ("scorer", "model", "settings", "split", "chance_text", *_USAGE)
        key = self._insert(
            "judgements",
            {
                "explanation_id": self._explanation,
                "index_id": self._index(row),
                "content_hash": row["id"],
                **{name: row[name] for name in names},
            },
        )
        for table, several in (("measures", row["measures"]), ("judged_items", row["items"])):
            self._insert_all(table, [{"judgement_id": key, **one} for one in several])

    def _put_neuron(self, row: Row) -> None:
        if not (row["starred_at"] or row["tags"] or row["note"]):
            return
        key = self._neuron(row)
        self._db.execute("UPDATE neurons SET starred_at = ? WHERE id = ?", (row["starred_at"], key))
        for tag in dict.fromkeys(" ".join(tag.split()) for tag in row["tags"]):
            if tag and tag not in self._tags:
                self._tags[tag] = self._insert("tags", {"name": tag})
            if tag:
                self._insert("neuron_tags", {"neuron_id": key, "tag_id": self._tags[tag]})
        if row["note"] and row["note"].strip():
            now = codec.now()
            self._insert(
                "notes",
                {"neuron_id": key, "text": row["note"], "created_at": now, "updated_at": now},
            )

    # -- rows

    def _insert(self, table: str, row: Row) -> int:
        names = ", ".join(f'"{name}"' for name in row)
        places = ", ".join("?" for _ in row)
        cursor = self._db.execute(
            f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(row.values())
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _insert_all(self, table: str, rows: Sequence[Row]) -> None:
        if not rows:
            return
        names = ", ".join(f'"{name}"' for name in rows[0])
        places = ", ".join("?" for _ in rows[0])
        self._db.executemany(
            f"INSERT INTO {table} ({names}) VALUES ({places})",
            [tuple(row.values()) for row in rows],
        )


def _record(row: Row) -> Row:
    """A record's line as a row of ``simulations``."""
    lengths = {len(row[name]) for name in LISTS}
    if len(lengths) != 1:
        raise Mistaken("has lists of different lengths")
    found = {name: value for name, value in row.items() if name not in ("explanation", "scoring")}
    for name in ("token_ids", "tokens"):
        found[name] = codec.dump(row[name])
    for name in ("expected", "activations"):
        try:
            found[name] = codec.dump_floats(np.array(row[name], dtype=np.float32))
        except (ValueError, OverflowError):
            raise Mistaken(f"has a “{name}” that is not a list of numbers") from None
    return found


def _untrue(line: Line) -> FileError:
    return FileError(f"{line.where}, is not what its id says: it was changed.", REMEDY)
