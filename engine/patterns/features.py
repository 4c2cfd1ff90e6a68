"""A text as sparse features: which token stands how far before each token.

The features of a token are the tokens at :data:`OFFSETS` (itself, the one before, ...)
and a bag of those before them that fades with distance.  All are one matrix each, with a
row for every token of the text and a column for every entry of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

#: How far back single tokens are told apart.
OFFSETS = (0, 1, 2, 3)
#: Tokens further back, up to this, fall into the bag with weight 1/sqrt(distance).
BAG_REACH = 32
BAG = "bag"


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of ``T`` tokens.

    Attributes:
        ids: int64 [T], each token's column in the present vocabulary.
        matrices: float32 [T, V] in CSR form, one for each offset, the bag last.
    """

    ids: NDArray[np.int64]
    matrices: tuple[sp.csr_matrix, ...]


class Columns:
    """Token ids to columns: those seen when fitting; others have none.

    Args:
        seen: int64 [V], ascending.
    """

    def __init__(self, seen: NDArray[np.int64]) -> None:
        self.seen = seen

    def __len__(self) -> int:
        return len(self.seen)

    def of(self, token_ids: NDArray[np.integer]) -> NDArray[np.int64]:
        """Column of each token, or -1."""
        place = np.minimum(np.searchsorted(self.seen, token_ids), len(self.seen) - 1)
        return np.where(self.seen[place] == token_ids, place, -1)


def features(windows: Sequence[NDArray[np.integer]], columns: Columns) -> Features:
    """Features of windows laid end to end; nothing reaches across a window's start."""
    ids = columns.of(np.concatenate(windows)) if windows else np.zeros(0, np.int64)
    lengths = np.array([len(window) for window in windows], dtype=np.int64)
    place = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    matrices = [_matrix([(offset, 1.0)], ids, place, len(columns)) for offset in OFFSETS]
    further = [(d, 1 / np.sqrt(d)) for d in range(OFFSETS[-1] + 1, BAG_REACH)]
    matrices.append(_matrix(further, ids, place, len(columns)))
    return Features(ids, tuple(matrices))


def _matrix(
    distances: Sequence[tuple[int, float]],
    ids: NDArray[np.int64],
    place: NDArray[np.int64],
    width: int,
) -> sp.csr_matrix:
    rows, cols, values = [], [], []
    for distance, weight in distances:
        here = np.flatnonzero(place >= distance)
        there = ids[here - distance]
        known = there >= 0
        rows.append(here[known])
        cols.append(there[known])
        values.append(np.full(int(known.sum()), weight, np.float32))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols)))
    return sp.csr_matrix(entries, shape=(len(ids), width))
