"""The streaming accumulators of one layer: best windows, moments, token sums.

Everything here is vectorised over a layer's neurons, and a batch comes in pieces that
are still in the processor's cache: each of the dozen passes over the activations would
otherwise wait for memory.  What a piece adds up is float32; what a batch adds is
rounded to a grid and summed exactly (:mod:`engine.exact`), and all the rest are counts,
extremes and ranks, so no state depends on the order of the batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engine.best import BestWindows, Pieces, uniform, uniform_bits
from engine.errors import ScanError
from engine.exact import LARGEST, ExactSums
from engine.index import TOKEN_GRID
from engine.keep import BANDS, BOUNDARY_QUANTILES, Keep
from engine.records import Fold, Group

#: Histogram bins are even in asinh(activation / KNEE): linear near zero, logarithmic
#: beyond, the same for every neuron and model, so that counts of two scans add up.
KNEE = 0.05
HISTOGRAM_BINS = 96
HISTOGRAM_LIMIT = 9.6
#: Moments are sums of powers: count, x, x^2, x^3, x^4.
POWERS = 4
#: Activations summed at a time: 4 MB of float32, and as much again for their powers.
PIECE = 1 << 20
#: Spreads the bits of one uniform number to a second one.
_SECOND = 0x2C1B3C6D


def histogram_edges() -> NDArray[np.float32]:
    """float32 [HISTOGRAM_BINS + 1], activation units."""
    even = np.linspace(-HISTOGRAM_LIMIT, HISTOGRAM_LIMIT, HISTOGRAM_BINS + 1)
    return (np.sinh(even) * KNEE).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of windows of one fold.

    Attributes:
        windows: int32 [B].
        lengths: int64 [B].
        whole: True if every window is as long as the batch is wide.
        fold: Of all the windows.
        table_rows: int64 [R], the token table's rows that the batch adds to; its last
            row collects tokens that are not tabled.
        token_rows: int64 [B * W], for each token its place in ``table_rows``. Padding
            may have any: it is zero by then.
        pilot: True while the pilot sample is read.
        histogram: True if this batch feeds the histogram.
    """

    windows: torch.Tensor
    lengths: torch.Tensor
    whole: bool
    fold: Fold
    table_rows: torch.Tensor
    token_rows: torch.Tensor
    pilot: bool
    histogram: bool


