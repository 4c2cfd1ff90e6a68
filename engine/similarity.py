"""Neurons that are like a neuron: by what they fire on, by what they read or write.

By activation: the correlation, over the tokens of the explain fold, of the two neurons'
mean activations at each token.  It takes nothing but the index's token tables, weighs a
token by how often it was seen, and says how alike the parts of two activations are that
the present token decides.  What depends on context is not in it, so it comes with the
number of top windows that two neurons have in common, which is.

By weights: the cosine of what two neurons read (times the scale of the norm before them;
of a gated MLP both readings end to end), or of what they write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from engine.errors import MethodError, UsageError
from engine.index import Index
from engine.neuron import NeuronId

if TYPE_CHECKING:
    from engine.lab import Stop
    from engine.subject import SubjectModel

Likeness = Literal["activation", "input", "output"]
LIKENESSES: tuple[Likeness, ...] = get_args(Likeness)
#: Neurons whose token tables, or weights, are in memory together.
BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Similar:
    """A neuron like another one.

    Attributes:
        likeness: Correlation or cosine, -1 to 1.
        shared: Top windows that both have among those that the scan kept.
    """

    neuron: NeuronId
    likeness: float
    shared: int


@dataclass(frozen=True, slots=True)
class SimilarNeurons:
    """The neurons most like a neuron, the most alike first.

    Attributes:
        by: The measure.
        kept: Top windows that the scan kept of the neuron: the most that can be shared.
    """

    neuron: NeuronId
    by: Likeness
    found: tuple[Similar, ...]
    kept: int


def check_likeness(by: str) -> None:
    """UsageError unless there is such a measure."""
    if by not in LIKENESSES:
        raise UsageError(f"Neurons can't be alike by {by!r}.", f"Choose {', '.join(LIKENESSES)}.")


def similar_by_activation(
    index: Index, neuron: NeuronId, count: int, stop: Callable[[], bool] = lambda: False
) -> SimilarNeurons:
    """Compare a neuron with every other one of the index by their token tables.

    Args:
        stop: Asked between blocks; the result is then of what was read so far.

    Raises:
        UsageError: there is no such neuron.
        MethodError: it has the same mean at every token, so that nothing correlates.
    """
    means = index.token_means(neuron).means.astype(np.float64)
    counts = index.token_counts().astype(np.float64)
    share = counts / max(counts.sum(), 1)
    own = means - share @ means
    spread = np.sqrt(share @ own**2)
    if not spread > 0:
        raise MethodError(
            f"{neuron} has the same mean activation at every token.",
            "Scan more text, or compare by its weights.",
        )
    weights = share.astype(np.float32)
    against = (share * own / spread).astype(np.float32)
    likeness = np.full((index.n_layers, index.n_neurons), np.nan, dtype=np.float32)
    for layer in range(index.n_layers):
        for start in range(0, index.n_neurons, BLOCK):
            if stop():
                break
            part = slice(start, min(start + BLOCK, index.n_neurons))
            table = index.token_means_of(layer, part)
            table -= (table @ weights)[:, None]
            covariance = table @ against
            deviation = np.sqrt(np.square(table, out=table) @ weights)
            with np.errstate(invalid="ignore", divide="ignore"):
                likeness[layer, part] = covariance / deviation
    return _most_alike(index, neuron, "activation", likeness, count)


def similar_by_weights(
    subject: SubjectModel, index: Index, neuron: NeuronId, by: Likeness, count: int, stop: Stop
) -> SimilarNeurons:
    """Compare what a neuron reads, or writes, with what every other one does.

    Raises:
        UsageError: there is no such neuron.
    """
    import torch

    from engine.anatomy import readings, scale, written
    from engine.lab import go_on

    index.check(neuron)
    anatomy = subject.anatomy

    def vectors(layer: int, part: slice) -> torch.Tensor:
        if by == "output":
            return written(anatomy.projections[layer])[part].double()
        parts = [weight[part].double() for weight in readings(anatomy, layer).values()]
        norm = scale(anatomy.norms[layer], parts[0].shape[1])
        return torch.cat([one * norm.to(one) for one in parts], dim=1)

    likeness = np.full((index.n_layers, index.n_neurons), np.nan, dtype=np.float32)
    with torch.inference_mode():
        own = vectors(neuron.layer, slice(neuron.index, neuron.index + 1))[0]
        own = own / own.norm()
        for layer in range(index.n_layers):
            for start in range(0, index.n_neurons, BLOCK):
                go_on(stop)
                part = slice(start, min(start + BLOCK, index.n_neurons))
                several = vectors(layer, part)
                likeness[layer, part] = (several @ own / several.norm(dim=1)).cpu().numpy()
    return _most_alike(index, neuron, by, likeness, count)


def _most_alike(
    index: Index, neuron: NeuronId, by: Likeness, likeness: NDArray[np.float32], count: int
) -> SimilarNeurons:
    likeness[neuron.layer, neuron.index] = np.nan
    flat = np.where(np.isfinite(likeness), likeness, -np.inf).ravel()
    some = np.argpartition(-flat, min(count, flat.size) - 1)[:count]
    some = some[np.lexsort((some, -flat[some]))]
    own = index.top_windows(neuron)
    found = []
    for place in some.tolist():
        if not np.isfinite(flat[place]):
            continue
        other = NeuronId(*divmod(place, index.n_neurons))
        shared = len(own & index.top_windows(other))
        found.append(Similar(other, float(np.clip(flat[place], -1, 1)), shared))
    return SimilarNeurons(neuron, by, tuple(found), len(own))
