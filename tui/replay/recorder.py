"""Recording: the app as always, with somebody who writes down the keys."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual import events
from textual.keys import _character_to_key

from tui.app import NeuroglassApp
from tui.replay.script import Script, Size, Step

#: A step ends when no key comes for so long.
PAUSE_SECONDS = 0.8


class Recorder:
    """Keys to steps.

    Args:
        clock: Seconds, from any start.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steps: list[Step] = []
        self._keys: list[str] = []
        self._last = clock()
        self._size: Size | None = None

    def key(self, name: str) -> None:
        """A key was pressed."""
        now = self._clock()
        if self._keys and now - self._last > PAUSE_SECONDS:
            self._end_step()
        self._last = now
        self._keys.append(name)

    def resized(self, size: Size) -> None:
        """The terminal has got a size; the first one is that of the whole session."""
        if self._size is None:
            self._size = size
        elif size != (self._steps[-1].size if self._steps and not self._keys else None):
            self._end_step()
            self._steps.append(Step(size=size, picture=self._name()))

    def script(self, title: str, index: str, theme: str) -> Script:
        """What was recorded, a picture after every step."""
        # The last key has ended the app: there is nothing to see after it.
        last = [Step(keys=(self._keys.pop(),))] if self._keys else []
        self._end_step()
        size = self._size or Size(120, 40)
        opened = Step(picture="01 opened")
        return Script(title, (opened, *self._steps, *last), (size,), index, theme)

    def _end_step(self) -> None:
        if self._keys:
            self._steps.append(Step(keys=tuple(self._keys), picture=self._name()))
            self._keys = []

    def _name(self) -> str:
        return f"{len(self._steps) + 2:02}"


class RecordingApp(NeuroglassApp):
    """The app, which tells a recorder what arrives from the terminal.

    Attributes:
        recorder: To be set before the app runs.
    """

    recorder: Recorder

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Resize):
            self.recorder.resized(Size(event.size.width, event.size.height))
        elif isinstance(event, events.InputEvent) and not event.is_forwarded:
            if isinstance(event, events.Key):
                self.recorder.key(event.key)
            elif isinstance(event, events.Paste):
                for character in event.text:
                    self.recorder.key(_character_to_key(character))
        await super().on_event(event)
