"""Mean scores of the look-up explainer on randomly drawn neurons, beside its baselines.

    python -m tests.bench.scores [--neurons 200] [--seed 0] [--home DIR]

Needs a scanned index (``neuroglass scan``). Prints one table; undefined scores are
counted, never averaged in as zeros.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from engine.engine import Engine
from engine.events import Scored
from engine.neuron import NeuronId
from engine.score import Scope, Score


async def measure(home: Path | None, count: int, seed: int) -> None:
    """Explain and score ``count`` neurons and print the table."""
    scores: dict[tuple[str, Scope], list[Score]] = defaultdict(list)
    seconds = []
    layers = defaultdict(list)
    async with await Engine.open(home) as engine:
        index = engine.index
        if index is None:
            raise SystemExit("Nothing has been scanned yet. Start with: neuroglass scan")
        rng = np.random.default_rng(seed)
        rows = rng.choice(index.n_layers * index.n_neurons, count, replace=False)
        for row in rows.tolist():
            neuron = NeuronId(*divmod(row, index.n_neurons))
            start = time.perf_counter()
            async for event in engine.explain(neuron):
                if isinstance(event, Scored):
                    for score in event.card.scores:
                        scores["token look-up", score.scope].append(score)
                        if score.ev_correlation is not None:
                            layers[score.scope, neuron.layer].append(score.ev_correlation)
                    for baseline in event.card.baselines:
                        for score in baseline.scores:
                            scores[baseline.name, score.scope].append(score)
            seconds.append(time.perf_counter() - start)
        print(f"{index.model_name}: {count} neurons, {index.windows_scanned:,} windows scanned")
    print(
        f"{'':22}{'scope':16}{'mean r':>8}{'median':>8}{'95% of mean':>17}{'defined':>9}"
        f"{'mean r2':>9}{'mean abs':>9}"
    )
    for (name, scope), rows_ in scores.items():
        values = np.array([s.ev_correlation for s in rows_ if s.ev_correlation is not None])
        line = f"{name:22}{scope.value:16}"
        if len(values):
            draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
            low, high = np.quantile(draws, [0.025, 0.975])
            line += f"{values.mean():8.3f}{np.median(values):8.3f}   [{low:6.3f},{high:6.3f}]"
        else:
            line += f"{'-':>8}{'-':>8}{'-':>17}"
        line += f"{len(values):>5}/{len(rows_)}"
        for field in ("rsquared", "absolute_dev_explained"):
            found = [getattr(s, field) for s in rows_ if getattr(s, field) is not None]
            line += f"{np.mean(found):9.3f}" if found else f"{'-':>9}"
        print(line)
    for scope in Scope:
        line = "  ".join(
            f"{lay}: {np.mean(layers[scope, lay]):.3f}" for s, lay in sorted(layers) if s is scope
        )
        print(f"by layer, {scope.value}: {line}")
    print(f"seconds per neuron: median {np.median(seconds):.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--neurons", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    asyncio.run(measure(options.home, options.neurons, options.seed))
