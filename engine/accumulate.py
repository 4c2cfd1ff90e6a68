"""The streaming accumulators of one layer: best windows, moments, token sums.

Everything here is vectorised over a layer's neurons; a batch costs a handful of
tensor operations per group and no Python loop over neurons or tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engine.keep import BANDS, BOUNDARY_QUANTILES, Keep
from engine.records import Fold, Group

EMPTY = -1
#: Histogram bins are even in asinh(activation / KNEE): linear near zero, logarithmic
#: beyond, the same for every neuron and model, so that counts of two scans add up.
KNEE = 0.05
HISTOGRAM_BINS = 96
HISTOGRAM_LIMIT = 9.6
#: Moments are sums of powers: count, x, x^2, x^3, x^4.
POWERS = 4


def histogram_edges() -> NDArray[np.float32]:
    """float32 [HISTOGRAM_BINS + 1], activation units."""
    even = np.linspace(-HISTOGRAM_LIMIT, HISTOGRAM_LIMIT, HISTOGRAM_BINS + 1)
    return (np.sinh(even) * KNEE).astype(np.float32)


def uniform_keys(windows: torch.Tensor, first_neuron: int, n: int, salt: int) -> torch.Tensor:
    """A reproducible uniform number for each (window, neuron), float32 [B, n] in [0, 1).

    A window's key depends on nothing but the window, the neuron and the salt, so a
    sample of the smallest keys is uniform, drawn independently for every neuron, and
    the same however the corpus is cut into batches or runs. The mixing is the
    finaliser of SplitMix64 (Steele et al. 2014) in wrapping int64 arithmetic.
    """
    neurons = torch.arange(first_neuron, first_neuron + n, dtype=torch.int64)
    x = windows.to(torch.int64)[:, None] * 0x1F83D9ABFB41BD6B + neurons * 0x2545F4914F6CDD1D + salt
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15
    x = x ^ ((x >> 31) & 0x1FFFFFFFF)
    return (x & 0xFFFFFF).to(torch.float32) / float(1 << 24)


class BestWindows:
    """For each neuron the ``k`` windows with the largest keys, and their activations.

    Slots are unordered while the scan runs; :meth:`ordered` sorts them.

    Attributes:
        keys: float32 [N, k], -inf where empty.
        windows: int32 [N, k], ``EMPTY`` where empty.
        values: float16 or float32 [N, k, W], NaN past a window's end.
    """

    def __init__(self, neurons: int, k: int, width: int, dtype: torch.dtype) -> None:
        self.k = k
        self.keys = torch.full((neurons, k), -torch.inf)
        self.windows = torch.full((neurons, k), EMPTY, dtype=torch.int32)
        self.values = torch.full((neurons, k, width), torch.nan, dtype=dtype)

    def offer(self, keys: torch.Tensor, windows: torch.Tensor, values: torch.Tensor) -> None:
        """Take each window whose key beats a neuron's weakest kept one.

        Args:
            keys: float32 [B, N]; -inf means never.
            windows: int32 [B].
            values: [B, W, N], already NaN past each window's end.
        """
        if self.k == 0:
            return
        weakest = self.keys.amin(1)
        better = keys > weakest
        neurons = better.any(0).nonzero().squeeze(1)
        if not len(neurons):
            return
        offered = torch.where(better[:, neurons], keys[:, neurons], -torch.inf).T
        both = torch.cat([self.keys[neurons], offered], dim=1)
        numbers = torch.cat(
            [self.windows[neurons], windows.expand(len(neurons), len(windows))], dim=1
        )
        chosen = _descending(both, numbers)[:, : self.k]
        stays = torch.zeros_like(both, dtype=torch.bool).scatter_(1, chosen, True)
        # Row by row there are as many freed slots as newcomers; -inf offers only ever
        # take the place of slots that are empty themselves, and are left out of both.
        arrives = stays[:, self.k :] & torch.isfinite(offered)
        count = arrives.sum(1)
        freed = ~stays[:, : self.k]
        freed &= freed.cumsum(1) <= count[:, None]
        row, slot = freed.nonzero(as_tuple=True)
        _, source = arrives.nonzero(as_tuple=True)
        where = neurons[row]
        self.keys[where, slot] = keys[source, where]
        self.windows[where, slot] = windows[source]
        self.values[where, slot] = values[source, :, where].to(self.values.dtype)

    def ordered(self) -> torch.Tensor:
        """int64 [N, k]: slots from the largest key to the smallest, empty ones last."""
        return _descending(self.keys, self.windows)


def _descending(keys: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
    """int64 [n, m]: columns by falling key and, among equal keys, by rising window.

    Windows that begin alike have equal peaks, so ties are real; an order that does not
    depend on slots gives a resumed scan the same index as an uninterrupted one.
    """
    by_window = windows.argsort(dim=1, stable=True)
    by_key = keys.gather(1, by_window).sort(dim=1, descending=True, stable=True).indices
    return by_window.gather(1, by_key)


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of windows of one fold.

    Attributes:
        windows: int32 [B].
        lengths: int64 [B].
        whole: True if every window has the full width.
        fold: Of all the windows.
        token_rows: int64 [B * W] row of each token in the token table; the table's
            last row collects tokens that are not tabled, and padding.
        pilot: True while the pilot sample is read.
        histogram: True if this batch feeds the histogram.
    """

    windows: torch.Tensor
    lengths: torch.Tensor
    whole: bool
    fold: Fold
    token_rows: torch.Tensor
    pilot: bool
    histogram: bool


