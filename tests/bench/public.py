"""Published neurons: export, opening, and key to painted neuron, from disk and from a server.

    python -m tests.bench.public --home DIR [--layer N] [--all]

The home has a complete index of the demo.  One layer of it (or all) is exported in the
published formats; the app then browses the files, and the same files from a server on this
machine that answers after ``DELAY`` seconds, as one far away would.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from engine.engine import Engine
from engine.neuron import NeuronId
from engine.public_data.export import export_neurons
from engine.public_data.names import open_dataset
from tests.bench.app import APP, keys, show
from tests.bench.terminal import Terminal
from tests.loopback.files import Files

DELAY = 0.08


async def export(home: Path, folder: Path, layer: int | None) -> None:
    """Write the files and say how long that took."""
    async with await Engine.open(home) as engine:
        index = engine.index
        assert index is not None
        layers = range(index.n_layers) if layer is None else [layer]
        neurons = [NeuronId(n, i) for n in layers for i in range(index.n_neurons)]
        start, cpu = time.perf_counter(), time.process_time()
        steps = [step async for step in export_neurons(index, engine.store, folder, neurons)]
        done = steps[-1]
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(
            f"export of {done.neurons:,} neurons: {wall:.1f} s, {cpu:.1f} s of processor, "
            f"{done.files:,} files, {done.bytes / 1e6:,.0f} MB"
        )


async def opening(folder: Path, home: Path) -> None:
    """Open the folder, read neurons."""
    start = time.perf_counter()
    dataset = await open_dataset(str(folder), home)
    print(f"open the folder: {1000 * (time.perf_counter() - start):.1f} ms")
    layer = dataset.first().layer
    times = []
    for index in list(dataset.present(layer))[:100]:
        start = time.perf_counter()
        await dataset.prepare(NeuronId(layer, index))
        dataset.neuron(NeuronId(layer, index))
        times.append(time.perf_counter() - start)
    show("engine: load and read a neuron from disk", times)
    await dataset.close()


def browse(source: str, name: str, layer: int, env: dict[str, str], count: int = 40) -> None:
    """Key to painted neuron."""
    with Terminal([*APP, "open", source], env=env) as terminal:
        terminal.wait(lambda text: "published neurons" in text and "Neuron" in text)
        print(f"{name}: open after {time.perf_counter() - terminal.started:.2f} s")
        terminal.send(b"g")
        terminal.settle(0.5)
        terminal.send(f"{layer}:0\r".encode())
        terminal.wait(lambda text: f"Neuron {layer}:0 " in text)
        terminal.settle(1.5)
        show(f"{name}: next neuron (n), at rest", *slowly(terminal, count))
        show(f"{name}: next neuron (n), one after the other", *keys(terminal, b"n", count))
        before = terminal.bytes
        terminal.settle(5.0, 5.0)
        print(f"{name}: idle for 5 seconds: {terminal.bytes - before} bytes")


def slowly(terminal: Terminal, count: int) -> tuple[list[float], list[int]]:
    """As somebody who reads: neighbours have been loaded ahead meanwhile."""
    times: list[float] = []
    sizes: list[int] = []
    for _ in range(count // 4):
        more, bytes_ = keys(terminal, b"n", 1)
        times += more
        sizes += bytes_
        time.sleep(0.7)
    return times, sizes


def main() -> None:
    """Print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--layer", type=int, default=3)
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        folder, home = root / "served" / "data", root / "home"
        home.mkdir()
        asyncio.run(export(options.home, folder, None if options.all else options.layer))
        asyncio.run(opening(folder, home))
        env = {"NEUROGLASS_HOME": str(home)}
        browse(str(folder), "disk", options.layer, env)
        with Files(root / "served", delay=DELAY) as files:
            browse(f"{files.url}/data", "server", options.layer, env)
            print(f"server: {sum(files.asked.values())} requests")
            browse(f"{files.url}/data", "cache", options.layer, env)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
