"""The pattern explainer beside what else needs no language model, on held-out documents.

    python -m tests.bench.patterns [--neurons 300] [--seed 0] [--home DIR] [--texts FILE ...]

Needs a scanned index (``neuroglass scan``).  Every explainer is fitted on the explain fold
and predicts the records of the valid split.  With ``--texts`` it also predicts random
windows of other texts, read by the subject model.  Undefined scores are counted, never
averaged in as zeros; a constant has no correlation.  ``closed`` is the share of what the
look-up leaves (1 minus its score) that patterns close.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.engine import Engine
from engine.index import Index
from engine.lookup import fit_table
from engine.neuron import NeuronId
from engine.patterns.model import Patterns
from engine.scoring import ev_correlation
from engine.splits import split_records
from engine.text import read_documents

#: A pair of tokens is shrunk toward its second token as if seen this often more.
SHRINKAGE = 2.0
#: Windows of each other text, and how many documents they are from.
WINDOWS, DOCUMENTS = 150, 60
#: Neurons learnt together.
TOGETHER = 16

Simulate = Callable[[NDArray[np.int32]], NDArray[np.float32]]
#: Token ids, the bytes of the tokens, activations.
Part = tuple[NDArray[np.int32], Sequence[bytes], NDArray[np.float32]]
Found = dict[tuple[str, str], list[tuple[int, float | None]]]


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


def score(parts: list[Part], simulate: Callable[..., NDArray[np.float32]]) -> float | None:
    """Correlation over all tokens of some windows."""
    real = np.concatenate([activations for _, _, activations in parts])
    found = np.concatenate([simulate(ids, tokens) for ids, tokens, _ in parts])
    return ev_correlation(real, found)


async def measure(home: Path | None, count: int, seed: int, texts: list[str]) -> None:
    """Fit, score, print."""
    found: Found = defaultdict(list)
    learning, sizes, reading = [], [], {}
    async with await Engine.open(home) as engine:
        index = engine.index
        if index is None:
            raise SystemExit("Nothing has been scanned yet. Start with: neuroglass scan")
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.choice(index.n_layers * index.n_neurons, count, replace=False))
        neurons = [NeuronId(*divmod(row, index.n_neurons)) for row in rows.tolist()]
        lab = await engine._workbench().lab(index)
        reader = await engine._workbench().patterns(index)
        others = {
            Path(source).name.partition(".")[0]: await lab.run(
                lambda subject, _stop, source=source: read(subject, index, source, neurons)
            )
            for source in texts
        }
        for layer, group in groupby(neurons, key=lambda neuron: neuron.layer):
            own = list(group)
            started = time.process_time()
            await reader.learn_many(own[:1], "positive")
            reading[layer] = time.process_time() - started
            for start in range(0, len(own), TOGETHER):
                some = own[start : start + TOGETHER]
                started = time.process_time()
                await reader.learn_many(some, "positive")
                learning.append((time.process_time() - started) / len(some))
                indices = [neuron.index for neuron in some]
                inner, link = await lab.run(
                    lambda subject, _stop, layer=layer, indices=indices: reader._readings[
                        layer
                    ].inner(subject, indices)
                )
                windows = [one.token_ids for one in reader._text.excerpts]  # type: ignore[union-attr]
                for neuron, real in zip(some, link.value(inner).T, strict=True):
                    rules = json.dumps((await reader.learn(neuron, "positive")).patterns.to_json())
                    sizes.append(len(rules))
                    patterns = Patterns.from_json(json.loads(rules))
                    table = fit_table(index.token_means(neuron)).simulate
                    pairs = pairs_table(windows, real, table)
                    contenders: dict[str, Any] = {
                        "patterns": patterns.simulate,
                        "token look-up": lambda ids, _tokens, table=table: table(ids),
                        "token pairs": lambda ids, _tokens, pairs=pairs: pairs(ids),
                        "constant": lambda ids, _tokens: np.zeros(len(ids), np.float32),
                    }
                    held = split_records(index.neuron(neuron)).valid
                    parts = [
                        (
                            one.role,
                            (
                                one.record.excerpt.token_ids,
                                one.record.excerpt.tokens,
                                one.record.activations,
                            ),
                        )
                        for one in held
                    ]
                    scopes: dict[str, list[Part]] = {
                        "top and random": [part for _, part in parts],
                        "random only": [part for role, part in parts if role == "random"],
                    }
                    for name, (read_windows, values) in others.items():
                        column = neurons.index(neuron)
                        scopes[name] = [
                            (*window, values[i, :, column]) for i, window in enumerate(read_windows)
                        ]
                    for scope, some_parts in scopes.items():
                        for name, simulate in contenders.items():
                            value = score(some_parts, simulate) if some_parts else None
                            found[name, scope].append((neuron.layer, value))
    report(index, found)
    first = ", ".join(f"{layer}: {value:.1f}" for layer, value in reading.items())
    print(f"processor seconds per neuron: {np.mean(learning):.3f}; first of a layer {first}")
    print(f"rules: {np.mean(sizes) / 1000:.0f} kB on average, {max(sizes) / 1000:.0f} at most")


def read(
    subject: Any, index: Index, source: str, neurons: list[NeuronId]
) -> tuple[list[tuple[NDArray[np.int32], Sequence[bytes]]], NDArray[np.float32]]:
    """Random windows of another text, and the neurons there, float32 [window, T, neuron]."""
    width = index.manifest["settings"]["window"]
    documents = list(read_documents((source,)))
    rng = np.random.default_rng(0)
    pieces = []
    for i in rng.permutation(len(documents))[:DOCUMENTS].tolist():
        ids = subject.tokenizer.encode(documents[i].text, add_special_tokens=False).ids
        pieces += [ids[start : start + width] for start in range(0, len(ids) - width + 1, width)]
    drawn = [pieces[i] for i in rng.permutation(len(pieces))[:WINDOWS]]
    ids = torch.tensor(drawn)
    first = torch.full((len(ids), 1), subject.end_of_text)
    values = np.zeros((*ids.shape, len(neurons)), dtype=np.float32)
    for start in range(0, len(ids), 25):
        rows = slice(start, start + 25)

        def keep(layer: int, activations: torch.Tensor, rows: slice = rows) -> None:
            own = [i for i, neuron in enumerate(neurons) if neuron.layer == layer]
            indices = [neurons[i].index for i in own]
            values[rows, :, own] = activations[:, 1:, indices].float().numpy()

        subject.run(torch.cat([first[rows], ids[rows]], 1), keep)
    windows = [np.array(one, dtype=np.int32) for one in drawn]
    return [(one, subject.vocabulary.decode(one)) for one in windows], values


def report(index: Index, found: Found) -> None:
    """The table."""
    print(f"{index.model_name}: {index.windows_scanned:,} windows scanned")
    print(f"{'':15}{'':16}{'mean':>7}{'95% of mean':>17}{'median':>8}{'>= .8':>7}  by layer")
    scopes = list(dict.fromkeys(scope for _, scope in found))
    for scope in scopes:
        means = {}
        for name in ("patterns", "token pairs", "token look-up", "constant"):
            scores = [(layer, value) for layer, value in found[name, scope] if value is not None]
            if not scores:
                print(f"{name:15}{scope:16} undefined for all {len(found[name, scope])}")
                continue
            missing = len(found[name, scope]) - len(scores)
            values = np.array([value for _, value in scores])
            draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
            low, high = np.quantile(draws, [0.025, 0.975])
            every = sorted({layer for layer, _ in scores})
            layers = [np.mean([v for one, v in scores if one == layer]) for layer in every]
            means[name] = np.array([values.mean(), *layers])
            print(
                f"{name:15}{scope:16}{values.mean():7.3f}   [{low:.3f}, {high:.3f}]"
                f"{np.median(values):8.3f}{(values >= 0.8).mean():7.0%}  "
                + " ".join(f"{value:.3f}" for value in layers)
                + (f"  ({missing} undefined)" if missing else "")
            )
        left = 1 - means["token look-up"]
        closed = (means["patterns"] - means["token look-up"]) / left
        print(
            f"{'closed':15}{scope:16}{closed[0]:7.0%}{'':40}"
            + " ".join(f"{value:5.0%}" for value in closed[1:])
        )


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--texts", nargs="*", default=[])
    options = parser.parse_args()
    asyncio.run(measure(options.home, options.neurons, options.seed, options.texts))


if __name__ == "__main__":
    main()
