"""What a list says beside a neuron's number: its explanation, or the token it likes best."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from engine.glyphs import exact, inert
from engine.neuron import NeuronId

if TYPE_CHECKING:
    from engine.engine import Engine

#: A token seen less often says little by its mean.
COMMON = 5


def hints(engine: Engine, neurons: Iterable[NeuronId]) -> dict[NeuronId, str]:
    """Inert words for each neuron that the index has; a few milliseconds for many."""
    import numpy as np

    index = engine.index
    if index is None:
        return {}
    counts = index.token_counts()
    common = np.flatnonzero(counts >= COMMON)
    found = {}
    for neuron in dict.fromkeys(neurons):
        if neuron.layer >= index.n_layers or neuron.index >= index.n_neurons:
            continue
        saved = engine.store.explanations(index.model_id, neuron)
        if saved:
            found[neuron] = inert(saved[0].text)
        elif len(common):
            one = slice(neuron.index, neuron.index + 1)
            means = index.token_means_of(neuron.layer, one)[0]
            best = int(common[means[common].argmax()])
            found[neuron] = exact(index.table_token(best))
    return found
