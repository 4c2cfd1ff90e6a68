"""Explain, simulate, score as one stream: order of events, failures, cancelling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from method_samples import (
    NEURON,
    explanation,
    neuron,
    record,
    sample_means,
    sample_neuron,
    token_means,
)

from engine.baselines import baselines
from engine.errors import MethodError, ModelError
from engine.events import (
    CandidateFailed,
    CandidateScored,
    CandidateStarted,
    Explained,
    Judging,
    PipelineEvent,
    PipelineFailed,
    PipelineStarted,
    RecordSimulated,
    Scored,
)
from engine.explanation import Evidence, Explanation, Word
from engine.lookup import TokenLookupExplainer, TokenLookupSimulator
from engine.method import Method
from engine.models.faults import Fault, LanguageModelError
from engine.neuron import NeuronId
from engine.pipeline import explain_and_score, score_explanation
from engine.records import ActivationRecord, Excerpt, Fold, Group
from engine.score import Scope, ScoreCard, ScoreStatus
from engine.scoring import scored_record
from engine.simulation import Scale, Simulation, SimulationStatus
from engine.splits import split_records


class ByHand:
    """A simulator that a test tells what to do with each excerpt."""

    name = "by hand"
    settings: Mapping[str, Any] = {"hands": 2}

    def __init__(self, expected: Any) -> None:
        self._expected = expected
        self.seen: list[Excerpt] = []

    async def simulate(self, explanation: Explanation, excerpt: Excerpt) -> Simulation:
        self.seen.append(excerpt)
        values = np.asarray(self._expected(excerpt), dtype=np.float32)
        return Simulation(excerpt, values, Scale.NEURON, SimulationStatus.OK)


def wide_record(token_ids: Any, activations: Any) -> ActivationRecord:
    """A record of tokens from outside the sample vocabulary."""
    ids = np.asarray(token_ids, dtype=np.int32)
    excerpt = Excerpt(0, 0, "wide", 0, Fold.SCORE, ids, (b"x",) * len(ids))
    return ActivationRecord(excerpt, np.asarray(activations, dtype=np.float32))


async def collect(events: AsyncIterator[PipelineEvent]) -> list[PipelineEvent]:
    return [event async for event in events]


def look_up(**options: Any) -> AsyncIterator[PipelineEvent]:
    method = Method(TokenLookupExplainer(), TokenLookupSimulator(), **options)
    return explain_and_score(sample_neuron(), sample_means(), method)


def by(explainer: Any, simulator: Any) -> AsyncIterator[PipelineEvent]:
    return explain_and_score(sample_neuron(), sample_means(), Method(explainer, simulator))


async def card_of(expected: Any) -> ScoreCard:
    *_, last = await collect(
        score_explanation(
            explanation(),
            sample_neuron(),
            sample_means(),
            Method(TokenLookupExplainer(), ByHand(expected)),
        )
    )
    assert isinstance(last, Scored)
    return last.card


async def test_the_stream_goes_from_started_to_scored() -> None:
    events = await collect(look_up())
    kinds = [type(event) for event in events if not isinstance(event, Word)]
    assert kinds == [PipelineStarted, Explained, *[RecordSimulated] * 10, Scored]
    started, *rest = events
    assert started == events[0] and isinstance(started, PipelineStarted)
    assert (started.neuron, started.records) == (NEURON, 10)
    words = [event.text for event in rest if isinstance(event, Word)]
    last = events[-1]
    assert isinstance(last, Scored) and "".join(words) == last.explanation.text
    simulated = [event for event in events if isinstance(event, RecordSimulated)]
    assert [event.number for event in simulated] == list(range(1, 11))
    assert {event.total for event in simulated} == {10}
    assert [event.record for event in simulated] == list(last.card.records)


async def test_a_neuron_of_one_token_is_found_and_scores_near_one() -> None:
    *_, last = await collect(look_up(split="test"))
    assert isinstance(last, Scored)
    assert last.explanation.text == 'the word "fire"'
    assert last.card.split == "test" and last.card.simulator == "token-lookup"
    for scope in Scope:
        score = last.card.score(scope)
        assert score.ev_correlation == pytest.approx(1, abs=1e-6)
        assert score.rsquared == pytest.approx(1, abs=0.01)
        assert score.status is ScoreStatus.OK and score.records == (
            10 if scope is Scope.TOP_AND_RANDOM else 5
        )


async def test_no_scored_document_is_in_the_evidence() -> None:
    seen: list[int] = []

    class Looks(TokenLookupExplainer):
        async def explain(self, evidence: Evidence) -> AsyncIterator[Word | Explanation]:
            seen.extend(r.excerpt.document for r in (*evidence.train, *evidence.others))
            yield explanation()

    hand = ByHand(lambda excerpt: np.zeros(len(excerpt)))
    await collect(by(Looks(), hand))
    assert len(seen) == 24 and len(hand.seen) == 10
    assert not set(seen) & {excerpt.document for excerpt in hand.seen}


async def test_a_perfect_simulation_scores_one_and_a_constant_is_undefined() -> None:
    perfect = await card_of(lambda excerpt: np.where(excerpt.token_ids == 0, 2.0, 0.0))
    assert perfect.score().ev_correlation == pytest.approx(1)
    assert perfect.simulator_settings == {"hands": 2}
    constant = await card_of(lambda excerpt: np.full(len(excerpt), 3.0))
    assert constant.score().status is ScoreStatus.UNDEFINED
    assert constant.score().ev_correlation is None


async def test_baselines_are_scored_on_the_same_records() -> None:
    card = await card_of(lambda excerpt: excerpt.token_ids)
    found = {baseline.name: baseline for baseline in card.baselines}
    assert set(found) == {"constant", "shuffled-tokens", "token-lookup"}
    top, random = found["constant"].scores
    assert top.status is random.status is ScoreStatus.UNDEFINED
    assert top.rsquared is not None and top.absolute_dev_explained is not None
    assert found["token-lookup"].scores[0].ev_correlation == pytest.approx(1, abs=1e-6)
    assert found["token-lookup"].scores[0].tokens == card.score().tokens
    again = {b.name: b for b in (await card_of(lambda excerpt: excerpt.token_ids)).baselines}
    assert again["shuffled-tokens"].scores == found["shuffled-tokens"].scores
    *_, last = await collect(look_up())
    assert isinstance(last, Scored)
    assert [baseline.name for baseline in last.card.baselines] == ["constant", "shuffled-tokens"]


async def test_a_simulator_that_breaks_costs_its_records_only() -> None:
    def expected(excerpt: Excerpt) -> Any:
        if excerpt.window == 101:
            raise ConnectionError("no route\nto host")
        if excerpt.window == 104:
            raise ModelError("The model is gone.", "Find it.")
        if excerpt.window == 121:
            return np.zeros(3)
        return np.where(excerpt.token_ids == 0, 2.0, 0.0)

    card = await card_of(expected)
    by_window = {r.simulation.excerpt.window: r.simulation for r in card.records}
    assert by_window[101].message == "the simulator broke: ConnectionError: no route"
    assert by_window[104].message == "The model is gone. Find it."
    assert by_window[121].message == "the simulator gave 3 values for 32 tokens"
    lost = {w for w, s in by_window.items() if s.status is SimulationStatus.FAILED}
    assert lost == {101, 104, 121}
    assert card.score().status is ScoreStatus.PARTIAL
    assert card.score().coverage == pytest.approx(0.7)
    assert card.score().ev_correlation == pytest.approx(1)


async def test_missing_values_can_not_pass_as_ok() -> None:
    card = await card_of(lambda excerpt: np.where(excerpt.token_ids == 0, np.nan, 1.0))
    assert {r.simulation.status for r in card.records} == {SimulationStatus.PARTIAL}
    assert all(r.simulation.message for r in card.records)
    nothing = await card_of(lambda excerpt: np.full(len(excerpt), np.nan))
    assert {r.simulation.status for r in nothing.records} == {SimulationStatus.FAILED}
    assert nothing.score().status is ScoreStatus.FAILED


async def test_too_few_records_are_a_failed_score_not_a_crash() -> None:
    small = neuron(
        {
            (Fold.EXPLAIN, Group.TOP): [record(0, fold=Fold.EXPLAIN)],
            (Fold.SCORE, Group.TOP): [record(w) for w in range(1, 5)],
        }
    )
    *_, last = await collect(
        explain_and_score(
            small, sample_means(), Method(TokenLookupExplainer(), TokenLookupSimulator())
        )
    )
    assert isinstance(last, Scored)
    assert last.card.score().status is ScoreStatus.FAILED
    assert "scan more documents" in last.card.score().message


async def test_expected_failures_end_the_stream_with_a_line() -> None:
    unknown = await collect(look_up(split="train"))
    assert unknown == [
        PipelineFailed(
            "explain", "There is no split 'train'.", "Choose one of calibration, valid, test.", 2
        )
    ]

    class Gives(TokenLookupExplainer):
        def __init__(self, error: Exception | None) -> None:
            super().__init__()
            self._error = error

        async def explain(self, evidence: Evidence) -> AsyncIterator[Word | Explanation]:
            yield Word("the ")
            if self._error:
                raise self._error

    for error, message in (
        (MethodError("Too little.", "Scan."), "Too little."),
        (None, "The explainer token-lookup gave no explanation."),
    ):
        events = await collect(by(Gives(error), TokenLookupSimulator()))
        last = events[-1]
        assert [type(e) for e in events] == [PipelineStarted, Word, PipelineFailed]
        assert isinstance(last, PipelineFailed)
        assert (last.stage, last.message) == ("explain", message)

    other = Explanation(NeuronId(0, 0), "x", "y")
    *_, last = await collect(
        score_explanation(
            other,
            sample_neuron(),
            sample_means(),
            Method(TokenLookupExplainer(), TokenLookupSimulator()),
        )
    )
    assert isinstance(last, PipelineFailed) and last.stage == "simulate"


async def test_closing_the_stream_closes_the_explainer() -> None:
    closed = asyncio.Event()

    class Endless(TokenLookupExplainer):
        async def explain(self, evidence: Evidence) -> AsyncIterator[Word | Explanation]:
            try:
                while True:
                    yield Word("and ")
                    await asyncio.sleep(0)
            finally:
                closed.set()

    async with aclosing(by(Endless(), TokenLookupSimulator())) as events:
        async for event in events:
            if isinstance(event, Word):
                break
    assert closed.is_set()


async def test_cancelling_stops_a_simulation_under_way() -> None:
    entered, left = asyncio.Event(), asyncio.Event()

    class Slow(TokenLookupSimulator):
        async def simulate(self, explanation: Explanation, excerpt: Excerpt) -> Simulation:
            entered.set()
            try:
                await asyncio.sleep(60)
            finally:
                left.set()
            raise AssertionError

    before = asyncio.all_tasks()
    task = asyncio.create_task(collect(by(TokenLookupExplainer(), Slow())))
    await asyncio.wait_for(entered.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left.is_set() and asyncio.all_tasks() == before


class Writes(TokenLookupExplainer):
    """An explainer that writes what it is told to, one sentence per sample."""

    def __init__(self, *sentences: str) -> None:
        super().__init__()
        self._sentences = sentences

    async def explain(self, evidence: Evidence) -> AsyncIterator[Word | Explanation]:
        text = self._sentences[evidence.sample]
        yield Word(text)
        yield Explanation(evidence.neuron, text, "writes")


class Believes:
    """A simulator that is right by the share that the explanation's text says."""

    name = "believes"
    settings: Mapping[str, Any] = {}

    async def simulate(self, explanation: Explanation, excerpt: Excerpt) -> Simulation:
        rng = np.random.default_rng(excerpt.window)
        share = float(explanation.text)
        right = np.where(excerpt.token_ids == 0, 2.0, 0.0)
        values = share * right + (1 - share) * rng.normal(size=len(excerpt))
        return Simulation(excerpt, values.astype(np.float32), Scale.NEURON, SimulationStatus.OK)


