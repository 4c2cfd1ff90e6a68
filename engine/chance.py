"""Another neuron's explanation: what a sentence scores that knows nothing of this neuron.

It is the chance level of every score.  The other neuron is drawn by this neuron's own
number, and its sentence is written by the token look-up, so that it is the same at every
run, costs nothing to write, and looks like an explanation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from engine.catalogue import Catalogue, dataset_of
from engine.errors import MethodError, UsageError
from engine.explanation import Evidence, Explanation, Side
from engine.lookup import TokenLookupExplainer
from engine.neuron import NeuronId
from engine.public_data.problems import PublicDataError
from engine.sides import means_of, record_of
from engine.splits import split_records

if TYPE_CHECKING:
    from engine.public_data.dataset import PublicDataset

#: Draws before giving up; neurons that never fire can't be explained.
TRIES = 20
#: The same where each may be a download.
PUBLISHED_TRIES = 6


async def other_explanation(
    catalogue: Catalogue, neuron: NeuronId, side: Side, *, tables: bool = True
) -> Explanation | None:
    """An explanation of another neuron of the same layer; None if none can be explained.

    Args:
        tables: Whether it is for a simulator that reads token tables. If it is not, a
            published dataset's own explanation of the other neuron is taken.
    """
    dataset = dataset_of(catalogue)
    if dataset is not None and not tables:
        return await _published(dataset, neuron)
    others = _others(catalogue, neuron, TRIES if dataset is None else PUBLISHED_TRIES)
    for other in others:
        try:
            await catalogue.prepare(other)
            record = record_of(catalogue.neuron(other), side)
            splits = split_records(record)
            evidence = Evidence(
                neuron=other,
                train=splits.train,
                others=splits.others,
                token_means=means_of(catalogue.token_means(other), side),
                statistics=record.statistics,
                side=side,
            )
            async for piece in TokenLookupExplainer().explain(evidence):
                if isinstance(piece, Explanation):
                    return piece
        except (MethodError, UsageError, PublicDataError):
            continue
    return None


def _others(catalogue: Catalogue, neuron: NeuronId, tries: int) -> Iterator[NeuronId]:
    """Neurons of the same layer, drawn by this neuron's own number."""
    rng = np.random.default_rng([neuron.layer, neuron.index, 1])
    there = catalogue.present(neuron.layer)
    for _ in range(tries if len(there) > 1 else 0):
        other = NeuronId(neuron.layer, there[int(rng.integers(len(there)))])
        if other != neuron:
            yield other


async def _published(dataset: PublicDataset, neuron: NeuronId) -> Explanation | None:
    for other in _others(dataset, neuron, PUBLISHED_TRIES):
        try:
            await dataset.prepare(other)
        except (UsageError, PublicDataError):
            continue
        for one in dataset.published(other):
            return one.explanation
    return None
