"""The additive model of many neurons at once.

What enters a neuron's activation function is, to a good part, a sum of what single
tokens of the context contribute.  So that sum is fitted: a table of contributions for
each feature (:mod:`engine.patterns.features`).  Tables of tokens begin as a ridge
regression on the model's own token embeddings, by which rare tokens borrow from similar
ones; backfitting then gives each token what the data say beyond that; and a few
Gauss-Newton steps on the activation itself put the precision where the neuron fires.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray

from engine.patterns.features import BLOCK, OFFSETS, Features, fading

Array = NDArray[np.float32]
#: Observations that a contribution is shrunk by: at offset 0, further back, bag, places.
RIDGE = (4.0, 8.0, 30.0, 20.0)
#: The embedding regression's ridge, as a share of the number of tokens.
EMBEDDING_RIDGE = 0.01
#: Directions of the embedding that the regression uses.
DIRECTIONS = 128
SWEEPS = 4
#: Gauss-Newton steps, and sweeps over the tables within each. More overfit: the tables
#: are pulled toward where they began by a tenth of the ridge only.
STEPS = 2
INNER_SWEEPS = 1
#: Slopes of the activation function are kept inside, so that silent tokens count a little.
SLOPES = (0.02, 1.2)
#: Blocks whose embeddings are in memory together.
CHUNK = 128
_C = float(np.sqrt(2 / np.pi))


@dataclass(frozen=True, slots=True)
class Link:
    """An activation function and its slope, tensors to tensors."""

    function: Callable[[torch.Tensor], torch.Tensor]
    slope: Callable[[torch.Tensor], torch.Tensor]

    def value(self, inner: Array) -> Array:
        """The activations, float32 of the same shape."""
        found: Array = self.function(torch.from_numpy(inner)).numpy()
        return found


def _gelu(z: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.gelu(z, approximate="tanh")


def _gelu_slope(z: torch.Tensor) -> torch.Tensor:
    square = z * z
    t = torch.tanh(z * (_C + _C * 0.044715 * square))
    return 0.5 * (1 + t + z * (1 - t * t) * (_C + _C * 0.134145 * square))


#: For activation functions that cut off below zero; all of them are close to this one.
GELU = Link(_gelu, _gelu_slope)
#: For gated neurons, which have two sides, and for the negative side.
IDENTITY = Link(lambda z: z, torch.ones_like)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The tables of ``n`` neurons.

    Attributes:
        bias: float32 [n].
        tables: One for each feature, float32 [size, n].
        inner: float32 [T, n], the sum at each token of the text it was fitted to.
    """

    bias: Array
    tables: tuple[Array, ...]
    inner: Array


