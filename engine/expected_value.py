"""From a model's top log-probabilities to an expected activation (method: 1.8)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from engine.normalise import STEPS

_VALUES = {str(value): value for value in range(STEPS + 1)}


def value_distribution(top_logprobs: Mapping[str, float]) -> dict[int, float]:
    """The probability of each activation value, made to sum to one.

    Only tokens that are exactly ``0`` ... ``10`` count; `` 1`` or ``03`` do not.

    Args:
        top_logprobs: Natural log-probability by token text.

    Returns:
        Probability by value, in the given order; empty if no token is a value.
    """
    kept = {_VALUES[t]: p for t, p in top_logprobs.items() if t in _VALUES and p > -math.inf}
    if not kept:
        return {}
    # Relative to the largest, so that very small probabilities don't all underflow.
    largest = max(kept.values())
    weights = {value: math.exp(logprob - largest) for value, logprob in kept.items()}
    total = sum(weights.values())
    return {value: weight / total for value, weight in weights.items()}


def expected_value(distribution: Mapping[int, float]) -> float | None:
    """The mean of a distribution over 0 to 10; None for an empty one.

    The published code returns 0.0 for an empty distribution, which can't be told
    from a model that is sure of 0; here it is a missing value.
    """
    if not distribution:
        return None
    return sum(value * probability for value, probability in distribution.items())
