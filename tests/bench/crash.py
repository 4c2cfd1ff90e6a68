"""Twenty kills of each kind at random moments, and what was lost.

    python -m tests.bench.crash [--kills 20] [--seed 0]

1. ``kill -9`` of a running scan; the next one must resume at the last checkpoint.
2. ``kill -9`` of a process that saves explanations; every acknowledged one must be there.
3. The terminal closed under the running app (SIGHUP), after saves and during a scan.
"""

from __future__ import annotations

import argparse
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from engine.events import ScanFinished, ScanProgress, ScanPublished
from engine.index import Index
from engine.scan import run_scan
from engine.scan_process import decode
from engine.scan_request import ScanRequest
from tests.bench.terminal import Terminal

SAVER = """
import asyncio, dataclasses, sys
from pathlib import Path
from engine.engine import Engine
from engine.events import Scored
from engine.neuron import NeuronId
async def main():
    async with await Engine.open(Path(sys.argv[1]), index=Path(sys.argv[2])) as engine:
        async for event in engine.explain(NeuronId(2, 7)):
            pass
        for number in range(10**6):
            one = dataclasses.replace(event.explanation, text=f"{sys.argv[3]} {number}")
            print(await engine.save(one, event.card), one.text, flush=True)
asyncio.run(main())
"""


def kill_scans(kills: int, rng: random.Random) -> Path:
    """Kill scans of the demo text until one has been killed ``kills`` times."""
    home = Path(tempfile.mkdtemp(prefix="neuroglass-crash-"))
    request = ScanRequest()
    lost, best, done = [], 0, 0
    while done < kills:
        child = subprocess.Popen(
            [sys.executable, "-m", "engine.scan_process", str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert child.stdin and child.stdout
        child.stdin.write(request.to_json().encode() + b"\n")
        child.stdin.flush()
        end = time.monotonic() + rng.uniform(4.0, 14.0)
        reached = best
        for line in child.stdout:
            event = decode(line.decode())
            if isinstance(event, ScanProgress):
                reached = max(reached, event.windows_done)
            if time.monotonic() > end or isinstance(event, ScanFinished):
                break
        running = child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.communicate()
        done += running
        for folder in (home / "indexes").iterdir() if (home / "indexes").exists() else ():
            if (folder / "manifest.json").exists():
                index = Index.open(folder)
                assert index.windows_scanned >= best, "a published window was lost"
                best = index.windows_scanned
                if index.complete:  # start afresh, so that every kill hits a running scan
                    (folder / "manifest.json").unlink()
                    best = 0
        lost.append(reached - best)
    events = list(run_scan(request, home))
    last = events[-1]
    assert isinstance(last, ScanFinished), last
    index = Index.open(Path(last.path))
    index.verify()
    print(
        f"scan: killed {done} times; every index left behind opened; no published window "
        f"lost; windows to be read again: median {sorted(lost)[len(lost) // 2]}, most {max(lost)}; "
        f"resumed and complete, checksums right"
    )
    return index.path


def kill_saves(kills: int, rng: random.Random, index: Path) -> None:
    """Kill a saving process; compare what it acknowledged with what the file holds."""
    home = Path(tempfile.mkdtemp(prefix="neuroglass-crash-"))
    promised: dict[int, str] = {}
    for number in range(kills):
        child = subprocess.Popen(
            [sys.executable, "-c", SAVER, str(home), str(index), f"run {number}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout
        first = child.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.3))
        child.send_signal(signal.SIGKILL)
        rest = child.communicate()[0]
        for line in (first + rest).splitlines(keepends=True):
            if line.endswith("\n"):
                row, _, text = line.strip().partition(" ")
                promised[int(row)] = text
    database = sqlite3.connect(home / "neuroglass.db")
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    kept = dict(database.execute("SELECT id, text FROM explanations"))
    missing = {row for row, text in promised.items() if kept.get(row) != text}
    halves = database.execute(
        "SELECT count(*) FROM explanations e WHERE (SELECT count(*) FROM scorings s "
        "JOIN simulations i ON i.scoring_id = s.id WHERE s.explanation_id = e.id) = 0"
    ).fetchone()[0]
    print(
        f"save: killed {kills} times; {len(promised)} acknowledged, {len(missing)} lost, "
        f"{halves} half saved; integrity ok"
    )


def hang_up(times: int, rng: random.Random, index: Path) -> None:
    """Close the terminal under the app after a save, at random moments."""
    lost = still = 0
    slowest = 0.0
    for _ in range(times):
        home = Path(tempfile.mkdtemp(prefix="neuroglass-hangup-"))
        command = [sys.executable, "-m", "tui", "--index", str(index)]
        terminal = Terminal(command, env={"NEUROGLASS_HOME": str(home)})
        terminal.wait(lambda text: "Neuron 0:0" in text)
        terminal.send(b"e")
        terminal.wait(lambda text: "not saved" in text)
        terminal.send(b"s")
        terminal.wait(lambda text: "not saved" not in text)
        terminal.send(b"*")
        terminal.wait(lambda text: "★" in text)
        for key in (b"J", b"e", b"]")[: rng.randrange(4)]:
            terminal.send(key)
        time.sleep(rng.uniform(0.0, 0.5))
        start = time.perf_counter()
        terminal.hang_up()
        try:
            terminal.process.wait(15)
        except subprocess.TimeoutExpired:
            still += 1
            terminal.process.kill()
        slowest = max(slowest, time.perf_counter() - start)
        database = sqlite3.connect(home / "neuroglass.db")
        found = database.execute(
            "SELECT (SELECT count(*) FROM explanations), "
            "(SELECT count(*) FROM neurons WHERE starred_at IS NOT NULL)"
        ).fetchone()
        lost += found[0] < 1 or found[1] < 1
    print(
        f"hang-up: {times} times; {lost} with a saved thing lost; {still} still running after "
        f"15 s; slowest exit {slowest:.2f} s"
    )


def hang_up_scan(times: int, rng: random.Random) -> None:
    """Close the terminal while the app scans; the next start must resume."""
    home = Path(tempfile.mkdtemp(prefix="neuroglass-hangup-"))
    best = 0
    for _ in range(times):
        terminal = Terminal([sys.executable, "-m", "tui"], env={"NEUROGLASS_HOME": str(home)})
        terminal.wait(lambda text: "tok/s" in text or "index complete" in text, 120)
        time.sleep(rng.uniform(0.0, 4.0))
        terminal.hang_up()
        terminal.process.wait(20)
        time.sleep(3.0)  # the child writes its checkpoint
        for folder in (home / "indexes").iterdir():
            if (folder / "manifest.json").exists():
                index = Index.open(folder)
                assert index.windows_scanned >= best
                best = index.windows_scanned
    *_, last = (e for e in run_scan(ScanRequest(), home) if not isinstance(e, ScanPublished))
    assert isinstance(last, ScanFinished)
    print(f"hang-up while scanning: {times} times; reached {best} windows; resumed to the end")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    scanned = kill_scans(options.kills, generator)
    kill_saves(options.kills, generator, scanned)
    hang_up(options.kills, generator, scanned)
    hang_up_scan(3, generator)
