"""The pattern explainer beside what else needs no language model, on held-out documents.

    python -m tests.bench.patterns [--neurons 300] [--seed 0] [--home DIR] [--texts FILE]

Needs a scanned index (``neuroglass scan``).  Every explainer is fitted on the explain fold
and predicts the records of the valid split.  With ``--texts`` it also predicts random
windows of another text, read by the subject model.  Undefined scores are counted, never
averaged in as zeros.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.engine import Engine
from engine.index import Index
from engine.lookup import fit_table
from engine.neuron import NeuronId
from engine.patterns.model import Patterns
from engine.records import ActivationRecord
from engine.scoring import ev_correlation
from engine.splits import split_records
from engine.text import read_documents

#: A pair of tokens is shrunk toward its second token as if seen this often more.
SHRINKAGE = 2.0
#: Windows of the other text, and how much of it is used.
WINDOWS, DOCUMENTS = 400, 60

Simulate = Callable[[NDArray[np.int32]], NDArray[np.float32]]


def pairs_table(
    windows: list[NDArray[np.int32]], real: NDArray[np.float32], table: Simulate
) -> Simulate:
    """Mean activation of each pair of neighbouring tokens, backed off to the token table."""
    ids = np.concatenate(windows).astype(np.int64)
    first = np.concatenate([[True, *[False] * (len(window) - 1)] for window in windows])
    keys = np.where(first, -1, np.roll(ids, 1)) * (1 << 20) + ids
    names, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
    sums = np.bincount(place, real)

    def simulate(token_ids: NDArray[np.int32]) -> NDArray[np.float32]:
        own = token_ids.astype(np.int64)
        key = np.concatenate([[-1], own[:-1]]) * (1 << 20) + own
        where = np.minimum(np.searchsorted(names, key), len(names) - 1)
        known = names[where] == key
        n, total = np.where(known, counts[where], 0), np.where(known, sums[where], 0.0)
        result: NDArray[np.float32] = (total + SHRINKAGE * table(token_ids)) / (n + SHRINKAGE)
        return result

    return simulate


def score(records: list[ActivationRecord], simulate: Simulate) -> float | None:
    """Correlation over all tokens of some records."""
    real = np.concatenate([one.activations for one in records])
    found = np.concatenate([simulate(one.excerpt.token_ids) for one in records])
    return ev_correlation(real, found)


async def measure(home: Path | None, count: int, seed: int, texts: str | None) -> None:
    """Fit, score, print."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    undefined: dict[tuple[str, str], int] = defaultdict(int)
    seconds, reading = [], {}
    async with await Engine.open(home) as engine:
        index = engine.index
        if index is None:
            raise SystemExit("Nothing has been scanned yet. Start with: neuroglass scan")
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(index.n_layers * index.n_neurons, count, replace=False))
        lab = await engine._workbench().lab(index)
        reader = await engine._workbench().patterns(index)
        other = pieces(texts) if texts else []
        for row in rows.tolist():
            neuron = NeuronId(*divmod(row, index.n_neurons))
            if neuron.layer not in reading:
                started = time.perf_counter()
                await reader.learn(neuron, "positive")
                reading[neuron.layer] = time.perf_counter() - started
            started = time.perf_counter()
            learned = await reader.learn(neuron, "positive")
            seconds.append(time.perf_counter() - started)
            patterns = Patterns.from_json(learned.patterns.to_json())
            table = fit_table(index.token_means(neuron))
            text, inner = await lab.run(lambda subject, _stop, n=neuron: _inner(reader, subject, n))
            contenders: dict[str, Simulate] = {
                "patterns": patterns.simulate,
                "token look-up": table.simulate,
                "token pairs": pairs_table(
                    [one.token_ids for one in text.excerpts], inner, table.simulate
                ),
                "constant": lambda ids: np.zeros(len(ids), np.float32),
            }
            parts = split_records(index.neuron(neuron)).valid
            scopes = {
                "top and random": [part.record for part in parts],
                "random only": [part.record for part in parts if part.role == "random"],
            }
            if other:
                scopes["another text"] = await lab.activations(neuron, other)
            for scope, records in scopes.items():
                for name, simulate in contenders.items():
                    value = score(records, simulate) if records else None
                    if value is None:
                        undefined[name, scope] += 1
                    else:
                        found[name, scope].append((neuron.layer, value))
    report(index, found, undefined)
    first = ", ".join(f"{layer}: {value:.1f}" for layer, value in reading.items())
    print(f"seconds per neuron: median {np.median(seconds):.2f}; first of a layer {first}")


def _inner(reader, subject, neuron):  # type: ignore[no-untyped-def]
    values, link = reader._reading.inner(subject, neuron.index)
    return reader._text, link.value(values)


def pieces(source: str) -> list[str]:
    """Passages of another text, evenly drawn."""
    documents = list(read_documents((source,)))
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(documents), min(DOCUMENTS, len(documents)), replace=False)
    several = [documents[i].text for i in chosen]
    starts = [(d, s) for d, text in enumerate(several) for s in range(0, len(text) - 400, 400)]
    drawn = rng.choice(len(starts), min(WINDOWS, len(starts)), replace=False)
    return [several[starts[i][0]][starts[i][1] :][:400] for i in drawn]


def report(
    index: Index,
    found: dict[tuple[str, str], list[tuple[int, float]]],
    undefined: dict[tuple[str, str], int],
) -> None:
    """The table."""
    print(f"{index.model_name}: {index.windows_scanned:,} windows scanned")
    print(f"{'':16}{'':16}{'mean':>7}{'95% of mean':>17}{'median':>8}{'>= .8':>7}  by layer")
    for name, scope in sorted(
        {*found, *undefined}, key=lambda key: (key[1] != "top and random", key[1])
    ):
        scores = found[name, scope]
        if not scores:
            print(f"{name:16}{scope:16} undefined for all {undefined[name, scope]}")
            continue
        values = np.array([value for _, value in scores])
        draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
        low, high = np.quantile(draws, [0.025, 0.975])
        layers = " ".join(
            f"{np.mean([v for one, v in scores if one == layer]):.3f}"
            for layer in sorted({one for one, _ in scores})
        )
        print(
            f"{name:16}{scope:16}{values.mean():7.3f}   [{low:.3f}, {high:.3f}]"
            f"{np.median(values):8.3f}{(values >= 0.8).mean():7.0%}  {layers}"
        )


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--texts")
    options = parser.parse_args()
    asyncio.run(measure(options.home, options.neurons, options.seed, options.texts))


if __name__ == "__main__":
    main()
