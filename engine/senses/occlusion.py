"""Which tokens of the text before it a strong activation needs, and how much.

Every token of the near context is taken away by itself, and the token that fires is
swapped for others; what the neuron then loses is that token's weight.  (Foote et al. 2023
do the first for whole sentences; deletion needs no second model's substitutes.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.patterns.contexts import LOST, Context, Probe

#: Texts are read from so many tokens before the one that fires.
REACH = 32
#: Single tokens are taken away up to this offset, and up to the second one where a cut
#: there costs something.
NEAR, FAR = 6, 16
#: Tokens that are put in the place of the one that fires.
SWAPS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Occlusion:
    """What ``n`` strong activations lose without each token.

    Attributes:
        losses: float32 [n, FAR + 1], by offset from the token that fires: the share of the
            activation that is gone, 0 to 1. At offset 0 the token was swapped, not deleted.
        tokens: int64 [n, FAR + 1], the token there; -1 before the text's start.
    """

    losses: NDArray[np.float32]
    tokens: NDArray[np.int64]

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Occlusion:
        return Occlusion(self.losses[rows], self.tokens[rows])

    def __len__(self) -> int:
        return len(self.losses)

    @property
    def before(self) -> NDArray[np.float32]:
        """float32 [n], the largest loss of any token before the one that fires."""
        found: NDArray[np.float32] = self.losses[:, 1:].max(1, initial=0.0)
        return found

    def context(self, row: int, activation: float) -> Context:
        """One of them as the tokens it needs and those between."""
        needed = [0, *(np.flatnonzero(self.losses[row, 1:] > LOST) + 1).tolist()]
        ids = self.tokens[row, : needed[-1] + 1][::-1]
        losses = self.losses[row, 1 : len(ids)]
        return Context(ids, tuple(needed), activation, activation, losses)


def occlude(
    texts: Sequence[NDArray[np.int64]],
    activations: NDArray[np.float32],
    strangers: NDArray[np.int64],
    probe: Probe,
) -> Occlusion:
    """Take away each token of some texts by itself.

    Args:
        texts: Each up to the token that fires, which is its last.
        activations: float32 [n], at that token; above zero.
        strangers: int64 [SWAPS], common tokens to put in its place.
        probe: Reads the neuron at the last token of each text; asked twice.
    """
    losses = np.zeros((len(texts), FAR + 1), dtype=np.float32)
    tokens = np.full((len(texts), FAR + 1), -1, dtype=np.int64)
    changed: list[NDArray[np.int64]] = []
    where: list[tuple[int, int]] = []
    for row, text in enumerate(texts):
        width = min(len(text), FAR + 1)
        tokens[row, :width] = text[::-1][:width]
        for stranger in strangers.tolist():
            changed.append(np.append(text[:-1], stranger))
            where.append((row, 0))
        for offset in range(1, min(len(text), NEAR + 1)):
            changed.append(np.delete(text, len(text) - 1 - offset))
            where.append((row, offset))
        if len(text) > NEAR + 1:
            changed.append(text[-NEAR - 1 :])
            where.append((row, -1))
    further = np.zeros(len(texts), dtype=np.bool_)
    for (row, offset), value in zip(where, probe(changed), strict=True):
        lost = float(np.clip(1 - value / activations[row], 0, 1))
        if offset < 0:
            further[row] = lost > LOST
        elif offset == 0:
            losses[row, 0] += lost / len(strangers)
        else:
            losses[row, offset] = lost
    changed, where = [], []
    for row in np.flatnonzero(further).tolist():
        for offset in range(NEAR + 1, min(len(texts[row]), FAR + 1)):
            changed.append(np.delete(texts[row], len(texts[row]) - 1 - offset))
            where.append((row, offset))
    if changed:
        for (row, offset), value in zip(where, probe(changed), strict=True):
            losses[row, offset] = np.clip(1 - value / activations[row], 0, 1)
    return Occlusion(losses, tokens)