class Revises:
    """A reviser that writes what it is told to."""

    def __init__(self, *sentences: str) -> None:
        self._sentences = list(sentences)
        self.saw: list[str] = []

    async def revise(
        self, explanation: Explanation, evidence: Evidence
    ) -> AsyncIterator[Word | Explanation]:
        self.saw.append(explanation.text)
        yield Explanation(evidence.neuron, self._sentences.pop(0), "writes")


async def test_the_best_sample_on_valid_is_kept_and_reported_on_test() -> None:
    method = Method(Writes("0.2", "0.9", "0.5"), Believes(), samples=3)
    events = await collect(explain_and_score(sample_neuron(), sample_means(), method))
    scored = [event for event in events if isinstance(event, CandidateScored)]
    assert [(one.number, one.kept) for one in scored] == [(1, True), (2, True), (3, False)]
    last = events[-1]
    assert isinstance(last, Scored)
    assert last.explanation.text == "0.9" and last.card.split == "test"
    valid = {h.record.excerpt.document for h in split_records(sample_neuron()).valid}
    assert not valid & {r.simulation.excerpt.document for r in last.card.records}


async def test_a_revision_is_kept_only_if_its_score_rises() -> None:
    reviser = Revises("0.3", "0.95", "0.9")
    method = Method(Writes("0.8"), Believes(), reviser=reviser, revisions=3)
    events = await collect(explain_and_score(sample_neuron(), sample_means(), method))
    last = events[-1]
    assert isinstance(last, Scored) and last.explanation.text == "0.95"
    assert reviser.saw == ["0.8", "0.8", "0.95"]
    started = [event for event in events if isinstance(event, CandidateStarted)]
    assert [one.revision for one in started] == [False, True, True, True]


