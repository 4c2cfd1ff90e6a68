"""How much of a neuron's effect its token table keeps, on random neurons of an index.

    python -m tests.bench.ablation [--home DIR] [--neurons 20]

No language model is asked.  Beside each: ablation to zero, and another neuron's table.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

import numpy as np

from engine.chance import other_explanation
from engine.explanation import Evidence, Explanation
from engine.index import Index
from engine.judgement import Judgement
from engine.lab import Lab
from engine.lookup import TokenLookupExplainer, TokenLookupSimulator
from engine.neuron import NeuronId
from engine.paths import default_home, read_pointer
from engine.scorers.ablation import AblationScorer
from engine.splits import split_records


async def judge(index: Index, lab: Lab, neuron: NeuronId) -> Judgement:
    """Explain a neuron by its table and score that on valid."""
    record = index.neuron(neuron)
    splits = split_records(record)
    means = index.token_means(neuron)
    evidence = Evidence(neuron, splits.train, splits.others, means, record.statistics)
    [explanation] = [
        piece
        async for piece in TokenLookupExplainer().explain(evidence)
        if isinstance(piece, Explanation)
    ]
    chance = await other_explanation(index, neuron, "positive")
    scorer = AblationScorer(
        lab, TokenLookupSimulator(), splits, "valid", mean=record.statistics.mean
    )
    *_, judgement = [piece async for piece in scorer.judge(explanation, chance)]
    assert isinstance(judgement, Judgement)
    return judgement


async def measure(home: Path, count: int) -> None:
    """Print a line for each neuron and the means."""
    path = read_pointer(home)
    assert path is not None, "nothing has been scanned"
    index = Index.open(path)
    lab = Lab.of(index)
    rng = np.random.default_rng(7)
    rows = []
    await lab.promoted(NeuronId(0, 0))  # loads the model
    for _ in range(count):
        neuron = NeuronId(int(rng.integers(index.n_layers)), int(rng.integers(index.n_neurons)))
        started = time.perf_counter()
        found = await judge(index, lab, neuron)
        seconds = time.perf_counter() - started
        values = [one.value for one in (found.headline, found.measures[1], *found.chance)]
        if None in values:
            print(f"{neuron!s:8} undefined: {found.headline.message}")
            continue
        row = [float(value) for value in values if value is not None]
        effect = float(np.mean([item.truth for item in found.items]))
        between = found.headline.interval
        shown = f"{between.low:6.2f} to {between.high:4.2f}" if between else "no interval"
        print(
            f"{neuron!s:8} kept {row[0]:6.3f} ({shown})  zero {row[1]:6.3f}  "
            f"another {row[2]:6.3f}  ablation {effect:.1e} nats/token  {seconds:.2f} s"
        )
        rows.append([*row, seconds])
    await lab.close()
    kept, zero, another, seconds = np.mean(rows, axis=0)
    print(
        f"mean of {len(rows)}: kept {kept:.3f}, zero {zero:.3f}, another neuron's table "
        f"{another:.3f}, {seconds:.2f} s for both explanations"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="tests.bench.ablation")
    parser.add_argument("--home", type=Path, default=default_home())
    parser.add_argument("--neurons", type=int, default=20)
    args = parser.parse_args()
    asyncio.run(measure(args.home, args.neurons))


if __name__ == "__main__":
    main()
