"""What a neuron's weights say: what it reads, what it writes, who feeds it, whom it feeds.

Everything here is the direct path through the residual stream alone, on raw weights, as
Bills et al. 2023 define it.  With ``r`` for what a neuron reads, ``w`` for what it writes,
``g`` for the scale of the norm before the reader, ``E`` and ``U`` for the embeddings of
input and output and ``f`` for the scale of the final norm:

    token t -> neuron            sum_i E[t, i] g[i] r[i]
    neuron -> token t            sum_i w[i] f[i] U[t, i]
    neuron -> later neuron       sum_i w[i] g'[i] r'[i]

No biases, no positions, no centring, no division by a norm, and no attention: a neuron
whose effect takes a way through other layers shows only the direct part of it.  A gated
MLP reads twice; each of its two readings has lists of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.anatomy import readings, scale, written
from engine.lab import Promoted, Stop, go_on
from engine.neuron import NeuronId
from engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch

    from engine.subject import SubjectModel

#: Rows of a matrix that are in memory in float64: a large vocabulary is many.
ROWS = 4096
#: A token and its weight; a token may be any bytes.
Weighted = tuple[bytes, float]


@dataclass(frozen=True, slots=True)
class Link:
    """Another neuron and the weight of the connection."""

    neuron: NeuronId
    weight: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What one of a neuron's readings takes up from tokens and from earlier neurons.

    Attributes:
        name: ``gate`` or ``up`` of a gated MLP; empty where there is only one.
        activating: Input tokens that push the reading up, the largest weight first.
        suppressing: Those that push it down, the most negative weight first.
        upstream: Earlier neurons that push it up, the largest weight first.
        upstream_against: Those that push it down.
    """

    name: str
    activating: tuple[Weighted, ...]
    suppressing: tuple[Weighted, ...]
    upstream: tuple[Link, ...]
    upstream_against: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Downstream:
    """Later neurons that read what this one writes.

    Attributes:
        name: Which of their readings; see :class:`Reading`.
        excited: The largest weight first.
        inhibited: The most negative weight first.
    """

    name: str
    excited: tuple[Link, ...]
    inhibited: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Effects:
    """All that a neuron's weights say about it.

    Attributes:
        output: Tokens that it makes likelier and unlikelier to come next.
        readings: One, or two with a gate.
        downstream: One for each way of reading.
    """

    neuron: NeuronId
    output: Promoted
    readings: tuple[Reading, ...]
    downstream: tuple[Downstream, ...]


def effects_of(subject: SubjectModel, neuron: NeuronId, count: int, stop: Stop) -> Effects:
    """The effects of one neuron, so many of each kind.

    Costs one product with every weight of the MLPs and both embeddings, and no more memory
    than :data:`ROWS` of their rows in float64.
    """
    output = subject.output_weights(neuron.layer, neuron.index).numpy()
    found = []
    for name, direction in directions(subject, neuron).items():
        go_on(stop)
        tokens = _tokens_into(subject, direction)
        up, down = ranked_tokens(subject.vocabulary, tokens, count)
        weights = upstream_weights(subject, neuron, direction, stop)
        more, less = _links(weights, count)
        found.append(Reading(name, up, down, more, less))
    downstream = []
    for name, weights in downstream_weights(subject, neuron, stop).items():
        more, less = _links(weights, count)
        downstream.append(Downstream(name, more, less))
    return Effects(
        neuron,
        Promoted(*ranked_tokens(subject.vocabulary, output, count)),
        tuple(found),
        tuple(downstream),
    )


def directions(subject: SubjectModel, neuron: NeuronId) -> dict[str, torch.Tensor]:
    """What a neuron reads, times the scale of the norm before it; each float64 [width]."""
    import torch

    with torch.inference_mode():
        found = {}
        for name, weight in readings(subject.anatomy, neuron.layer).items():
            own = weight[neuron.index].double()
            norm = subject.anatomy.norms[neuron.layer]
            found[name] = own * scale(norm, len(own)).to(own)
        return found


