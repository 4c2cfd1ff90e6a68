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
#: Lengths of context that are tried, the shortest first.
LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
#: Contexts longer than this are cut no further into single tokens.
SINGLE = 12

#: Gives the activation of a neuron at the last token of each text.
Probe = Callable[[Sequence[NDArray[np.int64]]], NDArray[np.float32]]
#: The same for several neurons: texts, and the number of the neuron that each is for.
ManyProbe = Callable[[Sequence[NDArray[np.int64]], NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """The smallest context of one strong activation.

    Attributes:
        token_ids: int64, the context up to and with the token that fires.
        needed: Offsets from the last token, 0 for itself, of the tokens that matter.
        activation: In the whole text, activation units.
        kept: In the context alone.
        losses: float32, the share of ``kept`` that is gone without the token at offset 1,
            at offset 2, ...; empty where the context was too long to ask.
        weight: How much of the neuron's strong activation it stands for; None: its own.
    """

    token_ids: NDArray[np.int64]
    needed: tuple[int, ...]
    activation: float
    kept: float
    losses: NDArray[np.float32]
    weight: float | None = None

    @property
    def mass(self) -> float:
        """The weight, or without one the activation above zero."""
        return max(self.activation, 0.0) if self.weight is None else self.weight


def smallest_contexts(
    texts: Sequence[NDArray[np.integer]], activations: Sequence[float], probe: Probe
) -> list[Context]:
    """Find the contexts of strong activations of one neuron.

    Args:
        texts: Each up to the token that fires, which is its last.
        activations: At that token.
        probe: Reads the neuron.
    """
    owners = np.zeros(len(texts), dtype=np.int64)
    return contexts_of_many(texts, activations, owners, lambda cuts, _owners: probe(cuts))


def contexts_of_many(
    texts: Sequence[NDArray[np.integer]],
    activations: Sequence[float],
    owners: NDArray[np.int64],
    probe: ManyProbe,
) -> list[Context]:
    """Find the contexts of strong activations of several neurons, in a few batches.

    A longer cut is read only where a shorter one was not enough: most activations need
    a few tokens, and those batches are small.

    Args:
        texts: Each up to the token that fires, which is its last.
        activations: At that token.
        owners: The number of the neuron that each text is of.
        probe: Reads them.
    """
    whole = [np.asarray(text, dtype=np.int64) for text in texts]
    shortest = list(whole)
    kept = np.array(activations, dtype=np.float32)
    left = np.arange(len(whole))
    for length in LENGTHS:
        cut = left[[len(whole[i]) > length for i in left]]
        if not len(cut):
            break
        values = probe([whole[i][-length:] for i in cut], owners[cut])
        enough = values >= KEPT * np.array([activations[i] for i in cut])
        for i, value in zip(cut[enough], values[enough], strict=True):
            shortest[i], kept[i] = whole[i][-length:], value
        left = cut[~enough]
    without = [_each_removed(context) for context in shortest]
    counts = [len(several) for several in without]
    flat = [text for several in without for text in several]
    values = probe(flat, np.repeat(owners, counts)) if flat else np.zeros(0, np.float32)
    contexts = []
    found = np.split(values, np.cumsum(counts)[:-1]) if counts else []
    for context, own, activation, left_over in zip(shortest, kept, activations, found, strict=True):
        losses = (1 - left_over / max(float(own), 1e-9)).astype(np.float32)
        # The token itself always matters: without it there is nothing to ask.
        needed = (0, *(int(i) + 1 for i in np.flatnonzero(losses > LOST)))
        contexts.append(Context(context, needed, float(activation), float(own), losses))
    return contexts


def _each_removed(context: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The context without the token at offset 1, at offset 2, ...; never without the last."""
    last = len(context) - 1
    if len(context) > SINGLE:
        return []
    return [np.delete(context, last - offset) for offset in range(1, len(context))]
