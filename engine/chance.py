"""Another neuron's explanation: what a sentence scores that knows nothing of this neuron.

It is the chance level of every score.  The other neuron is drawn by this neuron's own
number, and its sentence is written by the token look-up, so that it is the same at every
run, costs nothing to write, and looks like an explanation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.catalogue import Catalogue, dataset_of, index_of
from engine.errors import MethodError, NeuroglassError
from engine.explanation import Evidence, Explanation, Side
from engine.lookup import TokenLookupExplainer
from engine.neuron import NeuronId
from engine.sides import means_of, record_of
from engine.splits import split_records

if TYPE_CHECKING:
    from engine.public_data.dataset import PublicDataset

#: Draws before giving up; neurons that never fire can't be explained.
TRIES = 20
#: The same where each may be a download.
PUBLISHED_TRIES = 4


async def other_explanation(index: Catalogue, neuron: NeuronId, side: Side) -> Explanation | None:
    """An explanation of another neuron of the same layer; None if none can be explained.

    In a published dataset it is another neuron's published one.
    """
    dataset = dataset_of(index)
    if dataset is not None:
        return await _published(dataset, neuron)
    index = index_of(index)
    rng = np.random.default_rng([neuron.layer, neuron.index, 1])
    for _ in range(TRIES):
        other = NeuronId(neuron.layer, int(rng.integers(index.n_neurons)))
        if other == neuron:
            continue
        record = record_of(index.neuron(other), side)
        splits = split_records(record)
        evidence = Evidence(
            neuron=other,
            train=splits.train,
            others=splits.others,
            token_means=means_of(index.token_means(other), side),
            statistics=record.statistics,
            side=side,
        )
        try:
            async for piece in TokenLookupExplainer().explain(evidence):
                if isinstance(piece, Explanation):
                    return piece
        except MethodError:
            continue
    return None


async def _published(dataset: PublicDataset, neuron: NeuronId) -> Explanation | None:
    others = [number for number in dataset.present(neuron.layer) if number != neuron.index]
    rng = np.random.default_rng([neuron.layer, neuron.index, 1])
    for number in rng.permutation(others)[:PUBLISHED_TRIES] if others else ():
        other = NeuronId(neuron.layer, int(number))
        try:
            await dataset.prepare(other)
        except NeuroglassError:
            continue
        for one in dataset.published(other):
            return one.explanation
    return None
