"""The app on a real pseudo-terminal: first paint, key to paint, bytes on the line, memory.

    python -m tests.bench.app --home DIR [--keys 60] [--memory-minutes 0.5]

``DIR`` is a home with a complete scan; nothing in it is changed.  The figures under load
start the app on an empty home, so that the demo scan runs beside it in its own process,
while a server on this machine streams an explanation.  All of it takes about three
minutes; ``--memory-minutes 60`` is the long run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.terminal import Picture, Terminal, naive, picture_of, text_changed

sys.path.insert(0, str(Path(__file__).parent.parent))  # as the tests see it
from loopback.server import Loopback, Says, Seen

APP = [sys.executable, "-m", "tui"]
EMPTY = (
    "from textual.app import App\nfrom textual.widgets import Static\n"
    "class A(App):\n    def compose(self):\n        yield Static('hello')\nA().run()"
)
RATE = 60_000
#: What an SSH server takes in ahead of a line (the window of an OpenSSH channel).
AHEAD = 2 << 20
WORDS = 400


def first_paint(command: list[str], shown: str, env: dict[str, str], runs: int = 5) -> list[float]:
    """Seconds from starting the command until ``shown`` is on the screen."""
    times = []
    for _ in range(runs):
        with Terminal(command, env=env) as terminal:
            terminal.wait(lambda text: shown in text)
            times.append(time.perf_counter() - terminal.started)
            terminal.settle(0.3, 5)
    return times


class Keys:
    """What typing a key again and again costs."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.sizes: list[int] = []
        self.texts: list[int] = []
        self.whole: list[int] = []

    def type(self, terminal: Terminal, key: bytes, count: int, *, compare: bool = True) -> Keys:
        """Type, waiting for the paint each time."""
        for _ in range(count):
            before: Picture = picture_of(terminal.screen) if compare else []
            _, last, size = terminal.key(key)
            if not size:
                continue
            self.times.append(last)
            self.sizes.append(size)
            if compare:
                self.texts.append(text_changed(before, picture_of(terminal.screen)))
                self.whole.append(naive(terminal.screen))
        return self


def _heatmap(terminal: Terminal) -> tuple[str, list[str]]:
    """The heading of the pane in the middle, and what is below it."""
    heading, *rest = (line.split("│")[1] for line in terminal.text().splitlines()[2:-3])
    return heading.split(" max ")[0], rest[2:-1]


def _at_token(terminal: Terminal) -> str:
    """The line that tells of the token under the cursor."""
    return terminal.text().splitlines()[-2]


def answered(
    terminal: Terminal, key: bytes, count: int, shown: Callable[[Terminal], Sequence[object]]
) -> Keys:
    """Type, and wait until all that ``shown`` takes from the screen has changed.

    What else is painted meanwhile (the progress of a scan, words that come in) doesn't count.
    """
    keys = Keys()
    for _ in range(count):
        before, start = shown(terminal), time.perf_counter()
        terminal.send(key)
        while any(old == new for old, new in zip(before, shown(terminal), strict=True)):
            if time.perf_counter() - start > 5:
                raise TimeoutError(terminal.text())
            terminal.pump(0.005)
        keys.times.append(time.perf_counter() - start)
        terminal.pump(0.1)
        terminal.pump(0.1)
    return keys


def milliseconds(name: str, times: list[float]) -> str:
    """The first columns of a row."""
    ordered = sorted(1000 * t for t in times)
    if not ordered:
        return f"{name:44}    0"

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    columns = (statistics.median(ordered), at(0.95), at(0.99), ordered[-1])
    return f"{name:44}{len(ordered):5}" + "".join(f"{value:9.1f}" for value in columns)


def show(name: str, keys: Keys) -> None:
    """One row: times, median and largest bytes, bytes per byte of text that changed."""
    line = milliseconds(name, keys.times)
    if keys.sizes:
        line += f"{statistics.median(keys.sizes):9.0f}{max(keys.sizes):9.0f}"
    if keys.texts and sum(keys.texts):
        line += f"{statistics.median(keys.texts):9.0f}{sum(keys.sizes) / sum(keys.texts):7.2f}"
        line += f"{statistics.median(keys.whole):9.0f}"
    print(line, flush=True)


