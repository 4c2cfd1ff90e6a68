"""Hand-made neurons for the tests of splits, look-up, scoring and the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.explanation import Explanation
from engine.neuron import NeuronId
from engine.records import (
    ActivationRecord,
    Excerpt,
    Fold,
    Group,
    NeuronRecord,
    NeuronStatistics,
    TokenMeans,
)
from engine.score import ScoredRecord
from engine.scoring import scored_record
from engine.simulation import Scale, Simulation, SimulationStatus

NEURON = NeuronId(2, 7)
#: Token id to bytes; " fire" (0) is what the sample neuron fires on.
TOKENS = (b" fire", b" the", b" of", b" man", b".", b"\n", b" 1984", b"ing")


def record(
    window: int,
    document: int | None = None,
    fold: Fold = Fold.SCORE,
    token_ids: Sequence[int] = (1, 2, 3, 4),
    activations: Sequence[float] | None = None,
) -> ActivationRecord:
    """A record of its own document unless one is given; it fires on token 0 only."""
    ids = np.array(token_ids, dtype=np.int32)
    values = np.where(ids == 0, 2.0, 0.0) if activations is None else np.array(activations)
    excerpt = Excerpt(
        window,
        window if document is None else document,
        f"document {window}",
        0,
        fold,
        ids,
        tuple(TOKENS[i] for i in ids),
    )
    return ActivationRecord(excerpt, values.astype(np.float32))


def neuron(
    records: Mapping[tuple[Fold, Group], Sequence[ActivationRecord]], variance: float = 1.0
) -> NeuronRecord:
    """A neuron record around some kept records."""
    statistics = NeuronStatistics(
        tokens=1000,
        mean=0.1,
        variance=variance,
        skewness=0.0,
        kurtosis=3.0,
        fraction_active=0.1,
        maximum=2.0,
        minimum=0.0,
        histogram=np.zeros(2, dtype=np.int64),
        histogram_edges=np.zeros(3, dtype=np.float32),
        quantile_boundaries=np.zeros(4, dtype=np.float32),
        windows_in_band=np.zeros(5, dtype=np.int64),
    )
    kept = {key: tuple(value) for key, value in records.items()}
    return NeuronRecord(NEURON, statistics, kept, 100)


def sample_neuron() -> NeuronRecord:
    """20 top and 18 random score-fold records, all of different documents."""
    rng = np.random.default_rng(0)

    def top(window: int, fold: Fold) -> ActivationRecord:
        ids = rng.integers(1, len(TOKENS), 32)
        ids[rng.integers(0, 32, 3)] = 0
        return record(window, fold=fold, token_ids=ids)

    def plain(window: int, fold: Fold) -> ActivationRecord:
        return record(window, fold=fold, token_ids=rng.integers(0, len(TOKENS), 32))

    return neuron(
        {
            (Fold.EXPLAIN, Group.TOP): [top(w, Fold.EXPLAIN) for w in range(20)],
            (Fold.EXPLAIN, Group.RANDOM): [plain(w, Fold.EXPLAIN) for w in range(20, 24)],
            (Fold.SCORE, Group.TOP): [top(w, Fold.SCORE) for w in range(100, 120)],
            (Fold.SCORE, Group.RANDOM): [plain(w, Fold.SCORE) for w in range(120, 138)],
        },
        variance=0.4,
    )


def token_means(
    texts: Sequence[bytes], means: Sequence[float], counts: Sequence[int], mean: float = 0.0
) -> TokenMeans:
    """A table with token ids 0, 1, 2, ..."""
    return TokenMeans(
        np.arange(len(texts), dtype=np.int32),
        np.array(counts, dtype=np.int64),
        np.array(means, dtype=np.float32),
        mean,
        tuple(texts),
    )


def sample_means() -> TokenMeans:
    """The sample neuron's table: 2.0 at " fire", 0 elsewhere."""
    return token_means(TOKENS, [2.0] + [0.0] * 7, [50, *[100] * 7], mean=2.0 * 50 / 750)


def explanation(rules: Mapping[str, object] | None = None) -> Explanation:
    """A sentence by hand."""
    return Explanation(NEURON, "fires", "by hand", rules=rules)


def scored(
    role: str,
    true: Sequence[float],
    expected: Sequence[float],
    window: int = 0,
    scale: Scale = Scale.NEURON,
) -> ScoredRecord:
    """A scored record; NaN in ``expected`` is a missing value."""
    kept = record(window, token_ids=[1] * len(true), activations=true)
    values = np.array(expected, dtype=np.float32)
    missing = np.isnan(values)
    if missing.all():
        status = SimulationStatus.FAILED
    else:
        status = SimulationStatus.PARTIAL if missing.any() else SimulationStatus.OK
    simulation = Simulation(kept.excerpt, values, scale, status, "gone" * bool(missing.any()))
    return scored_record(role, simulation, kept.activations)
