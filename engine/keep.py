"""What a scan keeps of each neuron: a fixed number of slots per fold and group.

The layout is data, shared by the scan that fills the slots and the index that reads
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.records import Fold, Group

#: Upper quantile of each band; the windows above the last are the neuron's top.
BOUNDARY_QUANTILES = (0.5, 0.9, 0.99, 0.999)
BANDS = (Group.BAND_0, Group.BAND_1, Group.BAND_2, Group.BAND_3)


@dataclass(frozen=True, slots=True)
class Keep:
    """How many windows to keep of each neuron, per fold.

    Both folds hold enough for the method's five records per split.  The explain fold
    needs few random windows: it is never scored.

    Attributes:
        top: Strongest windows, by window maximum.
        band: Random windows of each quantile band.
        random: Uniformly random windows of the score fold, drawn for each neuron.
        explain_random: The same of the explain fold.
        bottom: Windows with the most negative minimum; enough to score the negative
            side on four per split.
    """

    top: int = 20
    band: int = 4
    random: int = 18
    explain_random: int = 4
    bottom: int = 12

    def slots(self) -> Mapping[tuple[Fold, Group], slice]:
        """Which of a neuron's slots each fold and group owns."""
        sizes = {}
        for fold in Fold:
            sizes[fold, Group.TOP] = self.top
            for band in BANDS:
                sizes[fold, band] = self.band
            sizes[fold, Group.RANDOM] = self.random if fold is Fold.SCORE else self.explain_random
            sizes[fold, Group.BOTTOM] = self.bottom
        slots = {}
        start = 0
        for key, size in sizes.items():
            slots[key] = slice(start, start + size)
            start += size
        return slots

    @property
    def total(self) -> int:
        """Slots per neuron."""
        return sum(part.stop - part.start for part in self.slots().values())
