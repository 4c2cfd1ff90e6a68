"""An index of GPT-2 XL's size: 307,200 neurons, made-up values in the real shapes.

    python -m tests.bench.index [--shape xl] [--folder DIR]

Prints the bytes on disk, and how long it takes to open the index, to read one neuron
(cold pages are the disk's matter; the first read of each is timed) and a layer's columns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from engine.accumulate import LayerState
from engine.demo import demo_documents
from engine.generation import GenerationWriter
from engine.index import Index
from engine.index_writer import IndexWriter
from engine.neuron import NeuronId
from engine.plan import plan_batches
from engine.scan_request import ScanRequest
from engine.subject import SubjectFacts, SubjectModel
from engine.windows import cut
from tests.bench.scan import SHAPES


def make(folder: Path, shape: str) -> GenerationWriter:
    """Write the index layer by layer."""
    layers, width, _ = SHAPES[shape]
    demo = SubjectModel.load("demo", device="cpu")
    facts = SubjectFacts(shape, "0" * 32, layers, 4 * width, 50257, 1024, "gelu_new")
    texts = list(demo_documents())
    windows = cut(texts, demo.tokenizer)
    request = ScanRequest(model=shape)
    plan = plan_batches(windows, request.batch, layers * 4 * width)
    writer = IndexWriter(folder, "0" * 32, request, facts, windows, demo.vocabulary, plan)
    folder.mkdir(exist_ok=True)
    assert writer.resume(range(len(plan.batches))) is not None
    layout = writer.layout
    rng = torch.Generator().manual_seed(0)

    def states() -> Iterator[LayerState]:
        for number in range(layers):
            state = layout.layer(number)
            state.forget_pilot()
            for best in state.best.values():
                count = (layout.neurons, best.k)
                best.restore(
                    torch.rand(count, generator=rng),
                    torch.randint(len(windows), count, generator=rng, dtype=torch.int32),
                    torch.rand((*count, layout.width), generator=rng).to(best.values.dtype),
                )
            state.tokens = state.explain_tokens = windows.tokens
            state.token_sums.random_(1 << 30, generator=rng)
            yield state

    counts = torch.full((layout.tabled + 1,), 100)
    progress = {"windows_done": len(windows), "tokens_done": windows.tokens}
    writer.write(states(), counts, progress, None, complete=True)
    return writer


def main() -> None:
    """Make it, time it, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="xl")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "index"
        started = time.perf_counter()
        size = make(folder, options.shape).size()
        print(f"{size / 1e9:.2f} GB, written in {time.perf_counter() - started:.0f} s")
        opened = []
        for _ in range(20):
            started = time.perf_counter()
            index = Index.open(folder)
            opened.append(time.perf_counter() - started)
        print(f"{index.n_layers * index.n_neurons:,} neurons, open: {quantiles(opened)}")
        rng = np.random.default_rng(0)
        reads, columns = [], []
        for _ in range(300):
            neuron = NeuronId(int(rng.integers(index.n_layers)), int(rng.integers(index.n_neurons)))
            started = time.perf_counter()
            index.neuron(neuron)
            index.token_means(neuron)
            reads.append(time.perf_counter() - started)
        print(f"one neuron, records and token table: {quantiles(reads)}")
        for layer in range(index.n_layers):
            started = time.perf_counter()
            index.layer(layer)
            columns.append(time.perf_counter() - started)
        print(f"one layer's columns: {quantiles(columns)}")


def quantiles(seconds: list[float]) -> str:
    """Median and 95th percentile in milliseconds."""
    high = np.quantile(seconds, 0.95)
    return f"median {1e3 * statistics.median(seconds):.1f} ms, p95 {1e3 * high:.1f} ms"


if __name__ == "__main__":
    main()
