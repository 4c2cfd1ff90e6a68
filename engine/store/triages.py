"""Runs of an explainer over many neurons: their tables, writes and reads.

A run is one row, brought up to date together with the results it has saved, so that any
other process sees how far it is, and a killed run knows what it has done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from engine.explanation import Explanation
from engine.judgement import Judgement
from engine.models.request import Usage
from engine.neuron import NeuronId
from engine.records import Excerpt
from engine.score import ScoreCard
from engine.store import codec
from engine.store.kinds import IndexFacts

if TYPE_CHECKING:
    from sqlite_utils import Database

TABLES = """
CREATE TABLE triages (
    id INTEGER PRIMARY KEY,
    index_id INTEGER NOT NULL REFERENCES indexes(id),
    method_hash TEXT NOT NULL,
    request TEXT NOT NULL,
    state TEXT NOT NULL,
    stop_asked INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL,
    skipped INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0,
    rate REAL,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    cached_input_tokens INTEGER NOT NULL DEFAULT 0,
    requests INTEGER NOT NULL DEFAULT 0,
    replayed INTEGER NOT NULL DEFAULT 0,
    money REAL,
    note TEXT NOT NULL DEFAULT '',
    message TEXT NOT NULL DEFAULT '',
    remedy TEXT NOT NULL DEFAULT '',
    exit_code INTEGER NOT NULL DEFAULT 0,
    pid INTEGER,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX triages_index_id ON triages(index_id);
CREATE INDEX triages_method_hash ON triages(method_hash);

CREATE TABLE triaged (
    triage_id INTEGER NOT NULL REFERENCES triages(id) ON DELETE CASCADE,
    neuron_id INTEGER NOT NULL REFERENCES neurons(id) ON DELETE CASCADE,
    explanation_id INTEGER REFERENCES explanations(id) ON DELETE CASCADE,
    message TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (triage_id, neuron_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX triaged_neuron_id ON triaged(neuron_id);
CREATE INDEX triaged_explanation_id ON triaged(explanation_id);
"""


class TriageState(StrEnum):
    """Where a run stands. A run that died while RUNNING is told by its lock being free."""

    RUNNING = "running"
    WAITING = "waiting"
    STOPPED = "stopped"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, eq=False)
class StoredTriage:
    """A run as its row says.

    Attributes:
        model, index_id: Hashes.
        index_path: Where the index lay.
        method: Hash of what makes two results be of the same kind.
        request: JSON values.
        stop_asked: Whether somebody asked the run to stop.
        total: Neurons asked for.
        skipped: Of these, explained alike before the run.
        done, failed: Of these, explained by the run, or recorded as failed.
        seconds: Time it has been running, all parts together.
        rate: Neurons per second of late; None while unknown.
        usage, replayed, money: What language models used; money None without a price.
        note: What it is waiting for; empty otherwise. Untrusted text.
        message, remedy, exit_code: Why it failed.
        pid: Of the process that ran it last.
        created_at, updated_at: ISO 8601, UTC.
    """

    id: int
    model: str
    index_id: str
    index_path: str
    method: str
    request: Mapping[str, Any]
    state: TriageState
    stop_asked: bool
    total: int
    skipped: int
    done: int
    failed: int
    seconds: float
    rate: float | None
    usage: Usage
    replayed: int
    money: float | None
    note: str
    message: str
    remedy: str
    exit_code: int
    pid: int | None
    created_at: str
    updated_at: str

    @property
    def left(self) -> int:
        """Neurons still to do."""
        return max(0, self.total - self.skipped - self.done - self.failed)


@dataclass(frozen=True, slots=True, eq=False)
class Triaged:
    """What became of one neuron, to be saved.

    Attributes:
        explanation, card: None where it failed.
        message: Why it failed.
        evidence: Excerpts that it was written from.
    """

    neuron: NeuronId
    explanation: Explanation | None = None
    card: ScoreCard | None = None
    judgements: tuple[Judgement, ...] = ()
    message: str = ""
    evidence: Sequence[Excerpt] = field(default=())


# ---------------------------------------------------------------- writes


def begin(
    db: Database, facts: IndexFacts, method: str, request: Mapping[str, Any], total: int
) -> int:
    """A new run, not yet running; its row id."""
    from engine.store import writes

    now = codec.now()
    return writes.insert(
        db,
        "triages",
        {
            "index_id": writes.save_index(db, facts),
            "method_hash": method,
            "request": codec.dump(request),
            "state": TriageState.STOPPED,
            "total": total,
            "money": 0.0,
            "created_at": now,
            "updated_at": now,
        },
    )


def update(db: Database, triage: int, columns: Mapping[str, Any]) -> None:
    """Bring some columns of a run up to date."""
    values = {"updated_at": codec.now(), **columns}
    settings = ", ".join(f"{name} = :{name}" for name in values)
    db.execute(f"UPDATE triages SET {settings} WHERE id = :triage", {**values, "triage": triage})


def save(
    db: Database,
    triage: int,
    facts: IndexFacts,
    results: Sequence[Triaged],
    columns: Mapping[str, Any],
) -> list[int | None]:
    """Save what became of some neurons with where the run stands; the explanations' ids."""
    from engine.store import writes

    ids: list[int | None] = []
    for one in results:
        row: int | None = None
        if one.explanation is not None:
            row = writes.save_explanation(
                db, facts, one.explanation, one.card, one.evidence, one.judgements
            )
        db.execute(
            "INSERT INTO triaged (triage_id, neuron_id, explanation_id, message) "
            "VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "explanation_id = excluded.explanation_id, message = excluded.message",
            [
                triage,
                writes.neuron_row(db, facts.model_id, one.neuron),
                row,
                codec.clean(one.message),
            ],
        )
        ids.append(row)
    update(db, triage, columns)
    return ids


# ---------------------------------------------------------------- reads

_SELECT = (
    "SELECT triages.*, models.hash AS model_hash, indexes.hash AS index_hash, "
    "indexes.path AS index_path FROM triages JOIN indexes ON indexes.id = triages.index_id "
    "JOIN models ON models.id = indexes.model_id "
)


def load(
    db: sqlite3.Connection,
    triage: int | None,
    index: str | None,
    state: TriageState | None = None,
) -> StoredTriage | None:
    """The run of that row id, or the one touched last; None if there is none.

    Args:
        index: Hash of an index: only its runs.
        state: Only runs that are in it.
    """
    row = db.execute(
        f"{_SELECT} WHERE (?1 IS NULL OR triages.id = ?1) AND (?2 IS NULL OR indexes.hash = ?2) "
        "AND (?3 IS NULL OR triages.state = ?3) "
        "ORDER BY triages.updated_at DESC, triages.id DESC LIMIT 1",
        (triage, index, state),
    ).fetchone()
    return None if row is None else _triage(row)


def stop_asked(db: sqlite3.Connection, triage: int) -> bool:
    """Whether somebody asked the run to stop, or has deleted it."""
    row = db.execute("SELECT stop_asked FROM triages WHERE id = ?", (triage,)).fetchone()
    return row is None or bool(row[0])


def failures(db: sqlite3.Connection, triage: int, limit: int) -> list[tuple[NeuronId, str]]:
    """Neurons that a run could not explain, and why."""
    rows = db.execute(
        "SELECT layer, neuron_index, message FROM triaged "
        "JOIN neurons ON neurons.id = triaged.neuron_id "
        "WHERE triage_id = ? AND explanation_id IS NULL ORDER BY layer, neuron_index LIMIT ?",
        (triage, limit),
    )
    return [(NeuronId(layer, index), message) for layer, index, message in rows]


def done_by(db: sqlite3.Connection, triage: int) -> set[NeuronId]:
    """Neurons that a run has explained."""
    rows = db.execute(
        "SELECT layer, neuron_index FROM triaged JOIN neurons ON neurons.id = triaged.neuron_id "
        "JOIN explanations ON explanations.id = explanation_id "
        "WHERE triage_id = ? AND deleted_at IS NULL",
        (triage,),
    )
    return {NeuronId(layer, index) for layer, index in rows}


def done_before(db: sqlite3.Connection, method: str, facts: Mapping[str, Any]) -> set[NeuronId]:
    """Neurons explained alike: by a run of the same method, or one at a time.

    Args:
        method: Hash of the facts.
        facts: See :func:`engine.assembly.identity`.
    """
    rows = db.execute(
        "SELECT DISTINCT layer, neuron_index FROM triages "
        "JOIN triaged ON triaged.triage_id = triages.id "
        "JOIN neurons ON neurons.id = triaged.neuron_id "
        "JOIN explanations ON explanations.id = explanation_id "
        "WHERE method_hash = ? AND deleted_at IS NULL",
        (method,),
    ).fetchall()
    # A single explanation does not say how many samples it was chosen from.
    plain = facts["samples"] == 1 and not facts["revisions"] and not facts["scorers"]
    if plain and facts["calibration"] == "none":
        rows += db.execute(
            "SELECT DISTINCT layer, neuron_index FROM explanations "
            "JOIN indexes ON indexes.id = explanations.index_id "
            "JOIN neurons ON neurons.id = explanations.neuron_id "
            "JOIN scorings ON scorings.explanation_id = explanations.id "
            "AND scorings.index_id = indexes.id "
            "WHERE indexes.hash = ? AND explainer = ? AND explanations.settings = ? "
            "AND side = ? AND simulator = ? AND scorings.settings = ? AND split = ? "
            "AND deleted_at IS NULL",
            (
                facts["index"],
                facts["explainer"],
                codec.dump(facts["settings"]),
                facts["side"],
                facts["simulator"],
                codec.dump(facts["simulator_settings"]),
                facts["split"],
            ),
        ).fetchall()
    return {NeuronId(layer, index) for layer, index in rows}


def _triage(row: sqlite3.Row) -> StoredTriage:
    return StoredTriage(
        id=row["id"],
        model=row["model_hash"],
        index_id=row["index_hash"],
        index_path=row["index_path"],
        method=row["method_hash"],
        request=codec.load(row["request"]),
        state=TriageState(row["state"]),
        stop_asked=bool(row["stop_asked"]),
        total=row["total"],
        skipped=row["skipped"],
        done=row["done"],
        failed=row["failed"],
        seconds=row["seconds"],
        rate=row["rate"],
        usage=Usage(
            row["input_tokens"], row["output_tokens"], row["cached_input_tokens"], row["requests"]
        ),
        replayed=row["replayed"],
        money=row["money"],
        note=row["note"],
        message=row["message"],
        remedy=row["remedy"],
        exit_code=row["exit_code"],
        pid=row["pid"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
