"""A text as features: which token stands how far before each token, and where it stands.

The features of a token are the tokens at :data:`OFFSETS` (itself, the one before, ...),
a bag of those before them that fades with distance, and its places in the text
(:mod:`engine.patterns.places`).  Each feature is one key for every token, into a table
of contributions; the bag has the keys of the token itself, spread over what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.patterns.places import PLACES, places_of

#: How far back single tokens are told apart.
OFFSETS = (0, 1, 2, 3)
#: Tokens further back, up to this, fall into the bag with weight 1/sqrt(distance).
BAG_REACH = 32
#: Rows of a block; the bag reaches into the block before and no further.
BLOCK = 64
assert BAG_REACH <= BLOCK


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of ``T`` tokens, laid out in blocks of ``R`` rows in all.

    A window begins at a block's start; what is left of its last block is padding, whose
    keys are those of no entry.

    Attributes:
        ids: int64 [T], each token's column in the present vocabulary, -1 for none.
        rows: int64 [T], the row of each token.
        joined: bool [R / BLOCK], whether a block goes on the window of the one before.
        keys: int64 [R] each: by offset, then the bag's, then those of the places; the
            table's size stands for no entry.
        sizes: Of each table.
    """

    ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    joined: NDArray[np.bool_]
    keys: tuple[NDArray[np.int64], ...]
    sizes: tuple[int, ...]

    @property
    def bag(self) -> int:
        """The number of the bag's table."""
        return len(OFFSETS)

    @property
    def length(self) -> int:
        """Rows, with padding."""
        return len(self.joined) * BLOCK


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


def features(
    windows: Sequence[NDArray[np.integer]],
    texts: Sequence[Sequence[bytes]],
    columns: Columns,
) -> Features:
    """Features of windows laid end to end; nothing reaches across a window's start.

    Args:
        windows: Token ids of each.
        texts: The bytes of each of their tokens.
    """
    ids = columns.of(np.concatenate(windows))
    lengths = np.array([len(window) for window in windows], dtype=np.int64)
    blocks = -(-lengths // BLOCK)
    place = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows = place + np.repeat((np.cumsum(blocks) - blocks) * BLOCK, lengths)
    joined = np.ones(int(blocks.sum()), dtype=np.bool_)
    joined[np.cumsum(blocks) - blocks] = False

    def laid(values: NDArray[np.int64], size: int, offset: int = 0) -> NDArray[np.int64]:
        keys = np.full(len(joined) * BLOCK, size, dtype=np.int64)
        here = np.flatnonzero(place >= offset)
        there = values[here - offset]
        keys[rows[here]] = np.where(there < 0, size, there)
        return keys

    size = len(columns)
    keys = [laid(ids, size, offset) for offset in OFFSETS]
    keys.append(keys[0])
    found = [places_of(text) for text in texts]
    for name, values in PLACES.items():
        keys.append(laid(np.concatenate([one[name] for one in found]), values))
    sizes = (*[size] * (len(OFFSETS) + 1), *PLACES.values())
    return Features(ids, rows, joined, tuple(keys), sizes)


def fading() -> NDArray[np.float32]:
    """The bag's weights: float32 [BLOCK, 2 BLOCK], of each row over both blocks' rows."""
    row, source = np.ogrid[BLOCK : 2 * BLOCK, : 2 * BLOCK]
    distance = row - source
    inside = (distance > OFFSETS[-1]) & (distance < BAG_REACH)
    weights = np.where(inside, 1 / np.sqrt(np.maximum(distance, 1)), 0)
    return weights.astype(np.float32)