async def test_a_candidate_that_fails_leaves_the_others() -> None:
    class Sometimes(Writes):
        async def explain(self, evidence: Evidence) -> AsyncIterator[Word | Explanation]:
            if evidence.sample == 1:
                raise LanguageModelError(Fault.REFUSED, "It will not answer.")
            async for piece in super().explain(evidence):
                yield piece

    class Never(Revises):
        async def revise(
            self, explanation: Explanation, evidence: Evidence
        ) -> AsyncIterator[Word | Explanation]:
            raise LanguageModelError(Fault.MALFORMED, "No sentences.")
            yield

    method = Method(
        Sometimes("0.6", "-", "0.9"), Believes(), samples=3, reviser=Never(), revisions=1
    )
    events = await collect(explain_and_score(sample_neuron(), sample_means(), method))
    last = events[-1]
    assert isinstance(last, Scored) and last.explanation.text == "0.9"
    failed = [event for event in events if isinstance(event, CandidateFailed)]
    assert [(one.number, one.message) for one in failed] == [
        (2, "It will not answer."),
        (4, "No sentences."),
    ]


async def test_without_a_single_candidate_the_run_fails() -> None:
    class Refuses(TokenLookupExplainer):
        async def explain(self, evidence: Evidence) -> AsyncIterator[Word | Explanation]:
            raise LanguageModelError(Fault.REFUSED, "It will not answer.")
            yield

    events = await collect(
        explain_and_score(sample_neuron(), sample_means(), Method(Refuses(), Believes(), samples=2))
    )
    assert isinstance(events[-3], CandidateFailed)
    assert events[-1] == PipelineFailed("explain", "It will not answer.", "", 9)