class Additive:
    """What is the same for every neuron of a text; :meth:`fit` fits some of them.

    Args:
        found: Features of the text.
        embeddings: float32 [V, D], rows of the present vocabulary.
    """

    def __init__(self, found: Features, embeddings: Array) -> None:
        self._rows = torch.from_numpy(found.rows)
        self._length = found.length
        self._count = len(found.ids)
        self._present = present = torch.zeros(found.length, 1)
        present[self._rows] = 1
        self._spread = _Spread(found.joined)
        bag = found.bag
        self._tables = [
            _Feature(keys, size, self._spread if i == bag else None, present)
            for i, (keys, size) in enumerate(zip(found.keys, found.sizes, strict=True))
        ]
        places = len(found.keys) - bag - 1
        self._ridges = [RIDGE[0], *[RIDGE[1]] * (bag - 1), RIDGE[2], *[RIDGE[3]] * places]
        # Tokens of the bag stand side by side, so one table's step must be a small one.
        self._damping = [8.0 if i == bag else 1.0 for i in range(len(self._tables))]
        self._smoothed = bag + 1
        #: For each table how much each entry was seen, float32 [size].
        self.counts = [table.gathered(present)[:, 0].numpy() for table in self._tables]
        self._embeddings = torch.from_numpy(_directions(embeddings, self.counts[0]))
        self._solver = self._prepare()

    def sums(self, tables: Sequence[Array], bias: Array) -> Array:
        """What tables add up to at each token of the text, float32 [T, n].

        Args:
            tables: One for each feature, float32 [size, n].
            bias: float32 [n].
        """
        with torch.inference_mode():
            total = torch.from_numpy(bias).expand(self._length, -1).clone()
            for table, values in zip(self._tables, tables, strict=True):
                total += table.spread(torch.from_numpy(values))
            found: Array = total[self._rows].numpy()
        return found

    def _prepare(self) -> tuple[NDArray[np.float64], bool]:
        """The embedding regression's normal equations, factored once."""
        width = self._embeddings.shape[1]
        gram = torch.zeros(self._smoothed * width, self._smoothed * width)
        tables = self._tables[: self._smoothed]
        blocks = self._length // BLOCK
        for first in range(0, blocks, CHUNK):
            last = min(first + CHUNK, blocks)
            parts = [table.part(self._embeddings, first, last) for table in tables]
            dense = torch.cat(parts, dim=1)
            gram += dense.T @ dense
        full = gram.double().numpy()
        full[np.diag_indices_from(full)] += EMBEDDING_RIDGE * self._count + 1e-3
        factor: tuple[NDArray[np.float64], bool] = scipy.linalg.cho_factor(full)
        return factor

    def fit(
        self,
        inner: Array,
        link: Link,
        step: Callable[[], None] = lambda: None,
    ) -> Fitted:
        """Fit neurons; time and memory grow with their number.

        Args:
            inner: float32 [T, n], what enters the activation function; with
                :data:`IDENTITY` the activations themselves.
            step: Called between sweeps; may raise to end it.
        """
        target = torch.zeros(self._length, inner.shape[1])
        target[self._rows] = torch.from_numpy(np.ascontiguousarray(inner))
        with torch.inference_mode():
            bias = target.sum(0) / self._count
            present = self._present
            rest = (target - bias) * present
            tables = self._smooth(rest)
            prior = [values.clone() for values in tables]
            for table, values in zip(self._tables, tables, strict=True):
                rest -= table.spread(values)
            for _ in range(SWEEPS):
                step()
                for i, table in enumerate(self._tables):
                    change = table.gathered(rest) - self._ridges[i] * (tables[i] - prior[i])
                    change /= self._damping[i] * table.squares + self._ridges[i]
                    tables[i] += change
                    rest -= table.spread(change)
            found = target - rest
            if link is GELU:
                bias = self._sharpen(target, found, bias, tables, prior, present, step)
            found = found[self._rows]
        arrays = [values.numpy() for values in tables]
        return Fitted(bias.numpy(), tuple(arrays), found.numpy())

    def _smooth(self, rest: torch.Tensor) -> list[torch.Tensor]:
        tables = self._tables[: self._smoothed]
        right = torch.cat([self._embeddings.T @ table.gathered(rest) for table in tables])
        weights = scipy.linalg.cho_solve(self._solver, right.double().numpy())
        parts = torch.split(torch.from_numpy(weights).float(), self._embeddings.shape[1])
        smooth = [self._embeddings @ part for part in parts]
        others = self._tables[self._smoothed :]
        return smooth + [torch.zeros(len(table.squares), rest.shape[1]) for table in others]

    def _sharpen(
        self,
        target: torch.Tensor,
        found: torch.Tensor,
        bias: torch.Tensor,
        tables: list[torch.Tensor],
        prior: Sequence[torch.Tensor],
        present: torch.Tensor,
        step: Callable[[], None],
    ) -> torch.Tensor:
        """Gauss-Newton on the activations; the tables and ``found`` change in place."""
        real = GELU.function(target)
        for _ in range(STEPS):
            step()
            slope = GELU.slope(found).clamp_(*SLOPES) * present
            squares = slope * slope
            error = (real - GELU.function(found)) * slope
            for _ in range(INNER_SWEEPS):
                for i, table in enumerate(self._tables):
                    change = table.gathered(error)
                    change -= 0.1 * self._ridges[i] * (tables[i] - prior[i])
                    change *= 0.8
                    change /= self._damping[i] * table.squared(squares) + self._ridges[i]
                    tables[i] += change
                    moved = table.spread(change)
                    found += moved
                    error -= moved.mul_(squares)
            shift = error.sum(0) / self._count
            bias = bias + shift
            found += shift
        return bias


