"""The one thread that writes.

Commands wait in a queue; each is one transaction, and its future is resolved once the
commit has returned.  A connection that nobody else uses needs no locks, and a slow disk
never stalls the event loop.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import StoreError
from engine.store.connection import patiently, transaction, translate
from engine.store.sqlite import sqlite_utils

if TYPE_CHECKING:
    from sqlite_utils import Database

T = TypeVar("T")

#: How long the end of the process waits for writes still queued, in seconds.
EXIT_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class _Command:
    unit: Callable[[Database], Any]
    future: Future[Any]


class Writer:
    """Owns the writing connection from construction to :meth:`close`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._queue: queue.SimpleQueue[_Command | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._done: Future[None] = Future()
        # A daemon, or a program that forgets to close could never end; what is still
        # queued then is written by the exit handler.
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()
        atexit.register(self._at_exit)

    def submit(self, unit: Callable[[Database], T]) -> Future[T]:
        """Queue ``unit`` as one transaction; it may run more than once if locked out.

        Raises:
            StoreError: if the store is closed.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise closed()
            self._queue.put(_Command(unit, future))
        return future

    def close(self) -> Future[None]:
        """Write what is queued, then close; resolved when the file is let go of."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        return self._done

    def _at_exit(self) -> None:
        self.close()
        self._thread.join(EXIT_PATIENCE_S)

    def _run(self) -> None:
        db: Database | None = None
        while (command := self._queue.get()) is not None:
            # Running from here on: a caller that stops waiting can't undo the write.
            if not command.future.set_running_or_notify_cancel():
                continue
            try:
                if db is None:
                    db = self._database()
                command.future.set_result(self._write(db, command.unit))
            except sqlite3.Error as error:
                command.future.set_exception(translate(error, self._path))
            except BaseException as error:
                command.future.set_exception(error)
            del command
        with contextlib.suppress(sqlite3.Error):  # only statistics for the query planner
            self._connection.execute("PRAGMA optimize")
        self._connection.close()
        atexit.unregister(self._at_exit)
        self._done.set_result(None)

    def _database(self) -> Database:
        database: Database = sqlite_utils().Database(self._connection, execute_plugins=False)
        return database

    def _write(self, db: Database, unit: Callable[[Database], T]) -> T:
        return patiently(lambda: transaction(self._connection, lambda: unit(db)))


def closed() -> StoreError:
    """The error of whoever comes too late."""
    return StoreError("The database is closed.", "Start neuroglass again.")
