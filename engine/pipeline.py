"""Explain, simulate, score: one neuron, one stream of events.

Nothing here touches disk or keeps state: a stream that is closed or cancelled leaves
nothing behind, and what the caller wants kept it saves itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar

from engine.baselines import baselines
from engine.errors import MethodError, NeuroglassError, UsageError
from engine.events import (
    Explained,
    PipelineEvent,
    PipelineFailed,
    PipelineStarted,
    RecordSimulated,
    Scored,
)
from engine.explanation import Evidence, Explainer, Explanation, Word
from engine.lookup import TokenLookupExplainer, TokenLookupSimulator
from engine.records import ActivationRecord, NeuronRecord, TokenMeans
from engine.score import ScoreCard, ScoredRecord
from engine.scoring import score_records, scored_record
from engine.simulation import Scale, Simulation, SimulationStatus, Simulator
from engine.splits import PER_SPLIT, SplitRecord, Splits, split_records

T = TypeVar("T")

EXPLAINERS: Mapping[str, Callable[[], Explainer]] = {
    TokenLookupExplainer.name: TokenLookupExplainer,
}
SIMULATORS: Mapping[str, Callable[[], Simulator]] = {
    TokenLookupSimulator.name: TokenLookupSimulator,
}


def explainer(name: str) -> Explainer:
    """The explainer of that name. UsageError lists the known ones."""
    return _named("explainer", name, EXPLAINERS)


def simulator(name: str) -> Simulator:
    """The simulator of that name. UsageError lists the known ones."""
    return _named("simulator", name, SIMULATORS)


async def explain_and_score(
    neuron_record: NeuronRecord,
    token_means: TokenMeans,
    explainer: Explainer,
    simulator: Simulator,
    *,
    split: str = "valid",
    per_split: int | None = PER_SPLIT,
) -> AsyncGenerator[PipelineEvent, None]:
    """Explain a neuron from its explain fold and score that on held-out documents.

    Yields :class:`PipelineStarted`, words, :class:`Explained`, one
    :class:`RecordSimulated` per held-out record, and :class:`Scored`; or
    :class:`PipelineFailed` last, where a step can't be done.  A record that can't be
    simulated is a failed simulation, not the end.  Cancel the task or close the
    generator at any point.

    Args:
        split: ``valid`` or ``test``, or ``calibration`` for a look at it.
        per_split: Top and random records to score on, each; None: a third of those kept.
    """
    try:
        splits = await asyncio.to_thread(split_records, neuron_record, per_split)
        held_out = splits.held_out(split)
    except NeuroglassError as error:
        yield PipelineFailed("explain", error.message, error.remedy)
        return
    yield PipelineStarted(neuron_record.neuron, explainer.name, simulator.name, len(held_out))
    explanation: Explanation | None = None
    try:
        async with aclosing(_explain(explainer, neuron_record, token_means, splits)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Word):
                    yield piece
                else:
                    explanation = piece
                    yield Explained(piece)
        if explanation is None:
            raise MethodError(f"The explainer {explainer.name} gave no explanation.")
    except NeuroglassError as error:
        yield PipelineFailed("explain", error.message, error.remedy)
        return
    async with aclosing(
        _simulate_and_score(explanation, token_means, simulator, split, held_out)
    ) as events:
        async for event in events:
            yield event


async def score_explanation(
    explanation: Explanation,
    neuron_record: NeuronRecord,
    token_means: TokenMeans,
    simulator: Simulator,
    *,
    split: str = "valid",
    per_split: int | None = PER_SPLIT,
) -> AsyncGenerator[PipelineEvent, None]:
    """Score an explanation that exists already, whoever wrote it.

    The stream of :func:`explain_and_score` without words and :class:`Explained`.
    """
    try:
        if explanation.neuron != neuron_record.neuron:
            raise MethodError(
                f"The explanation is of neuron {explanation.neuron}, the records are of "
                f"{neuron_record.neuron}."
            )
        splits = await asyncio.to_thread(split_records, neuron_record, per_split)
        held_out = splits.held_out(split)
    except NeuroglassError as error:
        yield PipelineFailed("simulate", error.message, error.remedy)
        return
    yield PipelineStarted(
        neuron_record.neuron, explanation.explainer, simulator.name, len(held_out)
    )
    async with aclosing(
        _simulate_and_score(explanation, token_means, simulator, split, held_out)
    ) as events:
        async for event in events:
            yield event


async def _explain(
    explainer: Explainer, record: NeuronRecord, means: TokenMeans, splits: Splits
) -> AsyncGenerator[Word | Explanation, None]:
    evidence = Evidence(
        neuron=record.neuron,
        train=splits.train,
        others=splits.others,
        token_means=means,
        statistics=record.statistics,
    )
    stream = explainer.explain(evidence)
    try:
        async for piece in stream:
            yield piece
    finally:
        # Any async iterator will do as an explainer's stream; only generators close.
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


async def _simulate_and_score(
    explanation: Explanation,
    means: TokenMeans,
    simulator: Simulator,
    split: str,
    held_out: tuple[SplitRecord, ...],
) -> AsyncGenerator[PipelineEvent, None]:
    started = time.perf_counter()
    records: list[ScoredRecord] = []
    for number, held in enumerate(held_out, start=1):
        simulation = await _simulated(simulator, explanation, held.record)
        record = scored_record(held.role, simulation, held.record.activations)
        records.append(record)
        yield RecordSimulated(number, len(held_out), record)
    its_own = explanation.explainer == simulator.name == TokenLookupSimulator.name
    try:
        scores = await asyncio.to_thread(score_records, records)
        others = await asyncio.to_thread(
            baselines, explanation.neuron, means, records, lookup=not its_own
        )
    except NeuroglassError as error:
        yield PipelineFailed("score", error.message, error.remedy)
        return
    card = ScoreCard(
        simulator=simulator.name,
        simulator_settings=dict(simulator.settings),
        split=split,
        scores=scores,
        records=tuple(records),
        baselines=others,
        seconds=time.perf_counter() - started,
    )
    yield Scored(explanation, card)


async def _simulated(
    simulator: Simulator, explanation: Explanation, record: ActivationRecord
) -> Simulation:
    """Simulate one record; whatever goes wrong is a status."""
    excerpt = record.excerpt
    try:
        simulation = await simulator.simulate(explanation, excerpt)
        given, wanted = simulation.expected.shape, (len(record.activations),)
    except NeuroglassError as error:
        return Simulation.failed(excerpt, Scale.NEURON, str(error))
    except Exception as error:  # a simulator may be anything, a network client for one
        text = (str(error).splitlines() or [""])[0].strip()
        why = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return Simulation.failed(excerpt, Scale.NEURON, f"the simulator broke: {why}")
    if given != wanted:
        why = f"the simulator gave {simulation.expected.size} values for {wanted[0]} tokens"
        return Simulation.failed(excerpt, simulation.scale, why)
    return _honest(simulation)


def _honest(simulation: Simulation) -> Simulation:
    """A simulation whose status says what its values do."""
    coverage = simulation.coverage
    if coverage == 1:
        true_status = SimulationStatus.OK
    else:
        true_status = SimulationStatus.PARTIAL if coverage else SimulationStatus.FAILED
    if simulation.status is true_status:
        return simulation
    message = simulation.message or "some tokens have no simulated value"
    return replace(simulation, status=true_status, message=message)


def _named(what: str, name: str, known: Mapping[str, Callable[[], T]]) -> T:
    try:
        return known[name]()
    except KeyError:
        raise UsageError(
            f"There is no {what} {name!r}.", f"Choose one of {', '.join(sorted(known))}."
        ) from None
