"""How much context keeps an activation, and which tokens of it matter.

For a strong activation the text before it is cut from the left until less than
:data:`KEPT` of it is left; then every token of what remains is taken away by itself.
Those whose loss costs more than :data:`LOST` are what the neuron needed (the idea of
Foote et al. 2023, Neuron to Graph, with deletion instead of a second model's substitutes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: The cut context keeps this share of the activation.
KEPT = 0.8
#: A token matters if without it this share is gone.
LOST = 0.3
#: Lengths of context that are tried.
LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
#: Contexts longer than this are cut no further into single tokens.
SINGLE = 8

#: Gives the activation of a neuron at the last token of each text.
Probe = Callable[[Sequence[NDArray[np.int64]]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """The smallest context of one strong activation.

    Attributes:
        token_ids: int64, the context up to and with the token that fires.
        needed: Offsets from the last token, 0 for itself, of the tokens that matter.
        activation: In the whole text, activation units.
        kept: In the context alone.
    """

    token_ids: NDArray[np.int64]
    needed: tuple[int, ...]
    activation: float
    kept: float


def smallest_contexts(
    texts: Sequence[NDArray[np.integer]], activations: Sequence[float], probe: Probe
) -> list[Context]:
    """Find the contexts of strong activations, all cuts in one batch.

    Args:
        texts: Each up to the token that fires, which is its last.
        activations: At that token.
        probe: Reads the neuron.
    """
    whole = [np.asarray(text, dtype=np.int64) for text in texts]
    cuts = [[text[-n:] for n in LENGTHS if n < len(text)] + [text] for text in whole]
    values = _split(probe([cut for several in cuts for cut in several]), cuts)
    shortest, kept = [], []
    for several, found, activation in zip(cuts, values, activations, strict=True):
        enough = np.flatnonzero(found >= KEPT * activation)
        chosen = int(enough[0]) if len(enough) else len(several) - 1
        shortest.append(several[chosen])
        kept.append(float(found[chosen]))
    without = [_each_removed(context) for context in shortest]
    values = _split(probe([text for several in without for text in several]), without)
    contexts = []
    for context, own, activation, found in zip(shortest, kept, activations, values, strict=True):
        # The token itself always matters: without it there is nothing to ask.
        needed = [0, *(i + 1 for i, value in enumerate(found) if value < (1 - LOST) * own)]
        contexts.append(Context(context, tuple(needed), float(activation), own))
    return contexts


def _each_removed(context: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The context without the token at offset 1, at offset 2, ...; never without the last."""
    last = len(context) - 1
    if len(context) > SINGLE:
        return []
    return [np.delete(context, last - offset) for offset in range(1, len(context))]


def _split(
    values: NDArray[np.float32], groups: Sequence[Sequence[object]]
) -> list[NDArray[np.float32]]:
    ends = np.cumsum([len(group) for group in groups])[:-1]
    return np.split(values, ends)
