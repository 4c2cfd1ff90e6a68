"""The token look-up table as an explanation, and as a simulator of it.

It needs no language model: the explanation is what the neuron does on average at each
token of the explain fold, and the simulation reads the answer off for the tokens of a
held-out record.  (Bills et al. 2023 list next-token look-up among their baselines;
here it is the explanation everything else has to beat.)
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import MethodError
from engine.explanation import Evidence, Explanation, Word
from engine.records import Excerpt, TokenMeans
from engine.sentence import Table, describe, seen_joins
from engine.simulation import Scale, Simulation, SimulationStatus

NAME = "token-lookup"
#: Tokens are shrunk toward the neuron's mean as if each had been seen this many times
#: more at the mean. Measured on 144 neurons of the demo model, held-out documents: mean
#: correlation over top and random records is .712 without, .713 for 1 to 8, .709 for 16,
#: .681 for 64; 2 is the best for random records.
SHRINKAGE = 2.0
#: A table keeps the entries that explain this share of what the whole one does, and at
#: most so many. Same neurons: the whole table (4096) scores .713, 1024 entries .707,
#: 512 .700, 128 .671.
KEPT_SHARE = 0.99
KEPT_TOKENS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class LookupTable:
    """A fitted table: what an explanation's rules hold.

    Attributes:
        default: Expected activation at any other token.
        token_ids: int64 [M], the most important first.
        expected: float64 [M], activation units.
        counts: int64 [M], occurrences in the explain fold.
        texts: The bytes of each of the M tokens.
    """

    default: float
    token_ids: NDArray[np.int64]
    expected: NDArray[np.float64]
    counts: NDArray[np.int64]
    texts: tuple[bytes, ...]

    def simulate(self, token_ids: NDArray[np.int32]) -> NDArray[np.float32]:
        """Expected activations, float32 of the same shape as ``token_ids``."""
        result = np.full(token_ids.shape, self.default, dtype=np.float32)
        if len(self.token_ids):
            order = np.argsort(self.token_ids)
            ids = self.token_ids[order]
            place = np.minimum(np.searchsorted(ids, token_ids), len(ids) - 1)
            known = ids[place] == token_ids
            result[known] = self.expected[order][place[known]]
        return result

    def to_rules(self) -> dict[str, Any]:
        """As JSON values; :meth:`from_rules` reads them.

        A token's text is there for people and other programs: bytes that are no UTF-8
        are written as backslash escapes.
        """
        columns = (self.token_ids.tolist(), self.expected.tolist(), self.counts.tolist())
        rows = zip(self.texts, *columns, strict=True)
        return {
            "kind": NAME,
            "default": _short(self.default),
            "tokens": [
                [token, text.decode("utf-8", "backslashreplace"), _short(value), count]
                for text, token, value, count in rows
            ],
        }

    @classmethod
    def from_rules(cls, rules: Mapping[str, Any] | None) -> LookupTable:
        """Read an explanation's rules, which may come from a file.

        Raises:
            MethodError: if there is no such table in them.
        """
        if rules is None or rules.get("kind") != NAME:
            raise MethodError(
                "The explanation holds no token table.", "Choose a simulator that reads sentences."
            )
        try:
            rows = [
                (int(token), float(value), int(count), str(text).encode("utf-8", "replace"))
                for token, text, value, count in rules["tokens"]
            ]
            default = float(rules["default"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise MethodError("The token table is damaged.", "Explain the neuron again.") from error
        ids, expected, counts, texts = zip(*rows, strict=True) if rows else ((), (), (), ())
        table = cls(
            default,
            np.array(ids, dtype=np.int64),
            np.array(expected, dtype=np.float64),
            np.array(counts, dtype=np.int64),
            tuple(texts),
        )
        if not (np.isfinite(default) and np.isfinite(table.expected).all()):
            raise MethodError("The token table is damaged.", "Explain the neuron again.")
        return table


def shrunk_means(means: TokenMeans, shrinkage: float = SHRINKAGE) -> NDArray[np.float64]:
    """``(n mean_t + k mean) / (n + k)`` for each tabled token, float64 [M]."""
    n = means.counts.astype(np.float64)
    return (n * means.means.astype(np.float64) + shrinkage * means.mean) / (n + shrinkage)


def fit_table(
    means: TokenMeans, shrinkage: float = SHRINKAGE, limit: int = KEPT_TOKENS
) -> LookupTable:
    """Shrink the means and keep the entries that matter.

    What an entry matters is the variance it explains, its count times the square of its
    distance from the mean.  The default is the mean of the tokens left out, or of the
    neuron if none is.

    Raises:
        MethodError: if no token was tabled, or a mean is not a number.
    """
    if not means.complete and not (len(means.token_ids) and np.isfinite(means.mean)):
        raise MethodError(
            "The dataset has no token table of this side of the neuron.",
            "Choose an explainer that reads excerpts.",
        )
    if not len(means.token_ids):
        raise MethodError(
            "No token is common enough in the scanned text to be looked up.", "Scan more text."
        )
    expected = shrunk_means(means, shrinkage if means.complete else 0.0)
    if not (np.isfinite(expected).all() and np.isfinite(means.mean)):
        raise MethodError("A mean activation of this neuron is not a number.", "Scan again.")
    counts = means.counts.astype(np.float64)
    weight = counts * (expected - means.mean) ** 2
    order = np.argsort(-weight, kind="stable")
    summed = np.cumsum(weight[order])
    kept = min(int(np.searchsorted(summed, KEPT_SHARE * summed[-1])) + 1, limit, len(order))
    keep, rest = order[:kept], order[kept:]
    if not means.complete:  # the tokens that are not listed are the lower ones
        keep, rest = order[:limit], order[:0]
    default = float(np.average(expected[rest], weights=counts[rest])) if len(rest) else means.mean
    return LookupTable(
        default,
        means.token_ids[keep].astype(np.int64),
        expected[keep],
        means.counts[keep].astype(np.int64),
        tuple(means.texts[i] for i in keep),
    )


def explained_share(means: TokenMeans, variance: float) -> float:
    """How much of a neuron's variance its token decides, 0 to 1.

    The count-weighted variance of the shrunk means over the whole variance; tokens too
    rare to be tabled are taken to be like the others.
    """
    total = float(means.counts.sum())
    if not (variance > 0 and total > 0):
        return 0.0
    spread = (shrunk_means(means) - means.mean) ** 2
    return min(1.0, float(means.counts @ spread) / total / variance)


class TokenLookupExplainer:
    """Explains a neuron by its mean activation at each token."""

    name = NAME

    def __init__(self, shrinkage: float = SHRINKAGE, limit: int = KEPT_TOKENS) -> None:
        self._shrinkage = shrinkage
        self._limit = limit

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`engine.explanation.Explainer`."""
        return {"shrinkage": self._shrinkage, "limit": self._limit}

    async def explain(self, evidence: Evidence) -> AsyncIterator[Word | Explanation]:
        """Stream the sentence word by word, then the explanation with its table.

        Raises:
            MethodError: if no token was tabled.
        """
        started = time.perf_counter()
        table, text = await asyncio.to_thread(self._fit, evidence)
        for piece in re.findall(r"\S+\s*", text):
            yield Word(piece)
            await asyncio.sleep(0)
        seen = {record.excerpt.window for record in (*evidence.train, *evidence.others)}
        yield Explanation(
            neuron=evidence.neuron,
            text=text,
            explainer=self.name,
            settings=self.settings,
            rules=table.to_rules(),
            windows=tuple(sorted(seen)),
            seconds=time.perf_counter() - started,
            side=evidence.side,
        )

    def _fit(self, evidence: Evidence) -> tuple[LookupTable, str]:
        means = evidence.token_means
        table = fit_table(means, self._shrinkage, self._limit)
        sentence = describe(
            Table(
                texts=means.texts,
                counts=means.counts.astype(np.float64),
                heights=shrunk_means(means, self._shrinkage) - means.mean,
                explained=explained_share(means, evidence.statistics.variance),
                joins=seen_joins((*evidence.train, *evidence.others)),
            )
        )
        return table, sentence


class TokenLookupSimulator:
    """Reads expected activations off the table in an explanation's rules."""

    name = NAME

    def __init__(self) -> None:
        # Ten records are simulated from one explanation, and its table is long to read.
        self._read: tuple[Mapping[str, Any], LookupTable] | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`engine.simulation.Simulator`; there are none."""
        return {}

    async def simulate(self, explanation: Explanation, excerpt: Excerpt) -> Simulation:
        """Look every token up; one that is not in the table gets the default."""
        try:
            table = self._table(explanation.rules)
        except MethodError as error:
            return Simulation.failed(excerpt, Scale.NEURON, str(error))
        expected = table.simulate(excerpt.token_ids)
        return Simulation(excerpt, expected, Scale.NEURON, SimulationStatus.OK)

    def _table(self, rules: Mapping[str, Any] | None) -> LookupTable:
        last = self._read
        if last is None or last[0] is not rules:
            table = LookupTable.from_rules(rules)
            assert rules is not None
            self._read = last = (rules, table)
        return last[1]


def _short(value: float) -> float:
    """Five significant digits: a fifth of a table's size, and nothing of its score."""
    return float(f"{value:.5g}")
