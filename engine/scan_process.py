"""The scan in a process of its own, behind the same stream of events.

Importing torch and running a model's Python hold the interpreter lock for hundreds
of milliseconds; a front end in the same process would stutter.  So the scan runs as
``python -m engine.scan_process``: the request is the first line on its standard
input, events are JSON lines on its standard output, and the end of its standard input
means stop.  When the parent dies in any way the pipe closes, and the child writes a
checkpoint and leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine import events
from engine.events import ScanEvent, ScanFailed, ScanFinished, ScanStopped
from engine.scan_request import ScanRequest

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        events.ScanStage,
        events.ScanPlanned,
        events.ScanProgress,
        events.ScanPublished,
        events.ScanFinished,
        events.ScanStopped,
        events.ScanFailed,
    )
}
_TERMINAL = (ScanFinished, ScanStopped, ScanFailed)
#: A cancelled child gets this long to write its checkpoint.
STOP_SECONDS = 30.0
LOG = "scan.log"


def encode(event: ScanEvent) -> str:
    """An event as one line of JSON."""
    return json.dumps({"event": type(event).__name__, **asdict(event)})


def decode(line: str) -> ScanEvent:
    """Read what :func:`encode` wrote."""
    facts = json.loads(line)
    event: ScanEvent = _KINDS[facts.pop("event")](**facts)
    return event


async def scan_in_process(request: ScanRequest, home: Path) -> AsyncGenerator[ScanEvent, None]:
    """Scan in a child process.

    Closing the generator, or cancelling the task that reads it, stops the child; it
    writes a checkpoint first.
    """
    log = home / LOG
    with log.open("wb") as errors:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "engine.scan_process",
            str(home),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            # A session of its own: a hang-up of the terminal reaches the parent only,
            # and the child hears of it through its closed input.
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": python_path()},
        )
    assert child.stdin is not None and child.stdout is not None
    ended = False
    try:
        child.stdin.write(request.to_json().encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await child.stdin.drain()
        while line := await child.stdout.readline():
            event = decode(line.decode())
            ended = isinstance(event, _TERMINAL)
            yield event
        if not ended:
            code = await child.wait()
            yield ScanFailed(
                f"The scan's process ended unexpectedly (status {code}): {_last_line(log)}",
                f"Start the scan again: it resumes. Details are in {log}.",
            )
    finally:
        await asyncio.shield(_stop(child))


async def _stop(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        assert child.stdin is not None
        child.stdin.close()
        # The child may be blocked on a full pipe, so what it still says is read.
        try:
            await asyncio.wait_for(child.communicate(), STOP_SECONDS)
        except (TimeoutError, ValueError, ConnectionError):
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


def python_path() -> str:
    """``PYTHONPATH`` for a child that is to run the same code."""
    root = str(Path(__file__).resolve().parent.parent)
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else "no reason was given"


def main(home: Path) -> None:
    """Serve one request from standard input."""
    from engine.scan import run_scan

    stop = threading.Event()
    request = ScanRequest.from_json(sys.stdin.readline())
    if request.background:
        os.nice(10)
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda *_: stop.set())

    def watch_parent() -> None:
        while sys.stdin.readline():
            pass
        stop.set()

    threading.Thread(target=watch_parent, daemon=True).start()
    listening = True
    for event in run_scan(request, home, stop.is_set):
        if listening:
            try:
                sys.stdout.write(encode(event) + "\n")
                sys.stdout.flush()
            except BrokenPipeError:
                # Nobody reads any more: go on only to the checkpoint.
                listening = False
                stop.set()
                sys.stdout = open(os.devnull, "w")  # noqa: SIM115


if __name__ == "__main__":
    main(Path(sys.argv[1]))
