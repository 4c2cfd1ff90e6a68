"""All neurons of a model as one matrix, layers by neurons: what a map of them is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.index import Index
from engine.neuron import NeuronId
from engine.store import Store

#: How the neurons of one cell become its value.
Pooling = Literal["max", "mean"]
#: Levels of a map, 1 to 8; 0 stands for a missing value.
LEVELS = 8


class Quantity(StrEnum):
    """What a map shows of each neuron.

    ``SCORE``: its best explanation's top-and-random correlation; missing without one.
    ``MAXIMUM``: its largest activation. ``ACTIVE``: the share of tokens at which it is above
    zero. ``EXPLANATIONS``: how many are saved. ``KURTOSIS``: of its activations; missing for a
    constant neuron.
    """

    SCORE = "score"
    MAXIMUM = "maximum"
    ACTIVE = "active"
    EXPLANATIONS = "explanations"
    KURTOSIS = "kurtosis"


#: Where each level from the second on begins. The others are parted by their own quantiles.
_FIXED: dict[Quantity, tuple[float, ...]] = {
    Quantity.SCORE: (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9),
    Quantity.EXPLANATIONS: (1, 2, 3, 4, 6, 8, 12),
}


@dataclass(frozen=True, eq=False)
class Cells:
    """A map at one zoom: each cell stands for ``factor`` neighbouring neurons of a layer.

    Attributes:
        values: float32 [L, C], NaN where no neuron of the cell has a value; the last cell
            of a layer may stand for fewer neurons.
        bounds: Where levels 2 to 8 begin, rising; level 1 is what lies below the first.
    """

    factor: int
    by: Pooling
    values: NDArray[np.float32]
    bounds: tuple[float, ...]

    @cached_property
    def levels(self) -> NDArray[np.int8]:
        """Levels 1 to 8, and 0 where there is no value; int8 [L, C]."""
        found = 1 + np.searchsorted(np.asarray(self.bounds), self.values, side="right")
        return np.where(np.isnan(self.values), 0, np.minimum(found, LEVELS)).astype(np.int8)


@dataclass(frozen=True, slots=True, eq=False)
class NeuronMap:
    """One quantity of every neuron.

    Attributes:
        values: float32 [L, N], NaN where a neuron has none.
        explained: bool [L, N], whether an explanation is saved.
    """

    quantity: Quantity
    values: NDArray[np.float32]
    explained: NDArray[np.bool_]

    @property
    def n_layers(self) -> int:
        """Rows of the matrix."""
        return int(self.values.shape[0])

    @property
    def n_neurons(self) -> int:
        """Columns of the matrix."""
        return int(self.values.shape[1])

    def cells(self, factor: int = 1, by: Pooling = "max") -> Cells:
        """Each ``factor`` neighbouring neurons as one cell; those without a value don't count.

        Scores and numbers of explanations have the same bounds at every zoom. The other
        quantities are parted by quantiles of the cells, so that there is something to see.
        """
        values = self._pooled(factor, by)
        return Cells(factor, by, values, _FIXED.get(self.quantity) or _quantiles(values))

    def _pooled(self, factor: int, by: Pooling) -> NDArray[np.float32]:
        if factor == 1:
            return self.values
        cells = -(-self.n_neurons // factor)
        padded = np.full((self.n_layers, cells * factor), np.nan, dtype=np.float32)
        padded[:, : self.n_neurons] = self.values
        blocks = padded.reshape(self.n_layers, cells, factor)
        known = ~np.isnan(blocks)
        counts = known.sum(axis=2)
        if by == "max":
            found = np.where(known, blocks, -np.inf).max(axis=2)
        else:
            sums = np.where(known, blocks, 0).sum(axis=2, dtype=np.float64)
            found = (sums / np.maximum(counts, 1)).astype(np.float32)
        return np.where(counts > 0, found, np.float32(np.nan)).astype(np.float32)

    def strongest(self, layer: int, first: int, after: int) -> NeuronId:
        """Of neurons ``first`` to ``after`` of a layer the one of the largest value.

        Without any value it is the first of them.
        """
        part = self.values[layer, first:after]
        known = np.where(np.isnan(part), -np.inf, part)
        return NeuronId(layer, first + int(known.argmax()))

    def next_unexplained(self, after: NeuronId) -> NeuronId | None:
        """The next neuron without an explanation, round the end; None: all have one."""
        place = after.layer * self.n_neurons + after.index + 1
        missing = np.flatnonzero(~self.explained.ravel())
        if not len(missing):
            return None
        at = int(np.searchsorted(missing, place))
        return NeuronId(*divmod(int(missing[at % len(missing)]), self.n_neurons))


def read_map(index: Index, store: Store, quantity: Quantity) -> NeuronMap:
    """A quantity of every neuron of an index's model.

    It blocks for some 10 ms over the demo model and 0.2 s over 307,200 neurons.
    """
    shape = (index.n_layers, index.n_neurons)
    counts = np.zeros(shape, dtype=np.float32)
    scores = np.full(shape, np.nan, dtype=np.float32)
    for layer, neuron, count, score in store.explained_neurons(index.model_id):
        # Another index may have had more neurons.
        if layer < shape[0] and neuron < shape[1]:
            counts[layer, neuron] = count
            scores[layer, neuron] = np.nan if score is None else score
    if quantity is Quantity.SCORE:
        values = scores
    elif quantity is Quantity.EXPLANATIONS:
        values = counts
    else:
        values = np.empty(shape, dtype=np.float32)
        names = {Quantity.ACTIVE: "fraction_active"}
        for layer in range(shape[0]):
            values[layer] = getattr(index.layer(layer), names.get(quantity, str(quantity)))
    return NeuronMap(quantity, values, counts > 0)


def _quantiles(values: NDArray[np.float32]) -> tuple[float, ...]:
    """Bounds that part the values above zero into levels of equal size.

    What is not above zero, such as a neuron that never fires, has the first level for itself.
    """
    positive = values[values > 0]
    if not len(positive):
        return tuple(float(step) for step in range(1, LEVELS))
    smallest = np.nextafter(np.float32(0), np.float32(1))
    inner = np.quantile(positive, np.arange(1, LEVELS - 1) / (LEVELS - 1))
    return (float(smallest), *(float(bound) for bound in inner))
