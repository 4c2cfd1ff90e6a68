"""The driver of a real terminal: few bytes, no waiting, and it outlives its terminal.

Textual's own driver sends every frame through a thread with a queue.  When the line
backs up the queue fills, the event loop stands still, and keys with it; when an SSH
connection drops, the thread dies of the failed write.  Here nothing waits: what the
line doesn't take stays, and while it stays no frame is sent.  The next one is the
difference to what the screen should show by then, so a slow line gets fewer frames,
never old ones.

A write that succeeds says little over SSH, where the server takes in megabytes ahead
of the line.  A terminal that answers the question about synchronized output is
therefore asked it again behind every large frame, and gets the next one when it has
answered: by then it has drawn.
"""

from __future__ import annotations

import asyncio
import curses
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from rich.color import ColorSystem
from textual._compositor import CompositorUpdate
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message
from textual.messages import TerminalSupportsSynchronizedOutput

from tui.canvas import Canvas

_QUESTION = "\x1b[?2026$p"
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
#: So many bytes may be on their way before the terminal is asked whether it has drawn.
ASK_BYTES = 1500
#: So many more may follow before the answer: moves of a cursor, but not a whole frame.
AHEAD_BYTES = 1500
#: An answer that takes longer is not waited for.
PATIENCE_SECONDS = 3.0
_LEAVE_SECONDS = 2.0


class Line:
    """Bytes on their way to a terminal.  Never waits, and never fails.

    Args:
        descriptor: A terminal; it is opened anew, so that not waiting holds for this
            program alone.
        on_empty: Called on the event loop when all was taken after some had to stay.
    """

    def __init__(self, descriptor: int, on_empty: Callable[[], None]) -> None:
        self._descriptor = _own(descriptor)
        self._on_empty = on_empty
        self._waiting = bytearray()
        self._watched = False
        self._lock = threading.RLock()
        self.gone = False

    @property
    def busy(self) -> bool:
        """Whether something has not been taken yet."""
        return bool(self._waiting)

    def write(self, data: bytes) -> None:
        """Send, now or as soon as the line takes it."""
        with self._lock:
            self._waiting += data
            if not self._watched:
                self._push()

    def _push(self) -> None:
        """Send what the line takes."""
        while self._waiting and not self.gone:
            try:
                del self._waiting[: os.write(self._descriptor, self._waiting)]
            except BlockingIOError:
                break
            except (OSError, ValueError):
                self.gone = True
        if self.gone:
            self._waiting.clear()
        if bool(self._waiting) != self._watched:
            self._watch(bool(self._waiting))

    def _watch(self, wanted: bool) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # from another thread: the next write on the loop goes on
            return
        self._watched = wanted
        if wanted:
            loop.add_writer(self._descriptor, self._continue)
        else:
            loop.remove_writer(self._descriptor)

    def _continue(self) -> None:
        with self._lock:
            self._push()
        if not self._waiting:
            self._on_empty()

    def drain(self, seconds: float) -> None:
        """Wait until all is sent, at most so long; the rest is given up."""
        end = time.monotonic() + seconds
        with self._lock:
            while True:
                self._push()
                left = end - time.monotonic()
                if not self._waiting or left <= 0:
                    break
                select.select([], [self._descriptor], [], left)
            self._waiting.clear()
            if self._watched:
                self._watch(False)


