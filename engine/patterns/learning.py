"""What can be learnt of neurons from a text they were read on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.neuron import NeuronId
from engine.patterns.contexts import Context, ManyProbe, contexts_of_many
from engine.patterns.features import BAG_REACH, OFFSETS
from engine.patterns.fit import Link
from engine.patterns.model import Patterns
from engine.patterns.prune import pruned
from engine.patterns.reading import Text
from engine.patterns.settings import Setting, settings_of

#: Strong activations whose contexts are looked for, and tokens that are each asked for.
CONTEXTS, HEADS = 16, 6
#: Texts up to a strong activation are read from so many tokens before it.
REACH = 48
#: Strong activations that what stands before them is counted at, and the share of the
#: largest that each has at least.
COUNTED, STRONG = 512, 0.3
#: A token's mean activation is shrunk toward the neuron's as if seen this often more.
SHRINKAGE = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What was found out about one side of a neuron.

    Attributes:
        patterns: Fitted.
        contexts: The smallest contexts of some strong activations.
        settings: Where in texts the strong activations are, if anywhere in particular.
        windows: Of the index, that the contexts are from; fitted was the whole text.
        tokens: The bytes of each token seen, V of them.
        counts: float64 [V], how often each was seen.
        means: float64 [V], the mean activation at each, shrunk, less the neuron's mean.
        explained: Share of the variance that those means explain, 0 to 1.
        heights: For each table of the patterns, float64 [V], what each token contributes.
        strong: For each table, float64 [V], how much of each token stood there at strong
            activations, weighted by these.
    """

    patterns: Patterns
    contexts: list[Context]
    settings: tuple[Setting, ...]
    windows: NDArray[np.int64]
    tokens: tuple[bytes, ...]
    counts: NDArray[np.float64]
    means: NDArray[np.float64]
    explained: float
    heights: tuple[NDArray[np.float64], ...]
    strong: tuple[NDArray[np.float64], ...]


def learn(
    text: Text,
    inner: NDArray[np.float32],
    link: Link,
    neurons: Sequence[NeuronId],
    probe: ManyProbe,
    step: Callable[[], None] = lambda: None,
) -> list[Learned]:
    """Fit neurons, find their contexts and what is common to their strong activations.

    Args:
        inner: float32 [T, n], what enters the activation function at each token.
        link: That function.
        neurons: Names, which seed what is drawn.
        probe: Reads them on other texts.
        step: Called now and then; may raise to end it.
    """
    real = link.value(inner)
    fitted = text.additive.fit(inner, link, step)
    patterns = pruned(fitted, text.additive, text.columns, text.shapes, real)
    step()
    drawn = [_strong(text.found.ids, real[:, row], name) for row, name in enumerate(neurons)]
    places = [several for several, _ in drawn]
    weights = [weight for _, several in drawn for weight in several]
    owners = np.repeat(np.arange(len(neurons)), [len(several) for several in places])
    flat = [place for several in places for place in several]
    strong = [float(real[place, row]) for place, row in zip(flat, owners, strict=True)]
    texts = [text.before(place, REACH) for place in flat]
    contexts = [
        replace(one, weight=weight)
        for one, weight in zip(contexts_of_many(texts, strong, owners, probe), weights, strict=True)
    ]
    counts = text.additive.counts[0].astype(np.float64)
    learned = []
    for row in range(len(neurons)):
        windows = np.unique(text.windows[[text.window(place) for place in places[row]]])
        means, explained = _means(text, counts, real[:, row])
        tables = patterns[row].tables
        heights = [table.of(text.columns.seen, text.shapes.of) for table in tables]
        learned.append(
            Learned(
                patterns[row],
                [one for one, owner in zip(contexts, owners, strict=True) if owner == row],
                settings_of(text.places, real[:, row]),
                windows,
                text.tokens,
                counts,
                means,
                explained,
                tuple(values.astype(np.float64) for values in heights),
                _before_strong(text, real[:, row]),
            )
        )
    return learned


def _means(
    text: Text, counts: NDArray[np.float64], real: NDArray[np.float32]
) -> tuple[NDArray[np.float64], float]:
    """See :attr:`Learned.means` and :attr:`Learned.explained`."""
    mean, variance = float(real.mean(dtype=np.float64)), float(real.var(dtype=np.float64))
    sums = np.bincount(text.found.ids, real, len(counts))
    means = (sums + SHRINKAGE * mean) / (counts + SHRINKAGE) - mean
    explained = float(counts @ means**2) / (len(real) * variance) if variance > 0 else 0.0
    return means, min(explained, 1.0)


def _before_strong(text: Text, real: NDArray[np.float32]) -> tuple[NDArray[np.float64], ...]:
    """See :attr:`Learned.strong`."""
    count = min(COUNTED, len(real))
    top = np.argpartition(-real, count - 1)[:count]
    top = top[real[top] >= STRONG * max(float(real[top].max()), 0.0)]
    weights = np.maximum(real[top], 0).astype(np.float64)
    lengths = np.diff(text.ends, prepend=0)
    starts = np.repeat(text.ends - lengths, lengths)[top]
    size = len(text.columns)

    def counted(distances: Sequence[int]) -> NDArray[np.float64]:
        found = np.zeros(size)
        for distance in distances:
            there = top - distance >= starts
            ids = text.found.ids[top[there] - distance]
            fade = 1.0 if len(distances) == 1 else distance**-0.5
            found += np.bincount(ids, weights[there] * fade, size)
        return found

    return (*(counted([offset]) for offset in OFFSETS), counted(range(OFFSETS[-1] + 1, BAG_REACH)))


def _strong(
    ids: NDArray[np.int64], real: NDArray[np.float32], neuron: NeuronId
) -> tuple[list[int], list[float]]:
    """Places of strong activations, and how much of all of them each stands for.

    The tokens that hold most of it are drawn from one by one, the others together, each
    in proportion: first the strongest, then some by their size.
    """
    count = min(len(real), 2048)
    top = np.argpartition(-real, count - 1)[:count]
    top = top[np.argsort(-real[top], kind="stable")]
    top = top[real[top] > STRONG * max(float(real[top[0]]), 0)]
    if not len(top):
        return [], []
    sizes = real[top].astype(np.float64)
    names, of = np.unique(ids[top], return_inverse=True)
    mass = np.bincount(of, sizes)
    heads = np.argsort(-mass, kind="stable")[:HEADS]
    place = np.full(len(names), len(heads))
    place[heads] = np.arange(len(heads))
    stratum = place[of]
    masses = np.bincount(stratum, sizes, len(heads) + 1)
    have = np.bincount(stratum, minlength=len(masses))
    seats = np.minimum(have, 1)
    while seats.sum() < min(CONTEXTS, len(top)):
        free = np.where(have > seats, masses / (seats + 1), -1)
        seats[int(free.argmax())] += 1
    rng = np.random.default_rng([neuron.layer, neuron.index])
    chosen: list[int] = []
    weights: list[float] = []
    for number, wanted in enumerate(seats.tolist()):
        if not wanted:
            continue
        own = np.flatnonzero(stratum == number)
        first = own[: (wanted + 1) // 2]
        rest = own[len(first) :]
        drawn = rest[:0]
        if wanted > len(first):
            share = sizes[rest] / sizes[rest].sum()
            drawn = rng.choice(rest, wanted - len(first), replace=False, p=share)
        chosen += [int(top[i]) for i in (*first, *drawn)]
        weights += [float(masses[number]) / wanted] * wanted
    return chosen, weights
