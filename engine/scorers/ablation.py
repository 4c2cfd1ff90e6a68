"""Ablation: how much of the neuron's effect does its simulation keep?

Bills et al. 2023 describe the score and publish no code for it: the subject model reads
held-out text once as it is, once with the neuron's activations replaced by the simulated
ones, and once with them replaced by the neuron's mean; then

    effect kept = 1 - mean JS(original, simulated) / mean JS(original, mean)

with the Jensen-Shannon divergence of the next-token distributions, averaged over all
tokens of all records.  It is 1 for a perfect simulation, 0 for one that is worth no more
than always expecting the mean, and below 0 for one that does harm.  A simulator's scale
is not the neuron's, so its values are first fitted to it on the calibration split, by
least squares.

What is different here: the records are the method's five top and five random ones of the
split, not a sample of their own; where the simulator has no value, the token is left as
it is in the run with the mean as well, so that both runs cover the same tokens; an
interval is drawn over whole records; and where a neuron hardly changes what the model
predicts, so that rounding would decide, the score is undefined.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bootstrap import LEVEL, MINIMUM_RECORDS, RESAMPLES
from engine.errors import MethodError
from engine.explanation import Explanation
from engine.judgement import JudgedItem, Judgement, JudgeProgress, Measure, Measured
from engine.lab import Lab
from engine.models.request import Usage
from engine.score import Interval, ScoredRecord, ScoreStatus
from engine.simulate import simulate_all
from engine.simulation import Simulator
from engine.simulators.calibrated import CalibratedSimulator
from engine.splits import SplitRecord, Splits

#: A mean divergence below this, in nats, is what float32 forward passes round away.
LEAST_EFFECT = 1e-10
#: Records simulated at the same time.
PARALLEL = 4
_SEED = 20230509
_MEAN, _ZERO, _SIMULATED, _OTHER = "mean", "zero", "simulated", "chance"


@dataclass(frozen=True, slots=True, eq=False)
class _Effects:
    """Sums of divergences over each record's tokens that have a value, float64 [records]."""

    tokens: NDArray[np.int64]
    replaced: NDArray[np.float64]
    ablated: NDArray[np.float64]