def _own(descriptor: int) -> int:
    """The same terminal opened anew, not to be waited for; or, failing that, a copy."""
    for name in (_name_of(descriptor), "/dev/tty"):
        try:
            if name:
                return os.open(name, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            continue
    return os.dup(descriptor)


def _name_of(descriptor: int) -> str:
    try:
        return os.ttyname(descriptor)
    except OSError:
        return ""


def _erases(descriptor: int) -> bool:
    """Whether the terminal says that it erases characters in the present background."""
    try:
        curses.setupterm(os.environ.get("TERM"), descriptor)
        return curses.tigetflag("bce") == 1 and curses.tigetstr("ech") == b"\x1b[%p1%dX"
    except curses.error:
        return False


class LeanDriver(LinuxDriver):
    """Textual's driver for Linux and macOS over a :class:`Line` and a :class:`Canvas`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        streams = (sys.__stderr__, sys.__stdout__, sys.__stdin__)
        terminals = [one for one in streams if one is not None and one.isatty()]
        self._line = Line(terminals[0].fileno(), self._go_on)
        self._canvas = Canvas(0, 0)
        self._erases = _erases(terminals[0].fileno())
        self._cursor = self._wanted_cursor = ""
        self._late = False
        self._answers = False  # whether the terminal answers the question
        self._asked: float | None = None
        self._ahead = 0  # bytes since the last answer, or question
        self._away = False

    # -- Textual's side

    def write(self, data: str) -> None:
        self._line.write(data.encode("utf-8", "replace"))

    def flush(self) -> None:
        """Nothing is held back."""

    def start_application_mode(self) -> None:
        super().start_application_mode()
        self._away = False
        self._canvas.forget()
        self._cursor = ""
        if self._canvas.width:
            self._paint()

    def stop_application_mode(self) -> None:
        self._away = True
        self.write("\x1b[0m")
        super().stop_application_mode()
        self._line.drain(_LEAVE_SECONDS)

    def process_message(self, message: Message) -> None:
        """Keep the answers to our own questions. Runs in the thread that reads keys."""
        if isinstance(message, TerminalSupportsSynchronizedOutput):
            first, self._answers = not self._answers, True
            self._loop.call_soon_threadsafe(self._answered)
            if not first:
                return
        super().process_message(message)

    # -- our side

    def hang_up(self) -> None:
        """The terminal is gone: write nothing more."""
        self._line.gone = True

    def redraw(self) -> None:
        """Something else has written on the terminal: send everything again."""
        self._canvas.forget()
        self._paint()

    def show(
        self,
        update: CompositorUpdate,
        system: ColorSystem | None,
        size: tuple[int, int],
        cursor: tuple[int, int],
    ) -> bool:
        """Bring an update to the screen, at once or when the line is free.

        Args:
            update: What Textual has rendered.
            system: The terminal's colours.
            size: Columns and rows.
            cursor: Where the (hidden) cursor goes, for input methods.

        Returns:
            False if the update is of a kind that only Textual can write.
        """
        if (self._canvas.width, self._canvas.height) != size:
            self._canvas = Canvas(*size, erases=self._erases)
        if not self._canvas.draw(update, system or ColorSystem.TRUECOLOR):
            self._canvas.forget()
            return False
        self._wanted_cursor = f"\x1b[{cursor[1] + 1};{cursor[0] + 1}H"
        self._paint()
        return True

    def _paint(self) -> None:
        """Send what differs, unless the line or the terminal is not ready for it."""
        self._late = self._line.busy or self._away
        if self._late:
            return
        changes = self._canvas.changes(self._room())
        if changes is None:
            self._late = True
            return
        if not changes and self._cursor == self._wanted_cursor:
            return
        self._cursor = self._wanted_cursor
        data = changes + self._cursor
        if self._answers:
            data = _BEGIN + data + _END
        self._ahead += len(data)
        if self._answers and self._asked is None and self._ahead > ASK_BYTES:
            data += _QUESTION
            self._asked, self._ahead = time.monotonic(), 0
            self._loop.call_later(PATIENCE_SECONDS, self._go_on)
        self.write(data)

    def _room(self) -> int | None:
        """How much may be sent before the terminal has answered; None for any amount."""
        if self._asked is not None and time.monotonic() - self._asked > PATIENCE_SECONDS:
            self._asked = None  # the answer was lost; go on without it
        return None if self._asked is None else max(AHEAD_BYTES - self._ahead, 0)

    def _answered(self) -> None:
        self._asked = None
        self._go_on()

    def _go_on(self) -> None:
        if self._late:
            self._paint()
