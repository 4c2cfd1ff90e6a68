"""The library over many explanations, and the map: store reads, key to paint, bytes on the line.

    python -m tests.bench.library [--home DIR] [--count 10000] [--keys 40]

``--home`` names a scanned home, whose index is read; the store is a synthetic one, in a
folder of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.engine import Engine
from engine.explanation import Explanation
from engine.neuron import NeuronId
from engine.neuron_map import NeuronMap, Quantity
from engine.paths import default_home, read_pointer, write_pointer
from engine.score import Interval, Scope, Score, ScoreCard, ScoreStatus
from engine.store import LibraryFilter, LibraryOrder
from engine.store.triages import Triaged
from tests.bench.app import APP, keys, show
from tests.bench.terminal import Terminal

WORDS = (
    "plural nouns",
    "verbs in capitals",
    "dates and numbers",
    "code such as quotes",
    "names of places",
    "rivers before the comma",
    "words that end with letters",
    "what begins after",
)
BLOCK = 250


def explained(neuron: NeuronId, rng: random.Random, number: int) -> Triaged:
    """An explanation of made-up words, with a score."""
    value = rng.random()
    half = rng.random() / 5
    score = Score(
        Scope.TOP_AND_RANDOM,
        ScoreStatus.OK,
        value,
        Interval(value - half, value + half),
        value,
        value,
        10,
        640,
        1.0,
    )
    text = " ".join(rng.choice(WORDS) for _ in range(rng.randrange(2, 9))) + f" {number}"
    simulator = rng.choice(["token-lookup", "json"])
    card = ScoreCard(
        simulator, {}, "valid", (score, replace(score, scope=Scope.RANDOM_ONLY)), (), (), 1.0
    )
    by = rng.choice(["token-lookup", "summary", "patterns"])
    return Triaged(neuron, Explanation(neuron, text, by, {}, None, (3, 9)), card)


async def fill(engine: Engine, count: int) -> None:
    """Save so many explanations of random neurons."""
    rng = random.Random(1)
    facts, index = engine.index_facts(), engine.index
    assert index is not None
    run = await engine.store.begin_triage(facts, "bench", {}, count)
    for block in range(0, count, BLOCK):
        results = []
        for number in range(block, min(block + BLOCK, count)):
            neuron = NeuronId(rng.randrange(index.n_layers), rng.randrange(index.n_neurons))
            results.append(explained(neuron, rng, number))
        await engine.store.save_triaged(run, facts, results)


def timed(name: str, work: Callable[[], object], runs: int = 7) -> None:
    """One row: median milliseconds, and how many came."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        found = work()
        times.append(1000 * (time.perf_counter() - start))
    many = f"{len(found):,}" if isinstance(found, list | dict) else ""
    print(f"{name:44}{statistics.median(times):9.1f} ms  {many}", flush=True)


async def reads(engine: Engine) -> None:
    """What a search, a page and a map take in the store."""
    store = engine.store
    for order in LibraryOrder:
        timed(str(order), lambda order=order: store.library(order=order))  # type: ignore[misc]
    ids = store.library()
    timed("200 rows of it", lambda: store.library_rows(ids[len(ids) // 2 :][:200]))
    for text in ("p", "plural", "plural nouns"):
        timed(f"search: {text}", lambda text=text: store.library(LibraryFilter(text=text)))  # type: ignore[misc]
    timed(
        "score .5 to .6 in layer 3",
        lambda: store.library(LibraryFilter(layer=3, score_low=0.5, score_high=0.6)),
    )
    start = time.perf_counter()
    await engine.neuron_map(Quantity.SCORE)
    print(f"{'map by score':44}{1000 * (time.perf_counter() - start):9.1f} ms", flush=True)
    values = np.random.default_rng(0).random((48, 6400), dtype=np.float32)
    large = NeuronMap(Quantity.MAXIMUM, values, values > 2)
    for factor in (1, 64):
        timed(f"48 x 6400, {factor} a cell", lambda factor=factor: large.cells(factor).levels)  # type: ignore[misc]


def screens(home: Path, count: int) -> None:
    """Keys on a real pseudo-terminal."""
    print(f"{'':44}{'n':>5}{'p50 ms':>9}{'p95 ms':>9}{'max ms':>9}{'bytes':>9}{'max':>9}")
    with Terminal(APP, env={"NEUROGLASS_HOME": str(home)}) as terminal:
        terminal.wait(lambda text: "index complete" in text)
        terminal.settle(1.0)
        terminal.send(b"gl")
        terminal.wait(lambda text: "best first" in text)
        terminal.settle(1.0)
        show("library: next row (j)", *keys(terminal, b"j", count))
        show("library: half a page (^d)", *keys(terminal, b"\x04", 20))
        terminal.send(b"gg/")
        terminal.settle(0.5)
        times, sizes = [], []
        for text in (b"plural", b"numbers", b"rivers"):
            for letter in text:
                more, bytes_ = keys(terminal, bytes([letter]), 1)
                times += more
                sizes += bytes_
            terminal.send(b"\x15")
            terminal.settle(0.5)
        show("library: a letter of a search, all drawn", times, sizes)
        terminal.send(b"\x1b")
        terminal.settle(0.5)
        before = terminal.bytes
        terminal.send(b"M")
        terminal.wait(lambda text: "explained" in text and "none" in text)
        terminal.settle(1.0)
        print(f"map by score, whole screen: {terminal.bytes - before:,} bytes")
        show("map: next cell (l)", *keys(terminal, b"l", count))
        show("map: next row (j)", *keys(terminal, b"j", 20))
        for name, key in (("maximum, in colours", b"."), ("the same as signs", b"c")):
            before = terminal.bytes
            terminal.send(key)
            terminal.settle(1.0)
            print(f"map by {name}: {terminal.bytes - before:,} bytes")
        before = terminal.bytes
        terminal.settle(5.0, 5.0)
        print(f"idle for 5 seconds: {terminal.bytes - before} bytes")


async def stored(home: Path, count: int) -> None:
    """Fill the store and time its reads."""
    async with await Engine.open(home) as engine:
        await fill(engine, count)
        await reads(engine)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=default_home())
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=40)
    options = parser.parse_args()
    index = read_pointer(options.home)
    if index is None:
        sys.exit("Nothing has been scanned in this home.")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        write_pointer(home, index)
        print(f"{options.count:,} explanations, load average {os.getloadavg()[0]:.1f}")
        asyncio.run(stored(home, options.count))
        screens(home, options.keys)


if __name__ == "__main__":
    main()
