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

import pyte
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
        self.screen = pyte.Screen(120, 40)
        self._stream = pyte.ByteStream(self.screen)
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
                    data = os.read(self.fd, 1 << 16)
                except OSError:
                    break
                out += data
                self._stream.feed(data)
                last = time.monotonic()
        return out

    def wait_for(self, text: str, seconds: float = 30.0) -> bytes:
        """Read until the screen shows some text, and on until it is quiet."""
        out = b""
        end = time.monotonic() + seconds
        while text not in "\n".join(self.screen.display):
            assert time.monotonic() < end, self.screen.display
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
    assert len(terminal.wait_for("Statistics")) < 75_000
    assert len(terminal.press(b"J")) < 20_000  # another neuron: most of the screen
    assert len(terminal.press(b"\t")) < 2_500  # focus
    for _ in range(3):
        assert len(terminal.press(b"l")) < 900  # two tokens and the status line
    assert len(terminal.press(b":")) < 3_000
    terminal.press(b"\x1b")
    assert len(terminal.press(b"?")) < 20_000
    terminal.press(b"\x1b")
    terminal.read(0.5)
    assert terminal.read(2.0, 2.0) == b"", "an idle app sends nothing"
    os.write(terminal.fd, b"q")
    assert terminal.exit_status() == 0


async def test_a_hang_up_loses_nothing_that_was_saved(terminal: Terminal, home: Path) -> None:
    terminal.wait_for("Statistics")
    os.write(terminal.fd, b"e")
    terminal.wait_for("not saved")
    os.write(terminal.fd, b"s")
    terminal.wait_for("Saved.")
    terminal.close()
    assert terminal.exit_status() == 0
    engine = await Engine.open(home)
    assert engine.index is not None
    assert len(engine.store.explanations(engine.index.model_id, NeuronId(0, 0))) == 1
    await engine.close()


def test_a_termination_restores_the_terminal(terminal: Terminal) -> None:
    terminal.wait_for("Statistics")
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


def _screen_of(sent: bytes, columns: int = 120, rows: int = 40) -> pyte.Screen:
    screen = pyte.Screen(columns, rows)
    pyte.ByteStream(screen).feed(sent)
    return screen


def test_a_line_that_takes_nothing_loses_no_key_and_no_frame_is_late(terminal: Terminal) -> None:
    """Whoever reads at last finds the screen as it should be, after a frame or two."""
    terminal.wait_for("Statistics")
    for _ in range(150):
        os.write(terminal.fd, b"j")
        time.sleep(0.02)  # nobody reads what is written
    time.sleep(1.5)
    sent = terminal.read(1.5)
    assert len(sent) < 60_000, "frames that were overtaken are not sent"
    terminal.wait_for("Neuron 0:150 ")
    before = list(terminal.screen.display)
    sent = terminal.press(b"R")
    assert len(sent) > 4000
    assert _screen_of(sent).display == before, "the differences had added up"


def test_quitting_does_not_wait_for_a_terminal_that_takes_nothing(terminal: Terminal) -> None:
    terminal.wait_for("Statistics")
    for key in (b"J", b"]", b"J", b"]", b"q"):
        os.write(terminal.fd, key)
        time.sleep(0.3)
    end = time.monotonic() + 20
    while os.waitpid(terminal.pid, os.WNOHANG)[0] == 0:
        assert time.monotonic() < end, "it still runs"
        time.sleep(0.1)
    terminal.pid = 0


def test_the_next_large_frame_waits_for_a_terminal_that_answers(terminal: Terminal) -> None:
    """A server's buffers swallow megabytes; only an answer says that all was drawn."""
    terminal.wait_for("Statistics")
    os.write(terminal.fd, b"\x1b[?2026;2$y")  # so it knows synchronized output
    terminal.read()
    assert terminal.press(b"J").endswith(b"\x1b[?2026$p")
    waiting = b""
    for _ in range(8):
        os.write(terminal.fd, b"J")
        waiting += terminal.read(0.05, 0.1)
    assert len(waiting) < 5000
    os.write(terminal.fd, b"\x1b[?2026;2$y")
    assert len(terminal.read()) > 2000
    # Without an answer it goes on by itself, later.
    os.write(terminal.fd, b"]")
    assert len(terminal.read(4.0, 6.0)) > 3000


def test_coming_back_from_a_stop_draws_everything(terminal: Terminal) -> None:
    terminal.wait_for("Statistics")
    os.kill(terminal.pid, signal.SIGTSTP)
    assert b"\x1b[?1049l" in terminal.read(1.0)
    os.kill(terminal.pid, signal.SIGCONT)
    screen = _screen_of(terminal.read(1.0))
    assert "Statistics" in "\n".join(screen.display)


def test_a_resize_draws_everything(terminal: Terminal) -> None:
    terminal.wait_for("Statistics")
    for columns, rows in ((80, 24), (60, 20), (100, 30)):
        fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(terminal.pid, signal.SIGWINCH)
        screen = _screen_of(terminal.read(), columns, rows)
        text = "\n".join(screen.display)
        assert "neuroglass" in text
        assert "quit" in text.splitlines()[-1]
