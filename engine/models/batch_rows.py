"""The tables of batches and of the requests in them, and their rows."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from engine.models.faults import LanguageModelError
from engine.models.request import Request, Usage

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


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the batches under way are.

    Attributes:
        batches: How many; ``doubtful`` of them may not be ours.
        requests: Theirs; ``answered`` of them as the vendors tell.
        canceling: So many are being canceled.
        where: Providers.
    """

    batches: int
    requests: int
    answered: int
    doubtful: int = 0
    canceling: int = 0
    where: str = ""

    def __str__(self) -> str:
        several = "batch" if self.batches == 1 else "batches"
        text = f"{self.batches} {several} at {self.where}: {self.answered:,} of "
        text += f"{self.requests:,} requests answered"
        if self.canceling:
            text += f", {self.canceling} being canceled"
        if self.doubtful:
            text += "; its results will tell whether one of them is this run's"
        return text


def read_requests(db: sqlite3.Connection, where: str, values: Sequence[Any]) -> list[Queued]:
    """Requests for which a condition holds."""
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


def read_batch(
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
    """A row of batches, its columns in their order."""
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
