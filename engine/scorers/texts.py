"""Which texts a scorer asks about, and where a neuron counts as firing on them.

The neurons of a GPT-2 are dense: behind a GELU hardly a value is ever exactly zero, so
"fires" needs a threshold, and two of them serve better than one.  A window *fires* when
its largest activation reaches the 0.9 quantile of window maxima, and is *silent* when it
stays below the median.  Windows between the two are not asked about: on them neither
yes nor no would be right.  A token fires, or is silent, by the same two values.

Quantiles rather than a share of the neuron's maximum, since the maximum is one token's
value: half of it is passed by one window in a thousand of one neuron and by every other
window of another.  With quantiles one window in ten fires, whatever the neuron.  A neuron
that is on nearly everywhere gets a low score from that, and rightly: its explanation
can't tell much apart.

Only score-fold documents are used, and none that a choice was made by: not those of the
calibration split, and on test not those of valid, where the explanation was chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np

from engine.errors import MethodError
from engine.explanation import Side
from engine.keep import BANDS, BOUNDARY_QUANTILES
from engine.lab import Lab
from engine.records import ActivationRecord, Fold, Group, NeuronRecord
from engine.splits import Splits

#: Texts of each kind to ask about.
TEXTS = 20
#: Fewer of a kind than this tell nothing.
MINIMUM_TEXTS = 3
#: Random score-fold windows that the subject model reads to choose among.
SAMPLE = 200
_FIRING, _SILENT = 0.9, 0.5
#: Kept for a reason that says nothing about how a window maximum is distributed.
_STRONG = (Group.TOP, *BANDS, Group.RANDOM)
_QUIET = (Group.BAND_0, Group.RANDOM)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where a neuron fires, in activation units.

    Attributes:
        firing: A window (or token) whose largest value is this or more fires.
        silent: One whose largest value is below this is silent.
        limits: Quantile and value of every boundary from ``firing`` up, rising.
    """

    firing: float
    silent: float
    limits: tuple[tuple[float, float], ...]

    def band(self, peak: float) -> str:
        """The quantile band of a window maximum, such as ``.99-.999``."""
        bounds = [(0.0, -np.inf), (_SILENT, self.silent), *self.limits, (1.0, np.inf)]
        for (low, start), (high, end) in pairwise(bounds):
            if start <= peak < end:
                return f"{low:g}-{high:g}".replace("0.", ".")
        return "?"


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """One window to ask about.

    Attributes:
        band: Quantile band of its maximum.
    """

    record: ActivationRecord
    fires: bool
    band: str


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What scorers of one neuron ask about.

    Attributes:
        firing, silent: No window is in both, none twice.
        random: Random windows of the same documents, whatever the neuron does there.
        split: Whose documents may be used.
    """

    thresholds: Thresholds
    firing: tuple[Text, ...]
    silent: tuple[Text, ...]
    random: tuple[ActivationRecord, ...]
    split: str

    @property
    def settings(self) -> Mapping[str, Any]:
        """What was found, as JSON values, to be stored with a judgement."""
        return {
            "texts_firing": len(self.firing),
            "texts_silent": len(self.silent),
            "fires_at": round(self.thresholds.firing, 6),
            "silent_below": round(self.thresholds.silent, 6),
        }


class TextPool:
    """Chooses one neuron's texts, once for all scorers.

    Args:
        record: What the scan kept, on the side that the explanation is about.
        splits: Of that record.
        split: Where the score is reported: ``valid``, ``test`` or ``calibration``.
        lab: To have the subject model read :data:`SAMPLE` random windows more; without
            it there are only those that the scan kept, some ten of a kind.
        texts: Of each kind to ask about at most.
    """

    def __init__(
        self,
        record: NeuronRecord,
        splits: Splits,
        split: str,
        *,
        side: Side = "positive",
        lab: Lab | None = None,
        texts: int = TEXTS,
        seed: int = 0,
    ) -> None:
        self._record = record
        self._splits = splits
        self.split = split
        self._side: Side = side
        self._lab = lab
        self.texts = texts
        self.seed = seed
        self._material: Material | None = None

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that changes the choice, as JSON values."""
        sample = SAMPLE if self._lab is not None else 0
        return {"texts": self.texts, "sample": sample, "seed": self.seed, "split": self.split}

    def kept(self) -> Material:
        """The choice among what the scan kept, without running the subject model.

        It is what a cost can be reckoned on: :meth:`share` says for how much it stands.

        Raises:
            MethodError: see :func:`choose`.
        """
        return choose(self._record, self._splits, self.split, texts=self.texts, seed=self.seed)

    def share(self, asked: int) -> float:
        """How many times as many questions there will be, about.

        Args:
            asked: Questions that the texts of :meth:`kept` make.
        """
        return 1.0 if self._lab is None else 2 * self.texts / asked

    async def material(self) -> Material:
        """The choice.

        Raises:
            MethodError: see :func:`choose`.
            ModelError: the subject model can't be loaded.
        """
        if self._material is None:
            more: Sequence[ActivationRecord] = ()
            if self._lab is not None:
                neuron = self._record.neuron
                more = await self._lab.sample(neuron, SAMPLE, seed=self.seed, side=self._side)
            self._material = choose(
                self._record,
                self._splits,
                self.split,
                texts=self.texts,
                seed=self.seed,
                more=more,
            )
        return self._material


