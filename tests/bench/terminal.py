"""A real program on a real pseudo-terminal, measured from outside.

The program under test sees a terminal of a given size and kind; what it writes is
read as a terminal would read it, counted, and drawn by ``pyte``, so that a
measurement can wait for what is on the screen instead of for a time to pass.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import pyte


class Terminal:
    """One program on one pseudo-terminal.

    Args:
        command: Program and arguments.
        columns, rows: Size in cells.
        env: Added to the environment; TERM is ``xterm-256color`` unless given.
        rate: Bytes per second that the line carries; None for no limit.
        ahead: How many bytes a slow line takes in before they are carried; an SSH server
            takes megabytes.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 120,
        rows: int = 40,
        env: Mapping[str, str] | None = None,
        rate: float | None = None,
        ahead: int = 4096,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.bytes = 0
        self._rate, self._ahead = rate, ahead
        self._taken = bytearray()
        self._carried = time.perf_counter()  # when the line had carried all it could
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        base = {k: v for k, v in os.environ.items() if k not in ("COLORTERM", "NO_COLOR")}
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**base, "TERM": "xterm-256color", **(env or {})},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self._master = master

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def pump(self, seconds: float) -> bytes:
        """Let time pass, at most ``seconds``; what has arrived, at the first bytes that come."""
        data = self._read(seconds) if self._rate is None else self._carry(seconds)
        if not data:
            return b""
        self.bytes += len(data)
        self._stream.feed(data)
        # A terminal answers the questions that Textual asks when it starts, and we later.
        for _ in range(data.count(b"\x1b[?2026$p")):
            os.write(self._master, b"\x1b[?2026;2$y")
        return data

    def _read(self, seconds: float) -> bytes:
        ready, _, _ = select.select([self._master], [], [], seconds)
        if not ready:
            return b""
        try:
            return os.read(self._master, 65536)
        except OSError:  # the program closed the terminal
            return b""

    def _carry(self, seconds: float) -> bytes:
        """A line that takes in ``ahead`` bytes, and carries ``rate`` of them in a second."""
        assert self._rate is not None
        if len(self._taken) < self._ahead:
            if not self._taken:
                self._carried = time.perf_counter()
            self._taken += self._read(0 if self._taken else seconds)
        if not self._taken:
            return b""
        time.sleep(min(seconds, 0.005))
        now = time.perf_counter()
        count = min(len(self._taken), int((now - self._carried) * self._rate))
        self._carried += count / self._rate
        data = bytes(self._taken[:count])
        del self._taken[:count]
        return data

    def text(self) -> str:
        """What the screen shows."""
        return "\n".join(self.screen.display)

    def wait(self, shown: Callable[[str], bool], timeout: float = 60.0) -> float:
        """Read until the screen satisfies ``shown``; seconds since the call.

        Raises:
            TimeoutError: with the last screen.
        """
        start = time.perf_counter()
        while not shown(self.text()):
            if time.perf_counter() - start > timeout:
                raise TimeoutError(self.text())
            self.pump(0.05)
        return time.perf_counter() - start

    def settle(self, quiet: float = 0.3, timeout: float = 30.0) -> None:
        """Read until nothing has come for ``quiet`` seconds."""
        end = time.perf_counter() + timeout
        last = time.perf_counter()
        while time.perf_counter() - last < quiet and time.perf_counter() < end:
            if self.pump(quiet / 4):
                last = time.perf_counter()

    def send(self, keys: bytes) -> None:
        """Type."""
        os.write(self._master, keys)

    def key(self, keys: bytes, quiet: float = 0.08) -> tuple[float, float, int]:
        """Type a key: seconds to the first byte, to the last byte, and bytes until quiet."""
        before = self.bytes
        start = last = time.perf_counter()
        first = 0.0
        self.send(keys)
        while time.perf_counter() - last < quiet or (not first and last - start < 1.0):
            if self.pump(0.005):
                last = time.perf_counter()
                first = first or last - start
            elif not first and time.perf_counter() - start > 1.0:
                break
        return first, last - start, self.bytes - before

    def hang_up(self) -> None:
        """Close the terminal under the program, as a dropped line does."""
        os.close(self._master)
        self._master = -1

    def close(self) -> None:
        """End the program and the terminal."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self._master >= 0:
            os.close(self._master)
            self._master = -1


#: A screen as rows of cells: text, colours and attributes.
Picture = list[list[pyte.screens.Char]]


def picture_of(screen: pyte.Screen) -> Picture:
    """A copy of what a screen shows."""
    return [[screen.buffer[y][x] for x in range(screen.columns)] for y in range(screen.lines)]


def text_changed(before: Picture, after: Picture) -> int:
    """Bytes of the text in the cells that differ."""
    pairs = (pair for rows in zip(before, after, strict=True) for pair in zip(*rows, strict=True))
    return sum(len(new.data.encode()) for old, new in pairs if old != new)


def naive(screen: pyte.Screen) -> int:
    """Bytes of a plain repaint: every row, with the style in full where it changes."""
    size = 0
    for y in range(screen.lines):
        row = [screen.buffer[y][x] for x in range(screen.columns)]
        size += len(f"\x1b[{y + 1};1H") + sum(len(cell.data.encode()) for cell in row)
        styles = [cell._replace(data="") for cell in row]
        for x, style in enumerate(styles):
            if x and style == styles[x - 1]:
                continue
            codes = [code for flag, code in ((style.bold, "1"), (style.underscore, "4")) if flag]
            codes += ["38;5;123"] * (style.fg != "default") + ["48;5;123"] * (style.bg != "default")
            size += len(f"\x1b[{';'.join(codes)}m\x1b[0m")
    return size
