"""Following the user: reads the neuron that is wanted now and hands it over.

Keys that are held down must not queue work.  Whatever was asked for while a read was
under way, only the latest is read next, and a burst is shown a few times a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.message_pump import MessagePump
from textual.timer import Timer

from engine.errors import NeuroglassError
from engine.neuron import NeuronId
from tui import tasks
from tui.session import LayerView, NeuronView, read_layer, read_neuron

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.index import Index

#: A neuron is drawn at once, but while a key is held down (terminals repeat it every 25
#: to 40 ms) only when it pauses for QUIET_SECONDS, or every LATEST_SECONDS.
QUIET_SECONDS = 0.05
LATEST_SECONDS = 0.25


class Feed:
    """Reads from index and store, off the event loop.

    Args:
        pump: Sets the timers.
        show: Takes what was read: the layer, and the neuron.
        fail: Takes an expected error.
    """

    def __init__(
        self,
        pump: MessagePump,
        show: Callable[[LayerView, NeuronView], None],
        fail: Callable[[NeuroglassError], None],
    ) -> None:
        self._pump = pump
        self._show = show
        self._fail = fail
        self._engine: Engine | None = None
        self._index: Index | None = None
        self._wanted = NeuronId(0, 0)
        #: The saved explanation that is shown of a neuron, where it isn't the best.
        self.preferred: dict[NeuronId, int] = {}
        self._layer: LayerView | None = None
        self._stale = False
        self._task: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._asked = 0.0
        self._waiting = 0.0

    def open(self, engine: Engine, index: Index) -> None:
        """Read from this index from now on."""
        self._engine, self._index = engine, index

    def want(self, neuron: NeuronId) -> None:
        """Ask for a neuron; it comes soon, unless another is asked for before."""
        self._wanted = neuron
        now = time.monotonic()
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        else:
            self._waiting = now
        asked, self._asked = self._asked, now
        if now - asked > QUIET_SECONDS or now - self._waiting > LATEST_SECONDS:
            self._waiting = now
            self._start()
        else:
            self._timer = self._pump.set_timer(QUIET_SECONDS, self._start)

    def again(self) -> None:
        """Scores, stars or the index have changed on disk: read everything anew."""
        self._stale = True
        self._start()

    def _start(self) -> None:
        self._timer = None
        if self._index is not None and (self._task is None or self._task.done()):
            self._task = tasks.start(self._read(), "read")

    async def _read(self) -> None:
        """Read until what was read is what is wanted."""
        try:
            while True:
                engine, index, wanted = self._engine, self._index, self._wanted
                assert engine is not None
                assert index is not None
                layer, stale, self._stale = self._layer, self._stale, False
                if stale or layer is None or layer.layer != wanted.layer:
                    layer = await asyncio.to_thread(read_layer, index, engine.store, wanted.layer)
                neuron = await asyncio.to_thread(
                    read_neuron, index, engine.store, wanted, self.preferred.get(wanted)
                )
                if wanted == self._wanted and not self._stale:
                    break
        except NeuroglassError as error:
            self._fail(error)
            return
        self._layer = layer
        self._show(layer, neuron)
