"""Excerpts and activation records: what was read, and how strongly a neuron fired on it.

An :class:`Excerpt` is a window of text without any activation: all that a simulator
may see.  An :class:`ActivationRecord` is an excerpt with one neuron's activations.
The two are separate types so that a simulator can't be handed the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from engine.neuron import NeuronId


class Fold(StrEnum):
    """The half of the corpus a document belongs to.

    Whole documents are dealt to one of two folds before the scan.  Everything an
    explainer sees comes from ``EXPLAIN`` documents, everything a score is computed on
    comes from ``SCORE`` documents, so an explanation can't be tested on text (or on
    a neighbour of text) that it was written from.
    """

    EXPLAIN = "explain"
    SCORE = "score"


class Group(StrEnum):
    """Why a record was kept. Bands are quantiles of the window maximum."""

    TOP = "top"
    BAND_0 = "band-0"  # [0, .5]
    BAND_1 = "band-1"  # [.5, .9]
    BAND_2 = "band-2"  # [.9, .99]
    BAND_3 = "band-3"  # [.99, .999]
    RANDOM = "random"
    BOTTOM = "bottom"  # the most negative windows


#: Quantile limits of the four bands, method.md 1.1.
BAND_QUANTILES: tuple[tuple[float, float], ...] = (
    (0.0, 0.5),
    (0.5, 0.9),
    (0.9, 0.99),
    (0.99, 0.999),
)


@dataclass(frozen=True, slots=True, eq=False)
class Excerpt:
    """One window of text.

    Attributes:
        window: Row of the window in its index.
        document: Row of the document in its index.
        document_name: The document's name, for people. Untrusted text.
        offset: Position of the first token inside the document, in tokens.
        fold: The document's fold.
        token_ids: int32 [T].
        tokens: The bytes of each token, T of them. A token may be a part of a
            UTF-8 character, so bytes, not text. Untrusted.
    """

    window: int
    document: int
    document_name: str
    offset: int
    fold: Fold
    token_ids: NDArray[np.int32]
    tokens: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def text(self) -> str:
        """The excerpt as text; undecodable bytes become U+FFFD. Untrusted."""
        return b"".join(self.tokens).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, eq=False)
class ActivationRecord:
    """An excerpt and one neuron's MLP post-activation values on it, float32 [T]."""

    excerpt: Excerpt
    activations: NDArray[np.float32]

    @property
    def peak(self) -> float:
        """The largest activation of the record; NaN where none is known."""
        # A published record may lack some; maximum and minimum pass over NaN in this form.
        return float(np.fmax.reduce(self.activations))

    @property
    def trough(self) -> float:
        """The smallest activation of the record; NaN where none is known."""
        return float(np.fmin.reduce(self.activations))


@dataclass(frozen=True, slots=True)
class NeuronStatistics:
    """Moments over every scanned token (the prepended end-of-text token excluded).

    Attributes:
        tokens: How many tokens the moments cover; 0 where that is not known.
        mean, variance: In activation units; variance is the population variance.
        skewness, kurtosis: Standardised third and fourth moments; kurtosis is *not*
            reduced by 3 (a normal distribution has 3). NaN for a constant neuron.
        fraction_active: Share of tokens with an activation above zero.
        maximum, minimum: Extremes over every scanned token.
        histogram: int64 [bins] counts over a random sample of the windows.
        histogram_edges: float32 [bins + 1], activation units.
        quantile_boundaries: The window maxima that part the bands, one for each of
            the quantiles .5, .9, .99, .999 (float32 [4]); NaN until the scan has
            read its pilot sample.
        windows_in_band: How many scanned windows fell below the first boundary,
            between each two, and above the last (int64 [5]); the boundaries come
            from a pilot sample, so this says what they really were.
    """

    tokens: int
    mean: float
    variance: float
    skewness: float
    kurtosis: float
    fraction_active: float
    maximum: float
    minimum: float
    histogram: NDArray[np.int64]
    histogram_edges: NDArray[np.float32]
    quantile_boundaries: NDArray[np.float32]
    windows_in_band: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class TokenMeans:
    """Mean activation by token over the *explain* fold: the token look-up table.

    Attributes:
        token_ids: int32 [M], the tokens that were common enough to be tabled.
        counts: int64 [M], occurrences in the explain fold.
        means: float32 [M], mean activation at the token.
        mean: Mean activation over all explain-fold tokens, tabled or not.
        texts: The bytes of each of the M tokens.
        complete: False for a published table, which lists the highest means alone, over
            all of the text, and has no counts (they are ones here).
    """

    token_ids: NDArray[np.int32]
    counts: NDArray[np.int64]
    means: NDArray[np.float32]
    mean: float
    texts: tuple[bytes, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class NeuronRecord:
    """All that the scan kept of one neuron.

    Attributes:
        records: For each fold and group the kept records; ``TOP`` strongest first,
            ``BOTTOM`` most negative first, the others in random order.
        windows_scanned: How many windows had been scanned when this was read.
    """

    neuron: NeuronId
    statistics: NeuronStatistics
    records: Mapping[tuple[Fold, Group], tuple[ActivationRecord, ...]]
    windows_scanned: int

    def group(self, group: Group) -> tuple[ActivationRecord, ...]:
        """Both folds of a group together, in the group's order."""
        both = [r for fold in Fold for r in self.records.get((fold, group), ())]
        if group is Group.TOP:
            both.sort(key=lambda record: -record.peak)
        elif group is Group.BOTTOM:
            both.sort(key=lambda record: record.trough)
        else:
            both.sort(key=lambda record: record.excerpt.window)
        return tuple(both)