def thresholds(record: NeuronRecord, random: Sequence[ActivationRecord]) -> Thresholds:
    """Where a neuron fires and where it is silent.

    The scan's own quantiles of window maxima; on the negative side, and in an index that
    has not finished its pilot, there are none, and those of the random windows stand in
    for the two that are needed.

    Raises:
        MethodError: too few windows, or a neuron that never changes.
    """
    known = dict(zip(BOUNDARY_QUANTILES, record.statistics.quantile_boundaries, strict=True))
    if np.isfinite(list(known.values())).all():
        limits = tuple((q, float(value)) for q, value in known.items() if q >= _FIRING)
        silent = float(known[_SILENT])
    else:
        if len(random) < 2 * MINIMUM_TEXTS:
            raise MethodError(
                f"{len(random)} random windows don't say where neuron {record.neuron} fires.",
                "Scan more documents.",
            )
        peaks = [one.peak for one in random]
        silent, firing = (float(np.quantile(peaks, q)) for q in (_SILENT, _FIRING))
        limits = ((_FIRING, firing),)
    # Windows that all peak at one token's value make boundaries fall together.
    limits = tuple(
        limit for number, limit in enumerate(limits) if number == 0 or limit[1] > limits[0][1]
    )
    if not limits[0][1] > silent:
        raise MethodError(
            f"Neuron {record.neuron} does the same in every text: nothing can be told apart.",
            "Choose another neuron.",
        )
    return Thresholds(limits[0][1], silent, limits)


def choose(
    record: NeuronRecord,
    splits: Splits,
    split: str,
    *,
    texts: int = TEXTS,
    seed: int = 0,
    more: Sequence[ActivationRecord] = (),
) -> Material:
    """Choose texts that fire, in turns from every band, and silent ones at random.

    In turns, since the strongest windows alone would flatter an explanation that knows
    only them.  The most negative windows, kept for the other side, are left out: they are
    no sample of anything here.

    Args:
        texts: Of each kind at most.
        more: Random score-fold windows beside those that the scan kept.

    Raises:
        MethodError: too few of a kind, or a window that is not of the score fold.
    """
    barred = _chosen_by(splits, split)

    def usable(records: Iterable[ActivationRecord]) -> list[ActivationRecord]:
        return [one for one in records if one.excerpt.document not in barred]

    def kept(groups: Sequence[Group]) -> list[ActivationRecord]:
        return [one for group in groups for one in record.records.get((Fold.SCORE, group), ())]

    everything = [*kept(_STRONG), *more]
    if any(one.excerpt.fold is not Fold.SCORE for one in everything):
        raise MethodError("A text to ask about is one that an explainer may have seen.")
    random = [*kept((Group.RANDOM,)), *more]
    where = thresholds(record, random)
    rng = np.random.default_rng([seed, record.neuron.layer, record.neuron.index])
    seen: set[object] = set()
    firing = [one for one in usable(everything) if one.peak >= where.firing]
    silent = [one for one in usable([*kept(_QUIET), *more]) if one.peak < where.silent]
    by_band: dict[str, list[ActivationRecord]] = {}
    for one in _shuffled(_once(firing, seen), rng):
        by_band.setdefault(where.band(one.peak), []).append(one)
    turns = zip_longest(*(by_band[band] for band in sorted(by_band)))
    taken = [one for turn in turns for one in turn if one is not None][:texts]
    quiet = _shuffled(_once(silent, seen), rng)[:texts]
    for kind, found in (("it fires on", taken), ("it is silent on", quiet)):
        if len(found) < MINIMUM_TEXTS:
            raise MethodError(
                f"There are {len(found)} held-out texts that {kind}; at least {MINIMUM_TEXTS} "
                "are needed.",
                "Scan more documents.",
            )
    return Material(
        thresholds=where,
        firing=tuple(Text(one, True, where.band(one.peak)) for one in taken),
        silent=tuple(Text(one, False, where.band(one.peak)) for one in quiet),
        random=tuple(_once(usable(random), set())),
        split=split,
    )


def _chosen_by(splits: Splits, split: str) -> set[int]:
    """Documents that a calibration, or a choice among explanations, was made by."""
    names = {"valid": ("calibration",), "test": ("calibration", "valid")}.get(split, ())
    return {held.record.excerpt.document for name in names for held in splits.held_out(name)}


def _once(records: Iterable[ActivationRecord], seen: set[object]) -> list[ActivationRecord]:
    """Records whose window and whose words are not in ``seen`` yet; adds them."""
    fresh = []
    for one in records:
        words = " ".join(one.excerpt.text.split())
        if one.excerpt.window not in seen and words not in seen:
            seen.update((one.excerpt.window, words))
            fresh.append(one)
    return fresh


def _shuffled(
    records: Sequence[ActivationRecord], rng: np.random.Generator
) -> list[ActivationRecord]:
    return [records[i] for i in rng.permutation(len(records))]
