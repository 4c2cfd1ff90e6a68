"""Every reply ever given, by the whole request, in a SQLite file of its own.

It is apart from the store of explanations, so that it may grow, and be deleted without
losing one of those.  Requests that wait in a vendor's batch are kept here, too
(:mod:`engine.models.batches`), so that a reply and the end of its waiting are one write.
Several processes may use one file: each write is one transaction, and of two replies to
one request the first stays.

``synchronous = NORMAL``: a power cut may lose the last replies, never the file; they
would then be asked for again.  What is known of batches is written through to the disk.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from engine.errors import StoreError
from engine.models.batch_rows import TABLES
from engine.models.request import (
    Finish,
    PromptReply,
    PromptRequest,
    Reply,
    Request,
    TokenLogprobs,
    Usage,
)
from engine.store.connection import connect, on_network, patiently, transaction, translate

T = TypeVar("T")

FILE_NAME = "replies.db"
#: ``PRAGMA application_id`` of the file: the bytes ``NGRP``.
APPLICATION_ID = 0x4E475250
#: ``PRAGMA user_version``: of the tables. 2: batches under way.
VERSION = 2
#: Longer replies are kept compressed; distributions over a prompt are long, and shrink
#: to about a fifth.
PLAIN_BYTES = 16 << 10

_TABLE = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT NOT NULL PRIMARY KEY,
    backend TEXT NOT NULL,
    model TEXT NOT NULL,
    request TEXT NOT NULL,
    reply ANY NOT NULL, -- JSON; compressed by zlib where it is long
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    created_at REAL NOT NULL -- seconds since 1970
) STRICT, WITHOUT ROWID
"""


