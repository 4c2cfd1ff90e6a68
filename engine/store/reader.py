"""The connections that read: one for each thread."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Reader:
    """One thread's read-only connection; it ends with its thread or with the store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # Against close() from another thread; a unit may itself read.
        self._lock = threading.RLock()

    def read(self, unit: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``unit`` on one state of the database, however many statements it has.

        A read within a read sees the state that the outer one sees.
        """
        with self._lock:
            nested = self._connection.in_transaction
            if nested:
                return unit(self._connection)
            self._connection.execute("BEGIN")
            try:
                return unit(self._connection)
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Let go of the file; may be called from any thread."""
        with self._lock:
            self._connection.close()

    def __del__(self) -> None:
        self._connection.close()
