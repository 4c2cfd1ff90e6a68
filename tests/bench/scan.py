"""What the scan costs beside the same model's plain passes, all in one run.

    python -m tests.bench.scan [--rounds 12] [--every 10] [--shape small] [--no-peers]

A model shaped like GPT-2 with random weights reads demo text.  Our scans read batch
after batch, since what they cost falls as records fill up; spread evenly over the way
are rounds, in which every contender reads the same batch, one after the other, so that
what else the machine does falls on all alike.  The table shows medians over the rounds.

  full forward       transformers, logits included, no gradients, no cache
  headless forward   its transformer without the language-model head
  TransformerLens    ``run_with_cache`` of the same activations, and a plain top-k of the
                     windows' maxima (needs: pip install transformer-lens)
  our forward        the scan's own pass, activations dropped
  our scan           the pass and everything that is kept: records, moments, token sums

delphi's cache is not among them: its package needs vllm and does not install here.
The machine's peak is the best of large matrix products through the same library;
floating-point operations are counted for the products and the attention alone.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from engine.demo import MODEL_DIR
from engine.linear import make_linear
from engine.plan import plan_batches
from engine.reader import BatchReader
from engine.scan_request import ScanRequest
from engine.state import Layout, ScanState
from engine.subject import SubjectModel
from engine.text import read_documents
from engine.windows import cut

#: Layers, width and heads of the public GPT-2s.
SHAPES = {"small": (12, 768, 12), "medium": (24, 1024, 16), "xl": (48, 1600, 25)}
VOCABULARY = 50257
TOP = 20


def make_checkpoint(folder: Path, shape: str) -> None:
    """Random weights, the demo's tokenizer."""
    layers, width, heads = SHAPES[shape]
    torch.manual_seed(0)
    config = GPT2Config(n_layer=layers, n_embd=width, n_head=heads, vocab_size=VOCABULARY)
    GPT2LMHeadModel(config).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MODEL_DIR / file, folder / file)


class Ours:
    """The scan, a batch at a time."""

    def __init__(self, checkpoint: Path, batch: int, dtype: str) -> None:
        self.request = ScanRequest(model=str(checkpoint), batch=batch, dtype=dtype, device="cpu")
        subject = SubjectModel.load(str(checkpoint), device="cpu", dtype=dtype)
        self.facts, self.first = subject.facts, subject.end_of_text
        self.width: int = json.loads((checkpoint / "config.json").read_text())["n_embd"]
        self.windows = cut(read_documents(("demo",)), subject.tokenizer, self.request.window)
        neurons = self.facts.n_layers * self.facts.n_neurons
        self.plan = plan_batches(self.windows, batch, neurons)
        self.forward = subject.into_forward(self.first)
        self.reader = BatchReader(self.forward, self.windows, self.plan, self.request)
        layout = Layout.of(self.facts, self.request, self.plan)
        self.state = ScanState(layout, self.plan, range(len(self.plan.batches)))
        #: The whole batches alone: every contender then reads the same tokens.
        self.whole = [i for i, b in enumerate(self.plan.batches) if b.whole and b.width == 64]

    def ids(self, number: int) -> torch.Tensor:
        """int64 [batch, token], without the first token."""
        part = self.plan.batches[number]
        return torch.from_numpy(self.windows.token_ids[part.windows, : part.width].astype("int64"))

    def scan(self, number: int) -> None:
        """Everything."""
        self.reader.add(number, self.state)

    def forward_only(self, number: int) -> None:
        """The pass alone."""
        self.forward.run(self.ids(number), lambda *_: None)

    def operations(self, tokens: int) -> float:
        """Multiplications and additions of one pass over so many tokens."""
        width, inner = self.width, self.facts.n_neurons
        blocks = self.facts.n_layers * 2 * width * (3 * width + width + 2 * inner)
        blocks -= 2 * width * inner  # the last output projection is left out
        attention = self.facts.n_layers * 2 * 2 * width * (self.request.window + 1)
        return float(tokens) * (blocks + attention)


