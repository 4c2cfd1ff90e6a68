"""What was acknowledged is there, whole, whenever the process is killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from engine.neuron import NeuronId
from engine.store import Store

ROOT = Path(__file__).parent.parent
#: How often the saving process is killed; each costs about half a second.
CRASHES = int(os.environ.get("NEUROGLASS_CRASHES", "8"))
RECORDS = 12

CHILD = """
    import asyncio, itertools, os, sys
    from pathlib import Path
    import numpy as np
    from engine.explanation import Explanation
    from engine.neuron import NeuronId
    from engine.records import Excerpt, Fold
    from engine.score import Baseline, Scope, Score, ScoreCard, ScoredRecord, ScoreStatus
    from engine.simulation import Scale, Simulation, SimulationStatus
    from engine.store import IndexFacts, Store

    facts = IndexFacts("m1", "demo", 4, 512, "i1", "c1", "/data", 1, 1)
    values = np.linspace(-1, 1, 64, dtype=np.float32)
    ids = np.arange(64, dtype=np.int32)

    def record(window):
        excerpt = Excerpt(window, 0, "tale", 0, Fold.SCORE, ids, (b" word",) * 64)
        simulation = Simulation(excerpt, values, Scale.NEURON, SimulationStatus.OK)
        return ScoredRecord("top", simulation, values, 1.0)

    async def main():
        print("starting", flush=True)
        store = Store.open(Path(sys.argv[1]))
        records = tuple(record(window) for window in range(int(sys.argv[2])))
        for number in itertools.count():
            scores = tuple(
                Score(scope, ScoreStatus.OK, 0.5, None, 0.5, 0.5, 12, 768, 1.0) for scope in Scope
            )
            card = ScoreCard("s", {}, "valid", scores, records, (Baseline("b", "", scores),), 1.0)
            explanation = Explanation(
                NeuronId(0, number % 512), f"{os.getpid()} {number}", "x", {}, None, (1, 2, 3)
            )
            key = await store.save_explanation(facts, explanation, card)
            await store.set_note("m1", NeuronId(1, number % 512), f"note {os.getpid()} {number}")
            print(key, number, flush=True)

    asyncio.run(main())
"""


def run_and_kill(path: Path, delay: float, saves_first: int) -> tuple[int, list[list[int]]]:
    """Start the saving process and kill it ``delay`` seconds after so many saves.

    Returns:
        Its process id, and key and number of every save that it acknowledged.
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), path, str(RECORDS)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None and child.stderr is not None
    assert child.stdout.readline() == b"starting\n", child.stderr.read().decode()
    said = b"".join(child.stdout.readline() for _ in range(saves_first))
    time.sleep(delay)
    child.send_signal(signal.SIGKILL)
    said += child.stdout.read()
    errors = child.stderr.read()
    assert child.wait() == -signal.SIGKILL, errors.decode()
    # A line without its end was not printed whole.
    lines = [line for line in said.splitlines(keepends=True) if line.endswith(b"\n")]
    return child.pid, [[int(word) for word in line.split()] for line in lines]


@pytest.mark.parametrize("crash", range(max(2, CRASHES // 2)))
def test_a_file_whose_creation_was_killed_can_be_used(tmp_path: Path, crash: int) -> None:
    path = tmp_path / "neuroglass.db"
    _, saves = run_and_kill(path, random.Random(crash).uniform(0.0, 0.15), 0)
    store = Store.open(path)
    store.check()
    assert store.counts().explanations >= len(saves)
    asyncio.run(store.set_star("m1", NeuronId(0, 0), True))
    assert store.starred("m1") == [NeuronId(0, 0)]
    asyncio.run(store.close())


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "neuroglass.db"
    chance = random.Random(0)
    acknowledged: dict[int, str] = {}
    for crash in range(CRASHES):
        pid, saves = run_and_kill(path, chance.uniform(0.0, 0.15), 1)
        acknowledged.update({key: f"{pid} {number}" for key, number in saves})
        assert saves

        store = Store.open(path)
        store.check()
        found = store.list_explanations("m1", limit=1_000_000, order="newest")
        texts = {each.id: each.text for each in found}
        assert acknowledged.items() <= texts.items()
        # Not acknowledged, but committed, is at most the save that was under way.
        assert len(texts) <= len(acknowledged) + crash + 1
        for each in found:
            assert len(each.windows) == 3 and len(each.scores) == 2
            assert [len(baseline.scores) for baseline in each.baselines] == [2]
        for each in found[: len(saves) + 1]:
            records = store.card(each.id)
            assert [record.window for record in records] == list(range(RECORDS))
            assert all(len(record.expected) == 64 for record in records)
        number = saves[-1][1]
        assert store.annotations("m1", 1)[number % 512].note == f"note {pid} {number}"
        asyncio.run(store.close())

    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    for table in ("explanations_fts", "notes_fts"):
        connection.execute(f"INSERT INTO {table} ({table}) VALUES ('integrity-check')")
    connection.close()
