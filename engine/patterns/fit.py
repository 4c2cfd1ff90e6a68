"""The additive model of many neurons at once.

What enters a neuron's activation function is, to a good part, a sum of what single
tokens of the context contribute.  So that sum is fitted: a table of contributions for
each offset and for the bag (:mod:`engine.patterns.features`).  Tables begin as a ridge
regression on the model's own token embeddings, by which rare tokens borrow from similar
ones; backfitting then gives each token what the data say beyond that; and a few
Gauss-Newton steps on the activation itself put the precision where the neuron fires.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from engine.patterns.features import Features

Array = NDArray[np.float32]
#: Observations that a token's contribution is shrunk by: at offset 0, further back, bag.
RIDGE = (4.0, 8.0, 30.0)
#: The embedding regression's ridge, as a share of the number of tokens.
EMBEDDING_RIDGE = 0.01
#: Directions of the embedding that the regression uses.
DIRECTIONS = 128
SWEEPS = 4
STEPS = 2
#: Slopes of the activation function are kept inside, so that silent tokens count a little.
SLOPES = (0.02, 1.2)
_C = np.float32(np.sqrt(2 / np.pi))


@dataclass(frozen=True, slots=True)
class Link:
    """An activation function and its slope, float32 arrays to arrays."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def _gelu(z: Array) -> Array:
    value: Array = 0.5 * z * (1 + np.tanh(_C * (z + 0.044715 * z**3)))
    return value


def _gelu_slope(z: Array) -> Array:
    t = np.tanh(_C * (z + 0.044715 * z**3))
    slope: Array = 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * _C * (1 + 0.134145 * z * z)
    return slope


#: For activation functions that cut off below zero; all of them are close to this one.
GELU = Link(_gelu, _gelu_slope)
#: For gated neurons, which have two sides, and for the negative side.
IDENTITY = Link(lambda z: z, np.ones_like)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The tables of ``n`` neurons.

    Attributes:
        bias: float32 [n].
        tables: One for each feature matrix, float32 [V, n].
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
        self._matrices = found.matrices
        self._turned = [matrix.T.tocsr() for matrix in found.matrices]
        squares = [np.asarray(m.multiply(m).sum(0)).ravel() for m in found.matrices]
        last = len(squares) - 1
        self._ridges = [
            RIDGE[0] if i == 0 else RIDGE[2] if i == last else RIDGE[1] for i in range(last + 1)
        ]
        self._squares = [square.astype(np.float32)[:, None] for square in squares]
        # Tokens of the bag stand side by side, so one table's step must be a small one.
        self._damping = [8.0 if i == last else 1.0 for i in range(last + 1)]
        self._embeddings = _directions(embeddings, np.asarray(squares[0]))
        self._solver = self._prepare()

    def _prepare(self) -> tuple[NDArray[np.float64], bool]:
        """The embedding regression's normal equations, factored once."""
        width = self._embeddings.shape[1]
        dense = [matrix @ self._embeddings for matrix in self._matrices]
        count = len(dense)
        gram = np.zeros((count * width, count * width))
        for i in range(count):
            for j in range(i, count):
                block = dense[i].T @ dense[j]
                gram[i * width : (i + 1) * width, j * width : (j + 1) * width] = block
                gram[j * width : (j + 1) * width, i * width : (i + 1) * width] = block.T
        gram[np.diag_indices_from(gram)] += EMBEDDING_RIDGE * len(dense[0]) + 1e-3
        factor: tuple[NDArray[np.float64], bool] = scipy.linalg.cho_factor(gram)
        return factor

    def fit(self, inner: Array, link: Link) -> Fitted:
        """Fit neurons.

        Args:
            inner: float32 [T, n], what enters the activation function; with
                :data:`IDENTITY` the activations themselves.
        """
        bias = inner.mean(0)
        tables = self._smooth(inner - bias)
        prior = [table.copy() for table in tables]
        rest = inner - bias - self._sum(tables)
        for _ in range(SWEEPS):
            for i, matrix in enumerate(self._matrices):
                ridge = np.float32(self._ridges[i])
                step = self._turned[i] @ rest - ridge * (tables[i] - prior[i])
                step /= self._damping[i] * self._squares[i] + ridge
                tables[i] += step
                rest -= matrix @ step
        found = inner - rest
        if link is GELU:
            bias, found = self._sharpen(inner, found, bias, tables, prior)
        return Fitted(bias, tuple(tables), found)

    def _smooth(self, rest: Array) -> list[Array]:
        right = [self._embeddings.T @ (turned @ rest) for turned in self._turned]
        weights = scipy.linalg.cho_solve(self._solver, np.concatenate(right).astype(np.float64))
        parts = np.split(weights.astype(np.float32), len(right))
        return [self._embeddings @ part for part in parts]

    def _sharpen(
        self, inner: Array, found: Array, bias: Array, tables: list[Array], prior: list[Array]
    ) -> tuple[Array, Array]:
        """Gauss-Newton on the activations, table by table."""
        real = GELU.value(inner)
        for _ in range(STEPS):
            for i, matrix in enumerate(self._matrices):
                slope = np.clip(GELU.slope(found), *SLOPES)
                ridge = np.float32(self._ridges[i])
                step = self._turned[i] @ ((real - GELU.value(found)) * slope)
                step -= 0.1 * ridge * (tables[i] - prior[i])
                step *= np.float32(0.8)
                curvature = _squared(self._turned[i]) @ (slope * slope)
                step /= self._damping[i] * curvature + ridge
                tables[i] += step
                found += matrix @ step
            slope = np.clip(GELU.slope(found), *SLOPES)
            shift = ((real - GELU.value(found)) * slope).mean(0)
            bias, found = bias + shift, found + shift
        return bias, found

    def _sum(self, tables: list[Array]) -> Array:
        total: Array = np.asarray(self._matrices[0] @ tables[0])
        for matrix, table in zip(self._matrices[1:], tables[1:], strict=True):
            total += matrix @ table
        return total


def _squared(matrix: sp.csr_matrix) -> sp.csr_matrix:
    return sp.csr_matrix((matrix.data**2, matrix.indices, matrix.indptr), matrix.shape)


def _directions(embeddings: Array, counts: NDArray[np.float64]) -> Array:
    """Centred embeddings of unit variance in their main directions, weighted by counts."""
    weights = (counts / max(counts.sum(), 1.0)).astype(np.float32)
    centred = embeddings - weights @ embeddings
    if centred.shape[1] > DIRECTIONS:
        covariance = (centred * weights[:, None]).T @ centred
        _, vectors = np.linalg.eigh(covariance)
        centred = centred @ vectors[:, -DIRECTIONS:]
    result: Array = centred / max(float(centred.std()), 1e-12)
    return result