class Scratch:
    """Buffers that every layer of every batch reuses.

    An 8 MB temporary is a fresh mapping each time, and touching its pages costs more
    than the arithmetic done in it.
    """

    def __init__(self, rows: int, width: int, neurons: int) -> None:
        self.values = torch.empty((rows, width, neurons))
        self.powers = torch.empty((rows * width, neurons))
        self.product = torch.empty((rows * width, neurons))
        self.ones = torch.ones(rows * width)


class LayerState:
    """All that is accumulated of one layer.

    Args:
        layer, neurons: Which layer, and how many neurons it has.
        tabled: Rows of the token table, without the collecting row.
        pilot: Windows in the pilot sample.
    """

    def __init__(
        self,
        layer: int,
        neurons: int,
        width: int,
        keep: Keep,
        tabled: int,
        pilot: int,
        dtype: torch.dtype,
    ) -> None:
        self.neurons = neurons
        self.first_neuron = layer * neurons
        self.best = {
            key: BestWindows(neurons, part.stop - part.start, width, dtype)
            for key, part in keep.slots().items()
        }
        self.powers = torch.zeros((neurons, 1 + POWERS), dtype=torch.float64)
        self.active = torch.zeros(neurons, dtype=torch.int64)
        self.maximum = torch.full((neurons,), -torch.inf)
        self.minimum = torch.full((neurons,), torch.inf)
        self.histogram = torch.zeros((neurons, HISTOGRAM_BINS), dtype=torch.int64)
        self.token_sums = torch.zeros((tabled + 1, neurons))
        self.explain_sum = torch.zeros(neurons, dtype=torch.float64)
        self.explain_tokens = 0
        self.pilot_maxima = torch.empty((pilot, neurons))
        self.pilot_filled = 0
        self.pilot_over = False
        self.boundaries = torch.full((neurons, len(BOUNDARY_QUANTILES)), torch.nan)
        self.in_band = torch.zeros((neurons, len(BOUNDARY_QUANTILES) + 1), dtype=torch.int64)

    def add(self, batch: Batch, activations: torch.Tensor, scratch: Scratch) -> None:
        """Take in one batch's activations, [B, W, N] of any floating dtype."""
        values = scratch.values[: len(activations)].copy_(activations)
        if batch.whole:
            kept = values
            maxima, minima = values.amax(1), values.amin(1)
            summed = values
        else:
            inside = torch.arange(values.shape[1])[None, :] < batch.lengths[:, None]
            outside = ~inside[:, :, None]
            kept = values.masked_fill(outside, torch.nan)
            maxima = values.masked_fill(outside, -torch.inf).amax(1)
            minima = values.masked_fill(outside, torch.inf).amin(1)
            summed = values.masked_fill(outside, 0.0)
        self._moments(batch, summed.view(-1, self.neurons), maxima, minima, scratch)
        self._windows(batch, kept, maxima, minima)

    def _moments(
        self,
        batch: Batch,
        flat: torch.Tensor,
        maxima: torch.Tensor,
        minima: torch.Tensor,
        scratch: Scratch,
    ) -> None:
        tokens = int(batch.lengths.sum())
        ones = scratch.ones[: len(flat)]
        power, product = scratch.powers[: len(flat)], scratch.product[: len(flat)]
        total = (ones @ flat).double()  # a matrix product is the fastest column sum
        self.powers[:, 0] += tokens
        self.powers[:, 1] += total
        torch.mul(flat, flat, out=power)
        self.powers[:, 2] += ones @ power
        torch.mul(power, flat, out=product)
        self.powers[:, 3] += ones @ product
        torch.mul(power, power, out=product)
        self.powers[:, 4] += ones @ product
        torch.gt(flat, 0, out=product)
        self.active += (ones @ product).long()
        torch.maximum(self.maximum, maxima.amax(0), out=self.maximum)
        torch.minimum(self.minimum, minima.amin(0), out=self.minimum)
        if batch.fold is Fold.EXPLAIN:
            self.token_sums.index_add_(0, batch.token_rows, flat)
            self.explain_sum += total
            self.explain_tokens += tokens
        if batch.histogram and batch.whole:
            self._histogram(flat)

    def _histogram(self, flat: torch.Tensor) -> None:
        scaled = torch.asinh(flat / KNEE) + HISTOGRAM_LIMIT
        bins = (scaled * (HISTOGRAM_BINS / (2 * HISTOGRAM_LIMIT))).to(torch.int64)
        bins.clamp_(0, HISTOGRAM_BINS - 1)
        bins += torch.arange(self.neurons) * HISTOGRAM_BINS
        counts = torch.bincount(bins.flatten(), minlength=self.histogram.numel())
        self.histogram += counts.view_as(self.histogram)

    def _windows(
        self, batch: Batch, kept: torch.Tensor, maxima: torch.Tensor, minima: torch.Tensor
    ) -> None:
        windows, fold = batch.windows, batch.fold
        self.best[fold, Group.TOP].offer(maxima, windows, kept)
        self.best[fold, Group.BOTTOM].offer(-minima, windows, kept)
        uniform = uniform_keys(windows, self.first_neuron, self.neurons, salt=1)
        self.best[fold, Group.RANDOM].offer(uniform, windows, kept)
        if batch.pilot:
            end = self.pilot_filled + len(windows)
            self.pilot_maxima[self.pilot_filled : end] = maxima
            self.pilot_filled = end
            return
        band = (maxima[:, :, None] >= self.boundaries).sum(2)
        self._count_bands(band)
        uniform = uniform_keys(windows, self.first_neuron, self.neurons, salt=2)
        for number, group in enumerate(BANDS):
            keys = torch.where(band == number, uniform, -torch.inf)
            self.best[fold, group].offer(keys, windows, kept)

    def _count_bands(self, band: torch.Tensor) -> None:
        for number in range(self.in_band.shape[1]):
            self.in_band[:, number] += (band == number).sum(0)

    def end_pilot(self) -> None:
        """Fix the band boundaries from the pilot sample.

        The pilot is a uniformly random sample of the windows, so its quantiles
        estimate those of the corpus; fixing them lets the rest of the pass stream, and
        the counts per band say what share each band really got.
        """
        maxima = self.pilot_maxima[: self.pilot_filled].numpy()
        quantiles = np.quantile(maxima, BOUNDARY_QUANTILES, axis=0)
        self.boundaries = torch.from_numpy(quantiles.T.astype(np.float32).copy())
        for start in range(0, self.pilot_filled, 256):
            part = self.pilot_maxima[start : min(start + 256, self.pilot_filled)]
            self._count_bands((part[:, :, None] >= self.boundaries).sum(2))
        self.forget_pilot()

    def forget_pilot(self) -> None:
        """Drop the pilot's maxima; the boundaries are all that is needed of them."""
        self.pilot_maxima = torch.empty((0, self.neurons))
        self.pilot_over = True