class AblationScorer:
    """Puts the simulated neuron in the real one's place.

    Args:
        lab: The subject model.
        simulator: Uncalibrated; this fits it to each explanation on the calibration split
            (on valid, where the score itself is on calibration).
        mean: The neuron's mean activation, on the side that the explanation is about.
        split: Where the score is computed.
    """

    name = "ablation"

    def __init__(
        self,
        lab: Lab,
        simulator: Simulator,
        splits: Splits,
        split: str,
        *,
        mean: float,
        calibration: str = "linear",
    ) -> None:
        self._lab = lab
        self._simulator = simulator
        self._splits = splits
        self._split = split
        # Never fitted to the records that it is then judged on.
        self._fitted_on = "valid" if split == "calibration" else "calibration"
        self._mean = mean
        self._calibration = calibration

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`engine.judgement.Scorer`."""
        return {
            "simulator": self._simulator.name,
            "simulator_settings": dict(self._simulator.settings),
            "calibration": self._calibration,
            "calibrated_on": self._fitted_on,
            "ablated_to": self._mean,
            "split": self._split,
        }

    async def judge(
        self, explanation: Explanation, chance: Explanation | None
    ) -> AsyncGenerator[JudgeProgress | Judgement, None]:
        """See :class:`engine.judgement.Scorer`.

        The measures are of the simulation, headline first, and of ablation to zero, named
        by ``of``; ablation to the mean is 0 by definition.

        Raises:
            MethodError: nothing to calibrate on, or too few records.
            LanguageModelError: the simulator's model can't be asked at all.
            ModelError: the subject model can't be loaded.
        """
        started = time.perf_counter()
        held_out = self._splits.held_out(self._split)
        if len(held_out) < MINIMUM_RECORDS:
            raise MethodError(
                f"There are {len(held_out)} held-out records; at least {MINIMUM_RECORDS} are "
                "needed.",
                "Scan more documents.",
            )
        both = [explanation]
        if chance is not None:
            both.append(replace(chance, neuron=explanation.neuron, side=explanation.side))
        fitted_on = [held.record for held in self._splits.held_out(self._fitted_on)]
        total = (len(held_out) + len(fitted_on)) * len(both) + 1
        done = 0
        usage = Usage()
        simulated: list[list[ScoredRecord]] = []
        for one in both:
            calibrated = CalibratedSimulator(self._simulator, self._calibration)
            for simulation in await calibrated.fit(one, fitted_on):
                usage += simulation.usage
                done += 1
                yield JudgeProgress(done, total)
            found: list[ScoredRecord] = []
            async with aclosing(simulate_all(calibrated, one, held_out, PARALLEL)) as stream:
                async for record in stream:
                    found.append(record)
                    usage += record.simulation.usage
                    done += 1
                    yield JudgeProgress(done, total)
            simulated.append(found)
        own, zeroed, other = await self._effects(explanation, held_out, simulated)
        yield JudgeProgress(total, total)
        roles = [held.role for held in held_out]
        message = next((r.simulation.message for r in simulated[0] if r.simulation.message), "")
        measure = _measure("all", own, held_out, roles, message)
        yield Judgement(
            scorer=self.name,
            model="",
            settings=self.settings,
            split=self._split,
            measures=(measure, _measure("zero ablation", zeroed, held_out, roles, "")),
            chance=(_measure("all", other, held_out, roles, ""),) if other is not None else (),
            chance_text=chance.text if chance is not None else "",
            items=tuple(_items(simulated[0], own)),
            usage=usage,
            seconds=time.perf_counter() - started,
        )

    def estimate(self, explanation_text: str) -> tuple[int, int, int]:
        """Input tokens, output tokens and requests of one explanation.

        Those of the simulator, whose simulations of the two splits this asks for; what
        the ev correlation has already simulated comes from the reply cache.
        """
        reckon = getattr(self._simulator, "estimate", None)
        if reckon is None:
            return 0, 0, 0
        parts = [
            reckon(explanation_text, held.record.excerpt)
            for name in (self._fitted_on, self._split)
            for held in self._splits.held_out(name)
        ]
        read, written, sent = (sum(column) for column in zip(*parts, strict=True))
        return read, written, sent

    async def _effects(
        self,
        explanation: Explanation,
        held_out: Sequence[SplitRecord],
        simulated: Sequence[Sequence[ScoredRecord]],
    ) -> tuple[_Effects, _Effects, _Effects | None]:
        sign = -1.0 if explanation.side == "negative" else 1.0
        excerpts = [held.record.excerpt for held in held_out]

        def constant(value: float) -> list[NDArray[np.float64]]:
            return [np.full(len(excerpt), sign * value) for excerpt in excerpts]

        variants: dict[str, list[NDArray[np.float64]]] = {
            _MEAN: constant(self._mean),
            _ZERO: constant(0.0),
        }
        masks: dict[str, list[NDArray[np.bool_]]] = {}
        for name, records in zip((_SIMULATED, _OTHER), simulated, strict=False):
            values = [sign * r.simulation.expected.astype(np.float64) for r in records]
            variants[name] = values
            masks[name] = [np.isfinite(one) for one in values]
            if not all(mask.all() for mask in masks[name]):
                # The mean only where the simulation has a value, too.
                variants[f"{_MEAN} {name}"] = [
                    np.where(mask, one, np.nan)
                    for mask, one in zip(masks[name], variants[_MEAN], strict=True)
                ]
        found = await self._lab.replaced(explanation.neuron, excerpts, variants)
        everywhere = [np.ones(len(excerpt), dtype=bool) for excerpt in excerpts]

        def effects(name: str, mask: Sequence[NDArray[np.bool_]]) -> _Effects:
            mean = found.get(f"{_MEAN} {name}", found[_MEAN])
            # A record without a single value says nothing; the effect of one token on
            # later ones counts, so the others count with all of their tokens.
            has = np.array([one.any() for one in mask])
            return _Effects(
                tokens=np.array([one.sum() for one in mask]),
                replaced=has * np.array([one.js.sum() for one in found[name]]),
                ablated=has * np.array([one.js.sum() for one in mean]),
            )

        other = effects(_OTHER, masks[_OTHER]) if _OTHER in masks else None
        return effects(_SIMULATED, masks[_SIMULATED]), effects(_ZERO, everywhere), other


def effect_kept(replaced: float, ablated: float, tokens: int) -> float | None:
    """``1 - replaced / ablated``; None where ablation has no effect to speak of.

    Args:
        replaced, ablated: Sums of divergences over the same tokens, nats.
    """
    if tokens == 0 or ablated / tokens < LEAST_EFFECT:
        return None
    return 1 - replaced / ablated


def effect_interval(
    replaced: NDArray[np.float64], ablated: NDArray[np.float64], strata: Sequence[str]
) -> Interval | None:
    """A percentile bootstrap over whole records, as many of each role as there are.

    Args:
        replaced, ablated: Sums of divergences of each record, float64 [records].

    Returns:
        None for fewer than three records, or where some resample has no effect at all.
    """
    if len(strata) < MINIMUM_RECORDS:
        return None
    rng = np.random.default_rng(_SEED)
    counts = np.zeros((RESAMPLES, len(strata)))
    for stratum in sorted(set(strata)):
        members = np.flatnonzero([one == stratum for one in strata])
        share = np.full(len(members), 1 / len(members))
        counts[:, members] = rng.multinomial(len(members), share, size=RESAMPLES)
    below = counts @ ablated
    if not (below > 0).all():
        return None
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(1 - (counts @ replaced) / below, [tail, 1 - tail])
    return Interval(float(low), float(high), LEVEL, RESAMPLES)


def _measure(
    of: str,
    effects: _Effects,
    held_out: Sequence[SplitRecord],
    roles: Sequence[str],
    reason: str,
) -> Measure:
    total = sum(len(held.record.excerpt) for held in held_out)
    tokens = int(effects.tokens.sum())
    has = effects.tokens > 0
    value = effect_kept(float(effects.replaced.sum()), float(effects.ablated.sum()), tokens)
    interval = None
    status, message = ScoreStatus.OK, ""
    if tokens < total:
        status = ScoreStatus.PARTIAL if tokens else ScoreStatus.FAILED
        message = f"{total - tokens} of {total} tokens have no simulated value"
        message += f": {reason}" if reason else ""
    if value is None and tokens:
        status = ScoreStatus.UNDEFINED
        message = "; ".join(filter(None, ["ablating the neuron changes nothing", message]))
    if value is not None:
        kept = [role for role, one in zip(roles, has, strict=True) if one]
        interval = effect_interval(effects.replaced[has], effects.ablated[has], kept)
    return Measure(
        measured=Measured.EFFECT_KEPT,
        of=of,
        value=value,
        interval=interval,
        chance=0.0,
        items=total,
        coverage=tokens / total if total else 0.0,
        status=status,
        message=message,
    )


def _items(records: Sequence[ScoredRecord], effects: _Effects) -> list[JudgedItem]:
    """One for each record: what ablating it to the mean does, and what the simulation does.

    Both in nats per token, mean over the record.
    """
    items = []
    for record, tokens, replaced, ablated in zip(
        records, effects.tokens, effects.replaced, effects.ablated, strict=True
    ):
        excerpt = record.simulation.excerpt
        count = max(1, len(excerpt))
        items.append(
            JudgedItem(
                window=excerpt.window,
                document_name=excerpt.document_name,
                text=excerpt.text,
                band=record.role,
                truth=float(ablated) / count,
                prediction=float(replaced) / count if tokens else None,
                message=record.simulation.message,
            )
        )
    return items
