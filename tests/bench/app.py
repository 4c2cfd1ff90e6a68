"""The app on a real pseudo-terminal: first paint, key to paint, bytes on the line.

    python -m tests.bench.app [--home DIR] [--keys 60]

Idle figures need a scanned home; the figures under load start the app on an empty
home, so that the demo scan runs beside it in its own process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.terminal import Terminal

APP = [sys.executable, "-m", "tui"]
EMPTY = (
    "from textual.app import App\nfrom textual.widgets import Static\n"
    "class A(App):\n    def compose(self):\n        yield Static('hello')\nA().run()"
)


def first_paint(command: list[str], shown: str, env: dict[str, str], runs: int = 7) -> list[float]:
    """Seconds from starting the command until ``shown`` is on the screen."""
    times = []
    for _ in range(runs):
        with Terminal(command, env=env) as terminal:
            terminal.wait(lambda text: shown in text)
            times.append(time.perf_counter() - terminal.started)
            terminal.settle(0.5, 5)
    return times


def keys(terminal: Terminal, key: bytes, count: int) -> tuple[list[float], list[int]]:
    """Type a key again and again, waiting for the paint each time: seconds and bytes."""
    times, sizes = [], []
    for _ in range(count):
        _, last, size = terminal.key(key)
        if size:
            times.append(last)
            sizes.append(size)
    return times, sizes


def show(name: str, times: list[float], sizes: list[int] | None = None) -> None:
    """One row: milliseconds at p50, p95 and the worst, and median bytes."""
    ordered = sorted(1000 * t for t in times)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    line = f"{name:44}{len(ordered):5}{statistics.median(ordered):9.1f}{p95:9.1f}{ordered[-1]:9.1f}"
    print(line + (f"{statistics.median(sizes):9.0f}{max(sizes):9.0f}" if sizes else ""), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--keys", type=int, default=60)
    options = parser.parse_args()
    env = {"NEUROGLASS_HOME": str(options.home)} if options.home else {}
    print(f"120x40, 256 colours, load average {os.getloadavg()[0]:.1f}")
    print(f"{'':44}{'n':>5}{'p50 ms':>9}{'p95 ms':>9}{'max ms':>9}{'bytes':>9}{'max':>9}")
    show(
        "an empty Textual app, first paint",
        first_paint([sys.executable, "-c", EMPTY], "hello", {"TEXTUAL_ANIMATIONS": "none"}),
    )
    show("neuroglass, first paint", first_paint(APP, "neuroglass", env))
    show("neuroglass, first heatmap", first_paint(APP, "max", env))
    with Terminal(APP, env=env) as terminal:
        terminal.wait(lambda text: "index complete" in text)
        terminal.settle(1.0)
        show("idle: next neuron (J)", *keys(terminal, b"J", options.keys))
        show("idle: next neuron in the list (j)", *keys(terminal, b"j", options.keys))
        terminal.send(b"\t")
        terminal.settle(0.5)
        show("idle: next token (l)", *keys(terminal, b"l", options.keys))
        show("idle: next excerpt (j)", *keys(terminal, b"j", 15))
        before = terminal.bytes
        terminal.settle(10.0, 10.0)
        print(f"idle for 10 seconds: {terminal.bytes - before} bytes")
    with (
        tempfile.TemporaryDirectory() as empty,
        Terminal(APP, env={"NEUROGLASS_HOME": empty}) as terminal,
    ):
        terminal.wait(lambda text: "tok/s" in text and "Neuron" in text, 120)
        times, sizes = [], []
        while len(times) < 3 * options.keys and "index complete" not in terminal.text():
            more, bytes_ = keys(terminal, b"J", 5)
            times += more
            sizes += bytes_
        show("scan running: next neuron (J)", times, sizes)


if __name__ == "__main__":
    main()
