"""Requests that are to be asked for, or wait, in a vendor's batch: tables in the reply cache.

A request is known by the same key as its reply.  It is *queued* when a run needs it,
*sent* once it belongs to a batch, and its row ends with the reply in the cache, or with
*failed* when several batches could not answer it.

A batch is written down before it is sent, and again when the vendor has taken it.  A
process that is killed between the two leaves it *submitting*: whether the vendor has it
is then looked up there, and nothing is sent a second time on a guess.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from engine.models.batch_api import Outcome
from engine.models.faults import Fault, LanguageModelError
from engine.models.request import Request, Usage

if TYPE_CHECKING:
    from engine.models.replies import Replies

#: Times that a request is sent, where the vendor has not dealt with it.
TRIES = 3

TABLES = (
    """
    CREATE TABLE IF NOT EXISTS batches (
        token TEXT NOT NULL PRIMARY KEY, -- ours
        name TEXT NOT NULL, -- of the model, as the user writes it
        triage INTEGER NOT NULL, -- row of the run in the store
        endpoint TEXT NOT NULL,
        state TEXT NOT NULL,
        vendor_id TEXT NOT NULL DEFAULT '',
        doubtful INTEGER NOT NULL DEFAULT 0, -- the vendor's may be somebody else's
        marker TEXT NOT NULL DEFAULT '',
        foreign_ids TEXT NOT NULL DEFAULT '[]', -- looked at, and not this one
        requests INTEGER NOT NULL,
        answered INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0,
        input_tokens INTEGER NOT NULL DEFAULT 0,
        output_tokens INTEGER NOT NULL DEFAULT 0,
        cached_input_tokens INTEGER NOT NULL DEFAULT 0,
        charged INTEGER NOT NULL DEFAULT 0, -- requests that cost something
        created_at REAL NOT NULL, -- seconds since 1970
        sent_at REAL NOT NULL DEFAULT 0,
        room INTEGER NOT NULL DEFAULT 0 -- tokens of reply beyond each request's limit
    ) STRICT
    """,
    """
    CREATE TABLE IF NOT EXISTS requests (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        backend TEXT NOT NULL,
        model TEXT NOT NULL,
        endpoint TEXT NOT NULL,
        request BLOB NOT NULL, -- JSON, compressed by zlib
        state TEXT NOT NULL,
        wanted INTEGER NOT NULL DEFAULT 1, -- by the run under way
        batch TEXT,
        place INTEGER NOT NULL DEFAULT 0,
        tries INTEGER NOT NULL DEFAULT 0,
        fault TEXT NOT NULL DEFAULT '',
        message TEXT NOT NULL DEFAULT '',
        remedy TEXT NOT NULL DEFAULT '',
        most_input INTEGER NOT NULL,
        most_output INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE IF NOT EXISTS learnt (
        name TEXT NOT NULL, -- of the model
        status INTEGER NOT NULL, -- of an error that told what to leave out
        error TEXT NOT NULL, -- JSON
        PRIMARY KEY (name, status, error)
    ) STRICT
    """,
    "CREATE INDEX IF NOT EXISTS requests_batch ON requests(batch, place)",
    "CREATE INDEX IF NOT EXISTS requests_state ON requests(state)",
)


class BatchState(StrEnum):
    """Where a batch stands."""

    PREPARED = "prepared"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    CANCELING = "canceling"
    #: Its replies are filed, and the run has not yet gone on with them.
    COLLECTED = "collected"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Batch:
    """One row, as :data:`TABLES` says; ``answered`` and ``failed`` as the vendor told last."""

    token: str
    name: str
    triage: int
    endpoint: str
    state: BatchState
    vendor_id: str
    doubtful: bool
    marker: str
    foreign_ids: tuple[str, ...]
    requests: int
    answered: int
    failed: int
    sent_at: float
    room: int

    @property
    def waiting(self) -> bool:
        """Whether the vendor has it."""
        return self.state in (BatchState.SUBMITTED, BatchState.CANCELING)


@dataclass(frozen=True, slots=True)
class Queued:
    """A request that is to be sent, or was."""

    id: int
    key: str
    name: str
    endpoint: str
    place: int
    request: Request
    most: Usage


@dataclass(slots=True)
class Filed:
    """What came of reading a batch's results.

    Attributes:
        answered: Replies that are now in the cache.
        again: Requests that are queued once more.
        failed: Requests that are given up.
        error: The latest error of a request that was not canceled.
    """

    answered: int = 0
    again: int = 0
    failed: int = 0
    error: LanguageModelError | None = None

    def __str__(self) -> str:
        parts = []
        if self.answered:
            parts.append(f"{self.answered:,} replies collected")
        if self.again:
            parts.append(f"{self.again:,} requests queued again")
        if self.failed:
            parts.append(f"{self.failed:,} given up")
        text = ", ".join(parts)
        return f"{text} ({self.error.message})" if self.error is not None else text


class Batches:
    """The tables; every method may raise StoreError."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies

    # -- queueing

    async def begin_pass(self) -> None:
        """From now on only what is asked for again is wanted."""
        await self._replies.write(
            lambda db: db.execute("UPDATE requests SET wanted = 0 WHERE state = 'queued'")
        )

    async def want(
        self,
        key: str,
        name: str,
        backend: str,
        model: str,
        endpoint: str,
        request: Request,
        most: Usage,
    ) -> LanguageModelError | None:
        """Queue a request, unless it is queued, sent or given up; the latter's error."""
        from engine.models.replies import clean, dump

        def unit(db: sqlite3.Connection) -> LanguageModelError | None:
            row = db.execute(
                "SELECT state, fault, message, remedy FROM requests WHERE key = ?", (key,)
            ).fetchone()
            if row is not None and row[0] == "failed":
                return LanguageModelError(Fault(row[1]), row[2], row[3])
            if row is not None:
                db.execute("UPDATE requests SET wanted = 1 WHERE key = ? AND NOT wanted", (key,))
                return None
            packed = zlib.compress(dump(asdict(request)).encode(), 6)
            db.execute(
                "INSERT INTO requests (key, name, backend, model, endpoint, request, state, "
                "most_input, most_output) VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?)",
                (key, name, clean(backend), clean(model), endpoint, packed,
                 most.input_tokens, most.output_tokens),
            )  # fmt: skip
            return None

        return await self._replies.write(unit)

    async def queued(self, after: int, limit: int) -> list[Queued]:
        """Wanted requests that belong to no batch, in the order in which they came."""
        return await self._replies.read(
            lambda db: _queued(
                db,
                "state = 'queued' AND wanted AND id > ? ORDER BY id LIMIT ?",
                (after, limit),
            )
        )

    async def prepare(
        self, token: str, name: str, triage: int, endpoint: str, ids: Sequence[int]
    ) -> None:
        """Write down a batch of queued requests, which is not sent yet."""

        def unit(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO batches (token, name, triage, endpoint, state, requests, created_at) "
                "VALUES (?, ?, ?, ?, 'prepared', ?, ?)",
                (token, name, triage, endpoint, len(ids), time.time()),
            )
            db.executemany(
                "UPDATE requests SET state = 'sent', batch = ?, place = ? WHERE id = ?",
                [(token, place, row) for place, row in enumerate(ids)],
            )

        await self._replies.write(unit, durable=True)

    # -- batches

    async def open(self) -> list[Batch]:
        """Batches that have not ended, oldest first."""

        def unit(db: sqlite3.Connection) -> list[Batch]:
            rows = db.execute(
                "SELECT token, name, triage, endpoint, state, vendor_id, doubtful, marker, "
                "foreign_ids, requests, answered, failed, sent_at, room FROM batches "
                "WHERE state NOT IN ('collected', 'ended') ORDER BY created_at, rowid"
            )
            return [_batch(*row) for row in rows]

        return await self._replies.read(unit)

    async def update(self, batch: Batch, **changes: Any) -> Batch:
        """Bring a batch up to date; what it is then."""
        changed = replace(batch, **changes)
        columns = {
            name: json.dumps(value) if name == "foreign_ids" else value
            for name, value in changes.items()
        }
        settings = ", ".join(f"{name} = :{name}" for name in columns)
        await self._replies.write(
            lambda db: db.execute(
                f"UPDATE batches SET {settings} WHERE token = :token",
                {**columns, "token": batch.token},
            ),
            durable=True,
        )
        return changed

    async def requests_of(self, token: str, places: Sequence[int] | None = None) -> list[Queued]:
        """Requests of a batch that are not answered yet; all, or those at some places."""

        def unit(db: sqlite3.Connection) -> list[Queued]:
            if places is None:
                return _queued(db, "state = 'sent' AND batch = ? ORDER BY place", (token,))
            marks = ", ".join("?" * len(places))
            where = f"state = 'sent' AND batch = ? AND place IN ({marks})"
            return _queued(db, where, (token, *places))

        return await self._replies.read(unit)

    async def file(self, batch: Batch, outcomes: Sequence[tuple[Queued, Outcome]]) -> Filed:
        """Keep replies and end their waiting, in one transaction; what it came to."""

        def unit(db: sqlite3.Connection) -> Filed:
            filed = Filed()
            for queued, outcome in outcomes:
                _file(db, batch.token, queued, outcome, filed)
            return filed

        return await self._replies.write(unit)

    async def end(self, batch: Batch) -> int:
        """A batch has ended: what it has not answered is queued again; how many those are."""

        def unit(db: sqlite3.Connection) -> int:
            left = db.execute(
                "UPDATE requests SET state = 'queued', batch = NULL "
                "WHERE state = 'sent' AND batch = ?",
                (batch.token,),
            ).rowcount
            db.execute("UPDATE batches SET state = 'collected' WHERE token = ?", (batch.token,))
            return left

        return await self._replies.write(unit)

    async def news(self) -> bool:
        """Whether batches were collected that no run has gone on with."""

        def unit(db: sqlite3.Connection) -> bool:
            query = "SELECT 1 FROM batches WHERE state = 'collected' LIMIT 1"
            return db.execute(query).fetchone() is not None

        return await self._replies.read(unit)

    async def no_news(self) -> None:
        """A run has gone on with all that was collected."""
        await self._replies.write(
            lambda db: db.execute("UPDATE batches SET state = 'ended' WHERE state = 'collected'")
        )

    async def learnt(self, name: str) -> list[tuple[int, Mapping[str, Any]]]:
        """Errors that have told what a model refuses, in their order; see :meth:`learn`."""

        def unit(db: sqlite3.Connection) -> list[tuple[int, Mapping[str, Any]]]:
            rows = db.execute(
                "SELECT status, error FROM learnt WHERE name = ? ORDER BY rowid", (name,)
            )
            return [(status, json.loads(error)) for status, error in rows]

        return await self._replies.read(unit)

    async def learn(self, name: str, status: int, body: Mapping[str, Any]) -> None:
        """Keep such an error; status 200: a reply had no room."""
        row = (name, status, json.dumps(dict(body), sort_keys=True))
        await self._replies.write(
            lambda db: db.execute("INSERT OR IGNORE INTO learnt VALUES (?, ?, ?)", row)
        )

    async def forget_failures(self) -> None:
        """Requests that were given up may be asked again: by a run that begins anew."""
        await self._replies.write(
            lambda db: db.execute("DELETE FROM requests WHERE state='failed'")
        )

    # -- counting

    async def used(self, triage: int) -> dict[str, Usage]:
        """What the batches of a run have used, by model."""

        def unit(db: sqlite3.Connection) -> dict[str, Usage]:
            rows = db.execute(
                "SELECT name, sum(input_tokens), sum(output_tokens), sum(cached_input_tokens), "
                "sum(charged) FROM batches WHERE triage = ? GROUP BY name",
                (triage,),
            )
            return {row[0]: Usage(*row[1:]) for row in rows if row[4]}

        return await self._replies.read(unit)

    async def reserved(self) -> dict[str, Usage]:
        """What the requests under way may use at most, by model."""

        def unit(db: sqlite3.Connection) -> dict[str, Usage]:
            rows = db.execute(
                "SELECT name, sum(most_input), sum(most_output) FROM requests "
                "WHERE state = 'sent' GROUP BY name"
            )
            return {row[0]: Usage(row[1], row[2]) for row in rows}

        return await self._replies.read(unit)


def _queued(db: sqlite3.Connection, where: str, values: Sequence[Any]) -> list[Queued]:
    rows = db.execute(
        "SELECT id, key, name, endpoint, place, request, most_input, most_output "
        f"FROM requests WHERE {where}",
        tuple(values),
    )
    return [_read(*row) for row in rows]


def _read(
    row: int, key: str, name: str, endpoint: str, place: int, packed: bytes, most: int, reply: int
) -> Queued:
    request = Request.from_json(json.loads(zlib.decompress(packed)))
    return Queued(row, key, name, endpoint, place, request, Usage(most, reply))


def _batch(
    token: str,
    name: str,
    triage: int,
    endpoint: str,
    state: str,
    vendor_id: str,
    doubtful: int,
    marker: str,
    foreign_ids: str,
    *counts: Any,
) -> Batch:
    return Batch(
        token,
        name,
        triage,
        endpoint,
        BatchState(state),
        vendor_id,
        bool(doubtful),
        marker,
        tuple(json.loads(foreign_ids)),
        *counts,
    )


def _file(
    db: sqlite3.Connection, token: str, queued: Queued, outcome: Outcome, filed: Filed
) -> None:
    from engine.models.replies import clean, insert

    row = db.execute(
        "SELECT backend, model, request, tries FROM requests WHERE id = ? AND state = 'sent'",
        (queued.id,),
    ).fetchone()
    if row is None:
        return  # filed before
    backend, model, packed, tries = row
    used = outcome.usage
    db.execute(
        "UPDATE batches SET input_tokens = input_tokens + ?, output_tokens = output_tokens + ?, "
        "cached_input_tokens = cached_input_tokens + ?, charged = charged + ? WHERE token = ?",
        (used.input_tokens, used.output_tokens, used.cached_input_tokens, used.requests, token),
    )
    if outcome.reply is not None:
        request = zlib.decompress(packed).decode()
        insert(db, queued.key, backend, model, request, outcome.reply)
        db.execute("DELETE FROM requests WHERE id = ?", (queued.id,))
        filed.answered += 1
        return
    error = outcome.error
    assert error is not None
    tries += 0 if outcome.canceled else 1
    again = outcome.again and tries < TRIES
    if again:
        filed.again += 1
    else:
        filed.failed += 1
    if not outcome.canceled:
        filed.error = error
    db.execute(
        "UPDATE requests SET state = ?, batch = NULL, tries = ?, fault = ?, message = ?, "
        "remedy = ? WHERE id = ?",
        ("queued" if again else "failed", tries, str(error.fault), clean(error.message),
         clean(error.remedy), queued.id),
    )  # fmt: skip
