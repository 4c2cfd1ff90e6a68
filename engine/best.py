"""The best windows of each neuron: a few slots that only better windows enter.

A window's rank is its key and, among equal keys, its number, the smaller first.
Windows that begin alike have equal peaks, so ties are real; a total order makes what is
kept independent of the order of reading, and of how the corpus was shared out.  Key and
number are packed into one integer, so that the order is that of integers.
"""

from __future__ import annotations

import torch

EMPTY = -1
#: The code of an empty slot: below every other.
_NONE = torch.iinfo(torch.int64).min
_LAST = (1 << 31) - 1


def encode(keys: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
    """int64 codes whose order is that of (key, falling window number).

    Args:
        keys: float32; -inf means never, and becomes the code of an empty slot.
        windows: int32, not negative; broadcast against ``keys``.
    """
    bits = (keys + 0.0).view(torch.int32)  # adding zero makes -0 the same as 0
    rising = (bits ^ ((bits >> 31) & _LAST)).to(torch.int64)
    codes = (rising << 32) + (_LAST - windows.to(torch.int64))
    return codes.masked_fill_(keys == -torch.inf, _NONE)


def decode(codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys float32 and windows int32 of codes; -inf and ``EMPTY`` for an empty slot."""
    rising = (codes >> 32).to(torch.int32)
    keys = (rising ^ ((rising >> 31) & _LAST)).view(torch.float32)
    windows = (_LAST - (codes & 0xFFFFFFFF)).to(torch.int32)
    empty = codes == _NONE
    return keys.masked_fill(empty, -torch.inf), windows.masked_fill(empty, EMPTY)


def uniform_bits(windows: torch.Tensor, first_neuron: int, n: int) -> torch.Tensor:
    """Reproducible random bits for each (window, neuron), int32 [B, n].

    They depend on nothing but the window and the neuron, so a sample of the smallest or
    largest is uniform, drawn independently for every neuron, and the same however the
    corpus is cut into batches or runs. Windows and neurons are mixed apart (SplitMix64's
    finaliser, Steele et al. 2014), joined, and mixed again in 32 bits (the finaliser of
    MurmurHash3), which is what a batch pays for.
    """
    one = _mixed(windows.to(torch.int64))[:, None]
    other = _mixed(torch.arange(first_neuron, first_neuron + n) + (1 << 40))
    x = one ^ other
    x ^= (x >> 16) & 0xFFFF
    x *= -0x7A143595
    x ^= (x >> 13) & 0x7FFFF
    x *= -0x3D4D51CB
    x ^= (x >> 16) & 0xFFFF
    return x


def _mixed(x: torch.Tensor) -> torch.Tensor:
    """Upper halves of SplitMix64's finaliser over int64 numbers; int32."""
    x = x * 0x1F83D9ABFB41BD6B + 0x2545F4914F6CDD1D
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15
    return (x >> 32).to(torch.int32)


def uniform(bits: torch.Tensor) -> torch.Tensor:
    """float32 in [0, 1) from the lower 24 of int32 bits."""
    return (bits & 0xFFFFFF).to(torch.float32) * 2.0**-24


class Pieces:
    """The activations of one batch in one layer, as the pass handed them over."""

    def __init__(self) -> None:
        self._parts: list[torch.Tensor] = []

    def add(self, part: torch.Tensor) -> None:
        """Take the next windows, [window, token, neuron]."""
        self._parts.append(part)

    def clear(self) -> None:
        """Let go of all."""
        self._parts.clear()

    def take(self, rows: torch.Tensor, neurons: torch.Tensor) -> torch.Tensor:
        """[n, token] of so many windows and neurons, int64 [n] each."""
        if len(self._parts) == 1:
            return self._parts[0][rows, :, neurons]
        first = self._parts[0]
        taken = torch.empty((len(rows), first.shape[1]), dtype=first.dtype)
        # All pieces but the last hold equally many windows.
        owner = rows // len(first)
        for number, part in enumerate(self._parts):
            mine = (owner == number).nonzero().squeeze(1)
            taken[mine] = part[rows[mine] - number * len(first), :, neurons[mine]]
        return taken


class BestWindows:
    """For each neuron the ``k`` windows with the largest keys, and their activations.

    Slots are unordered while the scan runs; :meth:`ordered` sorts them.

    Attributes:
        codes: int64 [N, k], key and window of each slot, as :func:`encode` packs them.
        values: float16 or float32 [N, k, W], NaN past a window's end.
    """

    def __init__(self, neurons: int, k: int, width: int, dtype: torch.dtype) -> None:
        self.k = k
        self.codes = torch.full((neurons, k), _NONE)
        self.values = torch.full((neurons, k, width), torch.nan, dtype=dtype)
        self._weakest = torch.full((neurons,), _NONE)
        self._floor = torch.full((neurons,), -torch.inf)

    def restore(self, keys: torch.Tensor, windows: torch.Tensor, values: torch.Tensor) -> None:
        """Take the slots that :meth:`ordered` gave."""
        self.codes, self.values = encode(keys, windows.clamp(min=0)), values
        self._settle(torch.arange(len(keys)))

    def _settle(self, neurons: torch.Tensor) -> None:
        if self.k:
            self._weakest[neurons] = self.codes[neurons].amin(1)
            self._floor[neurons] = decode(self._weakest[neurons])[0]

    def offer(
        self,
        keys: torch.Tensor,
        windows: torch.Tensor,
        lengths: torch.Tensor,
        pieces: Pieces,
    ) -> None:
        """Take each window that ranks above a neuron's weakest kept one.

        Args:
            keys: float32 [B, N]; -inf means never.
            windows: int32 [B].
            lengths: int64 [B], tokens in each window.
            pieces: The batch's activations.
        """
        if self.k == 0:
            return
        # Most batches hold nothing for most neurons: one comparison each finds out.
        peaks = keys.amax(0)
        neurons = ((peaks >= self._floor) & (peaks > -torch.inf)).nonzero().squeeze(1)
        if not len(neurons):
            return
        codes = encode(keys[:, neurons].T.contiguous(), windows)
        enter = (codes > self._weakest[neurons][:, None]).sum(1)
        # Once the slots are filled, one window at most is the rule, and it is cheaper.
        one, several = (enter == 1).nonzero().squeeze(1), (enter > 1).nonzero().squeeze(1)
        if len(one):
            self._fill(*self._replace(neurons[one], codes[one]), lengths, pieces)
        if len(several):
            count = min(int(enter.amax()), self.k)
            best = codes[several].topk(count, dim=1, sorted=False)
            entered = self._enter(neurons[several], best.values, best.indices)
            self._fill(*entered, lengths, pieces)

    def _fill(
        self,
        neurons: torch.Tensor,
        slots: torch.Tensor,
        rows: torch.Tensor,
        lengths: torch.Tensor,
        pieces: Pieces,
    ) -> None:
        values = pieces.take(rows, neurons).to(self.values.dtype)
        width = values.shape[1]
        if int(lengths.amin()) < width:
            inside = torch.arange(width) < lengths[rows][:, None]
            values = values.where(inside, torch.nan)
        self.values[neurons, slots, :width] = values
        self.values[neurons, slots, width:] = torch.nan

    def merge(self, other: BestWindows) -> None:
        """Take the best of another's windows; none may be in both."""
        if self.k == 0:
            return
        everyone = torch.arange(len(self.codes))
        places = torch.arange(self.k).expand_as(other.codes)
        neurons, slots, theirs = self._enter(everyone, other.codes, places)
        self.values[neurons, slots] = other.values[neurons, theirs]

    def _replace(
        self, neurons: torch.Tensor, codes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """:meth:`_enter` where one of each neuron's offers ranks above its weakest."""
        best, sources = codes.max(1)
        slots = self.codes[neurons].argmin(1)
        self.codes[neurons, slots] = best
        self._settle(neurons)
        return neurons, slots, sources

    def _enter(
        self, neurons: torch.Tensor, codes: torch.Tensor, sources: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Put the best of the codes offered to some neurons into their slots.

        Args:
            neurons: int64 [n].
            codes, sources: int64 [n, c], each offer and where it comes from.

        Returns:
            neuron, slot and source of each offer that entered.
        """
        both = torch.cat([self.codes[neurons], codes], dim=1)
        chosen = both.topk(self.k, dim=1, sorted=False).indices
        stays = torch.zeros_like(both, dtype=torch.bool).scatter_(1, chosen, True)
        # Row by row there are as many freed slots as newcomers; empty offers only ever
        # take the place of slots that are empty themselves, and are left out of both.
        arrives = stays[:, self.k :] & (codes != _NONE)
        count = arrives.sum(1)
        freed = ~stays[:, : self.k]
        freed &= freed.cumsum(1) <= count[:, None]
        row, slot = freed.nonzero(as_tuple=True)
        _, column = arrives.nonzero(as_tuple=True)
        where = neurons[row]
        self.codes[where, slot] = codes[row, column]
        self._settle(neurons)
        return where, slot, sources[row, column]

    def ordered(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Keys, windows and values [N, k, W], the largest key first, empty slots last."""
        codes, order = self.codes.sort(dim=1, descending=True)
        keys, windows = decode(codes)
        values = self.values.gather(1, order[:, :, None].expand_as(self.values))
        return keys, windows, values
