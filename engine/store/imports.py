"""Taking in what another database holds: its table of sources, and one merging transaction.

What comes in is first put, checked, into a database file of its own with this schema
(:mod:`engine.imports`).  Merging it is then set arithmetic in SQL: rows are known again by
their content (:mod:`engine.store.identity`), so what is here already is left alone, and
either all that is new enters or nothing does.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from engine.store import codec

TABLES = """
CREATE TABLE imports (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    title TEXT NOT NULL,
    licence TEXT NOT NULL,
    checksum TEXT NOT NULL,
    explanations INTEGER NOT NULL,
    scorings INTEGER NOT NULL,
    judgements INTEGER NOT NULL,
    imported_at TEXT NOT NULL
) STRICT;
ALTER TABLE scorings ADD COLUMN records_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE explanations ADD COLUMN import_id INTEGER REFERENCES imports(id);
ALTER TABLE scorings ADD COLUMN import_id INTEGER REFERENCES imports(id);
ALTER TABLE judgements ADD COLUMN import_id INTEGER REFERENCES imports(id);
"""


@dataclass(frozen=True, slots=True)
class Source:
    """Where an import came from.

    Attributes:
        source: Folder or file. Untrusted, as all here.
        title, licence: As its card says; empty where it has none.
        checksum: SHA-256 of its list of checksums, or of the file.
    """

    source: str
    title: str = ""
    licence: str = ""
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class Added:
    """How much an import has added; what was here already is not counted."""

    models: int = 0
    indexes: int = 0
    explanations: int = 0
    scorings: int = 0
    records: int = 0
    judgements: int = 0
    stars: int = 0
    tags: int = 0
    notes: int = 0

    @property
    def anything(self) -> bool:
        """Whether the database has changed."""
        return any(getattr(self, name) for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class StoredImport:
    """An import that added something."""

    source: Source
    explanations: int
    scorings: int
    judgements: int
    imported_at: str


def listed(db: sqlite3.Connection) -> list[StoredImport]:
    """Imports that added something, the latest first."""
    rows = db.execute(
        "SELECT source, title, licence, checksum, explanations, scorings, judgements, imported_at "
        "FROM imports ORDER BY id DESC"
    )
    return [StoredImport(Source(*row[:4]), *row[4:]) for row in rows]


def merge(db: sqlite3.Connection, source: Source) -> Added:
    """Add what the attached database ``staged``, of this schema, has and ``main`` has not.

    It runs inside one transaction.
    """
    origin = db.execute(
        "INSERT INTO main.imports (source, title, licence, checksum, explanations, scorings, "
        "judgements, imported_at) VALUES (?, ?, ?, ?, 0, 0, 0, ?)",
        (
            codec.clean(source.source),
            codec.clean(source.title),
            codec.clean(source.licence),
            source.checksum,
            codec.now(),
        ),
    ).lastrowid
    models = _count(
        db,
        "INSERT INTO main.models (hash, name, n_layers, n_neurons, created_at) "
        "SELECT hash, name, n_layers, n_neurons, created_at FROM staged.models "
        "WHERE hash NOT IN (SELECT hash FROM main.models) ORDER BY id",
    )
    # Where only a note is known so far, a model has nothing but its hash.
    db.execute(
        "UPDATE main.models SET (name, n_layers, n_neurons) = (SELECT name, n_layers, n_neurons "
        "FROM staged.models AS theirs WHERE theirs.hash = main.models.hash) "
        "WHERE name IS NULL AND hash IN (SELECT hash FROM staged.models)"
    )
    indexes = _count(
        db,
        "INSERT INTO main.indexes (model_id, hash, corpus_hash, path, tokens, windows, settings, "
        "created_at, updated_at) SELECT ours.id, theirs.hash, corpus_hash, path, tokens, windows, "
        "settings, theirs.created_at, updated_at FROM staged.indexes AS theirs "
        "JOIN staged.models ON models.id = theirs.model_id "
        "JOIN main.models AS ours ON ours.hash = models.hash "
        "WHERE theirs.hash NOT IN (SELECT hash FROM main.indexes) ORDER BY theirs.id",
    )
    db.execute(
        "INSERT INTO main.neurons (model_id, layer, neuron_index, name) "
        "SELECT ours.id, layer, neuron_index, theirs.name FROM staged.neurons AS theirs "
        "JOIN staged.models ON models.id = theirs.model_id "
        "JOIN main.models AS ours ON ours.hash = models.hash ORDER BY theirs.id "
        "ON CONFLICT DO NOTHING"
    )
    explanations = _explanations(db, origin)
    scorings, records = _scorings(db, origin)
    judgements = _judgements(db, origin)
    stars, tags, notes = _annotations(db)
    added = Added(models, indexes, explanations, scorings, records, judgements, stars, tags, notes)
    if explanations or scorings or judgements:
        db.execute(
            "UPDATE main.imports SET explanations = ?, scorings = ?, judgements = ? WHERE id = ?",
            (explanations, scorings, judgements, origin),
        )
    else:
        db.execute("DELETE FROM main.imports WHERE id = ?", (origin,))
    return added


#: Of each staged neuron and index its row here.
_NEURON = (
    "(SELECT main.neurons.id FROM staged.neurons AS n JOIN staged.models AS m ON m.id = n.model_id "
    "JOIN main.models ON main.models.hash = m.hash "
    "JOIN main.neurons ON main.neurons.model_id = main.models.id "
    "AND main.neurons.layer = n.layer AND main.neurons.neuron_index = n.neuron_index "
    "WHERE n.id = theirs.neuron_id)"
)
_INDEX = (
    "(SELECT main.indexes.id FROM staged.indexes AS i "
    "JOIN main.indexes ON main.indexes.hash = i.hash WHERE i.id = theirs.index_id)"
)


def _explanations(db: sqlite3.Connection, origin: int | None) -> int:
    given = (
        "content_hash, text, explainer, settings, rules, seconds, side, input_tokens, "
        "output_tokens, cached_input_tokens, requests, versions, created_at"
    )
    before = _last(db, "explanations")
    added = _count(
        db,
        f"INSERT INTO main.explanations (neuron_id, index_id, import_id, {given}) "
        f"SELECT {_NEURON}, {_INDEX}, {origin}, {given} FROM staged.explanations AS theirs "
        "WHERE content_hash NOT IN (SELECT content_hash FROM main.explanations) ORDER BY id",
    )
    _map(db, "explanations", "ours.content_hash = theirs.content_hash", before)
    _copy(db, "explanation_records", "explanations", "explanation_id")
    return added


def _scorings(db: sqlite3.Connection, origin: int | None) -> tuple[int, int]:
    given = (
        "content_hash, records_hash, simulator, settings, split, seconds, input_tokens, "
        "output_tokens, cached_input_tokens, requests, versions, created_at"
    )
    before = _last(db, "scorings")
    added = _count(
        db,
        f"INSERT INTO main.scorings (explanation_id, index_id, import_id, {given}) "
        f"SELECT here.ours_id, {_INDEX}, {origin}, {given} FROM staged.scorings AS theirs "
        "JOIN temp.explanations_here AS here ON here.theirs_id = theirs.explanation_id "
        "ORDER BY theirs.id ON CONFLICT (explanation_id, content_hash) DO NOTHING",
    )
    _map(
        db,
        "scorings",
        "ours.content_hash = theirs.content_hash AND ours.explanation_id = "
        "(SELECT ours_id FROM temp.explanations_here WHERE theirs_id = theirs.explanation_id)",
        before,
    )
    for table in ("scores", "baselines"):
        _copy(db, table, "scorings", "scoring_id")
    # A scoring that came without its records once gets them now.
    db.execute(
        "UPDATE temp.scorings_here SET new = 1 WHERE NOT EXISTS "
        "(SELECT 1 FROM main.simulations WHERE scoring_id = ours_id)"
    )
    return added, _copy(db, "simulations", "scorings", "scoring_id")


def _judgements(db: sqlite3.Connection, origin: int | None) -> int:
    given = (
        "content_hash, scorer, model, settings, split, chance_text, seconds, input_tokens, "
        "output_tokens, cached_input_tokens, requests, versions, created_at"
    )
    before = _last(db, "judgements")
    added = _count(
        db,
        f"INSERT INTO main.judgements (explanation_id, index_id, import_id, {given}) "
        f"SELECT here.ours_id, {_INDEX}, {origin}, {given} FROM staged.judgements AS theirs "
        "JOIN temp.explanations_here AS here ON here.theirs_id = theirs.explanation_id "
        "ORDER BY theirs.id ON CONFLICT (explanation_id, content_hash) DO NOTHING",
    )
    _map(
        db,
        "judgements",
        "ours.content_hash = theirs.content_hash AND ours.explanation_id = "
        "(SELECT ours_id FROM temp.explanations_here WHERE theirs_id = theirs.explanation_id)",
        before,
    )
    for table in ("measures", "judged_items"):
        _copy(db, table, "judgements", "judgement_id")
    return added


def _annotations(db: sqlite3.Connection) -> tuple[int, int, int]:
    """Stars and tags are added; a note enters only where there is none."""
    stars = _count(
        db,
        "UPDATE main.neurons SET starred_at = theirs.starred_at FROM "
        f"(SELECT {_NEURON.replace('theirs.neuron_id', 's.id')} AS ours, starred_at "
        "FROM staged.neurons AS s WHERE starred_at IS NOT NULL) AS theirs "
        "WHERE main.neurons.id = theirs.ours AND main.neurons.starred_at IS NULL",
    )
    db.execute(
        "INSERT INTO main.tags (name) SELECT name FROM staged.tags WHERE true "
        "ON CONFLICT DO NOTHING"
    )
    tags = _count(
        db,
        f"INSERT INTO main.neuron_tags (neuron_id, tag_id) SELECT {_NEURON}, main.tags.id "
        "FROM staged.neuron_tags AS theirs JOIN staged.tags AS t ON t.id = theirs.tag_id "
        "JOIN main.tags ON main.tags.name = t.name WHERE true ON CONFLICT DO NOTHING",
    )
    notes = _count(
        db,
        "INSERT INTO main.notes (neuron_id, text, created_at, updated_at) "
        f"SELECT {_NEURON}, text, created_at, updated_at FROM staged.notes AS theirs "
        "WHERE true ON CONFLICT DO NOTHING",
    )
    return stars, tags, notes


def _map(db: sqlite3.Connection, table: str, same: str, before: int) -> None:
    """``temp.TABLE_here``: of each staged row its row here, and whether that is new."""
    db.execute(
        f"CREATE TEMP TABLE {table}_here AS SELECT theirs.id AS theirs_id, ours.id AS ours_id, "
        f"ours.id > {before} AS new FROM staged.{table} AS theirs "
        f"JOIN main.{table} AS ours ON {same}"
    )
    db.execute(f"CREATE UNIQUE INDEX temp.{table}_here_theirs ON {table}_here(theirs_id)")


def _copy(db: sqlite3.Connection, table: str, parents: str, key: str) -> int:
    """Copy the rows that belong to new parents, in their order; how many."""
    names = [row[1] for row in db.execute(f"PRAGMA main.table_info({table})")]
    given = ", ".join(f'"{name}"' for name in names if name not in ("id", key))
    return _count(
        db,
        f"INSERT INTO main.{table} ({key}, {given}) SELECT here.ours_id, {given} "
        f"FROM staged.{table} AS theirs JOIN temp.{parents}_here AS here "
        f"ON here.theirs_id = theirs.{key} WHERE here.new ORDER BY theirs.id",
    )


def _count(db: sqlite3.Connection, sql: str) -> int:
    return max(0, db.execute(sql).rowcount)


def _last(db: sqlite3.Connection, table: str) -> int:
    row = db.execute(f"SELECT coalesce(max(id), 0) FROM main.{table}").fetchone()
    return int(row[0])
