"""Learning neurons; readings are kept, so that a layer's text is read once for all of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.explanation import Side
from engine.index import Index
from engine.lab import Lab, go_on
from engine.neuron import NeuronId
from engine.patterns.fit import IDENTITY
from engine.patterns.learning import Learned, learn
from engine.patterns.reading import (
    Reading,
    Text,
    embeddings,
    last_activations,
    layers_held,
    read_layers,
)
from engine.progress import Progress
from engine.subject import SubjectModel

#: Neurons fitted together: more take memory, fewer take time.
TOGETHER = 16
#: Neurons learnt ahead that are kept until they are asked for.
READY = 256

Stop = Callable[[], bool]
T = TypeVar("T")


def _silent(_what: str, _share: float) -> None:
    """For who need not hear."""


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
        sign = np.float32(1)
        if side == "negative":
            sign = np.float32(-1)
            inner, link = -link.value(inner), IDENTITY
        index_of = np.array(neurons, dtype=np.int64)

        def probe(
            texts: Sequence[NDArray[np.int64]], rows: NDArray[np.int64]
        ) -> NDArray[np.float32]:
            values = last_activations(
                subject, layer, texts, index_of[rows], prepend=self._prepend, stop=stop
            )
            found: NDArray[np.float32] = sign * values
            return found

        names = [NeuronId(layer, index) for index in neurons]
        return learn(text, inner, link, names, probe, lambda: go_on(stop))

    def _layer(
        self, subject: SubjectModel, stop: Stop, layer: int, tell: Progress, *, ahead: bool
    ) -> tuple[Text, Reading]:
        """The text, and a layer's reading of it.

        Args:
            ahead: Layers above will be asked for next, not those below.
        """
        if self._text is None:
            tell("preparing the explain text", 0.0)
            self._text = Text.of(self.index, embeddings(subject), subject.width)
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
