"""Sums that come out the same bit for bit however their terms are ordered.

Floating-point addition is not associative, so two machines that share a corpus would
not add up to what one machine gets.  Integers are: each batch's sum, whose bits depend
on nothing but the batch, is rounded once to a fixed grid, and from then on only
integers are added.
"""

from __future__ import annotations

import torch

#: One sum is ``high * 2**8 + low * 2**-40`` with ``0 <= low < 2**48``: a grid of about
#: 1e-12, and room for 2**71. Fourth powers of 1e10 activations of 700 each still fit.
_UNIT = 8
_GRID = 40
_CARRY = 1 << (_UNIT + _GRID)
#: A single batch's sum must stay below this.
LARGEST = 2.0**60


class ExactSums:
    """Running sums, shape fixed when made.

    Attributes:
        high, low: int64, the two halves; carried over after every addition, so that
            equal sums have equal halves.
    """

    def __init__(self, *shape: int) -> None:
        self.high = torch.zeros(shape, dtype=torch.int64)
        self.low = torch.zeros(shape, dtype=torch.int64)

    def add(self, terms: torch.Tensor) -> None:
        """Add finite float64 terms below :data:`LARGEST`, each rounded to the grid."""
        units = (terms * 2.0**-_UNIT).floor_()
        rest = (terms - units * 2.0**_UNIT) * 2.0**_GRID
        self.high += units.to(torch.int64)
        self.low += rest.round_().to(torch.int64)
        self._carry()

    def merge(self, other: ExactSums) -> None:
        """Add another's sums."""
        self.high += other.high
        self.low += other.low
        self._carry()

    def _carry(self) -> None:
        over = self.low >> (_UNIT + _GRID)
        self.high += over
        self.low -= over * _CARRY

    def values(self) -> torch.Tensor:
        """float64, rounded to the nearest."""
        return self.high.double() * 2.0**_UNIT + self.low.double() * 2.0**-_GRID
