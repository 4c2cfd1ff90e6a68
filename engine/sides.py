"""The negative side of a neuron, as a neuron of its own.

GPT-2's GELU lets values down to -0.17 through, and some neurons say as much by going
below zero as by firing.  Turning the sign of everything gives a neuron whose strongest
windows are the other's most negative ones, and the rest of the method needs no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from engine.explanation import Side
from engine.records import (
    ActivationRecord,
    Fold,
    Group,
    NeuronRecord,
    NeuronStatistics,
    TokenMeans,
)

_TURNED = {Group.TOP: Group.BOTTOM, Group.BOTTOM: Group.TOP, Group.RANDOM: Group.RANDOM}


def record_of(record: NeuronRecord, side: Side) -> NeuronRecord:
    """The record as this side sees it.

    The quantile bands are bands of window *maxima*, so the negative side has none.
    """
    if side == "positive":
        return record
    turned: Mapping[tuple[Fold, Group], tuple[ActivationRecord, ...]] = {
        (fold, _TURNED[group]): tuple(
            ActivationRecord(one.excerpt, -one.activations) for one in kept
        )
        for (fold, group), kept in record.records.items()
        if group in _TURNED
    }
    return replace(record, records=turned, statistics=statistics_of(record.statistics, side))


def means_of(means: TokenMeans, side: Side) -> TokenMeans:
    """The token look-up table as this side sees it."""
    if side == "positive":
        return means
    if not means.complete:  # of the lowest means a published table has none
        none = {name: getattr(means, name)[:0] for name in ("token_ids", "counts", "means")}
        return replace(means, **none, mean=-means.mean, texts=())
    return replace(means, means=-means.means, mean=-means.mean)


def statistics_of(statistics: NeuronStatistics, side: Side) -> NeuronStatistics:
    """The moments as this side sees them; the share of active tokens and the quantiles
    of window maxima can't be known from the other side's and are NaN."""
    if side == "positive":
        return statistics
    return replace(
        statistics,
        mean=-statistics.mean,
        skewness=-statistics.skewness,
        fraction_active=float("nan"),
        maximum=-statistics.minimum,
        minimum=-statistics.maximum,
        histogram=statistics.histogram[::-1],
        histogram_edges=-statistics.histogram_edges[::-1],
        quantile_boundaries=np.full_like(statistics.quantile_boundaries, np.nan),
        windows_in_band=np.zeros_like(statistics.windows_in_band),
    )
