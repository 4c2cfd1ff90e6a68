"""Threads, processes and other programs on one database at the same time."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from store_samples import FACTS, MODEL, NEURON, ROOT, carded, explained, ours, rows

from engine.errors import StoreError
from engine.neuron import NeuronId
from engine.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store.open(tmp_path / "neuroglass.db")
    yield opened
    await opened.close()


async def test_writes_are_drained_at_close_and_refused_after(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "a.db")
    store.counts()
    waiting = [
        asyncio.create_task(store.set_note(MODEL, NeuronId(0, index), "note"))
        for index in range(50)
    ]
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    await asyncio.gather(*waiting)
    assert rows(store.path, "SELECT count(*) FROM notes") == [(50,)]
    assert not Path(f"{store.path}-wal").exists()
    with pytest.raises(StoreError, match="closed"):
        await store.set_star(MODEL, NEURON, True)
    with pytest.raises(StoreError, match="closed"):
        store.counts()


async def test_a_cancelled_caller_does_not_undo_the_write(store: Store) -> None:
    task = asyncio.create_task(store.set_note(MODEL, NEURON, "kept"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.set_star(MODEL, NeuronId(0, 0), True)  # queued behind it
    assert store.annotations(MODEL, 2)[7].note == "kept"


async def test_any_thread_may_read_while_another_writes(store: Store) -> None:
    failures: list[BaseException] = []
    done = threading.Event()

    def look() -> None:
        try:
            while not done.is_set():
                found = store.explanations(MODEL, NEURON)
                # a save is seen whole or not at all
                assert all(len(store.card(each.id)) == 2 for each in found)
                assert all(len(each.scores) == 2 for each in found)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(30):
        await store.save_explanation(FACTS, explained(f"words {number}"), carded())
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.counts().explanations == 30


WRITER = """
    import asyncio, sys
    from pathlib import Path
    from engine.explanation import Explanation
    from engine.neuron import NeuronId
    from engine.store import IndexFacts, Store
    async def main(path, name, count):
        facts = IndexFacts("m1", name, 4, 512, "i1", "c1", "/data", 1, 1)
        store = Store.open(Path(path))
        for index in range(count):
            explanation = Explanation(NeuronId(0, index), "by " + name, "x", {}, None, (1, 2))
            await store.save_explanation(facts, explanation, None)
        await store.close()
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("processes", "count"), [(2, 200), (5, 2)])
def test_processes_that_create_and_write_one_file_lose_nothing(
    tmp_path: Path, processes: int, count: int
) -> None:
    path = tmp_path / "shared.db"
    running = [start(WRITER, path, f"p{number}", count) for number in range(processes)]
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert rows(path, "SELECT text, count(*) FROM explanations GROUP BY text ORDER BY text") == [
        (f"by p{number}", count) for number in range(processes)
    ]
    total = processes * count * 2
    assert rows(path, "SELECT count(*) FROM explanation_records") == [(total,)]
    assert rows(path, "SELECT count(*) FROM neurons") == [(count,)]
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


async def test_other_programs_read_the_open_file(store: Store) -> None:
    await store.save_explanation(FACTS, explained(), carded())
    await store.set_note(MODEL, NEURON, "a note")
    command = [sys.executable, "-m", "sqlite_utils"]
    found = subprocess.run(
        [*command, "search", store.path, "explanations", "plural", "--csv", "-c", "text"],
        capture_output=True,
        text=True,
    )
    assert found.stdout.splitlines() == ["text", "plural nouns"], found.stderr
    if shutil.which("sqlite3"):
        sql = "SELECT neuron, explanation, ev_correlation FROM best_explanation_per_neuron"
        shown = subprocess.run(["sqlite3", store.path, sql], capture_output=True, text=True)
        assert shown.stdout.strip() == "2:7|plural nouns|0.5", shown.stderr
    await store.set_note(MODEL, NEURON, "and still writable")


def test_importing_the_store_is_cheap() -> None:
    code = """
        import sys, engine.store
        slow = ("sqlite_utils", "torch", "textual", "scipy")
        print([name for name in slow if name in sys.modules])
    """
    output, errors = start(code).communicate(timeout=60)
    assert output.strip() == "[]", errors


def test_reopening_an_up_to_date_file_does_without_sqlite_utils(tmp_path: Path) -> None:
    ours(tmp_path / "a.db")
    code = """
        import sys, pathlib, engine.store
        store = engine.store.Store.open(pathlib.Path(sys.argv[1]))
        print(store.counts().explanations, "sqlite_utils" in sys.modules)
    """
    output, errors = start(code, tmp_path / "a.db").communicate(timeout=60)
    assert output.split() == ["20", "False"], errors


def test_a_program_that_forgets_to_close_loses_nothing(tmp_path: Path) -> None:
    code = """
        import asyncio, sys, pathlib
        from engine.neuron import NeuronId
        from engine.store import Store
        async def main():
            store = Store.open(pathlib.Path(sys.argv[1]))
            for index in range(50):
                asyncio.create_task(store.set_note("m", NeuronId(0, index), "n"))
            await asyncio.sleep(0)
        asyncio.run(main())
    """
    _, errors = start(code, tmp_path / "a.db").communicate(timeout=60)
    assert errors == ""
    assert rows(tmp_path / "a.db", "SELECT count(*) FROM notes") == [(50,)]
