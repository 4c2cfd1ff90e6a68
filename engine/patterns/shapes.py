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


def numbered(tokens: Iterable[bytes], names: Sequence[str]) -> NDArray[np.int64]:
    """The number of each token's shape among some names, int64 [T]; -1 for another one."""
    places = {name: i for i, name in enumerate(names)}
    return np.array([places.get(shape_of(token), -1) for token in tokens], dtype=np.int64)
