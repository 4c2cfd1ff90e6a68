"""What neurons are looked up in: an index that was scanned here, or a published dataset.

An :class:`engine.index.Index` has a model behind it, and all of it is on this disk.  A
:class:`engine.public_data.dataset.PublicDataset` has neither, so a neuron is made ready
before it is read, and what the files don't tell is NaN, empty or None, never zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from engine.errors import IndexFormatError, UsageError
from engine.index import Index, LayerStatistics
from engine.neuron import NeuronId
from engine.records import NeuronRecord, TokenMeans

if TYPE_CHECKING:
    from engine.public_data.dataset import PublicDataset
    from engine.store import IndexFacts


class Catalogue(Protocol):
    """Neurons by layer and index, with what is known of each.

    Attributes:
        model_name: For people. Untrusted text.
        model_id, index_id, corpus_id: What the store files results under.
        n_neurons: One more than the largest index there can be in a layer.
        complete: Whether nothing is to be added any more.
    """

    model_name: str
    model_id: str
    index_id: str
    corpus_id: str
    n_layers: int
    n_neurons: int
    complete: bool

    def check(self, neuron: NeuronId) -> object:
        """UsageError if there is no such neuron."""
        ...

    def present(self, layer: int) -> Sequence[int]:
        """Indices of the layer's neurons, rising; nothing is loaded for it."""
        ...

    def layer(self, layer: int) -> LayerStatistics:
        """Columns for one layer, NaN where a number is not known (yet)."""
        ...

    def at_hand(self, neuron: NeuronId) -> bool:
        """Whether :meth:`prepare` has nothing to wait for."""
        ...

    async def prepare(self, neuron: NeuronId) -> None:
        """Make a neuron ready to be read; may be cancelled.

        Raises:
            UsageError: there is no such neuron.
            PublicDataError: it can't be had.
        """
        ...

    def neuron(self, neuron: NeuronId) -> NeuronRecord:
        """All that is kept of a neuron; it must have been prepared."""
        ...

    def token_means(self, neuron: NeuronId) -> TokenMeans:
        """The token look-up table of a neuron; it must have been prepared."""
        ...

    def facts(self) -> IndexFacts:
        """What the store remembers of it."""
        ...


def index_of(catalogue: Catalogue | None) -> Index:
    """The index, for what takes a model or all neurons at once.

    Raises:
        IndexFormatError: nothing has been scanned yet.
        UsageError: it is a published dataset.
    """
    if catalogue is None:
        raise IndexFormatError("Nothing has been scanned yet.", "Start with: neuroglass scan")
    if not isinstance(catalogue, Index):
        raise UsageError(
            f"{catalogue.model_name} is a published dataset: there is no model behind it.",
            "Scan a model for this: neuroglass scan --model MODEL",
        )
    return catalogue


def dataset_of(catalogue: Catalogue | None) -> PublicDataset | None:
    """The published dataset, for what only such a one has; None for an index."""
    if catalogue is None or isinstance(catalogue, Index):
        return None
    from engine.public_data.dataset import PublicDataset

    return catalogue if isinstance(catalogue, PublicDataset) else None
