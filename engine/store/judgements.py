"""Further scorers' judgements: to rows and back."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from engine.judgement import JudgedItem, Judgement, Measure, Measured
from engine.models.request import Usage
from engine.score import Interval, ScoreStatus
from engine.store import codec, identity

if TYPE_CHECKING:
    from sqlite_utils import Database

TABLES = """
CREATE TABLE judgements (
    id INTEGER PRIMARY KEY,
    explanation_id INTEGER NOT NULL REFERENCES explanations(id) ON DELETE CASCADE,
    index_id INTEGER NOT NULL REFERENCES indexes(id),
    content_hash TEXT NOT NULL,
    scorer TEXT NOT NULL,
    model TEXT NOT NULL,
    settings TEXT NOT NULL,
    split TEXT NOT NULL,
    chance_text TEXT NOT NULL,
    seconds REAL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    versions TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (explanation_id, content_hash)
) STRICT;
CREATE INDEX judgements_index_id ON judgements(index_id);

CREATE TABLE measures (
    id INTEGER PRIMARY KEY,
    judgement_id INTEGER NOT NULL REFERENCES judgements(id) ON DELETE CASCADE,
    explanation_of TEXT NOT NULL,
    measured TEXT NOT NULL,
    part TEXT NOT NULL,
    value REAL,
    interval_low REAL,
    interval_high REAL,
    interval_level REAL,
    interval_resamples INTEGER,
    chance REAL,
    items INTEGER NOT NULL,
    coverage REAL NOT NULL,
    status TEXT NOT NULL,
    message TEXT NOT NULL
) STRICT;
CREATE INDEX measures_judgement_id ON measures(judgement_id);

CREATE TABLE judged_items (
    id INTEGER PRIMARY KEY,
    judgement_id INTEGER NOT NULL REFERENCES judgements(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    window INTEGER NOT NULL,
    document_name TEXT NOT NULL,
    text TEXT NOT NULL,
    band TEXT NOT NULL,
    truth REAL,
    prediction REAL,
    probability REAL,
    message TEXT NOT NULL,
    UNIQUE (judgement_id, position)
) STRICT;

CREATE TABLE remembered (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

CREATE VIEW judgements_with_measures AS
SELECT
    judgements.id AS judgement_id,
    judgements.explanation_id,
    models.name AS model,
    neurons.name AS neuron,
    explanations.text AS explanation,
    judgements.scorer,
    judgements.model AS judge,
    judgements.split,
    measures.explanation_of,
    measures.measured,
    measures.part,
    measures.value,
    measures.interval_low,
    measures.interval_high,
    measures.chance,
    measures.items,
    measures.coverage,
    measures.status,
    measures.message,
    judgements.created_at
FROM measures
JOIN judgements ON judgements.id = measures.judgement_id
JOIN explanations ON explanations.id = judgements.explanation_id
JOIN neurons ON neurons.id = explanations.neuron_id
JOIN models ON models.id = neurons.model_id;
"""

_OWN, _OTHER = "this neuron", "another neuron"


def save(db: Database, explanation: int, index: int, index_hash: str, judgement: Judgement) -> None:
    """Insert a judgement of an explanation, unless the same one is there."""
    from engine.store.writes import find, insert, usage_columns, versions

    settings = codec.dump(judgement.settings)
    measures = [
        _measure(measure, whose)
        for whose, several in ((_OWN, judgement.measures), (_OTHER, judgement.chance))
        for measure in several
    ]
    items = [_item(position, item) for position, item in enumerate(judgement.items)]
    content = identity.judgement_hash(
        index_hash, judgement.scorer, judgement.model, settings, judgement.split, measures, items
    )
    same = "SELECT id FROM judgements WHERE explanation_id = ? AND content_hash = ?"
    if find(db, same, explanation, content):
        return
    row = insert(
        db,
        "judgements",
        {
            "explanation_id": explanation,
            "index_id": index,
            "content_hash": content,
            "scorer": codec.clean(judgement.scorer),
            "model": codec.clean(judgement.model),
            "settings": settings,
            "split": codec.clean(judgement.split),
            "chance_text": codec.clean(judgement.chance_text),
            "seconds": codec.number(judgement.seconds),
            **usage_columns(judgement.usage),
            "versions": codec.dump(versions()),
            "created_at": codec.now(),
        },
    )
    db.table("measures").insert_all({"judgement_id": row, **one} for one in measures)
    db.table("judged_items").insert_all({"judgement_id": row, **one} for one in items)


def newest(db: sqlite3.Connection, explanations: str) -> dict[int, list[Judgement]]:
    """The newest judgement of each scorer by explanation, without its items.

    Args:
        explanations: A JSON array of row ids.
    """
    rows = db.execute(
        "SELECT * FROM judgements WHERE id IN (SELECT max(id) FROM judgements "
        "WHERE explanation_id IN (SELECT value FROM json_each(?)) "
        "GROUP BY explanation_id, scorer) ORDER BY id",
        (explanations,),
    ).fetchall()
    found: dict[int, list[Judgement]] = {}
    for row in rows:
        measures = db.execute(
            "SELECT * FROM measures WHERE judgement_id = ? ORDER BY id", (row["id"],)
        ).fetchall()
        judgement = Judgement(
            scorer=row["scorer"],
            model=row["model"],
            settings=codec.load(row["settings"]),
            split=row["split"],
            measures=tuple(_read(one) for one in measures if one["explanation_of"] == _OWN),
            chance=tuple(_read(one) for one in measures if one["explanation_of"] == _OTHER),
            chance_text=row["chance_text"],
            usage=usage(row),
            seconds=row["seconds"] or 0.0,
        )
        found.setdefault(row["explanation_id"], []).append(judgement)
    return found


def usage(row: sqlite3.Row) -> Usage:
    """From the columns that :func:`engine.store.writes.usage_columns` names."""
    return Usage(
        row["input_tokens"], row["output_tokens"], row["cached_input_tokens"], row["requests"]
    )


def interval(row: sqlite3.Row) -> Interval | None:
    """From a row of scores, baselines or measures; None where it has none."""
    low, high = row["interval_low"], row["interval_high"]
    if low is None or high is None:
        return None
    return Interval(low, high, row["interval_level"], row["interval_resamples"])


def _read(row: sqlite3.Row) -> Measure:
    return Measure(
        measured=Measured(row["measured"]),
        of=row["part"],
        value=row["value"],
        interval=interval(row),
        chance=row["chance"],
        items=row["items"],
        coverage=row["coverage"],
        status=ScoreStatus(row["status"]),
        message=row["message"],
    )


def _measure(measure: Measure, whose: str) -> dict[str, Any]:
    between = measure.interval
    return {
        "explanation_of": whose,
        "measured": str(measure.measured),
        "part": codec.clean(measure.of),
        "value": codec.number(measure.value),
        "interval_low": codec.number(between.low) if between else None,
        "interval_high": codec.number(between.high) if between else None,
        "interval_level": float(between.level) if between else None,
        "interval_resamples": int(between.resamples) if between else None,
        "chance": codec.number(measure.chance),
        "items": int(measure.items),
        "coverage": float(measure.coverage),
        "status": str(measure.status),
        "message": codec.clean(measure.message),
    }


def _item(position: int, item: JudgedItem) -> dict[str, Any]:
    return {
        "position": position,
        "window": int(item.window),
        "document_name": codec.clean(item.document_name),
        "text": codec.clean(item.text),
        "band": codec.clean(item.band),
        "truth": codec.number(item.truth),
        "prediction": codec.number(item.prediction),
        "probability": codec.number(item.probability),
        "message": codec.clean(item.message),
    }