def idle(env: dict[str, str], count: int) -> None:
    """Keys on an app that does nothing else."""
    with Terminal(APP, env=env) as terminal:
        terminal.wait(lambda text: "index complete" in text)
        terminal.settle(1.0)
        print(f"bytes of the start: {terminal.bytes:,}")
        show("idle: next neuron (J)", Keys().type(terminal, b"J", count))
        show("idle: next neuron in the list (j)", Keys().type(terminal, b"j", count))
        show("idle: next layer (])", Keys().type(terminal, b"]", count // 4))
        show("idle: a random neuron (r)", Keys().type(terminal, b"r", count // 4))
        terminal.send(b"\t")
        terminal.settle(0.5)
        show("idle: next token (l)", Keys().type(terminal, b"l", count))
        show("idle: next excerpt (j)", Keys().type(terminal, b"j", 15))
        before = terminal.bytes
        terminal.settle(10.0, 10.0)
        print(f"idle for 10 seconds: {terminal.bytes - before} bytes", flush=True)


class _Paced(Says):
    """Words that come one by one."""

    @property
    def parts(self) -> Iterator[str]:  # type: ignore[override]
        for number in range(WORDS):
            time.sleep(0.03)
            yield f"word{number} " if number % 9 else "sentence. "


def _server(stack: ExitStack, home: Path) -> None:
    """A language model for a home: it streams for a while."""
    from engine.choices import Choices
    from engine.engine import Engine

    server = stack.enter_context(Loopback())

    def brain(_: Seen) -> Says:
        return _Paced("")

    server.brain = brain

    async def remember() -> None:
        async with await Engine.open(home) as engine:
            await engine.remember(
                Choices(explainer="summary", explainer_model=server.name, simulator="json")
            )

    asyncio.run(remember())


def stream(home: Path) -> None:
    """Bytes for each word of an explanation that comes in."""
    from engine.paths import read_pointer, write_pointer

    index = read_pointer(home)
    assert index is not None
    with ExitStack() as stack:
        own = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_pointer(own, index)
        _server(stack, own)
        terminal = stack.enter_context(Terminal(APP, env={"NEUROGLASS_HOME": str(own)}))
        terminal.wait(lambda text: "index complete" in text)
        terminal.settle(0.5)
        terminal.send(b"e")
        terminal.wait(lambda text: "enter" in text.splitlines()[-2])
        terminal.send(b"\r")
        terminal.wait(lambda text: "word5 " in text)
        before, words = terminal.bytes, 0
        end = time.perf_counter() + 4.0
        while time.perf_counter() < end:
            terminal.pump(0.05)
        shown = terminal.text()
        words = max(n for n in range(WORDS) if f"word{n}" in shown) - 5
        print(f"bytes for each streamed word: {(terminal.bytes - before) / words:.0f}", flush=True)


def load(count: int) -> None:
    """Keys while a scan runs in its process and an explanation comes in."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _server(stack, home)
        terminal = stack.enter_context(Terminal(APP, env={"NEUROGLASS_HOME": str(home)}))
        terminal.wait(lambda text: "tok/s" in text and "Neuron" in text, 120)
        terminal.settle(0.3, 2)
        terminal.send(b"e")
        asked = time.perf_counter() + 10
        while time.perf_counter() < asked and "enter" not in terminal.text().splitlines()[-2]:
            terminal.pump(0.05)
        terminal.send(b"\r")
        terminal.wait(lambda text: "word5 " in text)
        neurons = answered(terminal, b"J", count, _heatmap)
        terminal.send(b"\t")
        terminal.settle(0.3, 2)
        tokens = answered(terminal, b"l", count, lambda one: (_at_token(one),))
        if "tok/s" not in terminal.text():
            raise RuntimeError("the scan was over before the keys were")
        show("scan and stream: next neuron (J)", neurons)
        show("scan and stream: next token (l)", tokens)


def held(terminal: Terminal, key: bytes) -> float:
    """Hold a key for a second; how long after its release the last byte came."""
    stop = threading.Event()

    def hold() -> None:
        for _ in range(30):
            terminal.send(key)
            time.sleep(1 / 30)
        stop.set()

    thread = threading.Thread(target=hold)
    thread.start()
    while not stop.is_set():
        terminal.pump(0.005)
    released = last = time.perf_counter()
    while time.perf_counter() - last < 1.0:
        if terminal.pump(0.005):
            last = time.perf_counter()
    thread.join()
    return last - released


def throttled(env: dict[str, str], ahead: int) -> None:
    """A line of 60 kB/s: how long the screen lags behind keys that are held."""
    buffered = "4 KB" if ahead < 1 << 20 else f"{ahead >> 20} MB"
    # From the first neuron, not from where the app was left.
    with Terminal([*APP, "--fresh"], env=env, rate=RATE, ahead=ahead) as terminal:
        terminal.wait(lambda text: "index complete" in text)
        terminal.settle(1.0)
        before = terminal.bytes
        lag = held(terminal, b"j")
        lost = "" if "Neuron 0:30 " in terminal.text() else "; KEYS WERE LOST"
        print(
            f"60 kB/s, {buffered} ahead, j held 1 s over neurons: settled {lag:.2f} s after "
            f"release, {terminal.bytes - before:,} bytes{lost}"
        )
        terminal.send(b"\t")
        terminal.settle(0.5)
        for key, what in ((b"j", "excerpts"), (b"l", "tokens")):
            before = terminal.bytes
            lag = held(terminal, key)
            sent = terminal.bytes - before
            print(
                f"60 kB/s, {buffered} ahead, {key.decode()} held 1 s over {what}: "
                f"settled {lag:.2f} s after release, {sent:,} bytes",
                flush=True,
            )


def memory(env: dict[str, str], minutes: float) -> None:
    """Resident memory over scripted use."""
    script = [b"J", b"J", b"j", b"r", b"]", b"\t", b"j", b"l", b"l", b".", b"V", b"V", b"z", b"z"]
    script += [b"?", b"\x1b", b"\x1b[Z", b"o", b"C", b"k", b"K", b"t", b"t"]
    with Terminal(APP, env=env) as terminal:
        terminal.wait(lambda text: "index complete" in text)
        terminal.settle(1.0)
        process = terminal.process.pid
        seen: list[tuple[float, float]] = []
        start = time.perf_counter()
        pressed = 0
        while (passed := time.perf_counter() - start) < 60 * minutes:
            terminal.key(script[pressed % len(script)], 0.03)
            pressed += 1
            if not seen or passed - seen[-1][0] > 60 * minutes / 12:
                seen.append((passed, _resident(process)))
        seen.append((60 * minutes, _resident(process)))
        # The first quarter fills the caches.
        late = seen[len(seen) // 4 :]
        print(
            f"memory over {minutes:g} minutes, {pressed:,} keys: {late[0][1]:.0f} MB after a "
            f"quarter, {late[len(late) // 2][1]:.0f} in the middle, {late[-1][1]:.0f} at the end"
        )


def _resident(process: int) -> float:
    """Megabytes of a process, without files that are mapped; only where there is /proc."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no RssAnon")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--memory-minutes", type=float, default=0.5)
    options = parser.parse_args()
    env = {"NEUROGLASS_HOME": str(options.home)}
    print(f"120x40, 256 colours, load average {os.getloadavg()[0]:.1f}")
    print(f"{'':44}{'n':>5}" + "".join(f"{name:>9}" for name in ("p50 ms", "p95", "p99", "max")))
    empty = first_paint([sys.executable, "-c", EMPTY], "hello", {"TEXTUAL_ANIMATIONS": "none"})
    own = first_paint(APP, "neuroglass", env)
    print(milliseconds("an empty Textual app, first paint", empty))
    print(milliseconds("neuroglass, first paint", own))
    print(milliseconds("neuroglass, first heatmap", first_paint(APP, "max", env)))
    print(f"first paint: {statistics.median(own) / statistics.median(empty):.2f} of the empty app")
    print(
        f"\n{'':44}{'n':>5}{'p50 ms':>9}{'p95':>9}{'p99':>9}{'max':>9}"
        f"{'bytes':>9}{'max':>9}{'text':>9}{'ratio':>7}{'naive':>9}"
    )
    idle(env, options.keys)
    load(options.keys)
    stream(options.home)
    throttled(env, 4096)
    throttled(env, AHEAD)
    memory(env, options.memory_minutes)
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
