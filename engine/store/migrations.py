"""The schema, as numbered steps that are never edited once released, only added to.

sqlite-utils records the names of the applied steps in ``_sqlite_migrations``.  The
steps are plain functions and sqlite-utils is imported only to apply them, so an app
that opens an up-to-date file does not pay for the import (0.2 s).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.store import deletion, identity, imports, judgements, triages
from engine.store.sqlite import sqlite_utils

if TYPE_CHECKING:
    from sqlite_utils import Database

#: ``PRAGMA application_id`` of our files: the bytes ``NGLS``.
APPLICATION_ID = 0x4E474C53
MIGRATION_SET = "neuroglass"

_SCORE_COLUMNS = """
    scope TEXT NOT NULL,
    status TEXT NOT NULL,
    ev_correlation REAL,
    interval_low REAL,
    interval_high REAL,
    interval_level REAL,
    interval_resamples INTEGER,
    rsquared REAL,
    absolute_dev_explained REAL,
    records INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    coverage REAL NOT NULL,
    message TEXT NOT NULL DEFAULT ''
"""

# CHECKs are few on purpose: an unforeseen status should be seen, not cost a user the
# result of a computation.  NULL means "has no value"; the status beside it says why.
_TABLES = f"""
CREATE TABLE models (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    name TEXT,
    n_layers INTEGER,
    n_neurons INTEGER,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE indexes (
    id INTEGER PRIMARY KEY,
    model_id INTEGER NOT NULL REFERENCES models(id),
    hash TEXT NOT NULL UNIQUE,
    corpus_hash TEXT NOT NULL,
    path TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    windows INTEGER NOT NULL,
    settings TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX indexes_model_id ON indexes(model_id);

CREATE TABLE neurons (
    id INTEGER PRIMARY KEY,
    model_id INTEGER NOT NULL REFERENCES models(id),
    layer INTEGER NOT NULL CHECK (layer >= 0),
    neuron_index INTEGER NOT NULL CHECK (neuron_index >= 0),
    name TEXT NOT NULL,
    starred_at TEXT,
    UNIQUE (model_id, layer, neuron_index)
) STRICT;
CREATE INDEX neurons_starred ON neurons(model_id) WHERE starred_at IS NOT NULL;

CREATE TABLE notes (
    id INTEGER PRIMARY KEY,
    neuron_id INTEGER NOT NULL UNIQUE REFERENCES neurons(id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE tags (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE neuron_tags (
    neuron_id INTEGER NOT NULL REFERENCES neurons(id) ON DELETE CASCADE,
    tag_id INTEGER NOT NULL REFERENCES tags(id) ON DELETE CASCADE,
    PRIMARY KEY (neuron_id, tag_id)
) STRICT;
CREATE INDEX neuron_tags_tag_id ON neuron_tags(tag_id);

CREATE TABLE explanations (
    id INTEGER PRIMARY KEY,
    neuron_id INTEGER NOT NULL REFERENCES neurons(id) ON DELETE CASCADE,
    index_id INTEGER NOT NULL REFERENCES indexes(id),
    content_hash TEXT NOT NULL UNIQUE,
    text TEXT NOT NULL,
    explainer TEXT NOT NULL,
    settings TEXT NOT NULL,
    rules TEXT,
    seconds REAL,
    versions TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;
CREATE INDEX explanations_neuron_id ON explanations(neuron_id);
CREATE INDEX explanations_index_id ON explanations(index_id);

CREATE TABLE explanation_records (
    id INTEGER PRIMARY KEY,
    explanation_id INTEGER NOT NULL REFERENCES explanations(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    window INTEGER NOT NULL,
    document_name TEXT,
    document_offset INTEGER,
    UNIQUE (explanation_id, position)
) STRICT;

CREATE TABLE scorings (
    id INTEGER PRIMARY KEY,
    explanation_id INTEGER NOT NULL REFERENCES explanations(id) ON DELETE CASCADE,
    index_id INTEGER NOT NULL REFERENCES indexes(id),
    content_hash TEXT NOT NULL,
    simulator TEXT NOT NULL,
    settings TEXT NOT NULL,
    split TEXT NOT NULL,
    seconds REAL,
    versions TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (explanation_id, content_hash)
) STRICT;
CREATE INDEX scorings_index_id ON scorings(index_id);

CREATE TABLE simulations (
    id INTEGER PRIMARY KEY,
    scoring_id INTEGER NOT NULL REFERENCES scorings(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    role TEXT NOT NULL,
    window INTEGER NOT NULL,
    document_name TEXT NOT NULL,
    document_offset INTEGER NOT NULL,
    status TEXT NOT NULL,
    message TEXT NOT NULL DEFAULT '',
    coverage REAL NOT NULL,
    ev_correlation REAL,
    scale TEXT NOT NULL,
    text TEXT NOT NULL,
    token_ids TEXT NOT NULL,
    tokens TEXT NOT NULL,
    expected TEXT NOT NULL,
    activations TEXT NOT NULL,
    UNIQUE (scoring_id, position)
) STRICT;

CREATE TABLE scores (
    id INTEGER PRIMARY KEY,
    scoring_id INTEGER NOT NULL REFERENCES scorings(id) ON DELETE CASCADE,
    {_SCORE_COLUMNS},
    UNIQUE (scoring_id, scope)
) STRICT;

CREATE TABLE baselines (
    id INTEGER PRIMARY KEY,
    scoring_id INTEGER NOT NULL REFERENCES scorings(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    {_SCORE_COLUMNS},
    UNIQUE (scoring_id, name, scope)
) STRICT;
"""

_VIEWS = """
CREATE VIEW current_scorings AS
SELECT explanations.id AS explanation_id, (
    SELECT scorings.id FROM scorings
    LEFT JOIN scores ON scores.scoring_id = scorings.id AND scores.scope = 'top-and-random'
    WHERE scorings.explanation_id = explanations.id
    ORDER BY scores.ev_correlation IS NULL, scorings.id DESC LIMIT 1
) AS scoring_id
FROM explanations;

CREATE VIEW explanations_with_scores AS
SELECT
    explanations.id AS explanation_id,
    models.hash AS model_hash,
    models.name AS model,
    neurons.id AS neuron_id,
    neurons.name AS neuron,
    neurons.layer,
    neurons.neuron_index,
    explanations.text AS explanation,
    explanations.explainer,
    scorings.simulator,
    scorings.split,
    both.status,
    both.ev_correlation,
    both.interval_low,
    both.interval_high,
    both.rsquared,
    both.absolute_dev_explained,
    both.records,
    both.tokens,
    both.coverage,
    both.message,
    random.ev_correlation AS random_only_ev_correlation,
    random.status AS random_only_status,
    explanations.created_at,
    scorings.created_at AS scored_at
FROM explanations
JOIN neurons ON neurons.id = explanations.neuron_id
JOIN models ON models.id = neurons.model_id
JOIN current_scorings ON current_scorings.explanation_id = explanations.id
LEFT JOIN scorings ON scorings.id = current_scorings.scoring_id
LEFT JOIN scores AS both ON both.scoring_id = scorings.id AND both.scope = 'top-and-random'
LEFT JOIN scores AS random ON random.scoring_id = scorings.id AND random.scope = 'random-only';

CREATE VIEW best_explanation_per_neuron AS
SELECT * FROM (
    SELECT *, row_number() OVER (
        PARTITION BY neuron_id
        ORDER BY ev_correlation IS NULL, ev_correlation DESC, explanation_id DESC
    ) AS place
    FROM explanations_with_scores
) WHERE place = 1;

CREATE VIEW neurons_annotated AS
SELECT
    neurons.id AS neuron_id,
    models.name AS model,
    neurons.name AS neuron,
    neurons.layer,
    neurons.neuron_index,
    neurons.starred_at,
    notes.text AS note,
    (SELECT group_concat(tags.name, ', ') FROM neuron_tags
     JOIN tags ON tags.id = neuron_tags.tag_id
     WHERE neuron_tags.neuron_id = neurons.id) AS tags
FROM neurons
JOIN models ON models.id = neurons.model_id
LEFT JOIN notes ON notes.neuron_id = neurons.id
WHERE neurons.starred_at IS NOT NULL OR notes.id IS NOT NULL
   OR EXISTS (SELECT 1 FROM neuron_tags WHERE neuron_tags.neuron_id = neurons.id);
"""

_USAGE = ("input_tokens", "output_tokens", "cached_input_tokens", "requests")


def m001_tables(db: Database) -> None:
    """Models, indexes, neurons, explanations and how they scored."""
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.executescript(_TABLES)


def m002_search(db: Database) -> None:
    """Full text search with external content: the words are kept once."""
    for name in ("explanations", "notes"):
        db.table(name).enable_fts(
            ["text"], create_triggers=True, tokenize="unicode61 remove_diacritics 2"
        )


def m003_views(db: Database) -> None:
    """Answers that a person with ``sqlite3`` or Datasette would ask for first."""
    db.executescript(_VIEWS)


def m004_language_models(db: Database) -> None:
    """What language models used, a neuron's other side, further scorers, what was chosen."""
    db.execute("ALTER TABLE explanations ADD COLUMN side TEXT NOT NULL DEFAULT 'positive'")
    for table in ("explanations", "scorings"):
        for column in _USAGE:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
    db.executescript(judgements.TABLES)


def m005_triage(db: Database) -> None:
    """Runs of an explainer over many neurons, and what became of each."""
    db.executescript(triages.TABLES)


def m006_deletion(db: Database) -> None:
    """Deleting that can be undone; the views leave out what is deleted."""
    db.executescript(deletion.SCHEMA)


def m007_imports(db: Database) -> None:
    """Where results came from, and hashes that are the same in every database."""
    db.executescript(imports.TABLES)
    identity.rehash(db.conn)


STEPS: tuple[Callable[[Database], None], ...] = (
    m001_tables,
    m002_search,
    m003_views,
    m004_language_models,
    m005_triage,
    m006_deletion,
    m007_imports,
)
NAMES: tuple[str, ...] = tuple(step.__name__ for step in STEPS)


def apply(connection: sqlite3.Connection, *, stop_before: str | None = None) -> None:
    """Apply what is pending.

    The caller holds a write transaction, so that two processes that open a new file
    at the same moment can't both run a step; each step is a savepoint within it.
    """
    library = sqlite_utils()
    migrations = library.Migrations(MIGRATION_SET)
    for step in STEPS:
        migrations()(step)
    migrations.apply(library.Database(connection, execute_plugins=False), stop_before=stop_before)
