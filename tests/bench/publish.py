"""A store of many explained neurons: how long it takes to publish it and to take it in.

    python -m tests.bench.publish [--neurons 10000] [--folder DIR]

The store is filled through its own API: token tables of the demo's size, ten scored records
of 64 tokens each, baselines and intervals.  Then it is written as tables and as a dataset,
imported into an empty store twice, and once more as a database.  Rows are counted in each.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

import numpy as np

from engine.demo import demo_documents
from engine.engine import Engine
from engine.events import ScanFinished
from engine.explanation import Explanation
from engine.neuron import NeuronId
from engine.records import Excerpt, Fold
from engine.scan import run_scan
from engine.scan_request import ScanRequest
from engine.score import Baseline, Interval, Scope, Score, ScoreCard, ScoredRecord, ScoreStatus
from engine.simulation import Scale, Simulation, SimulationStatus
from engine.store import Store, Triaged

TOKENS, RECORDS, RULES = 64, 10, 1000
BATCH = 100
TABLES = (
    "explanations",
    "explanation_records",
    "scorings",
    "simulations",
    "scores",
    "baselines",
)


def card(rng: np.random.Generator, value: float) -> ScoreCard:
    """A score card as token look-up has it."""
    scores = tuple(
        Score(
            scope,
            ScoreStatus.OK,
            value,
            Interval(value - 0.1, value + 0.1),
            0.3,
            0.2,
            n,
            n * 64,
            1.0,
        )
        for scope, n in ((Scope.TOP_AND_RANDOM, RECORDS), (Scope.RANDOM_ONLY, RECORDS // 2))
    )
    records = []
    for number in range(RECORDS):
        ids = rng.integers(0, 8192, TOKENS).astype(np.int32)
        tokens = tuple(f" t{i}".encode() for i in ids.tolist())
        excerpt = Excerpt(
            number, number, f"document {number}", 64 * number, Fold.SCORE, ids, tokens
        )
        expected, true = rng.normal(0, 1, (2, TOKENS)).astype(np.float32)
        simulation = Simulation(excerpt, expected, Scale.NEURON, SimulationStatus.OK)
        role = "top" if number < RECORDS // 2 else "random"
        records.append(ScoredRecord(role, simulation, true, value))
    baselines = tuple(
        Baseline(name, name, scores) for name in ("constant", "another-neuron", "shuffled-tokens")
    )
    return ScoreCard("token-lookup", {}, "valid", scores, tuple(records), baselines, 0.01)


async def fill(home: Path, neurons: int) -> None:
    """Explain the first neurons of the index, wrapping round with other words."""
    rng = np.random.default_rng(0)
    async with await Engine.open(home) as engine:
        assert engine.index is not None
        facts = engine.index_facts()
        per_layer, total = facts.n_neurons, facts.n_neurons * facts.n_layers
        triage = await engine.store.begin_triage(facts, "bench", {}, neurons)
        for start in range(0, neurons, BATCH):
            results = []
            for number in range(start, min(start + BATCH, neurons)):
                neuron = NeuronId(*divmod(number % total, per_layer))
                means = rng.normal(0, 1, RULES).round(5).tolist()
                rules = {"tokens": list(range(RULES)), "means": means}
                words = Explanation(
                    neuron, f"words like number {number}", "token-lookup", {}, rules, (1, 2, 3)
                )
                results.append(Triaged(neuron, words, card(rng, float(rng.uniform(0, 1)))))
            await engine.store.save_triaged(triage, facts, results)


def counts(home: Path) -> dict[str, int]:
    """Rows of each table."""
    with sqlite3.connect(home / "neuroglass.db") as db:
        return {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in TABLES}


def size(path: Path) -> float:
    """Megabytes of a file or folder."""
    several = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in several) / 1e6


async def measure(folder: Path, neurons: int) -> None:
    """Print every step with its seconds."""
    home, other, third = folder / "home", folder / "other", folder / "third"
    for one in (home, other, third):
        one.mkdir(parents=True)
    text = folder / "text.txt"
    text.write_text("\n".join(d.text[:2000] for d in list(demo_documents())[:60]), "utf-8")
    *_, last = run_scan(ScanRequest(sources=(str(text),)), home)
    assert isinstance(last, ScanFinished), last

    def step(name: str, began: float, note: str = "") -> None:
        print(f"{name:34}{time.perf_counter() - began:8.1f} s  {note}", flush=True)

    began = time.perf_counter()
    await fill(home, neurons)
    step(f"saved {neurons:,} explanations", began, f"{size(home / 'neuroglass.db'):,.0f} MB")
    dataset = folder / "dataset"
    async with await Engine.open(home) as engine:
        exports = engine.exports()
        for name in ("rows.csv", "rows.jsonl", "rows.parquet"):
            began = time.perf_counter()
            done = await exports.table(folder / name, name.partition(".")[2])
            step(f"export {name}", began, f"{done.counts['explanations']:,} rows")
        began = time.perf_counter()
        await exports.dataset(dataset, "cc0-1.0")
        step("export --dataset", began, f"{size(dataset):,.0f} MB")
        began = time.perf_counter()
        await engine.reports().triage(folder / "triage.html")
        step("report --triage", began, f"{size(folder / 'triage.html'):,.1f} MB")
    for target, source, name in (
        (other, dataset, "import of the dataset"),
        (other, dataset, "the same again"),
        (third, home, "import of the database"),
        (third, home, "the same again"),
    ):
        store = Store.open(target / "neuroglass.db")
        async with Engine(target, store, None, None) as engine:
            began = time.perf_counter()
            imported = await engine.import_results(source)
            added = imported.added
            step(name, began, f"added {added.explanations:,} and {added.records:,} records")
    expected = counts(home)
    for one in (other, third):
        assert counts(one) == expected, (counts(one), expected)
    print("equal rows:", ", ".join(f"{count:,} {name}" for name, count in expected.items()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"most memory used: {peak:,.0f} MB")


def main() -> None:
    """Measure in a folder that is removed afterwards."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        asyncio.run(measure(folder, options.neurons))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
