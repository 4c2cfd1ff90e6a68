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
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from engine.models.batch_api import Outcome
from engine.models.batch_rows import Batch, Filed, Queued, read_batch, read_requests
from engine.models.faults import Fault, LanguageModelError
from engine.models.request import Request, Usage

if TYPE_CHECKING:
    from engine.models.replies import Replies

#: Times that a request is sent, where the vendor has not dealt with it.
TRIES = 3


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
            lambda db: read_requests(
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
            return [read_batch(*row) for row in rows]

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
                return read_requests(db, "state = 'sent' AND batch = ? ORDER BY place", (token,))
            marks = ", ".join("?" * len(places))
            where = f"state = 'sent' AND batch = ? AND place IN ({marks})"
            return read_requests(db, where, (token, *places))

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
