"""A token's shape: its kind and all its classes, as one name.

Every token has exactly one shape, also one that was never seen, so what is known of
tokens of a shape can be expected of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.token_words import classes_of, kind_of

#: Between the names of a shape; no name has it.
SEPARATOR = "|"


@lru_cache(maxsize=1 << 16)
def shape_of(token: bytes) -> str:
    """The shape of a token, such as ``number|numbers|single digits``."""
    return SEPARATOR.join((kind_of(token).value, *classes_of(token)))


def wider(shape: str) -> str:
    """The shape without its last class; empty for a kind alone."""
    return shape.rpartition(SEPARATOR)[0]


def numbered(tokens: Iterable[bytes], names: Sequence[str]) -> NDArray[np.int64]:
    """The number of each token's shape among some names, int64 [T].

    Where there is none of that name, that of the nearest wider shape; -1 without any.
    """
    places = {name: i for i, name in enumerate(names)}
    found = []
    for token in tokens:
        shape = shape_of(token)
        while shape and shape not in places:
            shape = wider(shape)
        found.append(places.get(shape, -1))
    return np.array(found, dtype=np.int64)
