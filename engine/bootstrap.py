"""Confidence intervals by drawing whole records (method: Efron 1979, percentile)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.score import Interval

RESAMPLES = 2000
LEVEL = 0.95
#: Fewer records than this say nothing about how records differ.
MINIMUM_RECORDS = 3
#: A resample can lack variance on one side; more than this share of them, no interval.
_UNDEFINED_SHARE = 0.05
_SEED = 20230509


def bootstrap_interval(
    pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    strata: Sequence[str],
) -> Interval | None:
    """A percentile interval of the Pearson correlation over all tokens.

    Tokens of one record depend on each other, so records are drawn, with replacement,
    and as many of each stratum as there are: every resample has the split's own mix of
    top and random.  A record enters only through six sums, so a resample costs a row
    of one matrix product.  With the method's 5 + 5 records the interval is rough,
    and like every percentile interval of a small sample rather too narrow.

    Args:
        pairs: True and expected values of each record, float64 [T], all finite.
        strata: The stratum of each record.

    Returns:
        The same for the same records; None for fewer than three, or where
        too many resamples have no correlation.
    """
    if len(pairs) < MINIMUM_RECORDS:
        return None
    sums = _sums(pairs)
    drawn = _draw(tuple(strata)) @ sums
    n, sx, sy, sxx, syy, sxy = drawn.T
    vx, vy = sxx - sx * sx / n, syy - sy * sy / n
    # Values are of unit spread, so the rounding error of a variance is near 1e-16 n.
    defined = (vx > 1e-12 * n) & (vy > 1e-12 * n)
    if defined.mean() < 1 - _UNDEFINED_SHARE:
        return None
    covariance = (sxy - sx * sy / n)[defined]
    values = covariance / np.sqrt(vx[defined] * vy[defined])
    tail = (1 - LEVEL) / 2
    low, high = np.clip(np.quantile(values, [tail, 1 - tail]), -1, 1)
    return Interval(float(low), float(high), LEVEL, RESAMPLES)


def _sums(
    pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> NDArray[np.float64]:
    """[records, 6]: n, Sx, Sy, Sxx, Syy, Sxy of standardised values.

    Shifting and scaling all records alike leaves correlations as they are, and keeps
    the differences of large sums above from cancelling.
    """
    y = _standard(np.concatenate([pair[0] for pair in pairs]))
    x = _standard(np.concatenate([pair[1] for pair in pairs]))
    lengths = np.array([len(pair[0]) for pair in pairs])
    products = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return np.asarray(np.add.reduceat(products, starts, axis=0))


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.asarray(values - values.mean())
    largest = float(np.abs(shifted).max())
    if largest == 0:
        return np.zeros_like(shifted)
    shifted = shifted / largest
    return np.asarray(shifted / np.sqrt(np.mean(shifted**2)))


@lru_cache(maxsize=32)
def _draw(strata: tuple[str, ...]) -> NDArray[np.float64]:
    """[RESAMPLES, records]: how often each record is in each resample.

    Kept, since most neurons have the same strata: drawing takes longer than all the rest.
    """
    rng = np.random.default_rng(_SEED)
    counts = np.zeros((RESAMPLES, len(strata)))
    for stratum in sorted(set(strata)):
        members = np.flatnonzero([s == stratum for s in strata])
        share = np.full(len(members), 1 / len(members))
        counts[:, members] = rng.multinomial(len(members), share, size=RESAMPLES)
    return counts
