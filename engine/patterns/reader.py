"""Readings kept between neurons: a pass over the text for each layer, not for each neuron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engine.explanation import Side
from engine.index import Index
from engine.lab import Lab, go_on
from engine.neuron import NeuronId
from engine.patterns.contexts import Context, smallest_contexts
from engine.patterns.features import Columns
from engine.patterns.fit import IDENTITY
from engine.patterns.model import Patterns
from engine.patterns.prune import pruned
from engine.patterns.reading import Reading, Text, embeddings, read_layer
from engine.subject import SubjectModel

#: Strong activations whose contexts are looked for; half are the strongest.
CONTEXTS = 16
#: Texts up to a strong activation are read from so many tokens before it.
REACH = 48
BATCH = 64

Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What was found out about one side of a neuron.

    Attributes:
        patterns: Fitted.
        contexts: The smallest contexts of some strong activations.
        windows: Of the index, that the contexts are from; fitted was the whole text.
        columns, counts: Tokens seen, and how often.
    """

    patterns: Patterns
    contexts: list[Context]
    windows: NDArray[np.int64]
    columns: Columns
    counts: NDArray[np.float64]


class PatternReader:
    """Learns neurons of one index; layers are read when first asked for."""

    def __init__(self, lab: Lab, index: Index) -> None:
        self.index = index
        self._lab = lab
        self._text: Text | None = None
        self._reading: Reading | None = None
        self._prepend: bool = index.manifest["settings"]["prepend_end_of_text"]

    async def learn(self, neuron: NeuronId, side: Side) -> Learned:
        """Fit a neuron's patterns and find its contexts. ModelError, UsageError."""
        self.index.check(neuron)
        return await self._lab.run(lambda subject, stop: self._learn(subject, stop, neuron, side))

    def _learn(self, subject: SubjectModel, stop: Stop, neuron: NeuronId, side: Side) -> Learned:
        reading = self._layer(subject, stop, neuron.layer)
        text = reading.text
        inner, link = reading.inner(subject, neuron.index)
        if side == "negative":
            inner, link = -link.value(inner), IDENTITY
        go_on(stop)
        fitted = text.additive.fit(inner[:, None], link)
        patterns = pruned(fitted, 0, text.found, text.columns, inner, link)
        go_on(stop)
        real = link.value(inner)

        def probe(texts: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
            sign = -1.0 if side == "negative" else 1.0
            return np.float32(sign) * self._last(subject, stop, neuron, texts)

        places = _strong(real, neuron)
        texts = [_before(text, place) for place in places]
        contexts = smallest_contexts(texts, [float(real[place]) for place in places], probe)
        counts = np.bincount(text.found.ids, minlength=len(text.columns)).astype(np.float64)
        windows = np.unique(text.windows[[text.window(place) for place in places]])
        return Learned(patterns, contexts, windows, text.columns, counts)

    def _layer(self, subject: SubjectModel, stop: Stop, layer: int) -> Reading:
        if self._text is None:
            self._text = Text(self.index, embeddings(subject))
        if self._reading is None or self._reading.layer != layer:
            self._reading = None  # the old one goes before the new one comes
            self._reading = read_layer(subject, self._text, layer, prepend=self._prepend, stop=stop)
        return self._reading

    def _last(
        self,
        subject: SubjectModel,
        stop: Stop,
        neuron: NeuronId,
        texts: Sequence[NDArray[np.int64]],
    ) -> NDArray[np.float32]:
        """The neuron at the last token of each text."""
        skip = int(self._prepend)
        found = np.zeros(len(texts), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), BATCH):
            go_on(stop)
            part = order[start : start + BATCH]
            width = max(len(texts[i]) for i in part) + skip
            ids = torch.full((len(part), width), subject.end_of_text, dtype=torch.int64)
            for row, i in enumerate(part):
                ids[row, skip : skip + len(texts[i])] = torch.from_numpy(texts[i])
            last = [skip + len(texts[i]) - 1 for i in part]

            def keep(
                layer: int,
                activations: torch.Tensor,
                into: list[int] = part,
                last: list[int] = last,
            ) -> None:
                if layer == neuron.layer:
                    values = activations[range(len(into)), last, neuron.index]
                    found[into] = values.float().cpu().numpy()

            subject.run(ids, keep)
        return found


def _strong(real: NDArray[np.float32], neuron: NeuronId) -> list[int]:
    """Places of strong activations: the strongest, and some drawn by their size."""
    order = np.argsort(-real, kind="stable")
    chosen = [int(i) for i in order[: CONTEXTS // 2] if real[i] > 0]
    upper = order[CONTEXTS // 2 :][real[order[CONTEXTS // 2 :]] > 0.3 * max(real[order[0]], 0)]
    if len(upper):
        rng = np.random.default_rng([neuron.layer, neuron.index])
        weights = real[upper].astype(np.float64)
        count = min(CONTEXTS - len(chosen), len(upper))
        drawn = rng.choice(upper, count, replace=False, p=weights / weights.sum())
        chosen += [int(i) for i in drawn]
    return chosen


def _before(text: Text, place: int) -> NDArray[np.int64]:
    """The text of a place's window up to it."""
    window = text.window(place)
    excerpt = text.excerpts[window]
    stop = place - (int(text.ends[window]) - len(excerpt)) + 1
    return excerpt.token_ids[max(0, stop - REACH) : stop].astype(np.int64)
