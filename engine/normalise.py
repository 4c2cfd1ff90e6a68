"""Activations on the 0 to 10 scale that prompts use (method: Bills et al. 2023, 1.3)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import MethodError

#: Normalised activations are the integers 0 to this.
STEPS = 10


def max_activation(records: Iterable[ArrayLike]) -> float:
    """The largest activation of several records, 0.0 if none is above zero.

    Args:
        records: For each record its activations, any real dtype; NaN is ignored.

    Raises:
        MethodError: if there are no records: there is no scale to speak of.
    """
    peaks = [np.fmax(np.asarray(record), 0).max(initial=0) for record in records]
    if not peaks:
        raise MethodError("There are no records to take a maximum of.", "Scan more text.")
    return float(max(peaks))


def normalise(activations: ArrayLike, maximum: float) -> NDArray[np.int64]:
    """Scale to integers: ``min(10, floor(10 * relu(a) / maximum))``.

    Values below a tenth of the maximum become 0 and only those at or above it 10.
    Everything is 0 when ``maximum`` is not above zero, and a NaN is 0.

    Args:
        activations: Any shape and real dtype; the arithmetic keeps a float dtype, so
            that 0.7 of 1.0 is 7 in float32 and in float64 alike.
        maximum: Usually :func:`max_activation` of the records shown together.
    """
    values = np.asarray(activations)
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float64)
    if not maximum > 0:
        return np.zeros(values.shape, dtype=np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.floor(STEPS * np.fmax(values, 0) / values.dtype.type(maximum))
    # fmin, so that infinity over infinity is the top step.
    whole: NDArray[np.int64] = np.fmin(steps, STEPS).astype(np.int64)
    return whole
