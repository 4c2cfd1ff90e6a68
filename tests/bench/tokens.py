"""Tokens per neuron of every part that asks a language model, at the defaults.

    python -m tests.bench.tokens [--vocabulary DIR] [--records 10] [--length 64]

The records are windows of the demo text.  DIR holds GPT-2's ``encoder.json`` and
``vocab.bpe``, or any ``tokenizer.json``; without it the demo model's own tokenizer counts,
whose tokens are shorter.  Peers' figures are in GPT-2 tokens (reference: peers, 1).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.models.model import Capabilities
from engine.models.request import Delta, PromptReply, PromptRequest, Reply, Request
from engine.records import Excerpt, Fold
from engine.text import read_documents

DEMO = Path(__file__).resolve().parents[2] / "engine" / "demo" / "model"
EXPLANATION = "references to weather and the seasons, above all to snow and cold"


@dataclass(frozen=True, slots=True)
class Row:
    """What one part asks for. ``prefix``: input per request that is always the same."""

    part: str
    requests: int
    input_tokens: int
    output_tokens: int
    prefix: int = 0


class Counter:
    """A language model that can only count: nothing is sent."""

    provider, model = "nobody", "counter"

    def __init__(self, count: Callable[[str], int]) -> None:
        self.count_tokens = count

    async def capabilities(self) -> Capabilities:
        return Capabilities(top_logprobs=20, prompt_logprobs=True)

    def stream(self, request: Request) -> AsyncIterator[Delta | Reply]:
        raise NotImplementedError

    async def complete(self, request: Request) -> Reply:
        raise NotImplementedError

    async def prompt_logprobs(self, request: PromptRequest) -> PromptReply:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


def tokenizer(folder: Path) -> tuple[Callable[[str], int], Callable[[str], list[bytes]]]:
    """Count the tokens of a text, and cut it into their bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    if (folder / "vocab.bpe").exists():
        vocabulary = json.loads((folder / "encoder.json").read_text("utf-8"))
        lines = (folder / "vocab.bpe").read_text("utf-8").splitlines()[1:]
        merges = [(a, b) for a, _, b in (line.partition(" ") for line in lines) if b]
        bpe = Tokenizer(models.BPE(vocabulary, merges))
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
    else:
        bpe = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def cut(text: str) -> list[bytes]:
        offsets = bpe.encode(text, add_special_tokens=False).offsets
        return [text[a:b].encode() for a, b in offsets]

    return lambda text: len(bpe.encode(text, add_special_tokens=False).ids), cut


def windows(cut: Callable[[str], list[bytes]], count: int, length: int) -> list[Excerpt]:
    """Windows of different documents of the demo text."""
    found: list[Excerpt] = []
    for number, document in enumerate(read_documents(("demo",))):
        tokens = tuple(cut(document.text[: 12 * length])[:length])
        if len(tokens) == length:
            ids = np.zeros(length, np.int32)
            found.append(Excerpt(number, number, document.name, 0, Fold.SCORE, ids, tokens))
        if len(found) == count:
            break
    return found


def explainers(model: Counter, texts: Sequence[Excerpt]) -> list[Row]:
    """Every explainer, on 20 strong records and 24 weaker ones.

    Args:
        texts: 44 of them; the neuron fires on three tokens of each strong one.
    """
    from engine.explainers.output_aware import OutputAwareExplainer
    from engine.explainers.pairs import TokenActivationPairsExplainer
    from engine.explainers.summary import SummaryExplainer
    from engine.explanation import Evidence
    from engine.neuron import NeuronId
    from engine.records import ActivationRecord

    rng = np.random.default_rng(1)
    records = []
    for number, text in enumerate(texts):
        values = np.full(len(text), -0.05, np.float32)
        values[rng.choice(len(text), 3, replace=False)] = (3 if number < 20 else 0.3) + rng.random(
            3
        )
        records.append(ActivationRecord(text, values))
    records.sort(key=lambda record: -record.peak)
    nothing: Any = None  # neither is looked at for a prompt
    evidence = Evidence(NeuronId(0, 0), tuple(records[:20]), tuple(records[20:]), nothing, nothing)
    rows = []
    for explainer in (
        TokenActivationPairsExplainer(model),
        SummaryExplainer(model),
        OutputAwareExplainer(model, nothing),
    ):
        read, written, requests = explainer.estimate(evidence)
        rows.append(Row(f"explainer {explainer.name}", requests, read, written))
    return rows