def upstream_weights(
    subject: SubjectModel, neuron: NeuronId, direction: torch.Tensor, stop: Stop
) -> NDArray[np.float32]:
    """How strongly every earlier neuron writes along a direction; float32 [layer, neuron].

    Args:
        direction: One of :func:`directions`.

    Returns:
        Rows for the layers before the neuron's own, none for the first layer.
    """
    import torch

    anatomy = subject.anatomy
    weights = np.empty((neuron.layer, anatomy.n_neurons), dtype=np.float32)
    with torch.inference_mode():
        for layer in range(neuron.layer):
            go_on(stop)
            weights[layer] = _along(written(anatomy.projections[layer]), direction)
    return weights


def downstream_weights(
    subject: SubjectModel, neuron: NeuronId, stop: Stop
) -> dict[str, NDArray[np.float32]]:
    """How strongly every later neuron reads what this one writes.

    Returns:
        By the name of the reading, float32 [layer, neuron] with a row for every layer of
        the model; NaN up to the neuron's own, which comes too late for them.
    """
    import torch

    anatomy = subject.anatomy
    layers, neurons = len(anatomy.blocks), anatomy.n_neurons
    weights = {
        name: np.full((layers, neurons), np.nan, dtype=np.float32)
        for name in readings(anatomy, neuron.layer)
    }
    with torch.inference_mode():
        wrote = written(anatomy.projections[neuron.layer])[neuron.index].double()
        for layer in range(neuron.layer + 1, layers):
            go_on(stop)
            scaled = wrote * scale(anatomy.norms[layer], len(wrote)).to(wrote)
            for name, weight in readings(anatomy, layer).items():
                weights[name][layer] = _along(weight, scaled)
    return weights


def _tokens_into(subject: SubjectModel, direction: torch.Tensor) -> NDArray[np.float32]:
    """How strongly each input token pushes a reading; float32 [vocabulary]."""
    import torch

    anatomy = subject.anatomy
    with torch.inference_mode():
        if anatomy.widen is not None:  # the embedding's own, narrower space
            direction = direction @ anatomy.widen.weight.double()
        return _along(anatomy.tokens.weight, direction)


def _along(rows: torch.Tensor, direction: torch.Tensor) -> NDArray[np.float32]:
    """The product of each row with a direction, summed in float64; float32 [row]."""
    found = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS].double() @ direction
        found[start : start + ROWS] = part.cpu().numpy()
    return found


def ranked_tokens(
    vocabulary: Vocabulary, weights: NDArray[np.float32], count: int
) -> tuple[tuple[Weighted, ...], tuple[Weighted, ...]]:
    """The largest, and the most negative first."""
    order = np.argsort(weights, kind="stable")
    # Rows of the embedding that no token uses say nothing.
    used = [int(i) for i in order if vocabulary.token(int(i))]

    def named(ids: Sequence[int]) -> tuple[Weighted, ...]:
        return tuple((vocabulary.token(i), float(weights[i])) for i in ids)

    return named(used[::-1][:count]), named(used[:count])


def _links(weights: NDArray[np.float32], count: int) -> tuple[tuple[Link, ...], tuple[Link, ...]]:
    """The ``count`` largest above zero, and the most negative below; NaN is no connection."""
    flat = weights.ravel()
    if not flat.size:
        return (), ()

    def strongest(signed: NDArray[np.float32]) -> tuple[Link, ...]:
        signed = np.where(np.isnan(signed), -np.inf, signed)
        some = np.argpartition(-signed, min(count, signed.size) - 1)[:count]
        some = some[np.lexsort((some, -signed[some]))]
        return tuple(
            Link(NeuronId(*divmod(int(place), weights.shape[1])), float(flat[place]))
            for place in some
            if signed[place] > 0
        )

    return strongest(flat), strongest(-flat)
