"""Learning neurons; readings are kept, so that a layer's text is read once for all of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.explanation import Side
from engine.index import Index
from engine.lab import Lab, go_on
from engine.neuron import NeuronId
from engine.patterns.contexts import Context, contexts_of_many
from engine.patterns.features import Columns
from engine.patterns.fit import IDENTITY
from engine.patterns.model import Patterns
from engine.patterns.prune import pruned
from engine.patterns.reading import (
    Reading,
    Text,
    embeddings,
    last_activations,
    layers_held,
    read_layers,
)
from engine.patterns.settings import Setting, settings_of
from engine.subject import SubjectModel

#: Strong activations whose contexts are looked for; half are the strongest.
CONTEXTS = 16
#: Texts up to a strong activation are read from so many tokens before it.
REACH = 48
#: Neurons fitted together: more take memory, fewer take time.
TOGETHER = 16
#: Neurons learnt ahead that are kept until they are asked for.
READY = 256

Stop = Callable[[], bool]
T = TypeVar("T")
#: Takes what is being done, for people, and the share of it that is done, 0 to 1.
Progress = Callable[[str, float], None]


def _silent(_what: str, _share: float) -> None:
    """For who need not hear."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What was found out about one side of a neuron.

    Attributes:
        patterns: Fitted.
        contexts: The smallest contexts of some strong activations.
        settings: Where in texts the strong activations are, if anywhere in particular.
        windows: Of the index, that the contexts are from; fitted was the whole text.
        columns, counts, shapes: Tokens seen, how often, and each one's shape among those
            of the patterns.
    """

    patterns: Patterns
    contexts: list[Context]
    settings: tuple[Setting, ...]
    windows: NDArray[np.int64]
    columns: Columns
    counts: NDArray[np.float64]
    shapes: NDArray[np.int64]

    def heights(self) -> list[NDArray[np.float64]]:
        """For each table what each column contributes, float64 [V]."""
        tables = self.patterns.tables
        return [table.of(self.columns.seen, self.shapes).astype(np.float64) for table in tables]


class PatternReader:
    """Learns neurons of one index; layers are read when first asked for.

    :meth:`learn` takes one neuron, :meth:`learn_many` several at once, which costs a
    tenth of the time for each.
    """

    def __init__(self, lab: Lab, index: Index) -> None:
        self.index = index
        self._lab = lab
        self._text: Text | None = None
        self._readings: dict[int, Reading] = {}
        self._ready: OrderedDict[tuple[NeuronId, Side], Learned] = OrderedDict()
        self._prepend: bool = index.manifest["settings"]["prepend_end_of_text"]

    async def learn(self, neuron: NeuronId, side: Side, tell: Progress = _silent) -> Learned:
        """Fit a neuron's patterns and find its contexts. ModelError, UsageError.

        Args:
            tell: Called in another thread.
        """
        self.index.check(neuron)
        ready = self._ready.pop((neuron, side), None)
        if ready is not None:
            return ready
        found = await self._lab.run(
            partial(
                self._learn,
                layer=neuron.layer,
                neurons=[neuron.index],
                side=side,
                tell=tell,
                ahead=False,
            )
        )
        return found[0]

    async def learn_many(self, neurons: Sequence[NeuronId], side: Side) -> None:
        """Learn neurons ahead: :meth:`learn` has each of them at once. ModelError, UsageError."""
        for neuron in neurons:
            self.index.check(neuron)
        for layer in sorted({neuron.layer for neuron in neurons}):
            own = [neuron.index for neuron in neurons if neuron.layer == layer]
            for start in range(0, len(own), TOGETHER):
                part = own[start : start + TOGETHER]
                found = await self._lab.run(
                    partial(
                        self._learn, layer=layer, neurons=part, side=side, tell=_silent, ahead=True
                    )
                )
                for index, learned in zip(part, found, strict=True):
                    self._ready[NeuronId(layer, index), side] = learned
                while len(self._ready) > READY:
                    self._ready.popitem(last=False)

    async def run(self, layer: int, work: Callable[[SubjectModel, Stop, Text, Reading], T]) -> T:
        """Do something else with a layer's reading, on the lab's thread. ModelError."""

        def with_reading(subject: SubjectModel, stop: Stop) -> T:
            return work(subject, stop, *self._layer(subject, stop, layer, _silent, ahead=False))

        return await self._lab.run(with_reading)

    # -- on the lab's thread

    def _learn(
        self,
        subject: SubjectModel,
        stop: Stop,
        *,
        layer: int,
        neurons: Sequence[int],
        side: Side,
        tell: Progress,
        ahead: bool,
    ) -> list[Learned]:
        text, reading = self._layer(subject, stop, layer, tell, ahead=ahead)
        inner, link = reading.inner(subject, neurons)
        real = link.value(inner)
        if side == "negative":
            inner, link = -real, IDENTITY
            real = inner
        fitted = text.additive.fit(inner, link, lambda: go_on(stop))
        patterns = pruned(fitted, text.additive, text.columns, text.shapes, real)
        go_on(stop)
        places = [
            _strong(real[:, row], NeuronId(layer, index)) for row, index in enumerate(neurons)
        ]
        owners = np.repeat(np.arange(len(neurons)), [len(several) for several in places])
        index_of = np.array(neurons, dtype=np.int64)
        sign = np.float32(-1.0 if side == "negative" else 1.0)

        def probe(
            texts: Sequence[NDArray[np.int64]], rows: NDArray[np.int64]
        ) -> NDArray[np.float32]:
            values = last_activations(
                subject, layer, texts, index_of[rows], prepend=self._prepend, stop=stop
            )
            found: NDArray[np.float32] = sign * values
            return found

        flat = [place for several in places for place in several]
        strong = [float(real[place, row]) for place, row in zip(flat, owners, strict=True)]
        contexts = contexts_of_many([_before(text, place) for place in flat], strong, owners, probe)
        counts = text.additive.counts[0].astype(np.float64)
        learned = []
        for row in range(len(neurons)):
            windows = np.unique(text.windows[[text.window(place) for place in places[row]]])
            learned.append(
                Learned(
                    patterns[row],
                    [one for one, owner in zip(contexts, owners, strict=True) if owner == row],
                    settings_of(text.places, real[:, row]),
                    windows,
                    text.columns,
                    counts,
                    text.shapes.of,
                )
            )
        return learned

    def _layer(
        self, subject: SubjectModel, stop: Stop, layer: int, tell: Progress, *, ahead: bool
    ) -> tuple[Text, Reading]:
        """The text, and a layer's reading of it.

        Args:
            ahead: Layers above will be asked for next, not those below.
        """
        if self._text is None:
            tell("preparing the explain text", 0.0)
            self._text = Text(self.index, embeddings(subject), subject.width)
        text = self._text
        if layer not in self._readings:
            held = layers_held(len(text), subject.width)
            first = layer if ahead else max(0, layer - held + 1)
            last = min(layer + held, self.index.n_layers) - 1 if ahead else layer
            self._readings.clear()  # the old ones go before the new ones come
            self._readings = read_layers(
                subject,
                text,
                range(first, last + 1),
                prepend=self._prepend,
                stop=stop,
                tell=lambda share: tell(f"reading the explain text up to layer {layer}", share),
            )
        return text, self._readings[layer]


def _strong(real: NDArray[np.float32], neuron: NeuronId) -> list[int]:
    """Places of strong activations: the strongest, and some drawn by their size."""
    count = min(len(real), 2048)
    top = np.argpartition(-real, count - 1)[:count]
    order = top[np.argsort(-real[top], kind="stable")]
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
