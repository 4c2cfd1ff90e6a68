"""What knows nothing, or little, about a neuron scores on the same records.

A correlation of .4 means one thing where the same tokens with shuffled values get .3,
and another where they get nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.lookup import LookupTable, fit_table
from engine.neuron import NeuronId
from engine.records import TokenMeans
from engine.score import Baseline, ScoredRecord
from engine.scoring import score_records, scored_record
from engine.simulation import Scale, Simulation, SimulationStatus


def baselines(
    neuron: NeuronId, means: TokenMeans, records: Sequence[ScoredRecord], *, lookup: bool = False
) -> tuple[Baseline, ...]:
    """Score the baselines on records already scored; CPU-bound, some tens of ms.

    Args:
        neuron: Seeds the shuffle, so that every run of a neuron shuffles alike.
        means: The explain fold's token means.
        records: The records of the score, in its order.
        lookup: Add the unshuffled table: for explanations that are not one.

    Returns:
        Of a published neuron fewer, where it has no token table or no mean.

    Raises:
        MethodError: if no token was tabled.
    """
    if not means.complete and not (len(means.token_ids) and np.isfinite(means.mean)):
        return _without_table(means, records)
    table = fit_table(means)
    constant = replace(
        table, default=means.mean, token_ids=table.token_ids[:0], expected=table.expected[:0]
    )
    found = [
        _baseline("constant", "the mean activation everywhere", constant, records),
        _baseline(
            "shuffled-tokens",
            "the token table with its values dealt to the wrong tokens",
            shuffled(table, neuron),
            records,
        ),
    ]
    if lookup:
        found.append(_baseline("token-lookup", "the mean activation at each token", table, records))
    return tuple(found)


def _without_table(means: TokenMeans, records: Sequence[ScoredRecord]) -> tuple[Baseline, ...]:
    if not np.isfinite(means.mean):
        return ()
    empty = np.zeros(0, dtype=np.int64)
    table = LookupTable(means.mean, empty, empty.astype(np.float64), empty, ())
    return (_baseline("constant", "the mean activation everywhere", table, records),)


def shuffled(table: LookupTable, neuron: NeuronId) -> LookupTable:
    """The same table with its expected values permuted over its tokens."""
    rng = np.random.default_rng([neuron.layer, neuron.index])
    return replace(table, expected=rng.permutation(table.expected))


def _baseline(
    name: str, description: str, table: LookupTable, records: Sequence[ScoredRecord]
) -> Baseline:
    simulated = [scored_record(r.role, _simulation(r, table), r.activations) for r in records]
    return Baseline(name, description, score_records(simulated))


def _simulation(record: ScoredRecord, table: LookupTable) -> Simulation:
    excerpt = record.simulation.excerpt
    expected: NDArray[np.float32] = table.simulate(excerpt.token_ids)
    return Simulation(excerpt, expected, Scale.NEURON, SimulationStatus.OK)
