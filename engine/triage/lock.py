"""One run per home: a lock that the kernel frees when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO

from engine.errors import NeuroglassError

LOCK = "triage.lock"
#: Whoever only looks holds the lock for a moment, so taking it is tried this long, seconds.
PATIENCE = 0.5


def held(home: Path) -> bool:
    """Whether some process is running a triage in this home."""
    try:
        with (home / LOCK).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        raise NeuroglassError(
            f"{home / LOCK} can't be locked: {error.strerror}.", "Check the folder's permissions."
        ) from error
    return False


def take(home: Path) -> IO[str] | None:
    """The lock, ours until the file and all its heirs are closed; None if it is held."""
    file = (home / LOCK).open("a")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > deadline:
                file.close()
                return None
            time.sleep(0.02)