class Scratch:
    """Buffers that every layer of every batch reuses: bounded, and in the cache.

    Args:
        batch, width: Windows of a batch, tokens of a window.
        neurons: Of a layer.
        tabled: Rows of the token table.
    """

    def __init__(self, batch: int, width: int, neurons: int, tabled: int) -> None:
        self.windows = min(batch, max(1, PIECE // (width * neurons)))
        tokens = self.windows * width
        self.values = torch.empty((self.windows, width, neurons))
        self.powers = torch.empty((tokens, neurons))
        self.product = torch.empty((tokens, neurons))
        self.ones = torch.ones(tokens)
        self.sums = torch.empty((1 + POWERS, neurons))
        self.totals = torch.empty((1 + POWERS, neurons), dtype=torch.float64)
        self.maxima = torch.empty((batch, neurons))
        self.minima = torch.empty((batch, neurons))
        self.tokens = torch.empty((min(batch * width, tabled + 1), neurons))
        self.pieces = Pieces()

    @property
    def bytes(self) -> int:
        """What the buffers take."""
        return sum(t.nbytes for t in vars(self).values() if isinstance(t, torch.Tensor))


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
        self.tokens = 0
        self.explain_tokens = 0
        self.powers = ExactSums(neurons, POWERS)
        self.explain_sum = ExactSums(neurons)
        self.active = torch.zeros(neurons, dtype=torch.int64)
        self.maximum = torch.full((neurons,), -torch.inf)
        self.minimum = torch.full((neurons,), torch.inf)
        self.histogram = torch.zeros((neurons, HISTOGRAM_BINS), dtype=torch.int64)
        self.token_sums = torch.zeros((tabled + 1, neurons), dtype=torch.int64)
        self.pilot_maxima = torch.empty((pilot, neurons))
        self.pilot_filled = 0
        self.boundaries = torch.full((neurons, len(BOUNDARY_QUANTILES)), torch.nan)
        self.in_band = torch.zeros((neurons, len(BOUNDARY_QUANTILES) + 1), dtype=torch.int64)

    @property
    def pilot_over(self) -> bool:
        """Whether the boundaries are set."""
        return not len(self.pilot_maxima)

    def add(self, batch: Batch, first: int, activations: torch.Tensor, scratch: Scratch) -> None:
        """Take in a piece of a batch; with its last one the batch counts.

        Args:
            first: Number of the piece's first window in the batch; pieces come in order.
            activations: [windows, up to W, N] of any floating dtype.

        Raises:
            ScanError: an activation is not a number, or too large to be one.
        """
        explain = batch.fold is Fold.EXPLAIN
        if first == 0:
            scratch.totals.zero_()
            scratch.pieces.clear()
            if explain:
                scratch.tokens[: len(batch.table_rows)].zero_()
        width = activations.shape[1]
        for start in range(0, len(activations), scratch.windows):
            some = activations[start : start + scratch.windows]
            part = slice(first + start, first + start + len(some))
            values = self._piece(batch, some, part, scratch)
            flat = values.view(-1, self.neurons)
            self._sum(flat, scratch, scratch.sums)
            scratch.totals += scratch.sums
            if explain:
                rows = batch.token_rows[part.start * width : part.stop * width]
                scratch.tokens.index_add_(0, rows, flat)
            if batch.histogram and batch.whole:
                self._histogram(flat)
        scratch.pieces.add(activations)
        if first + len(activations) == len(batch.windows):
            self._finish(batch, scratch)
            scratch.pieces.clear()

    def _finish(self, batch: Batch, scratch: Scratch) -> None:
        maxima, minima = scratch.maxima[: len(batch.windows)], scratch.minima[: len(batch.windows)]
        self._moments(batch, scratch.totals)
        if batch.fold is Fold.EXPLAIN:
            sums = scratch.tokens[: len(batch.table_rows)].mul_(float(1 << TOKEN_GRID)).round_()
            self.token_sums.index_add_(0, batch.table_rows, sums.to(torch.int64))
        torch.maximum(self.maximum, maxima.amax(0), out=self.maximum)
        torch.minimum(self.minimum, minima.amin(0), out=self.minimum)
        self._windows(batch, scratch.pieces, maxima, minima)

    def _piece(
        self, batch: Batch, activations: torch.Tensor, part: slice, scratch: Scratch
    ) -> torch.Tensor:
        """One piece in float32, zero past each window's end; fills maxima and minima."""
        maxima, minima = scratch.maxima[part], scratch.minima[part]
        values = activations
        if activations.dtype != torch.float32 or not activations.is_contiguous():
            shape = activations.shape
            values = scratch.values.flatten()[: activations.numel()].view(shape)
            values.copy_(activations)
        if batch.whole:
            torch.amax(values, 1, out=maxima)
            torch.amin(values, 1, out=minima)
            return values
        inside = torch.arange(values.shape[1]) < batch.lengths[part, None]
        outside = ~inside[:, :, None]
        torch.amax(values.masked_fill(outside, -torch.inf), 1, out=maxima)
        torch.amin(values.masked_fill(outside, torch.inf), 1, out=minima)
        return values.masked_fill(outside, 0.0)

    def _sum(self, flat: torch.Tensor, scratch: Scratch, sums: torch.Tensor) -> None:
        """Column sums of x, x^2, x^3, x^4 and x > 0; float32 [5, N] into ``sums``."""
        ones = scratch.ones[: len(flat)]  # a matrix product is the fastest column sum
        power, product = scratch.powers[: len(flat)], scratch.product[: len(flat)]
        torch.mv(flat.T, ones, out=sums[0])
        torch.mul(flat, flat, out=power)
        torch.mv(power.T, ones, out=sums[1])
        torch.mul(power, flat, out=product)
        torch.mv(product.T, ones, out=sums[2])
        torch.mul(power, power, out=product)
        torch.mv(product.T, ones, out=sums[3])
        torch.gt(flat, 0, out=product)
        torch.mv(product.T, ones, out=sums[4])

    def _moments(self, batch: Batch, sums: torch.Tensor) -> None:
        powers = sums[:POWERS].T.contiguous()
        if not bool(powers.abs().amax() < LARGEST):  # a NaN is not below either
            raise ScanError(
                "The model's activations are not finite numbers.",
                "Try another --dtype: float16 overflows where bfloat16 and float32 don't.",
            )
        tokens = int(batch.lengths.sum())
        self.tokens += tokens
        self.powers.add(powers)
        self.active += sums[POWERS].long()
        if batch.fold is Fold.EXPLAIN:
            self.explain_sum.add(sums[0].clone())
            self.explain_tokens += tokens

    def _histogram(self, flat: torch.Tensor) -> None:
        scaled = torch.asinh(flat / KNEE) + HISTOGRAM_LIMIT
        bins = (scaled * (HISTOGRAM_BINS / (2 * HISTOGRAM_LIMIT))).to(torch.int64)
        bins.clamp_(0, HISTOGRAM_BINS - 1)
        bins += torch.arange(self.neurons) * HISTOGRAM_BINS
        counts = torch.bincount(bins.flatten(), minlength=self.histogram.numel())
        self.histogram += counts.view_as(self.histogram)

    def _windows(
        self, batch: Batch, values: Pieces, maxima: torch.Tensor, minima: torch.Tensor
    ) -> None:
        windows, lengths, fold = batch.windows, batch.lengths, batch.fold
        self.best[fold, Group.TOP].offer(maxima, windows, lengths, values)
        self.best[fold, Group.BOTTOM].offer(-minima, windows, lengths, values)
        bits = uniform_bits(windows, self.first_neuron, self.neurons)
        self.best[fold, Group.RANDOM].offer(uniform(bits), windows, lengths, values)
        if batch.pilot:
            self.add_maxima(maxima)
            return
        band = self._bands(maxima)
        self._count(band)
        second = uniform((bits * _SECOND) >> 8)
        for number, group in enumerate(BANDS):
            if self.best[fold, group].k:
                keys = second.masked_fill(band != number, -torch.inf)
                self.best[fold, group].offer(keys, windows, lengths, values)

    def _bands(self, maxima: torch.Tensor) -> torch.Tensor:
        """int8 [B, N]: how many boundaries each window's maximum reaches."""
        band = torch.zeros(maxima.shape, dtype=torch.int8)
        for boundary in self.boundaries.unbind(1):
            band += (maxima >= boundary).view(torch.int8)
        return band

    def _count(self, band: torch.Tensor) -> None:
        for number in range(self.in_band.shape[1]):
            self.in_band[:, number] += (band == number).sum(0)

    def add_maxima(self, maxima: torch.Tensor) -> None:
        """Take a pilot batch's window maxima, float32 [B, N]."""
        end = self.pilot_filled + len(maxima)
        self.pilot_maxima[self.pilot_filled : end] = maxima
        self.pilot_filled = end

    def end_pilot(self, foreign: int = 0) -> None:
        """Fix the band boundaries from the pilot sample.

        The pilot is a uniformly random sample of the windows, so its quantiles
        estimate those of the corpus; fixing them lets the rest of the pass stream, and
        the counts per band say what share each band really got.

        Args:
            foreign: So many maxima, the first ones, are of windows that another shard
                reads and counts.
        """
        maxima = self.pilot_maxima[: self.pilot_filled]
        quantiles = np.quantile(maxima.numpy(), BOUNDARY_QUANTILES, axis=0)
        self.boundaries = torch.from_numpy(quantiles.T.astype(np.float32).copy())
        for start in range(foreign, len(maxima), 256):
            self._count(self._bands(maxima[start : start + 256]))
        self.forget_pilot()

    def forget_pilot(self) -> None:
        """Drop the pilot's maxima; the boundaries are all that is needed of them."""
        self.pilot_maxima = torch.empty((0, self.neurons))

    def merge(self, other: LayerState) -> None:
        """Add the state of the same layer over other windows, its pilot over too."""
        for key, best in self.best.items():
            best.merge(other.best[key])
        self.tokens += other.tokens
        self.explain_tokens += other.explain_tokens
        self.powers.merge(other.powers)
        self.explain_sum.merge(other.explain_sum)
        torch.maximum(self.maximum, other.maximum, out=self.maximum)
        torch.minimum(self.minimum, other.minimum, out=self.minimum)
        # Equal on equal machines; where arithmetic differs, still one rule for any order.
        torch.minimum(self.boundaries, other.boundaries, out=self.boundaries)
        for name in ("active", "histogram", "token_sums", "in_band"):
            getattr(self, name).add_(getattr(other, name))
