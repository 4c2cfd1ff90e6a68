"""A neuron over the explain fold, and how much any two of its tokens are alike.

Alike means two things: the tokens in the text are (by the model's embeddings), and what
the neuron takes from the hidden state is (the state times the neuron's input weights,
whose sum is its input).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
#: A context token may stand so far before the one that fires.
REACH = 24
#: Places told apart: the token, the one before, the one before that.
PLACES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """One side of a neuron on ``T`` tokens of text.

    Attributes:
        ids: int64 [T], rows of ``embeddings``.
        starts: int64 [T], where each token's window begins.
        documents: int64 [T].
        activations: float32 [T], of the side.
        parts: float32 [T, width], what the neuron takes from each state; or any other
            numbers that are alike where it fires for like reasons.
        embeddings: float32 [V, D], rows of length one.
    """

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    documents: NDArray[np.int64]
    activations: Floats
    parts: Floats
    embeddings: Floats

    def before(self, tokens: NDArray[np.int64], offset: int) -> NDArray[np.int64]:
        """The row in ``embeddings`` of what stands before tokens, or -1; int64 [n]."""
        place = tokens - offset
        inside = place >= self.starts[tokens]
        return np.where(inside, self.ids[np.maximum(place, 0)], -1)

    def peaks(self) -> NDArray[np.int64]:
        """The strongest token of each window, the strongest window first; int64 [W]."""
        first = np.flatnonzero(np.append(True, np.diff(self.starts) > 0))
        order = np.lexsort((-self.activations, self.starts))
        peaks = order[first]
        return peaks[np.argsort(-self.activations[peaks], kind="stable")]


def unit(rows: Floats) -> Floats:
    """Rows of length one; those of length zero stay."""
    found: Floats = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9)
    return found


def directions(embeddings: Floats, counts: NDArray[np.int64], width: int = 256) -> Floats:
    """Embeddings less their mean, in their main directions, of length one.

    Args:
        embeddings: float32 [V, D].
        counts: int64 [V], how often each token is in the text.
    """
    weights = (counts / max(int(counts.sum()), 1)).astype(np.float32)
    centred = embeddings - weights @ embeddings
    if centred.shape[1] > width:
        covariance = (centred * weights[:, None]).T @ centred
        _, vectors = np.linalg.eigh(covariance)
        centred = centred @ vectors[:, -width:]
    return unit(centred)


class Likeness:
    """Looks up how alike tokens and their context are to given directions.

    Args:
        tokens: int64 [n], which tokens of the material.
    """

    def __init__(self, material: Material, tokens: NDArray[np.int64]) -> None:
        self._embeddings = material.embeddings
        self._at = [material.before(tokens, offset) for offset in range(PLACES)]
        reach = range(1, REACH + 1)
        self._context = np.stack([material.before(tokens, d) for d in reach], axis=1)

    def score(self, places: Floats, context: Floats) -> Floats:
        """Sum over the places, and the context token that is most alike; float32 [n].

        Args:
            places: float32 [PLACES, D].
            context: float32 [D].
        """
        total = np.zeros(len(self._context), dtype=np.float32)
        for ids, direction in zip(self._at, places, strict=True):
            # The last row is for what lies before the window.
            total += np.append(self._embeddings @ direction, np.float32(0))[ids]
        table = np.append(self._embeddings @ context, np.float32(-1))
        best: Floats = total + np.maximum(table[self._context].max(1), 0)
        return best
