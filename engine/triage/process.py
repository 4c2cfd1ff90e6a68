"""A run in a process of its own, which outlives whoever started it.

The child gets a session of its own, no terminal and low priority; it inherits the lock
of the home, so that there is no moment in which nobody holds it.  It tells nothing
directly: whoever wants to follow it reads its row in the store.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import aclosing
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
    # One thread of arithmetic in each process: there are as many processes as cores.
    one = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    try:
        with (home / LOG).open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "engine.triage.process", str(home), str(triage)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock.fileno(),),
                env={**one, **os.environ, "PYTHONPATH": python_path()},
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


async def serve(home: Path, triage: int) -> None:
    """Run it to the end, or until a signal or the store says stop."""
    from engine.engine import Engine
    from engine.store import TriageState

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    async with await Engine.open(home) as engine:
        stored = engine.store.triage(triage)
        if stored is None:
            return
        try:
            engine.open_index(Path(stored.index_path))
            events = await engine.triages().carry_out(triage, stop)
        except NeuroglassError as error:
            await engine.store.update_triage(
                triage,
                state=TriageState.FAILED,
                message=error.message,
                remedy=error.remedy,
                exit_code=error.exit_code,
            )
            raise
        async with aclosing(events) as stream:
            async for _ in stream:
                pass


def main(home: Path, triage: int) -> None:
    """Serve one run; its lock is open already."""
    os.nice(10)
    try:
        asyncio.run(serve(home, triage))
    except NeuroglassError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
