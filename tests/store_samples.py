"""Explanations and score cards that the tests of the store save."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from pathlib import Path

import numpy as np

from engine.explanation import Explanation
from engine.neuron import NeuronId
from engine.records import Excerpt, Fold
from engine.score import Baseline, Interval, Scope, Score, ScoreCard, ScoredRecord, ScoreStatus
from engine.simulation import Scale, Simulation, SimulationStatus
from engine.store import IndexFacts, Store

ROOT = Path(__file__).parent.parent
FACTS = IndexFacts("m1", "demo", 4, 512, "i1", "c1", "/data/i1", 1000, 16, {"window": 4})
MODEL = FACTS.model_id
NEURON = NeuronId(2, 7)
NAN = float("nan")


def explained(text: str = "plural nouns", neuron: NeuronId = NEURON) -> Explanation:
    return Explanation(neuron, text, "token-lookup", {"words": 5}, {"cats": 1.5}, (3, 9), 0.25)


def excerpt(window: int, tokens: tuple[bytes, ...]) -> Excerpt:
    ids = np.arange(len(tokens), dtype=np.int32) + 100
    return Excerpt(window, window, f"tale {window}", window * 4, Fold.SCORE, ids, tokens)


def scored(scope: Scope, value: float | None, status: ScoreStatus = ScoreStatus.OK) -> Score:
    interval = None if value is None else Interval(value - 0.1, value + 0.1)
    return Score(scope, status, value, interval, value, value, 2, 8, 1.0, "why" * (value is None))


def carded(
    value: float | None = 0.5, status: ScoreStatus = ScoreStatus.OK, simulator: str = "look-up"
) -> ScoreCard:
    whole = Simulation(
        excerpt(4, (b" a", b"\xe2\x82", b"\xac", b"\x1b[2J")),
        np.array([0.1, NAN, 1e-9, math.inf], np.float32),
        Scale.NEURON,
        SimulationStatus.PARTIAL,
        "one token has no value",
    )
    nothing = Simulation.failed(excerpt(5, (b"x", b"y")), Scale.NORMALISED, "no rules")
    scores = (scored(Scope.TOP_AND_RANDOM, value, status), scored(Scope.RANDOM_ONLY, None, status))
    return ScoreCard(
        simulator,
        {"temperature": 0.5},
        "valid",
        scores,
        (
            ScoredRecord("top", whole, np.array([1, 2, 3.3, -4e-30], np.float32), 0.75),
            ScoredRecord("random", nothing, np.zeros(2, np.float32), None),
        ),
        (Baseline("mean", "the mean everywhere", scores),),
        1.5,
    )


def rows(path: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def ours(path: Path) -> None:
    async def fill() -> None:
        store = Store.open(path)
        for number in range(20):
            await store.save_explanation(FACTS, explained(f"words {number}"), carded())
        await store.close()

    asyncio.run(fill())