def simulators(model: Counter, records: Sequence[Excerpt]) -> list[Row]:
    """Every simulator over the records of one neuron."""
    from engine.simulators.all_at_once import AllAtOnceSimulator
    from engine.simulators.compact_json import CompactJsonSimulator
    from engine.simulators.one_token import OneTokenSimulator

    empty = Excerpt(0, 0, "", 0, Fold.SCORE, np.zeros(1, np.int32), (b"",))
    rows = []
    for simulator in (
        AllAtOnceSimulator(model),
        CompactJsonSimulator(model),
        OneTokenSimulator(model),
    ):
        needs = [simulator.estimate(EXPLANATION, record) for record in records]
        inputs, outputs, requests = (sum(column) for column in zip(*needs, strict=True))
        prefix = simulator.estimate("", empty)[0]
        rows.append(Row(f"simulator {simulator.name}", requests, inputs, outputs, prefix))
    return rows


def scorers(model: Counter, texts: Sequence[Excerpt]) -> list[Row]:
    """Every scorer that asks a model, for one explanation.

    Args:
        texts: 80 of them. In half of them the neuron fires on two tokens, about what it
            does in the demo's texts.
    """
    from engine.neuron import NeuronId
    from engine.records import ActivationRecord, Group, NeuronRecord, NeuronStatistics
    from engine.scorers.detection import DetectionScorer
    from engine.scorers.fuzzing import FuzzingScorer
    from engine.scorers.generation import GenerationScorer
    from engine.scorers.texts import TextPool
    from engine.splits import split_records

    rng = np.random.default_rng(0)
    records = []
    for number, text in enumerate(texts):
        values = np.zeros(len(text), np.float32)
        if number < len(texts) // 2:
            values[rng.choice(len(text), 2, replace=False)] = 1 + rng.random(2)
        records.append(ActivationRecord(text, values))
    half = len(records) // 2
    none = np.zeros(0)
    statistics = NeuronStatistics(
        tokens=0, mean=0, variance=1, skewness=0, kurtosis=3, fraction_active=0, maximum=2,
        minimum=0, histogram=none.astype(int), histogram_edges=none.astype(np.float32),
        quantile_boundaries=np.array([0.5, 1, 1.5, 1.9], np.float32),
        windows_in_band=none.astype(int),
    )  # fmt: skip
    kept = {
        (Fold.SCORE, Group.TOP): tuple(records[:half]),
        (Fold.SCORE, Group.RANDOM): tuple(records[half:]),
    }
    record = NeuronRecord(NeuronId(0, 0), statistics, kept, len(records))
    pool = TextPool(record, split_records(record), "valid")
    # The generation scorer needs a subject model to judge, not to say what it will ask.
    generation = GenerationScorer(model, None, pool)  # type: ignore[arg-type]
    rows = []
    for scorer in (DetectionScorer(model, pool), FuzzingScorer(model, pool), generation):
        read, written, requests = scorer.estimate(EXPLANATION)
        prefix = model.count_tokens(scorer.task) + 4
        rows.append(Row(f"scorer {scorer.name}", requests, read, written, prefix))
    return rows


def show(title: str, rows: Sequence[Row], records: int) -> None:
    """Print a table."""
    print(f"\n{title}")
    print(f"{'':32}{'requests':>9}{'input':>9}{'prefix':>8}{'output':>8}{'per record':>12}")
    for row in rows:
        total = row.input_tokens + row.output_tokens
        print(
            f"{row.part:32}{row.requests:9,}{row.input_tokens:9,}{row.prefix:8,}"
            f"{row.output_tokens:8,}{total / records:12,.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.bench.tokens")
    parser.add_argument("--vocabulary", type=Path, default=DEMO)
    parser.add_argument("--records", type=int, default=10)
    parser.add_argument("--length", type=int, default=64)
    args = parser.parse_args()
    count, cut = tokenizer(args.vocabulary)
    records = windows(cut, args.records, args.length)
    model = Counter(count)
    show(
        f"simulators, {len(records)} records of {args.length} tokens",
        simulators(model, records),
        len(records),
    )
    shown = windows(cut, 44, args.length)
    show(f"explainers, 44 records of {args.length} tokens", explainers(model, shown), 44)
    texts = windows(cut, 80, args.length)
    show(f"scorers, 40 texts of {args.length} tokens", scorers(model, texts), 40)
    peers = [
        Row("explanation, 40 records, three marked", 1, 3_095, 30, 643),
        Row("detection", 20, 15_832, 240, 596),
        Row("fuzzing, three marked", 20, 18_759, 240, 714),
        Row("simulation, log-probabilities", 100, 100_521, 100, 846),
        Row("simulation, JSON", 100, 484_660, 41_560, 4_431),
    ]
    show("delphi, 100 records of 32 GPT-2 tokens (its defaults)", peers, 100)
    print("delphi's JSON reply to one record of 64 tokens: 800 tokens")


if __name__ == "__main__":
    main()
