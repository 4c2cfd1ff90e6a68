"""Following the user: reads the neuron that is wanted now and hands it over.

Keys that are held down must not queue work.  Whatever was asked for while a read was
under way, only the latest is read next, and a burst is shown no faster than it can be
drawn.  While nothing is asked for, the neurons that the next key may ask for are read
ahead, so that most keys find theirs in memory.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from textual.message_pump import MessagePump

from engine.errors import NeuroglassError
from engine.neuron import NeuronId
from tui import tasks
from tui.session import LayerView, NeuronView, read_layer, read_neuron

if TYPE_CHECKING:
    from engine.catalogue import Catalogue
    from engine.engine import Engine

#: Neurons follow each other no faster than this, and take at most a share of the time,
#: so that keys held down (terminals repeat every 25 to 40 ms) never pile up.
PACE_SECONDS = 0.025
PACE_FACTOR = 4
LONGEST_SECONDS = 0.25
#: Reading ahead waits until the neuron that was asked for is on the screen.
AHEAD_SECONDS = 0.015
KEPT = 24
#: Of a dataset on a server.
DOWNLOADS_AHEAD = 2
#: Another process may have written to the store since; then it is read again.
FRESH_SECONDS = 10.0


class Feed:
    """Reads from index and store, off the event loop.

    Args:
        pump: Sets the timers.
        show: Takes what was read: the layer, and the neuron.
        fail: Takes an expected error.
        blank: Takes the layer and name of a neuron that is still being loaded, or that
            could not be, with the error.
        ahead: Names the neurons that may be asked for next, the likeliest first; all of
            the layer that is shown.
    """

    def __init__(
        self,
        pump: MessagePump,
        show: Callable[[LayerView, NeuronView], None],
        fail: Callable[[NeuroglassError], None],
        ahead: Callable[[], Iterable[NeuronId]] = tuple,
        blank: Callable[[LayerView, NeuronId, NeuroglassError | None], None] | None = None,
    ) -> None:
        self._pump = pump
        self._show = show
        self._fail = fail
        self._ahead = ahead
        self._blank = blank
        self._moved = asyncio.Event()
        self._engine: Engine | None = None
        self._index: Catalogue | None = None
        self._wanted = NeuronId(0, 0)
        #: The saved explanation that is shown of a neuron, where it isn't the best.
        self.preferred: dict[NeuronId, int] = {}
        self._layer: LayerView | None = None
        self._stale = False
        self._task: asyncio.Task[None] | None = None
        self._pause: asyncio.Task[None] | None = None
        self._kept: OrderedDict[NeuronId, tuple[float, NeuronView]] = OrderedDict()
        self._generation = 0
        self._prefetch: asyncio.Task[None] | None = None
        self._free = 0.0  # from when on the next neuron may be shown

    def open(self, engine: Engine, index: Catalogue) -> None:
        """Read from this index from now on."""
        self._engine, self._index = engine, index
        self._forget()

    def want(self, neuron: NeuronId) -> None:
        """Ask for a neuron; it comes soon, unless another is asked for before."""
        self._wanted = neuron
        self._moved.set()
        if self._pause is None:
            wait = self._free - time.monotonic()
            if wait > 0:
                self._pause = tasks.start(self._start_after(wait), "read")
            else:
                self._start()

    async def settled(self) -> None:
        """Wait until what was asked for last is shown; not for what has to be downloaded."""
        while (
            (task := self._pause or self._task) is not None
            and not task.done()
            and self._index is not None
            and self._index.at_hand(self._wanted)
        ):
            await asyncio.wait((task,))

    def again(self) -> None:
        """Scores, stars or the index have changed on disk: read everything anew."""
        self._stale = True
        self._moved.set()
        self._forget()
        self._start()

    def _forget(self) -> None:
        self._kept.clear()
        self._generation += 1

    async def _start_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._start()

    def _start(self) -> None:
        self._pause = None
        if self._index is None or not (self._task is None or self._task.done()):
            return
        kept = self._kept.get(self._wanted)
        layer = self._layer
        if (
            kept is not None
            and not self._stale
            and layer is not None
            and layer.layer == self._wanted.layer
            and time.monotonic() - kept[0] < FRESH_SECONDS
        ):
            self._hand_over(layer, kept[1])
        else:
            self._task = tasks.start(self._read(), "read")

    def _hand_over(self, layer: LayerView, neuron: NeuronView) -> None:
        start = time.monotonic()
        self._layer = layer
        best = neuron.saved[0].ev_correlation if neuron.saved and layer.grows else None
        if best is not None:
            layer.scores[neuron.record.neuron.index] = best
        self._show(layer, neuron)
        end = time.monotonic()
        self._free = start + min(max(PACE_SECONDS, PACE_FACTOR * (end - start)), LONGEST_SECONDS)
        if self._prefetch is None or self._prefetch.done():
            self._prefetch = tasks.start(self._read_ahead(), "read ahead")

    async def _read(self) -> None:
        """Read until what was read is what is wanted."""
        layer = None
        try:
            while True:
                engine, index, wanted = self._engine, self._index, self._wanted
                self._moved.clear()
                assert engine is not None
                assert index is not None
                layer, stale, self._stale = self._layer, self._stale, False
                if stale or layer is None or layer.layer != wanted.layer:
                    layer = await asyncio.to_thread(read_layer, index, engine.store, wanted.layer)
                if not index.at_hand(wanted) and not await self._loaded(index, layer, wanted):
                    continue
                neuron = await self._neuron(engine, index, wanted)
                if wanted == self._wanted and not self._stale:
                    break
        except NeuroglassError as error:
            if layer is not None and layer.grows and self._blank is not None:
                self._layer = layer
                self._blank(layer, wanted, error)
                if wanted != self._wanted:
                    self._pump.call_later(self._start)
            else:
                self._fail(error)
            return
        self._hand_over(layer, neuron)

    async def _loaded(self, index: Catalogue, layer: LayerView, wanted: NeuronId) -> bool:
        """Wait for a neuron, saying so; False, and no more waiting, if another is wanted."""
        self._layer = layer
        if self._blank is not None:
            self._blank(layer, wanted, None)
        loading = tasks.start(index.prepare(wanted), "load")
        moved = tasks.start(self._moved.wait(), "moved")
        try:
            await asyncio.wait((loading, moved), return_when=asyncio.FIRST_COMPLETED)
            if not loading.done():
                return False
            loading.result()
            return True
        finally:
            loading.cancel()
            moved.cancel()

    async def _neuron(self, engine: Engine, index: Catalogue, wanted: NeuronId) -> NeuronView:
        generation, now = self._generation, time.monotonic()
        await index.prepare(wanted)
        view = await asyncio.to_thread(
            read_neuron, index, engine.store, wanted, self.preferred.get(wanted)
        )
        if generation == self._generation:
            self._kept[wanted] = (now, view)
            self._kept.move_to_end(wanted)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return view

    async def _read_ahead(self) -> None:
        """Read the neighbours, one at a time, until something else is to be read."""
        await asyncio.sleep(AHEAD_SECONDS)
        engine, index = self._engine, self._index
        downloads = 0
        for neuron in self._ahead():
            if index is not None and not index.at_hand(neuron):
                downloads += 1
                if downloads > DOWNLOADS_AHEAD:
                    return
            if engine is None or index is None or index is not self._index:
                return
            if self._task is not None and not self._task.done():
                return
            kept = self._kept.get(neuron)
            if kept is None or time.monotonic() - kept[0] > FRESH_SECONDS:
                try:
                    await self._neuron(engine, index, neuron)
                except NeuroglassError:
                    return  # whoever asks for it will be told
