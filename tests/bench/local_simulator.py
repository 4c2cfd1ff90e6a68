"""Time per record of the local all-at-once simulator, against one forward pass.

    python -m tests.bench.local_simulator [--checkpoint DIR] [--device cpu] [--records 10]

Without a checkpoint: a GPT-2 of the demo's size with random weights that reads 2048 tokens
(the demo model reads 256, too few for the solved examples).  The forward pass is
transformers' own over the same text, logits of every place and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from engine.explanation import Explanation
from engine.few_shots import FEW_SHOTS
from engine.models.local import LocalModel
from engine.models.request import PromptRequest
from engine.neuron import NeuronId
from engine.records import Excerpt
from engine.simulators.all_at_once import AllAtOnceSimulator, build_prompt
from engine.simulators.examples import solved
from tests.bench.tokens import DEMO, EXPLANATION, tokenizer, windows


def random_gpt2(folder: Path) -> Path:
    """A checkpoint of random weights."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=8192, n_positions=2048, n_embd=256, n_layer=6, n_head=8)
    GPT2LMHeadModel(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(DEMO).save_pretrained(folder)
    return folder


def passes(checkpoint: Path, device: str, texts: Sequence[str]) -> list[float]:
    """Seconds of one plain forward pass over each text."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    cut = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    model = model.to(device).eval()
    seconds = []
    with torch.inference_mode():
        for text in (texts[0], *texts):
            started = time.perf_counter()
            ids = cut(text, return_tensors="pt")["input_ids"].to(device)
            model(ids).logits[0, -1].cpu()
            seconds.append(time.perf_counter() - started)
    return seconds[1:]


async def simulations(
    model: LocalModel, records: Sequence[Excerpt], *, afresh: bool
) -> list[float]:
    """Seconds of each record; ``afresh`` makes the model forget the text before it."""
    simulator = AllAtOnceSimulator(model)
    explanation = Explanation(NeuronId(0, 0), EXPLANATION, "bench")
    await simulator.simulate(explanation, records[-1])
    seconds = []
    for record in records:
        if afresh:
            await model.prompt_logprobs(PromptRequest("Nothing in common", top_logprobs=0))
        started = time.perf_counter()
        simulation = await simulator.simulate(explanation, record)
        seconds.append(time.perf_counter() - started)
        assert simulation.coverage == 1, simulation.message
    return seconds


async def measure(checkpoint: Path, device: str, count: int, length: int) -> None:
    """Measure and print."""
    _, cut = tokenizer(checkpoint)
    records = windows(cut, count, length)
    neurons = solved(FEW_SHOTS, 10)
    texts = [build_prompt(neurons, EXPLANATION, r.tokens, 10).text for r in records]
    model = LocalModel.load(str(checkpoint), device=device, dtype="float32")
    print(f"{len(records)} records of {length} tokens, texts of {model.count_tokens(texts[0])}")
    plain = passes(checkpoint, device, texts)
    rows = {
        "one forward pass": plain,
        "a record, alone": await simulations(model, records, afresh=True),
        "a record after another": await simulations(model, records, afresh=False),
    }
    for name, seconds in rows.items():
        median = statistics.median(seconds)
        ratio = median / statistics.median(plain)
        print(f"{name:24}{1000 * median:9.1f} ms  {ratio:5.2f} x")
    await model.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.bench.local_simulator")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--records", type=int, default=10)
    parser.add_argument("--length", type=int, default=64)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = args.checkpoint or random_gpt2(Path(folder))
        asyncio.run(measure(checkpoint, args.device, args.records, args.length))


if __name__ == "__main__":
    main()