async def test_another_neurons_explanation_is_scored_beside() -> None:
    method = Method(Writes("0.9"), Believes(), chance=Explanation(NeuronId(1, 9), "0.0", "writes"))
    events = await collect(explain_and_score(sample_neuron(), sample_means(), method))
    assert [e.done for e in events if isinstance(e, Judging)] == list(range(1, 11))
    last = events[-1]
    assert isinstance(last, Scored)
    chance = last.card.baselines[0]
    assert chance.name == "another-neuron" and "1:9" in chance.description
    low, high = chance.scores[0].interval.low, chance.scores[0].interval.high  # type: ignore[union-attr]
    assert low < 0 < high
    assert last.card.score().ev_correlation > 0.9  # type: ignore[operator]


async def test_a_fault_that_every_request_would_meet_ends_the_run() -> None:
    def broke(excerpt: Excerpt) -> Any:
        if excerpt.window != 101:
            raise LanguageModelError(Fault.BUDGET, "The budget is spent.", "Raise it.")
        return np.zeros(len(excerpt))

    *rest, last = await collect(by(Writes("x"), ByHand(broke)))
    message = "The budget is spent."
    assert last == PipelineFailed("simulate", message, "Raise it.", 9, everywhere=True)
    assert not any(isinstance(event, Scored) for event in rest)


async def test_records_are_simulated_side_by_side_and_told_in_order() -> None:
    under_way, most = 0, 0

    class Waits(TokenLookupSimulator):
        async def simulate(self, explanation: Explanation, excerpt: Excerpt) -> Simulation:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.02 if excerpt.window % 2 else 0.001)
            under_way -= 1
            return await super().simulate(explanation, excerpt)

    events = await collect(by(TokenLookupExplainer(), Waits()))
    last = events[-1]
    assert isinstance(last, Scored) and most == 4
    seen = [e.record.simulation.excerpt.window for e in events if isinstance(e, RecordSimulated)]
    assert seen == [r.simulation.excerpt.window for r in last.card.records]
    held_out = split_records(sample_neuron()).valid
    assert seen == [held.record.excerpt.window for held in held_out]


def test_a_shuffled_tables_interval_covers_zero_and_the_tables_own_does_not() -> None:
    rng = np.random.default_rng(1)
    levels = rng.normal(size=1000)
    means = token_means([b" %d" % i for i in range(1000)], levels, [30] * 1000)
    covered = 0
    for index in range(40):
        records = []
        for role in ("top", "random"):
            for _ in range(5):
                ids = rng.integers(0, 1000, 64)
                kept = wide_record(ids, levels[ids])
                zeros = np.zeros(64, dtype=np.float32)
                blank = Simulation(kept.excerpt, zeros, Scale.NEURON, SimulationStatus.OK)
                records.append(scored_record(role, blank, kept.activations))
        _, shuffled, table = baselines(NeuronId(1, index), means, records, lookup=True)
        wrong, right = shuffled.scores[0].interval, table.scores[0].interval
        assert wrong is not None and right is not None
        assert right.low > 0.9
        covered += wrong.low <= 0 <= wrong.high
    # Less than 95%: a permutation of 1000 values is itself correlated by about .03.
    assert covered >= 28
