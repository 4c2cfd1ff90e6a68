"""Explaining with what the neuron writes in sight.

Some neurons are better told by the token that they make more likely than by what they
read: they fire wherever one word may come next.  From excerpts alone such a neuron looks
like chance (peers: 2, and users' wishes in 4).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import numpy as np

from engine.explainers.summary import SummaryExplainer, escaped, threshold
from engine.explanation import Evidence
from engine.models.model import LanguageModel
from engine.neuron import NeuronId
from engine.normalise import max_activation

NAME = "output-aware"
#: Tokens shown of each kind.
SHOWN = 15


class Writes(Protocol):
    """The tokens that a neuron's output weights favour, and those they disfavour."""

    @property
    def promoted(self) -> tuple[tuple[bytes, float], ...]:
        """Token and weight, the largest first."""
        ...

    @property
    def suppressed(self) -> tuple[tuple[bytes, float], ...]:
        """Token and weight, the most negative first."""
        ...


class OutputAwareExplainer(SummaryExplainer):
    """The summary explainer, with what the neuron promotes and what follows it.

    Args:
        promoted: Gives a neuron's promoted and suppressed tokens, so many of each.
    """

    name: str = NAME
    _further_tokens = 165
    _more = (
        "After the excerpts you see which tokens the neuron makes more likely to come next, "
        "which it makes less likely, and which tokens really followed where it fired. If these "
        "agree with each other better than the marked tokens do, the neuron fires where "
        "such a token is about to come: then say so.\n"
    )

    def __init__(
        self,
        model: LanguageModel,
        promoted: Callable[[NeuronId, int], Awaitable[Writes]],
        *,
        strong: int = 12,
        weak: int = 6,
        temperature: float = 0.7,
        max_tokens: int = 60,
    ) -> None:
        super().__init__(
            model, strong=strong, weak=weak, temperature=temperature, max_tokens=max_tokens
        )
        self._promoted = promoted

    async def _further(self, evidence: Evidence) -> str:
        writes = await self._promoted(evidence.neuron, SHOWN)
        more, less = writes.promoted, writes.suppressed
        if evidence.side == "negative":  # below zero it does the opposite
            more, less = less, more
        lines = [
            f"Makes more likely: {_tokens(token for token, _ in more)}",
            f"Makes less likely: {_tokens(token for token, _ in less)}",
        ]
        followed = _followed(evidence)
        if followed:
            lines.append(f"Followed where it fired: {_tokens(followed)}")
        return "\n".join(lines)


def _followed(evidence: Evidence) -> list[bytes]:
    """The tokens after the firing ones, the most frequent first."""
    limit = threshold(evidence.train, max_activation([r.activations for r in evidence.train]))
    found: Counter[bytes] = Counter()
    for record in evidence.train:
        for place in np.flatnonzero(record.activations >= limit):
            if place + 1 < len(record.excerpt):
                found[record.excerpt.tokens[place + 1]] += 1
    return [token for token, _ in found.most_common(SHOWN)]


def _tokens(tokens: Iterable[bytes]) -> str:
    return ", ".join(f'"{escaped(token)}"' for token in tokens)
