"""From fitted tables to the few entries that matter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.patterns.features import OFFSETS, Columns, Features
from engine.patterns.fit import Fitted, Link
from engine.patterns.model import ENTRIES, Patterns, Table, fit_curve


def pruned(
    fitted: Fitted,
    neuron: int,
    found: Features,
    columns: Columns,
    inner: NDArray[np.float32],
    link: Link,
    limit: int = ENTRIES,
) -> Patterns:
    """One neuron's patterns.

    An entry matters by how often its token was seen there times the square of how far it
    is from the table's mean; what is left out counts as that mean, which goes into the
    bias.

    Args:
        neuron: Which column of ``fitted``.
        inner: float32 [T], what really entered the activation function.
        link: As it was fitted with.
        limit: Entries to keep.
    """
    counts = [np.asarray(matrix.sum(0)).ravel() for matrix in found.matrices]
    values = [table[:, neuron] for table in fitted.tables]
    means = [float(c @ v / max(c.sum(), 1e-9)) for c, v in zip(counts, values, strict=True)]
    # In the bag a missing token must mean nothing; elsewhere there is always one token.
    means[-1] = 0.0
    weights = [c * (v - m) ** 2 for c, v, m in zip(counts, values, means, strict=True)]
    every = np.concatenate(weights)
    least = np.partition(every, -limit)[-limit] if limit < len(every) else -1.0
    tables = []
    for number, (weight, value, mean) in enumerate(zip(weights, values, means, strict=True)):
        kept = np.flatnonzero((weight >= least) & (weight > 0))
        offset = OFFSETS[number] if number < len(OFFSETS) else None
        tables.append(Table(offset, columns.seen[kept], (value[kept] - mean).astype(np.float32)))
    bias = float(fitted.bias[neuron]) + sum(means)
    draft = Patterns(bias, tuple(tables), np.zeros(2, np.float32), np.zeros(2, np.float32))
    total = np.full(len(found.ids), np.float32(bias))
    for matrix, table in zip(found.matrices, tables, strict=True):
        full = np.zeros(len(columns), dtype=np.float32)
        full[columns.of(table.token_ids)] = table.values
        total += matrix @ full
    sums, activations = fit_curve(total, link.value(inner))
    return Patterns(draft.bias, draft.tables, sums, activations)