def lens(checkpoint: Path) -> Callable[[torch.Tensor], None] | None:
    """TransformerLens over the same checkpoint, or None where it is missing."""
    try:
        from transformer_lens.model_bridge import TransformerBridge
    except ImportError:
        return None
    bridge: Any = TransformerBridge.boot_transformers(str(checkpoint))
    names = [f"blocks.{n}.mlp.hook_post" for n in range(bridge.cfg.n_layers)]
    best: dict[str, torch.Tensor] = {}

    def read(ids: torch.Tensor) -> None:
        with torch.inference_mode():
            _, cache = bridge.run_with_cache(ids, names_filter=names, return_type=None)
            for name in names:
                peaks = cache[name][:, 1:].amax(1)  # [window, neuron]
                if name in best:
                    peaks = torch.cat([best[name], peaks])
                best[name] = peaks.topk(min(TOP, len(peaks)), dim=0).values

    return read


def peak(dtype: torch.dtype, rounds: int = 5) -> float:
    """Operations a second of a large product, the best of several."""
    rows, inner, outer = 2048, 1024, 4096
    x = torch.randn(rows, inner).to(dtype)
    product = make_linear(torch.randn(outer, inner).to(dtype), None)
    fastest = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        product(x)
        fastest = min(fastest, time.perf_counter() - started)
    return 2.0 * rows * inner * outer / fastest


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare(checkpoint: Path, rounds: int, every: int, batch: int, *, peers: bool) -> None:
    """Run the rounds and print the table."""
    ours = Ours(checkpoint, batch, "float32")
    plain = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    half = Ours(checkpoint, batch, "bfloat16")
    peer = lens(checkpoint) if peers else None
    rows: dict[str, Callable[[int], Any]] = {
        "full forward": lambda n: plain(first(ours, n), use_cache=False),
        "headless forward": lambda n: plain.transformer(first(ours, n), use_cache=False),
        "our forward": ours.forward_only,
        "our scan": ours.scan,
        "our forward, bf16": half.forward_only,
        "our scan, bf16": half.scan,
    }
    if peer is not None:
        rows["TransformerLens"] = lambda n: peer(first(ours, n))
    with torch.inference_mode():
        plain(first(ours, ours.whole[0]))
        top = {"float32": [peak(torch.float32)], "bfloat16": [peak(torch.bfloat16)]}
        seconds: dict[str, list[float]] = {name: [] for name in rows}
        for place, number in enumerate(ours.whole[: rounds * every]):
            if place % every != every - 1:
                ours.scan(number)
                half.scan(number)
                continue
            for name, work in rows.items():
                seconds[name].append(timed(lambda work=work, number=number: work(number)))
            for name in top:
                top[name].append(peak(getattr(torch, name), 2))
    tokens = batch * ours.request.window
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    count, threads = len(seconds["our scan"]), torch.get_num_threads()
    print(f"{count} rounds of {tokens:,} tokens, {threads} threads")
    print(f"{'':20} {'s':>7} {'tokens/s':>9} {'x full':>7} {'x headless':>10} {'of peak':>8}")
    for name, value in sorted(medians.items(), key=lambda row: -row[1]):
        best = max(top["bfloat16" if "bf16" in name else "float32"])
        share = ours.operations(tokens) / value / best if name.startswith("our") else None
        print(
            f"{name:20} {value:7.3f} {tokens / value:9,.0f} {medians['full forward'] / value:7.2f} "
            f"{medians['headless forward'] / value:10.2f} "
            + (f"{share:8.0%}" if share is not None else "")
        )
    if peer is not None:
        print(
            f"our scan is {medians['TransformerLens'] / medians['our scan']:.2f}x TransformerLens"
        )
    elif peers:
        print("TransformerLens is not installed: pip install transformer-lens")
    for name, values in top.items():
        print(f"peak {name}: {max(values) / 1e9:,.0f} GFLOP/s")
    print(
        f"largest resident size {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:,.0f} MB"
    )


def first(ours: Ours, number: int) -> torch.Tensor:
    """The batch with the token that comes before every window."""
    return torch.nn.functional.pad(ours.ids(number), (1, 0), value=ours.first)


def main() -> None:
    """Parse, make the checkpoint, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--every", type=int, default=10, help="batches from round to round")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_checkpoint(Path(folder), options.shape)
        compare(Path(folder), options.rounds, options.every, options.batch, peers=options.peers)


if __name__ == "__main__":
    main()
