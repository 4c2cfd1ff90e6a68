"""A run in a process of its own, which outlives whoever started it.

The child gets a session of its own, no terminal and low priority; it inherits the lock
of the home, so that there is no moment in which nobody holds it.  It tells nothing
directly: whoever wants to follow it reads its row in the store.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from engine.errors import NeuroglassError
from engine.scan_process import python_path

LOG = "triage.log"
#: Children that are still ours to collect when they end.
_children: list[subprocess.Popen[bytes]] = []


def start(home: Path, triage: int, lock: IO[str]) -> int:
    """Start the run; its process id. The lock may be closed here afterwards.

    Raises:
        NeuroglassError: no process can be started.
    """
    _children[:] = [child for child in _children if child.poll() is None]
    try:
        with (home / LOG).open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "engine.triage.serve", str(home), str(triage)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock.fileno(),),
                env={**os.environ, "PYTHONPATH": python_path()},
            )
    except OSError as error:
        raise NeuroglassError(
            f"The background process can't be started: {error.strerror}.",
            "Run it in the foreground instead: neuroglass triage",
        ) from error
    _children.append(child)
    return child.pid


def last_words(home: Path) -> str:
    """The last line of the log: why a process died, if it said so."""
    try:
        lines = (home / LOG).read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""
