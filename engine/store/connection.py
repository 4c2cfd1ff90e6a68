"""Opening the file: whose it is, which version, and what SQLite's errors mean.

Settings, and why:

* WAL, so that readers never wait for the writer, in this process or in another; a
  rollback journal on network file systems, where WAL's shared memory does not work.
* ``synchronous = FULL``: a commit that was acknowledged survives a power cut, not only
  a killed process.  It costs about 0.6 ms more per save than NORMAL (4.8 against 4.1 ms
  with 20 records, ext4 on a virtual disk), and the event loop waits for neither.
* ``busy_timeout`` 10 s; writers take the write lock first (``BEGIN IMMEDIATE``), since
  a transaction that reads and then writes fails at once when another process
  committed in between, whatever the timeout.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from engine.errors import StoreError
from engine.store import migrations

T = TypeVar("T")

BUSY_TIMEOUT_MS = 10_000
#: How long a unit is tried again while other processes hold the file, in seconds.
LOCK_PATIENCE_S = 30.0
#: Files up to this size are checked page by page when opened (about 10 ms), bytes.
CHECKED_BYTES = 8 << 20

_MAGIC = b"SQLite format 3\0"
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs"}


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in driver autocommit: transactions are begun by hand.

    It may be used from any thread, by one at a time.
    """
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={'ro' if read_only else 'rwc'}",
        uri=True,
        timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
    )
    if read_only:
        connection.row_factory = sqlite3.Row
    else:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {16 << 20}")
    return connection


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Connect to our file, creating or migrating it as needed.

    Raises:
        StoreError: if the file can't be used; the file is then as it was.
    """
    _look_at_file(path)
    connection: sqlite3.Connection | None = None
    try:
        connection = connect(path)
        _prepare(connection, path)
        return connection
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise translate(error, path) from error
        raise


def patiently(unit: Callable[[], T]) -> T:
    """Run a whole unit again while another process holds the lock."""
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            return unit()
        except sqlite3.OperationalError as error:
            if _code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            if time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.005, 0.05))


def transaction(connection: sqlite3.Connection, unit: Callable[[], T]) -> T:
    """One write transaction; commits before it returns, or leaves nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = unit()
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may already have ended the transaction.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """What SQLite's error means to a person."""
    code = _code(error)
    full = code == sqlite3.SQLITE_FULL
    if code == sqlite3.SQLITE_IOERR:
        # Some calls report a lack of space as an input/output error.
        full = _free_bytes(path) < 1 << 20
    if full:
        return StoreError(
            f"The disk is full: {path} could not be written; nothing was changed.",
            "Free some space and try again.",
        )
    if code == sqlite3.SQLITE_NOTADB:
        return _not_a_database(path)
    if code == sqlite3.SQLITE_CORRUPT:
        return _damaged(path, str(error))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            f"Another program keeps {path} locked.", "Close that program and try again."
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return _read_only(path)
    return StoreError(f"The database {path} failed: {error}.", "Check the disk and try again.")


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Look at every page.

    Raises:
        StoreError: if the file is damaged.
    """
    row = connection.execute("PRAGMA quick_check(1)").fetchone()
    if row[0] != "ok":
        raise _damaged(path, " ".join(str(row[0]).split()))


def _look_at_file(path: Path) -> None:
    """What can be told without letting SQLite touch the file."""
    if not path.parent.is_dir():
        raise StoreError(
            f"The folder {path.parent} does not exist.", "Create it or choose another."
        )
    if path.is_dir():
        raise StoreError(f"{path} is a folder, not a database.", "Choose another path.")
    effective = os.access in os.supports_effective_ids
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.R_OK | os.W_OK, effective_ids=effective):
            raise _read_only(place)
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{path} can't be read: {error.strerror}.", "Check the disk.") from error
    if not head:
        return
    if not head.startswith(_MAGIC):
        raise _not_a_database(path)
    owner = int.from_bytes(head[68:72], "big")
    # Zero decides nothing: after a crash our own mark may still be in the log.
    if owner not in (0, migrations.APPLICATION_ID):
        raise _foreign(path)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # Whose file it is comes first: nothing may be changed in one that is not ours.
    pending = patiently(lambda: _pending(connection, path))
    mode = "DELETE" if on_network(path) else "WAL"
    patiently(lambda: connection.execute(f"PRAGMA journal_mode = {mode}").fetchone())
    if pending:

        def migrate() -> None:
            # Another process may have migrated while this one waited for the lock.
            if _pending(connection, path):
                migrations.apply(connection)

        patiently(lambda: transaction(connection, migrate))
    if path.stat().st_size <= CHECKED_BYTES:
        check(connection, path)


def _pending(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether steps are to be applied; StoreError if the file is not ours, or newer."""
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    if owner != migrations.APPLICATION_ID:
        if owner or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise _foreign(path)
        return True
    rows = connection.execute(
        "SELECT name FROM _sqlite_migrations WHERE migration_set = ?",
        (migrations.MIGRATION_SET,),
    )
    applied = {name for (name,) in rows}
    if not applied <= set(migrations.NAMES):
        raise StoreError(
            f"{path} was written by a newer neuroglass.",
            "Update neuroglass, or choose another folder with NEUROGLASS_HOME.",
        )
    return len(applied) < len(migrations.NAMES)


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 when the driver raised by itself."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def _free_bytes(path: Path) -> int:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return 1 << 62


def on_network(path: Path) -> bool:
    """Whether the file system is a remote one; False where that can't be told."""
    try:
        lines = Path("/proc/self/mounts").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    place, best, kind = str(path.parent.resolve()), "", ""
    for line in lines:
        _, mount, found, *_ = line.split(" ")
        mount = mount.replace("\\040", " ")
        inside = place == mount or place.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, found
    return kind in _NETWORK


def _not_a_database(path: Path) -> StoreError:
    return StoreError(f"{path} is not a database.", "Move the file away, or choose another folder.")


def _foreign(path: Path) -> StoreError:
    return StoreError(
        f"{path} is a database of another program.",
        "Move the file away, or choose another folder.",
    )


def _damaged(path: Path, detail: str) -> StoreError:
    return StoreError(
        f"The database {path} is damaged ({detail}); it was left as it is.",
        "Restore a copy, or move it away and rescue what is left with: sqlite3 FILE .recover",
    )


def _read_only(path: Path) -> StoreError:
    return StoreError(
        f"{path} can't be written.",
        "Check its permissions, or choose another folder with NEUROGLASS_HOME.",
    )
