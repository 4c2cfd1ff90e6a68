"""From fitted tables to the few entries that matter, and the curve of what they add up to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.patterns.features import OFFSETS, Columns
from engine.patterns.fit import Additive, Fitted
from engine.patterns.model import ENTRIES, Patterns, Table, fit_curve
from engine.patterns.places import PLACES
from engine.patterns.shapes import shape_of, wider

#: A shape's contribution is shrunk toward that of the next wider shape as if its tokens
#: had been seen so many times more; that of a kind toward the table's mean.
SHRINKAGE = 20.0


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """The shapes of the tokens seen, and all wider ones.

    Attributes:
        names: Of each shape, a wider one before those it holds.
        parents: For each the number of the next wider one; -1 for a kind.
        of: int64 [V], the number of each column's shape.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    of: NDArray[np.int64]

    @classmethod
    def of_tokens(cls, tokens: tuple[bytes, ...]) -> Shapes:
        """Those of each column's token."""
        shapes = [shape_of(token) for token in tokens]
        every: set[str] = set()
        for shape in set(shapes):
            while shape:
                every.add(shape)
                shape = wider(shape)
        names = sorted(every)  # a name comes before those that it begins
        place = {name: i for i, name in enumerate(names)}
        parents = tuple(place.get(wider(name), -1) for name in names)
        of = np.array([place[shape] for shape in shapes], dtype=np.int64)
        return cls(tuple(names), parents, of)

    def usual(
        self, counts: NDArray[np.float32], values: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """What a token of each shape contributes on average, shrunk; [V, n] to [S, n].

        Args:
            counts: float32 [V, 1].
        """
        seen = np.zeros((len(self.names), 1), dtype=np.float32)
        sums = np.zeros((len(self.names), values.shape[1]), dtype=np.float32)
        np.add.at(seen, self.of, counts)
        np.add.at(sums, self.of, counts * values)
        for i in range(len(self.names) - 1, -1, -1):
            if self.parents[i] >= 0:
                seen[self.parents[i]] += seen[i]
                sums[self.parents[i]] += sums[i]
        found = sums / (seen + np.float32(SHRINKAGE))
        for i, parent in enumerate(self.parents):
            if parent >= 0:
                found[i] += (
                    found[parent] * np.float32(SHRINKAGE) / (seen[i] + np.float32(SHRINKAGE))
                )
        return found


def pruned(
    fitted: Fitted,
    additive: Additive,
    columns: Columns,
    shapes: Shapes,
    real: NDArray[np.float32],
    limit: int = ENTRIES,
) -> list[Patterns]:
    """The patterns of every neuron fitted.

    An entry matters by how often its token was seen there times the square of how far it
    is from what its shape contributes; what is left out counts as its shape.  The tables'
    means go into the bias.

    Args:
        additive: What it was fitted by.
        real: float32 [T, n], the activations.
        limit: Entries to keep of each neuron.
    """
    kinds = len(OFFSETS) + 1
    bias = fitted.bias.copy()
    values, usual, weights = [], [], []
    for number in range(kinds):
        value = fitted.tables[number]
        count = additive.counts[number][:, None]
        # In the bag a missing token must mean nothing; elsewhere there is always one.
        mean = (count * value).sum(0) / max(float(count.sum()), 1e-9)
        if number < kinds - 1:
            value = value - mean
            bias += mean
        values.append(value)
        usual.append(shapes.usual(count, value))
        weights.append(count * (value - usual[-1][shapes.of]) ** 2)
    every = np.concatenate(weights)
    least = np.full(every.shape[1], np.finfo(np.float32).tiny)
    if limit < len(every):
        least = np.maximum(np.partition(every, -limit, axis=0)[-limit], least)
    kept = [weight >= least for weight in weights]
    effective = [
        np.where(keep, value, by_shape[shapes.of])
        for keep, value, by_shape in zip(kept, values, usual, strict=True)
    ]
    sums = additive.sums([*effective, *fitted.tables[kinds:]], bias)
    found = []
    for neuron in range(len(bias)):
        tables = []
        for number in range(kinds):
            rows = np.flatnonzero(kept[number][:, neuron])
            offset = OFFSETS[number] if number < len(OFFSETS) else None
            own = np.ascontiguousarray(values[number][rows, neuron])
            by_shape = np.ascontiguousarray(usual[number][:, neuron])
            tables.append(Table(offset, columns.seen[rows], own, by_shape))
        places = {
            name: np.ascontiguousarray(fitted.tables[kinds + i][:, neuron])
            for i, name in enumerate(PLACES)
        }
        curve = fit_curve(sums[:, neuron], real[:, neuron])
        found.append(Patterns(float(bias[neuron]), tuple(tables), shapes.names, places, *curve))
    return found
