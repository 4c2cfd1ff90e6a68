"""What bfloat16 does to an index: errors of kept activations, top lists, scores.

    python -m tests.bench.precision [--model demo] [--neurons 200]

Scans the demo text twice, in float32 and in bfloat16, and compares neuron by neuron.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from engine.events import ScanFinished
from engine.index import Index
from engine.lookup import fit_table
from engine.neuron import NeuronId
from engine.records import Fold, Group
from engine.scan import run_scan
from engine.scan_request import ScanRequest
from engine.scoring import ev_correlation
from engine.splits import split_records


def scan(model: str, dtype: str, home: Path) -> tuple[Index, float]:
    """The index, and how many seconds its scan took."""
    *_, last = run_scan(ScanRequest(model=model, dtype=dtype, store_dtype="float32"), home)
    assert isinstance(last, ScanFinished), last
    return Index.open(Path(last.path)), last.seconds


def score(index: Index, neuron: NeuronId, records: Index) -> float | None:
    """The look-up table of one index against the valid records of another."""
    parts = split_records(records.neuron(neuron)).valid
    if not parts:
        return None
    table = fit_table(index.token_means(neuron))
    real = np.concatenate([part.record.activations for part in parts])
    simulated = np.concatenate([table.simulate(part.record.excerpt.token_ids) for part in parts])
    return ev_correlation(real, simulated)


def main() -> None:
    """Scan twice, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--neurons", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        full, seconds = scan(options.model, "float32", Path(home))
        half, faster = scan(options.model, "bfloat16", Path(home))
        rng = np.random.default_rng(0)
        errors, shares, same, shared, pairs = [], [], [], [], []
        for _ in range(options.neurons):
            neuron = NeuronId(int(rng.integers(full.n_layers)), int(rng.integers(full.n_neurons)))
            one, other = full.neuron(neuron), half.neuron(neuron)
            for fold in Fold:
                mine = {r.excerpt.window: r for r in one.records[fold, Group.TOP]}
                theirs = {r.excerpt.window: r for r in other.records[fold, Group.TOP]}
                both = mine.keys() & theirs.keys()
                shared.append(len(both) / max(len(mine), 1))
                same.append(list(mine) == list(theirs))
                for window in both:
                    difference = mine[window].activations - theirs[window].activations
                    errors.append(np.abs(difference))
                    shares.append(np.abs(difference).max() / one.statistics.maximum)
            three = score(full, neuron, full), score(half, neuron, full), score(half, neuron, half)
            if None not in three:
                pairs.append(three)
    every, of_maximum = np.concatenate(errors), np.array(shares)
    scores = np.array(pairs, dtype=np.float64)
    print(f"{options.neurons} neurons; scans {seconds:.0f} s and {faster:.0f} s")
    print(
        f"kept activations: mean error {every.mean():.2g}, 99th percentile "
        f"{np.quantile(every, 0.99):.2g}, largest {every.max():.2g}; largest in a record as a "
        f"share of the neuron's maximum: median {np.median(of_maximum):.2%}, "
        f"largest {of_maximum.max():.1%}"
    )
    print(f"windows in both top lists {np.mean(shared):.1%}; in the same order {np.mean(same):.1%}")
    print(f"look-up scores: mean {scores[:, 0].mean():.4f} in float32")
    for column, words in (
        (1, "bfloat16's table on float32's records"),
        (2, "bfloat16's table on its own records, whose ranks it dealt otherwise"),
    ):
        change = scores[:, column] - scores[:, 0]
        print(
            f"  {words}: mean {scores[:, column].mean():.4f}, "
            f"mean size of a neuron's change {np.abs(change).mean():.4f}"
        )


if __name__ == "__main__":
    main()
