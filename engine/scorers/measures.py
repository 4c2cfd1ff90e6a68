"""Numbers of scorers that answer yes or no, and how sure they are.

Balanced accuracy is the mean of the rate of hits and the rate of correct rejections; AUC
is the chance that a text that fires gets a higher answer than one that doesn't, ties
counting half (the Mann-Whitney statistic, Hanley and McNeil 1982).

Intervals are in closed form and not bootstrapped: with twenty texts of a kind all
answered rightly, every resample is perfect, too, and a bootstrap would be certain of 1.
Wilson's interval (1927) of a share, Newcombe's of a sum of two shares (1998, method 10)
and of an AUC (2006, method 5) stay open there and need no resampling (``resamples`` is
0).  They take texts for independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.bootstrap import LEVEL
from engine.judgement import JudgedItem, Measure, Measured
from engine.score import Interval, ScoreStatus

#: Two-sided 95 %.
_Z = 1.959963984540054
CHANCE = 0.5


def balanced_accuracy(truth: ArrayLike, answer: ArrayLike) -> float | None:
    """Mean of both rates of right answers; None where a class is missing.

    Args:
        truth, answer: Same length, true or false.
    """
    y, x = _bools(truth, answer)
    if not y.any() or y.all():
        return None
    return (float(x[y].mean()) + float((~x[~y]).mean())) / 2


def balanced_accuracy_interval(truth: ArrayLike, answer: ArrayLike) -> Interval | None:
    """95 % interval of :func:`balanced_accuracy`; None where that is undefined."""
    y, x = _bools(truth, answer)
    value = balanced_accuracy(y, x)
    if value is None:
        return None
    hits, rejected = int(x[y].sum()), int((~x[~y]).sum())
    first, second = wilson(hits, int(y.sum())), wilson(rejected, int((~y).sum()))
    p, q = hits / int(y.sum()), rejected / int((~y).sum())
    below = math.hypot(p - first.low, q - second.low)
    above = math.hypot(first.high - p, second.high - q)
    return _interval(value - below / 2, value + above / 2)


def auc(truth: ArrayLike, answer: ArrayLike) -> float | None:
    """Area under the ROC curve; None where a class is missing.

    Args:
        truth: True or false.
        answer: Same length, larger for surer.
    """
    y = np.asarray(truth, dtype=bool).ravel()
    x = np.asarray(answer, dtype=np.float64).ravel()
    if not y.any() or y.all():
        return None
    differences = x[y][:, None] - x[~y][None, :]
    return float(((differences > 0) + (differences == 0) / 2).mean())


def auc_interval(truth: ArrayLike, answer: ArrayLike) -> Interval | None:
    """95 % interval of :func:`auc`; None where that is undefined."""
    y = np.asarray(truth, dtype=bool).ravel()
    value = auc(y, answer)
    if value is None:
        return None
    fires, silent = int(y.sum()), int((~y).sum())
    more = (fires + silent) / 2 - 1

    def inside(at: float) -> bool:
        spread = 1 + more * ((1 - at) / (2 - at) + at / (1 + at))
        return abs(value - at) <= _Z * math.sqrt(at * (1 - at) * spread / (fires * silent))

    return _interval(_edge(inside, value, 0.0), _edge(inside, value, 1.0))


def wilson(count: int, total: int) -> Interval:
    """95 % interval of a share; the whole of 0 to 1 where there is nothing to share."""
    if total == 0:
        return _interval(0.0, 1.0)
    share, z2 = count / total, _Z**2 / total
    middle = (share + z2 / 2) / (1 + z2)
    reach = _Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total)) / (1 + z2)
    # At 0 and at all, rounding would leave the share itself outside.
    return _interval(min(middle - reach, share), max(middle + reach, share))


def told_apart(items: Sequence[JudgedItem]) -> tuple[Measure, ...]:
    """Balanced accuracy and AUC over all texts, then by band.

    A band that holds only texts that fire is set against all that don't.  Texts without
    an answer are left out and lower the coverage; they are never right.

    Args:
        items: ``truth`` and ``prediction`` are 0 or 1, ``probability`` is for the AUC.
    """
    silent = [item for item in items if item.truth == 0]
    found = [*_both("all", items)]
    for band in dict.fromkeys(item.band for item in items if item.truth == 1):
        inside = [item for item in items if item.band == band]
        against = [] if any(item.truth == 0 for item in inside) else silent
        found.extend(_both(band, [*inside, *against]))
    return tuple(found)


def _both(of: str, items: Sequence[JudgedItem]) -> tuple[Measure, Measure]:
    answered = [item for item in items if item.prediction is not None]
    truth = [item.truth == 1 for item in answered]
    yes = [item.prediction == 1 for item in answered]
    sure = [_probability(item) for item in answered]
    coverage = len(answered) / len(items) if items else 0.0
    status, message = standing(items, truth)
    values = (
        (Measured.BALANCED_ACCURACY, balanced_accuracy(truth, yes)),
        (Measured.AUC, auc(truth, sure)),
    )
    intervals = (balanced_accuracy_interval(truth, yes), auc_interval(truth, sure))
    first, second = (
        Measure(measured, of, value, between, CHANCE, len(items), coverage, status, message)
        for (measured, value), between in zip(values, intervals, strict=True)
    )
    return first, second


def standing(items: Sequence[JudgedItem], truth: Sequence[bool]) -> tuple[ScoreStatus, str]:
    """Whether a number over these texts can be relied on, and why not.

    Args:
        truth: Of the texts that were answered.
    """
    missing = len(items) - len(truth)
    reason = next((item.message for item in items if item.message), "")
    why = f": {reason}" if reason else ""
    if not truth:
        return ScoreStatus.FAILED, f"none of {len(items)} texts has an answer{why}"
    if all(truth) or not any(truth):
        kind = "doesn't fire" if all(truth) else "fires"
        return ScoreStatus.UNDEFINED, f"no text that {kind} has an answer{why}"
    if missing:
        return ScoreStatus.PARTIAL, f"{missing} of {len(items)} texts have no answer{why}"
    return ScoreStatus.OK, ""


def _probability(item: JudgedItem) -> float:
    if item.probability is not None:
        return item.probability
    return float(item.prediction or 0)


def _edge(inside: Callable[[float], bool], start: float, end: float) -> float:
    """Where from ``start`` towards ``end`` a condition ceases to hold, by halving."""
    if inside(end):
        return end
    for _ in range(60):
        middle = (start + end) / 2
        if inside(middle):
            start = middle
        else:
            end = middle
    return start


def _interval(low: float, high: float) -> Interval:
    return Interval(max(0.0, low), min(1.0, high), LEVEL, resamples=0)


def _bools(truth: ArrayLike, answer: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return np.asarray(truth, dtype=bool).ravel(), np.asarray(answer, dtype=bool).ravel()
