"""Explain, simulate, score: one neuron, one stream of events.

Nothing here touches disk or keeps state: a stream that is closed or cancelled leaves
nothing behind, and what the caller wants kept it saves itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from engine.baselines import baselines
from engine.candidates import candidates, later
from engine.errors import MethodError, NeuroglassError
from engine.events import (
    Explained,
    Judged,
    JudgeFailed,
    Judging,
    PipelineEvent,
    PipelineFailed,
    PipelineStarted,
    RecordSimulated,
    Scored,
)
from engine.explanation import Explanation
from engine.judgement import Judgement
from engine.lookup import TokenLookupSimulator
from engine.method import Method
from engine.models.faults import LanguageModelError
from engine.records import NeuronRecord, TokenMeans
from engine.score import Baseline, ScoreCard, ScoredRecord
from engine.scoring import score_records
from engine.simulate import calibrated, simulate_all
from engine.splits import Splits, split_records
from engine.streams import closing

#: The baseline that knows what explanations look like, but not this neuron.
CHANCE = "another-neuron"


async def explain_and_score(
    neuron_record: NeuronRecord, token_means: TokenMeans, method: Method
) -> AsyncGenerator[PipelineEvent, None]:
    """Explain a neuron from its explain fold and score that on held-out documents.

    Yields :class:`PipelineStarted`, words, :class:`Explained`, one
    :class:`RecordSimulated` per held-out record, judgements of further scorers, and
    :class:`Scored`; or :class:`PipelineFailed` last, where a step can't be done.  With
    several candidates, each is scored on valid, and the best goes on.  A record that
    can't be simulated is a failed simulation, not the end.  Cancel the task or close the
    generator at any point.
    """
    try:
        splits = await asyncio.to_thread(split_records, neuron_record, method.per_split)
        held_out = splits.held_out(method.report_split)
    except NeuroglassError as error:
        yield _failed("explain", error)
        return
    yield PipelineStarted(
        neuron_record.neuron, method.explainer.name, method.simulator.name, len(held_out)
    )
    best: Explanation | None = None
    try:
        async with aclosing(candidates(neuron_record, token_means, splits, method)) as pieces:
            async for piece in pieces:
                yield piece
                if isinstance(piece, Explained):
                    best = piece.explanation
        assert best is not None
    except NeuroglassError as error:
        yield _failed("explain", error)
        return
    async with aclosing(_score(best, token_means, method, splits)) as events:
        async for event in events:
            yield event


async def score_explanation(
    explanation: Explanation, neuron_record: NeuronRecord, token_means: TokenMeans, method: Method
) -> AsyncGenerator[PipelineEvent, None]:
    """Score an explanation that exists already, whoever wrote it.

    The stream of :func:`explain_and_score` without words and :class:`Explained`. Nothing
    is chosen among, so the score is on the method's own split.
    """
    method = replace(method, samples=1, revisions=0)
    try:
        if explanation.neuron != neuron_record.neuron:
            raise MethodError(
                f"The explanation is of neuron {explanation.neuron}, the records are of "
                f"{neuron_record.neuron}."
            )
        splits = await asyncio.to_thread(split_records, neuron_record, method.per_split)
        held_out = splits.held_out(method.report_split)
    except NeuroglassError as error:
        yield _failed("simulate", error)
        return
    yield PipelineStarted(
        neuron_record.neuron, explanation.explainer, method.simulator.name, len(held_out)
    )
    async with aclosing(_score(explanation, token_means, method, splits)) as events:
        async for event in events:
            yield event


async def _score(
    explanation: Explanation, means: TokenMeans, method: Method, splits: Splits
) -> AsyncGenerator[PipelineEvent, None]:
    started = time.perf_counter()
    held_out = splits.held_out(method.report_split)
    records: list[ScoredRecord] = []
    others: list[ScoredRecord] = []
    stage = "simulate"
    try:
        simulator, usage = await calibrated(explanation, method, splits)
        async with aclosing(
            simulate_all(simulator, explanation, held_out, method.parallel)
        ) as simulated:
            async for record in simulated:
                records.append(record)
                yield RecordSimulated(len(records), len(held_out), record)
        if method.chance is not None:
            other = replace(method.chance, neuron=explanation.neuron)
            by, more = await calibrated(other, method, splits)
            usage += more
            async with aclosing(simulate_all(by, other, held_out, method.parallel)) as simulated:
                async for record in simulated:
                    others.append(record)
                    yield Judging("chance", len(others), len(held_out))
        if method.waiting():
            async with aclosing(_judge(explanation, method, splits)) as events:
                async for event in events:
                    yield event
            raise later()
        stage = "score"
        scores = await asyncio.to_thread(score_records, records)
        its_own = explanation.explainer == simulator.name == TokenLookupSimulator.name
        found = await asyncio.to_thread(
            baselines, explanation.neuron, means, records, lookup=not its_own
        )
        if method.chance is not None:
            chance = await asyncio.to_thread(score_records, others)
            text = f"the explanation of neuron {method.chance.neuron}: {method.chance.text}"
            found = (Baseline(CHANCE, text, chance), *found)
    except NeuroglassError as error:
        yield _failed(stage, error)
        return
    for record in (*records, *others):
        usage += record.simulation.usage
    card = ScoreCard(
        simulator=simulator.name,
        simulator_settings=dict(simulator.settings),
        split=method.report_split,
        scores=scores,
        records=tuple(records),
        baselines=found,
        seconds=time.perf_counter() - started,
        usage=usage,
    )
    judgements: list[Judgement] = []
    async with aclosing(_judge(explanation, method, splits)) as events:
        async for event in events:
            if isinstance(event, Judged):
                judgements.append(event.judgement)
            yield event
    yield Scored(explanation, card, tuple(judgements))


async def _judge(
    explanation: Explanation, method: Method, splits: Splits
) -> AsyncGenerator[PipelineEvent, None]:
    """Further scorers. One that can't judge says so; the others and the score stand."""
    for scorer in method.scorers(method.simulator, splits):
        try:
            async with closing(scorer.judge(explanation, method.chance)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Judgement):
                        yield Judged(piece)
                    else:
                        yield Judging(scorer.name, piece.done, piece.total)
        except NeuroglassError as error:
            yield JudgeFailed(scorer.name, error.message, error.remedy)


def _failed(stage: str, error: NeuroglassError) -> PipelineFailed:
    everywhere = isinstance(error, LanguageModelError) and error.ends_run
    return PipelineFailed(stage, error.message, error.remedy, error.exit_code, everywhere)
