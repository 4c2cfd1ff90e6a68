"""Patterns as a value: tables of contributions, and how their sum becomes an activation.

This is what an explanation's rules hold, and all that the simulator needs: no subject
model, no index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import MethodError
from engine.patterns.features import BAG_REACH, OFFSETS

NAME = "patterns"
#: Points of the curve from sums to activations.
POINTS = 48
#: Entries kept of all tables of a neuron, those that move the sum most.
ENTRIES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Contributions of tokens at one place of the context.

    Attributes:
        offset: How far before the present token; None for the bag of those further back,
            each weighted by one over the root of its distance.
        token_ids: int64 [M], ascending.
        values: float32 [M], in units of the neuron's input.
    """

    offset: int | None
    token_ids: NDArray[np.int64]
    values: NDArray[np.float32]

    def of(self, token_ids: NDArray[np.integer]) -> NDArray[np.float32]:
        """float32, the contribution of each token; 0 for those not in the table."""
        if not len(self.token_ids):
            return np.zeros(len(token_ids), dtype=np.float32)
        place = np.minimum(np.searchsorted(self.token_ids, token_ids), len(self.token_ids) - 1)
        known = self.token_ids[place] == token_ids
        return np.where(known, self.values[place], np.float32(0))


@dataclass(frozen=True, slots=True, eq=False)
class Patterns:
    """One neuron's fitted patterns.

    Attributes:
        bias: Of the sum.
        tables: By offset, the bag last.
        sums, activations: float32 [P], rising: the curve; beyond its ends it goes on
            flat below and with its last slope above.
    """

    bias: float
    tables: tuple[Table, ...]
    sums: NDArray[np.float32]
    activations: NDArray[np.float32]

    def contributions(self, token_ids: NDArray[np.integer]) -> NDArray[np.float32]:
        """What each place of the context adds at each token, float32 [tables, T]."""
        found = np.zeros((len(self.tables), len(token_ids)), dtype=np.float32)
        for row, table in zip(found, self.tables, strict=True):
            values = table.of(token_ids)
            if table.offset is not None:
                row[table.offset :] = values[: len(values) - table.offset]
                continue
            for distance in range(OFFSETS[-1] + 1, min(BAG_REACH, len(values))):
                row[distance:] += values[:-distance] * np.float32(1 / np.sqrt(distance))
        return found

    def inner(self, token_ids: NDArray[np.integer]) -> NDArray[np.float32]:
        """The sum at each token, float32 [T]."""
        total: NDArray[np.float32] = self.contributions(token_ids).sum(0) + np.float32(self.bias)
        return total

    def simulate(self, token_ids: NDArray[np.integer]) -> NDArray[np.float32]:
        """Expected activations, float32 [T]."""
        return self.curve(self.inner(token_ids))

    def curve(self, inner: NDArray[np.float32]) -> NDArray[np.float32]:
        """From sums to activations."""
        low, high = self.sums[-2:]
        slope = (self.activations[-1] - self.activations[-2]) / max(high - low, 1e-6)
        above = np.maximum(inner - high, 0) * min(slope, 1.0)
        found = np.interp(inner, self.sums, self.activations) + above
        result: NDArray[np.float32] = found.astype(np.float32)
        return result

    def to_json(self) -> dict[str, Any]:
        """JSON values; :meth:`from_json` reads them."""
        return {
            "kind": NAME,
            "bias": _short(self.bias),
            "tables": [
                {
                    "offset": table.offset,
                    "tokens": table.token_ids.tolist(),
                    "values": [_short(value) for value in table.values.tolist()],
                }
                for table in self.tables
            ],
            "sums": [_short(value) for value in self.sums.tolist()],
            "activations": [_short(value) for value in self.activations.tolist()],
        }

    @classmethod
    def from_json(cls, rules: Mapping[str, Any] | None) -> Patterns:
        """Read an explanation's rules, which may come from a file.

        Raises:
            MethodError: if there are no patterns in them.
        """
        if rules is None or rules.get("kind") != NAME:
            raise MethodError(
                "The explanation holds no patterns.", "Choose a simulator that reads sentences."
            )
        damaged = MethodError("The patterns are damaged.", "Explain the neuron again.")
        try:
            tables = tuple(
                Table(
                    None if one["offset"] is None else int(one["offset"]),
                    np.array(one["tokens"], dtype=np.int64).reshape(-1),
                    np.array(one["values"], dtype=np.float32).reshape(-1),
                )
                for one in rules["tables"]
            )
            sums = np.array(rules["sums"], dtype=np.float32).reshape(-1)
            activations = np.array(rules["activations"], dtype=np.float32).reshape(-1)
            found = cls(float(rules["bias"]), tables, sums, activations)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise damaged from error
        numbers = [found.sums, found.activations, *(table.values for table in tables)]
        sound = (
            len(sums) == len(activations) >= 2
            and np.isfinite(found.bias)
            and all(np.isfinite(array).all() for array in numbers)
            and bool((np.diff(sums) >= 0).all())
            and all(len(t.token_ids) == len(t.values) for t in tables)
            and all((np.diff(t.token_ids) > 0).all() for t in tables)
            and all(t.offset is None or 0 <= t.offset <= BAG_REACH for t in tables)
        )
        if not sound:
            raise damaged
        return found


def fit_curve(
    inner: NDArray[np.float32], real: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The rising curve from a neuron's sums to its mean activations, float32 [P] both.

    Points stand at even ranks, with more of them at the top, where a neuron's few strong
    activations are.
    """
    order = np.argsort(inner, kind="stable")
    last = len(order) - 1
    even = np.linspace(0, last, POINTS)
    top = last - np.geomspace(1, max(len(order) / POINTS, 2), POINTS // 4)
    edges = np.unique(np.concatenate([even, top]).clip(0, last).astype(np.int64))
    sums, means = [], []
    for start, stop in pairwise(edges.tolist()):
        part = order[start : stop + 1]
        sums.append(inner[part].mean())
        means.append(real[part].mean())
    if len(sums) < 2:
        sums, means = [float(inner.min()), float(inner.max())], [real.mean()] * 2
    rising = np.maximum.accumulate(np.array(means, dtype=np.float32))
    return np.maximum.accumulate(np.array(sums, dtype=np.float32)), rising


def _short(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")
