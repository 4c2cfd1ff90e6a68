"""The app on a real pseudo-terminal: bytes on the wire, and a terminal that goes away."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.engine import Engine
from engine.neuron import NeuronId

ROOT = Path(__file__).resolve().parent.parent


class Terminal:
    """A child process on a pseudo-terminal of 120 x 40 cells with 256 colours."""

    def __init__(self, home: Path, term: str = "xterm-256color") -> None:
        code = (
            "from pathlib import Path; import sys; from tui.launch import run_app; "
            "run_app(Path(sys.argv[1]))"
        )
        environment = {k: v for k, v in os.environ.items() if k not in ("COLORTERM", "COLUMNS")}
        environment.pop("LINES", None)
        environment["TERM"] = term
        self.pid, self.fd = pty.fork()
        if self.pid == 0:  # the child
            os.chdir(ROOT)
            os.execve(sys.executable, [sys.executable, "-c", code, str(home)], environment)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def read(self, quiet: float = 0.4, limit: float = 20.0) -> bytes:
        """What is written until nothing has come for ``quiet`` seconds."""
        out = b""
        start = last = time.monotonic()
        while time.monotonic() - last < quiet and time.monotonic() - start < limit:
            if select.select([self.fd], [], [], 0.02)[0]:
                try:
                    out += os.read(self.fd, 1 << 16)
                except OSError:
                    break
                last = time.monotonic()
        return out

    def wait_for(self, text: bytes, seconds: float = 30.0) -> bytes:
        """Read until some text was written, and on until it is quiet."""
        out = b""
        end = time.monotonic() + seconds
        while text not in out:
            assert time.monotonic() < end, out[-2000:]
            out += self.read(0.05, 0.5)
        return out + self.read()

    def press(self, keys: bytes) -> bytes:
        """Send keys; what is written in answer."""
        os.write(self.fd, keys)
        return self.read()

    def exit_status(self, seconds: float = 15.0) -> int:
        """Wait for the end; fail if it does not come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return status
            if self.fd >= 0:
                self.read(0.02, 0.05)
            time.sleep(0.02)
        raise AssertionError("it still runs")

    def close(self) -> None:
        """Hang up."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def kill(self) -> None:
        """Make sure that nothing is left."""
        self.close()
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(home: Path) -> Iterator[Terminal]:
    one = Terminal(home)
    yield one
    one.kill()


def test_few_bytes_for_each_key_and_none_for_none(terminal: Terminal) -> None:
    assert len(terminal.wait_for(b"Statistics")) < 75_000
    assert len(terminal.press(b"n")) < 20_000  # another neuron: most of the screen
    assert len(terminal.press(b"\t")) < 2_500  # focus
    for _ in range(3):
        assert len(terminal.press(b"l")) < 900  # two tokens and the status line
    assert len(terminal.press(b"g")) < 3_000
    terminal.press(b"\x1b")
    assert len(terminal.press(b"?")) < 20_000
    terminal.press(b"\x1b")
    terminal.read(0.5)
    assert terminal.read(2.0, 2.0) == b"", "an idle app sends nothing"
    os.write(terminal.fd, b"q")
    assert terminal.exit_status() == 0


async def test_a_hang_up_loses_nothing_that_was_saved(terminal: Terminal, home: Path) -> None:
    terminal.wait_for(b"Statistics")
    os.write(terminal.fd, b"e")
    terminal.wait_for(b"not saved")
    os.write(terminal.fd, b"s")
    terminal.wait_for(b"Saved.")
    terminal.close()
    assert terminal.exit_status() == 0
    engine = await Engine.open(home)
    assert engine.index is not None
    assert len(engine.store.explanations(engine.index.model_id, NeuronId(0, 0))) == 1
    await engine.close()


def test_a_termination_restores_the_terminal(terminal: Terminal) -> None:
    terminal.wait_for(b"Statistics")
    os.kill(terminal.pid, signal.SIGTERM)
    assert b"\x1b[?1049l" in terminal.read(1.0)
    assert terminal.exit_status() == 0


def test_a_dumb_terminal_is_refused_in_one_line(home: Path) -> None:
    one = Terminal(home, term="dumb")
    try:
        text = one.read(1.0)
        assert b"The app needs a terminal that can move its cursor." in text
        assert b"\x1b" not in text
    finally:
        one.kill()