class Replies:
    """The file of replies; use :meth:`open`.

    Every method raises :class:`StoreError` for a full disk, a damaged file, or a lock
    that is never released.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def open(cls, path: Path) -> Replies:
        """Open ``path``, or create it; blocks for milliseconds.

        Raises:
            StoreError: if it is damaged, not ours, of a newer version, or not writable.
        """
        path = Path(path).expanduser().absolute()
        connection: sqlite3.Connection | None = None
        try:
            connection = connect(path)
            _prepare(connection, path)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite3.Error):
                raise _told(error, path) from error
            raise
        return cls(path, connection)

    async def get(self, key: str) -> Reply | PromptReply | None:
        """The reply to a request of that key, marked as from the cache; None if none."""
        row = await self._do(lambda db: _find(db, key))
        if row is None:
            return None
        facts = _read(row[0], self.path)
        try:
            reply = _reply(facts)
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(self.path, "a reply can't be read") from error
        return replace(reply, from_cache=True, usage=replace(reply.usage, requests=0))

    async def put(
        self,
        key: str,
        backend: str,
        model: str,
        request: Request | PromptRequest,
        reply: Reply | PromptReply,
    ) -> None:
        """Keep a reply, unless one to the same request is there.

        Cancelling the await does not undo it: what was paid for is kept.
        """
        await self._insert(key, backend, model, asdict(request), asdict(reply), reply.usage)

    async def recall(self, key: str) -> tuple[Mapping[str, Any], float] | None:
        """What :meth:`remember` kept, and seconds since 1970 when that was."""
        row = await self._do(lambda db: _find(db, key))
        return None if row is None else (_read(row[0], self.path), float(row[1]))

    async def remember(self, key: str, backend: str, model: str, facts: Mapping[str, Any]) -> None:
        """Keep or replace what a backend said about itself: JSON values."""
        await self._insert(key, backend, model, {}, facts, Usage(), replaces=True)

    async def read(self, unit: Callable[[sqlite3.Connection], T]) -> T:
        """Read other tables of the file."""
        return await self._do(unit)

    async def write(self, unit: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> T:
        """Write as one transaction, which cancelling the await does not undo.

        Args:
            durable: Be on the disk afterwards, whatever happens to the power.
        """

        def work(db: sqlite3.Connection) -> T:
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            return patiently(lambda: transaction(db, lambda: unit(db)))

        return await asyncio.shield(self._do(work))

    async def close(self) -> None:
        """Let go of the file; may be called twice."""

        def close() -> None:
            with self._lock:
                self._closed = True
                self._connection.close()

        await asyncio.shield(asyncio.to_thread(close))

    async def _insert(
        self,
        key: str,
        backend: str,
        model: str,
        request: Mapping[str, Any],
        facts: Mapping[str, Any],
        usage: Usage,
        *,
        replaces: bool = False,
    ) -> None:
        row = await asyncio.to_thread(_row, key, backend, model, request, facts, usage)
        await self.write(lambda db: _put(db, row, replaces=replaces))

    async def _do(self, unit: Callable[[sqlite3.Connection], T]) -> T:
        def work() -> T:
            with self._lock:
                if self._closed:
                    raise StoreError("The reply cache is closed.", "Start neuroglass again.")
                try:
                    return unit(self._connection)
                except sqlite3.Error as error:
                    raise _told(error, self.path) from error

        return await asyncio.to_thread(work)


def insert(
    db: sqlite3.Connection, key: str, backend: str, model: str, request: str, reply: Reply
) -> None:
    """Keep a reply within a transaction of the caller, unless one is there.

    Args:
        request: As :func:`dump` writes it.
    """
    row = _row(key, backend, model, {}, asdict(reply), reply.usage)
    _put(db, (*row[:3], request, *row[4:]), replaces=False)


def _row(
    key: str,
    backend: str,
    model: str,
    request: Mapping[str, Any],
    facts: Mapping[str, Any],
    usage: Usage,
) -> tuple[Any, ...]:
    text = dump(facts)
    written = zlib.compress(text.encode(), 6) if len(text) > PLAIN_BYTES else text
    counts = (usage.input_tokens, usage.output_tokens)
    return (key, clean(backend), clean(model), dump(request), written, *counts, time.time())


def _put(db: sqlite3.Connection, row: tuple[Any, ...], *, replaces: bool) -> None:
    how = "REPLACE" if replaces else "IGNORE"
    db.execute(f"INSERT OR {how} INTO replies VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    owner = patiently(lambda: db.execute("PRAGMA application_id").fetchone()[0])
    version = db.execute("PRAGMA user_version").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if owner != APPLICATION_ID and (owner or tables):
        raise StoreError(
            f"{path} is a database of another program.", "Move it away, or choose another folder."
        )
    if version > VERSION:
        raise StoreError(
            f"{path} was written by a newer neuroglass.",
            "Update neuroglass, or delete the file: only kept replies are lost.",
        )
    mode = "DELETE" if on_network(path) else "WAL"
    patiently(lambda: db.execute(f"PRAGMA journal_mode = {mode}").fetchone())
    db.execute("PRAGMA synchronous = NORMAL")

    def create() -> None:
        db.execute(_TABLE)
        for table in TABLES:
            db.execute(table)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")

    if owner != APPLICATION_ID or version < VERSION:
        patiently(lambda: transaction(db, create))
    db.execute("SELECT key, reply, created_at FROM replies LIMIT 1").fetchone()


def _find(db: sqlite3.Connection, key: str) -> tuple[str | bytes, float] | None:
    query = "SELECT reply, created_at FROM replies WHERE key = ?"
    found: tuple[str | bytes, float] | None = db.execute(query, (key,)).fetchone()
    return found


def _read(written: str | bytes, path: Path) -> Mapping[str, Any]:
    try:
        text = zlib.decompress(written) if isinstance(written, bytes) else written
        facts = json.loads(text)
    except (ValueError, zlib.error) as error:
        raise _damaged(path, "a reply can't be read") from error
    if not isinstance(facts, dict):
        raise _damaged(path, "a reply can't be read")
    return facts


def _reply(facts: Mapping[str, Any]) -> Reply | PromptReply:
    usage = Usage(**facts["usage"])
    tokens = tuple(TokenLogprobs(**one) for one in facts["tokens"])
    if "finish" not in facts:
        return PromptReply(tokens, usage, facts["model"], seconds=facts["seconds"])
    return Reply(
        text=facts["text"],
        finish=Finish(facts["finish"]),
        usage=usage,
        model=facts["model"],
        tokens=tokens,
        seconds=facts["seconds"],
    )


def dump(facts: Mapping[str, Any]) -> str:
    """JSON values as text."""
    # ASCII, since a model's text may hold halves of characters that UTF-8 can't.
    return json.dumps(facts, ensure_ascii=True, separators=(",", ":"))


def clean(text: str) -> str:
    """Text that UTF-8 can write."""
    return text.encode("utf-8", "replace").decode()


def _told(error: sqlite3.Error, path: Path) -> StoreError:
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
    broken = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
    return _damaged(path, str(error)) if code in broken else translate(error, path)


def _damaged(path: Path, detail: str) -> StoreError:
    return StoreError(
        f"The reply cache {path} is damaged ({detail}).",
        "Delete it: no explanation is lost, only replies that would have to be asked for again.",
    )
