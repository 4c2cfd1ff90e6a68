"""How many senses neurons have, and how held-out documents are predicted by them.

    python -m tests.bench.senses [--neurons 60] [--seed 0] [--home DIR] [--split valid]

Needs a scanned index (``neuroglass scan``).  Everything is fitted on the explain fold and
predicts the records of the split.  Undefined scores are counted, never averaged in.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from engine.engine import Engine
from engine.explanation import Evidence, Explanation
from engine.lookup import fit_table
from engine.neuron import NeuronId
from engine.scoring import ev_correlation
from engine.senses.explainer import SenseSimulator
from engine.senses.reader import SenseReader
from engine.splits import split_records


async def measure(home: Path | None, count: int, seed: int, split: str) -> None:
    """Fit, score, print."""
    found: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    numbers: list[int] = []
    seconds, reading = [], {}
    async with await Engine.open(home) as engine:
        index = engine.index
        if index is None:
            raise SystemExit("Nothing has been scanned yet. Start with: neuroglass scan")
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(index.n_layers * index.n_neurons, count, replace=False))
        reader = SenseReader(await engine._workbench().patterns(index))
        for row in rows.tolist():
            neuron = NeuronId(*divmod(row, index.n_neurons))
            record, means = index.neuron(neuron), index.token_means(neuron)
            splits = split_records(record)
            evidence = Evidence(neuron, splits.train, splits.others, means, record.statistics)
            if neuron.layer not in reading:
                started = time.perf_counter()
                await reader.find(evidence)
                reading[neuron.layer] = time.perf_counter() - started
            started = time.perf_counter()
            senses = await reader.find(evidence)
            seconds.append(time.perf_counter() - started)
            numbers.append(len(senses.senses))
            explanation = Explanation(neuron, senses.text, "senses", rules=senses.to_json())
            table = fit_table(means)
            simulator = SenseSimulator()
            held_out = splits.held_out(split)
            parts = {
                "top and random": [held.record for held in held_out],
                "random only": [held.record for held in held_out if held.role == "random"],
            }
            for part, records in parts.items():
                real = np.concatenate([one.activations for one in records])
                looked = [table.simulate(one.excerpt.token_ids) for one in records]
                simulated = [await simulator.simulate(explanation, one.excerpt) for one in records]
                found[part, "token look-up"].append(ev_correlation(real, np.concatenate(looked)))
                expected = np.concatenate([one.expected for one in simulated])
                found[part, "senses"].append(ev_correlation(real, expected))
    several = np.array(numbers) > 1
    counted = Counter(numbers)
    print("senses:", ", ".join(f"{n}: {counted[n]}" for n in sorted(counted)))
    for part in ("top and random", "random only"):
        for title, chosen in (("all", np.ones_like(several)), ("several senses", several)):
            print(f"\n{part}, {title} ({int(chosen.sum())}), split {split}")
            whole = np.array(found[part, "senses"], dtype=np.float64)
            for name in (name for p, name in found if p == part):
                values = np.array(found[part, name], dtype=np.float64)
                good = chosen & np.isfinite(values) & np.isfinite(whole)
                if not good.any():
                    continue
                gain = values[good] - whole[good]
                error = gain.std(ddof=1) / np.sqrt(good.sum()) if good.sum() > 1 else np.nan
                print(
                    f"  {name:<22} mean {values[good].mean():.3f}  median "
                    f"{np.median(values[good]):.3f}  beside senses {gain.mean():+.4f} "
                    f"± {error:.4f}  undefined {int((chosen & ~good).sum())}"
                )
    print(f"\nseconds per neuron: median {np.median(seconds):.1f}, most {max(seconds):.1f}")
    print("first of a layer:", ", ".join(f"{k}: {v:.1f}" for k, v in reading.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neurons", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--split", default="valid")
    given = parser.parse_args()
    asyncio.run(measure(given.home, given.neurons, given.seed, given.split))
