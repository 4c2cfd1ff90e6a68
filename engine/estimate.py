"""What a run will cost, from the very prompts it would send."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from engine.candidates import evidence_of
from engine.choices import Choices, Price
from engine.explanation import Evidence
from engine.method import Method
from engine.records import Excerpt, NeuronRecord, TokenMeans
from engine.splits import split_records

#: An explanation of the usual length stands in for the one that is not written yet.
TYPICAL = "references to weather and the seasons, above all to snow and cold"
#: Input tokens, output tokens, requests.
Need = tuple[int, int, int]


@runtime_checkable
class _Explains(Protocol):
    def estimate(self, evidence: Evidence) -> Need: ...


@runtime_checkable
class _Prepares(Protocol):
    async def prepare(self, evidence: Evidence) -> None: ...


@runtime_checkable
class _Simulates(Protocol):
    def estimate(self, explanation_text: str, excerpt: Excerpt) -> Need: ...


@runtime_checkable
class _Judges(Protocol):
    def estimate(self, explanation_text: str) -> Need: ...


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a run.

    Attributes:
        name: ``explain``, ``simulate``, ``another neuron`` (the chance baseline), or a
            scorer's name.
        model: ``PROVIDER:MODEL``, or empty where no language model is needed.
        output_tokens: A reckoning: replies of the usual length.
        money: None where the model has no price.
    """

    name: str
    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    money: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Every step of a run of one neuron. Replies that are cached will cost nothing."""

    steps: tuple[Step, ...]

    @property
    def requests(self) -> int:
        """Requests of all steps."""
        return sum(step.requests for step in self.steps)

    @property
    def tokens(self) -> int:
        """Input and output tokens of all steps."""
        return sum(step.input_tokens + step.output_tokens for step in self.steps)

    @property
    def money(self) -> float | None:
        """Of all steps; None where a step that costs tokens has no price."""
        costs = [step.money for step in self.steps if step.requests]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None


async def prepare_estimate(record: NeuronRecord, means: TokenMeans, method: Method) -> None:
    """Find out beforehand what the number of requests depends on.

    Raises:
        NeuroglassError: the neuron can't be explained.
    """
    if isinstance(method.explainer, _Prepares):
        splits = await asyncio.to_thread(split_records, record, method.per_split)
        await method.explainer.prepare(evidence_of(record, means, splits, method, sample=0))


def estimate_run(
    record: NeuronRecord, means: TokenMeans, choices: Choices, method: Method
) -> Estimate:
    """What a whole run would ask for. CPU-bound, about 10 ms.

    Parts that need no language model are left out.

    Raises:
        MethodError: the neuron can't be explained.
    """
    splits = split_records(record, method.per_split)
    models = choices.models_needed()
    steps: list[Step] = []

    def add(name: str, part: str, needs: Iterable[Need]) -> None:
        sums = [sum(column) for column in zip(*needs, strict=True)]
        if not sums or not sums[2]:
            return
        model = models.get(part, "")
        price = choices.prices.get(model)
        steps.append(Step(name, model, sums[2], sums[0], sums[1], _money(price, *sums[:2])))

    explainer, simulator = method.explainer, method.simulator
    if isinstance(explainer, _Explains):
        evidence = evidence_of(record, means, splits, method, sample=0)
        add("explain", "explainer", [explainer.estimate(evidence)] * method.samples)
    if isinstance(simulator, _Simulates):
        scored = [held.record.excerpt for held in splits.held_out(method.report_split)]
        if method.calibration != "none":
            scored += [held.record.excerpt for held in splits.calibration]
        chosen = [held.record.excerpt for held in splits.valid] if method.selects else []
        once = [simulator.estimate(TYPICAL, excerpt) for excerpt in scored]
        rounds = method.samples + method.revisions
        choosing = [simulator.estimate(TYPICAL, excerpt) for excerpt in chosen]
        add("choose", "simulator", choosing * rounds)
        add("simulate", "simulator", once)
        if method.chance is not None:
            add("another neuron", "simulator", once)
    for scorer in method.scorers(simulator, splits):
        if isinstance(scorer, _Judges):
            times = 1 if method.chance is None else 2
            add(scorer.name, "scorer", [scorer.estimate(TYPICAL)] * times)
    return Estimate(tuple(steps))


def _money(price: Price | None, input_tokens: int, output_tokens: int) -> float | None:
    if price is None:
        return None
    return (input_tokens * price.input + output_tokens * price.output) / 1e6
