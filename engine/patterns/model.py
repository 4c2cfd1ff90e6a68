"""Patterns as a value: tables of contributions, and how their sum becomes an activation.

This is what an explanation's rules hold, and all that the simulator needs: no subject
model, no index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import MethodError
from engine.patterns.features import BAG_REACH, OFFSETS
from engine.patterns.places import PLACES, places_of
from engine.patterns.shapes import numbered

NAME = "patterns"
#: Points of the curve from sums to activations.
POINTS = 40
#: Entries kept of all tables of a neuron, those that move the sum most. Measured on 96
#: neurons of the demo model: 4096 score .89, 8192 .90, all 18,000 .91.
ENTRIES = 8192
#: Values are whole multiples of a unit, of which the largest one has so many.
UNITS = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Contributions of tokens at one place of the context.

    Attributes:
        offset: How far before the present token; None for the bag of those further back,
            each weighted by one over the root of its distance.
        token_ids: int64 [M], ascending.
        values: float32 [M], in units of the neuron's input.
        shapes: float32 [S], what any other token of a shape contributes.
    """

    offset: int | None
    token_ids: NDArray[np.int64]
    values: NDArray[np.float32]
    shapes: NDArray[np.float32]

    def of(self, token_ids: NDArray[np.integer], shapes: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32, the contribution of each token.

        Args:
            shapes: The number of each token's shape; -1 contributes nothing.
        """
        if len(self.shapes):
            rest = np.where(shapes >= 0, self.shapes[shapes], np.float32(0))
        else:
            rest = np.zeros(len(token_ids), dtype=np.float32)
        if not len(self.token_ids):
            return rest
        place = np.minimum(np.searchsorted(self.token_ids, token_ids), len(self.token_ids) - 1)
        known = self.token_ids[place] == token_ids
        return np.where(known, self.values[place], rest)


@dataclass(frozen=True, slots=True, eq=False)
class Patterns:
    """One neuron's fitted patterns.

    Attributes:
        bias: Of the sum.
        tables: By offset, the bag last.
        shapes: Names that the tables' shapes stand for.
        places: By name of the place, float32, a contribution for each of its values.
        sums, activations: float32 [P], sums rising: the curve; beyond its ends it goes on
            flat below and with its last slope above.
    """

    bias: float
    tables: tuple[Table, ...]
    shapes: tuple[str, ...]
    places: Mapping[str, NDArray[np.float32]]
    sums: NDArray[np.float32]
    activations: NDArray[np.float32]

    def contributions(
        self, token_ids: NDArray[np.integer], tokens: Sequence[bytes]
    ) -> NDArray[np.float32]:
        """What each table, then each place adds at each token, float32 [parts, T].

        Args:
            tokens: The bytes of each token.
        """
        count = len(token_ids)
        found = np.zeros((len(self.tables) + len(self.places), count), dtype=np.float32)
        shapes = numbered(tokens, self.shapes)
        for row, table in zip(found, self.tables, strict=False):
            values = table.of(token_ids, shapes)
            if table.offset is not None:
                row[table.offset :] = values[: max(count - table.offset, 0)]
                continue
            for distance in range(OFFSETS[-1] + 1, min(BAG_REACH, count)):
                row[distance:] += values[:-distance] * np.float32(1 / np.sqrt(distance))
        if self.places:
            where = places_of(tokens)
            for row, (name, values) in zip(
                found[len(self.tables) :], self.places.items(), strict=True
            ):
                row[:] = values[where[name]]
        return found

    def inner(self, token_ids: NDArray[np.integer], tokens: Sequence[bytes]) -> NDArray[np.float32]:
        """The sum at each token, float32 [T]."""
        parts = self.contributions(token_ids, tokens)
        total: NDArray[np.float32] = parts.sum(0) + np.float32(self.bias)
        return total

    def simulate(
        self, token_ids: NDArray[np.integer], tokens: Sequence[bytes]
    ) -> NDArray[np.float32]:
        """Expected activations, float32 [T]."""
        return self.curve(self.inner(token_ids, tokens))

    def curve(self, inner: NDArray[np.float32]) -> NDArray[np.float32]:
        """From sums to activations."""
        low, high = self.sums[-2:]
        slope = (self.activations[-1] - self.activations[-2]) / max(high - low, 1e-6)
        above = np.maximum(inner - high, 0) * min(max(slope, 0.0), 1.0)
        found = np.interp(inner, self.sums, self.activations) + above
        result: NDArray[np.float32] = found.astype(np.float32)
        return result

    def to_json(self) -> dict[str, Any]:
        """JSON values; :meth:`from_json` reads them."""
        arrays = [array for table in self.tables for array in (table.values, table.shapes)]
        arrays += self.places.values()
        largest = max((float(np.abs(array).max(initial=0.0)) for array in arrays), default=0.0)
        unit = _short(largest / UNITS) or 1.0

        def whole(values: NDArray[np.float32]) -> list[int]:
            return [int(value) for value in np.rint(values / unit).tolist()]

        return {
            "kind": NAME,
            "bias": _short(self.bias),
            "unit": unit,
            "shapes": list(self.shapes),
            "tables": [
                {
                    "offset": table.offset,
                    "tokens": table.token_ids.tolist(),
                    "values": whole(table.values),
                    "shapes": whole(table.shapes),
                }
                for table in self.tables
            ],
            "places": {name: whole(values) for name, values in self.places.items()},
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
            # Rules without units, shapes and places are those of an earlier version.
            unit = float(rules.get("unit", 1.0))
            shapes = tuple(str(name) for name in rules.get("shapes", ()))
            tables = tuple(
                Table(
                    None if one["offset"] is None else int(one["offset"]),
                    np.array(one["tokens"], dtype=np.int64).reshape(-1),
                    np.array(one["values"], dtype=np.float32).reshape(-1) * np.float32(unit),
                    np.array(one.get("shapes", ()), dtype=np.float32).reshape(-1)
                    * np.float32(unit),
                )
                for one in rules["tables"]
            )
            places = {
                str(name): np.array(values, dtype=np.float32).reshape(-1) * np.float32(unit)
                for name, values in rules.get("places", {}).items()
            }
            sums = np.array(rules["sums"], dtype=np.float32).reshape(-1)
            activations = np.array(rules["activations"], dtype=np.float32).reshape(-1)
            bias = float(rules["bias"])
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise damaged from error
        found = cls(bias, tables, shapes, places, sums, activations)
        if not found._sound():
            raise damaged
        return found

    def _sound(self) -> bool:
        numbers = [self.sums, self.activations, *self.places.values()]
        numbers += [array for table in self.tables for array in (table.values, table.shapes)]
        return (
            len(self.sums) == len(self.activations) >= 2
            and bool(np.isfinite(self.bias))
            and all(np.isfinite(array).all() for array in numbers)
            and bool((np.diff(self.sums) >= 0).all())
            and all(len(t.token_ids) == len(t.values) for t in self.tables)
            and all((np.diff(t.token_ids) > 0).all() for t in self.tables)
            and all(t.offset is None or 0 <= t.offset <= BAG_REACH for t in self.tables)
            and all(len(t.shapes) in (0, len(self.shapes)) for t in self.tables)
            and all(len(values) == PLACES.get(name) for name, values in self.places.items())
        )


def fit_curve(
    inner: NDArray[np.float32], real: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The curve from a neuron's sums to its mean activations, float32 [P] both.

    Points stand at even ranks, with more of them at the top, where a neuron's few strong
    activations are.  It may fall: functions such as GELU do, below zero.
    """
    order = np.argsort(inner, kind="stable")
    last = len(order) - 1
    even = np.linspace(0, last, POINTS)
    least = min(20, max(last // 4, 1))
    top = last - np.geomspace(least, max(last / POINTS, least + 1), POINTS // 4)
    edges = np.unique(np.concatenate([even, top]).clip(0, last).astype(np.int64))
    sums, means = [], []
    for start, stop in pairwise(edges.tolist()):
        part = order[start : stop + 1]
        sums.append(inner[part].mean())
        means.append(real[part].mean())
    if len(sums) < 2:
        sums, means = [float(inner.min()), float(inner.max())], [real.mean()] * 2
    rising = np.maximum.accumulate(np.array(sums, dtype=np.float32))
    return rising, np.array(means, dtype=np.float32)


def _short(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")