class _Spread:
    """The bag's fading, over blocks: a matrix product with each block and the one before."""

    def __init__(self, joined: NDArray[np.bool_]) -> None:
        weights = torch.from_numpy(fading())
        self._before, self._own = weights[:, :BLOCK].contiguous(), weights[:, BLOCK:].contiguous()
        self._joined = torch.from_numpy(np.flatnonzero(joined))

    def forward(self, values: torch.Tensor, first: int = 0) -> torch.Tensor:
        """From each row to the rows after it; of blocks from the first on."""
        blocks = values.view(-1, BLOCK, values.shape[1])
        found = torch.matmul(self._own, blocks)
        joined = self._joined[(self._joined > first) & (self._joined < first + len(blocks))] - first
        if len(joined):
            found[joined] += torch.matmul(self._before, blocks[joined - 1])
        return found.view_as(values)

    def back(self, values: torch.Tensor, *, squared: bool = False) -> torch.Tensor:
        """From each row to those before it; the transpose."""
        own, before = self._own.T, self._before.T
        if squared:
            own, before = own**2, before**2
        blocks = values.view(-1, BLOCK, values.shape[1])
        found = torch.matmul(own, blocks)
        if len(self._joined):
            found[self._joined - 1] += torch.matmul(before, blocks[self._joined])
        return found.view_as(values)


class _Feature:
    """One table's keys, and sums over them both ways."""

    def __init__(
        self,
        keys: NDArray[np.int64],
        size: int,
        fading: _Spread | None,
        present: torch.Tensor,
    ) -> None:
        self._keys = torch.from_numpy(keys)
        self._size = size
        self._fading = fading
        self._present = present
        self._order = torch.from_numpy(np.argsort(keys, kind="stable"))
        counts = np.bincount(keys, minlength=size + 1)
        self._starts = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)[:-1]]))
        #: float32 [size, 1], the sum of each entry's squared weights.
        self.squares = self.squared(present)

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """What a table contributes to each row, [R, n]."""
        return self.part(values, 0, len(self._keys) // BLOCK)

    def part(self, values: torch.Tensor, first: int, last: int) -> torch.Tensor:
        """The same for the rows of some blocks."""
        padded = torch.nn.functional.pad(values, (0, 0, 0, 1))
        if self._fading is None:
            return padded.index_select(0, self._keys[first * BLOCK : last * BLOCK])
        before = max(0, first - 1)
        found = padded.index_select(0, self._keys[before * BLOCK : last * BLOCK])
        faded = self._fading.forward(found, before)[(first - before) * BLOCK :]
        # Padding has no entry of its own, but the tokens before fade into it.
        return faded.mul_(self._present[first * BLOCK : last * BLOCK])

    def gathered(self, values: torch.Tensor) -> torch.Tensor:
        """The transpose: each entry's sum over the rows it contributes to, [size, n]."""
        return self._sums(values if self._fading is None else self._fading.back(values))

    def squared(self, weights: torch.Tensor) -> torch.Tensor:
        """Each entry's sum of weighted squares, [size, n]."""
        if self._fading is None:
            return self._sums(weights)
        return self._sums(self._fading.back(weights, squared=True))

    def _sums(self, values: torch.Tensor) -> torch.Tensor:
        sums = torch.nn.functional.embedding_bag(self._order, values, self._starts, mode="sum")
        return sums[: self._size]


def _directions(embeddings: Array, counts: Array) -> Array:
    """Centred embeddings of unit variance in their main directions, weighted by counts."""
    weights = counts / max(float(counts.sum()), 1.0)
    centred = embeddings - weights @ embeddings
    if centred.shape[1] > DIRECTIONS:
        covariance = (centred * weights[:, None]).T @ centred
        _, vectors = np.linalg.eigh(covariance)
        centred = centred @ vectors[:, -DIRECTIONS:]
    result: Array = np.ascontiguousarray(centred / max(float(centred.std()), 1e-12))
    return result


assert OFFSETS[0] == 0
