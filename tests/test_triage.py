"""Explaining many neurons: resumable, honest about failures, one run at a time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from loopback.server import Loopback, Script, Seen, Status
from store_samples import carded

from engine.choices import Choices
from engine.engine import Engine
from engine.errors import UsageError
from engine.events import Scored
from engine.explanation import Explanation
from engine.neuron import NeuronId
from engine.paths import write_pointer
from engine.triage import (
    Board,
    Filter,
    NeuronDone,
    NeuronFailed,
    Sorting,
    Standing,
    TriageEvent,
    TriageFailed,
    TriageFinished,
    TriageRequest,
    Triages,
    TriageStarted,
    TriageStopped,
)
from tests.small_index import FOLDER, NEURONS


@pytest.fixture
async def engine(home: Path) -> AsyncIterator[Engine]:
    async with await Engine.open(home) as opened:
        yield opened


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine over the committed index of a few neurons."""
    write_pointer(tmp_path, FOLDER)
    async with await Engine.open(tmp_path) as opened:
        yield opened


async def told(triages: Triages, request: TriageRequest, processes: int = 0) -> list[TriageEvent]:
    return [event async for event in triages.run(request, processes=processes)]


async def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never happened"
        await asyncio.sleep(0.02)


def done(events: list[TriageEvent]) -> list[NeuronId]:
    return [event.neuron for event in events if isinstance(event, NeuronDone)]


# ------------------------------------------------------------------ what comes out


@pytest.mark.parametrize("processes", [0, 2])
async def test_a_run_finds_what_explaining_one_by_one_finds(engine: Engine, processes: int) -> None:
    chosen = (NeuronId(0, 5), NeuronId(3, 700), NeuronId(3, 701))
    events = await told(engine.triages(), TriageRequest(neurons=chosen), processes)
    assert isinstance(events[0], TriageStarted) and events[0].total == 3
    assert isinstance(events[-1], TriageFinished) and events[-1].done == 3
    assert sorted(done(events)) == sorted(chosen)
    for event in events:
        if not isinstance(event, NeuronDone):
            continue
        *_, alone = [one async for one in engine.explain(event.neuron)]
        assert isinstance(alone, Scored)
        stored = engine.store.explanation(event.explanation)
        assert stored is not None
        assert stored.text == event.text == alone.explanation.text
        assert stored.rules == alone.explanation.rules
        assert stored.scores == alone.card.scores
        assert [(one.name, one.scores) for one in stored.baselines] == [
            (one.name, one.scores) for one in alone.card.baselines
        ]
        assert event.score == alone.card.score().ev_correlation
        assert len(engine.store.card(stored.id)) == len(alone.card.records)
        # Saved the way a single one is: saving that again adds nothing.
        assert await engine.save(alone.explanation, alone.card) == stored.id
        assert engine.store.counts().scorings == 3


async def test_what_is_explained_alike_is_left_out(small: Engine) -> None:
    first = NeuronId(1, 3)
    *_, alone = [one async for one in small.explain(first)]
    assert isinstance(alone, Scored)
    await small.save(alone.explanation, alone.card)
    triages = small.triages()
    request = TriageRequest(layers=(1,))
    assert await triages.to_do(request) == (NEURONS, NEURONS - 1)
    events = await told(triages, request)
    assert first not in done(events) and len(done(events)) == NEURONS - 1
    again = await told(triages, request)
    assert not done(again)
    last = again[-1]
    assert isinstance(last, TriageFinished) and last.skipped == NEURONS
    # Another split is another question.
    other = replace(request, choices=Choices(split="test"))
    assert await triages.to_do(other) == (NEURONS, NEURONS)
    # What was deleted is to do again.
    found = small.store.explanations(small.triages().index.model_id, first)
    await small.store.delete_explanations([found[0].id])
    assert await triages.to_do(request) == (NEURONS, 1)


async def test_a_run_that_is_asked_to_stop_goes_on_later(engine: Engine) -> None:
    triages = engine.triages()
    assert triages.status() is None
    request = TriageRequest(random=200)
    seen: list[NeuronId] = []
    async with aclosing(triages.run(request, processes=0)) as events:
        async for event in events:
            if isinstance(event, NeuronDone):
                seen.append(event.neuron)
                status = triages.status()
                assert status is not None and status.running
                await triages.stop()
            last = event
    assert isinstance(last, TriageStopped)
    status = triages.status()
    assert status is not None and status.standing is Standing.STOPPED and status.resumable
    assert status.stored.done == len(seen) and status.stored.left == last.left > 0
    rest = [event async for event in triages.run_again()]
    assert isinstance(rest[0], TriageStarted) and rest[0].done == len(seen)
    assert sorted(seen + done(rest)) == request.chosen(triages.index)
    status = triages.status()
    assert status is not None and status.standing is Standing.FINISHED
    assert engine.store.counts().explanations == len(request.chosen(triages.index))


async def test_a_closed_stream_keeps_what_is_done(small: Engine) -> None:
    triages = small.triages()
    async with aclosing(triages.run(TriageRequest())) as events:
        async for event in events:
            if isinstance(event, NeuronDone):
                break
    status = triages.status()
    assert status is not None and status.standing is Standing.STOPPED
    kept = small.store.triage_done(status.stored.id)
    assert len(kept) == status.stored.done == small.store.counts().explanations > 0


# ------------------------------------------------------------------ in the background


async def test_a_killed_process_loses_nothing_that_was_done(engine: Engine) -> None:
    triages = engine.triages()
    request = TriageRequest(layers=(2,), random=150, seed=3)
    number = await triages.start(request)
    with pytest.raises(UsageError, match="running already"):
        await triages.start(request)

    def stored_some() -> bool:
        status = triages.status()
        return status is not None and 0 < status.stored.done < 150

    await until(stored_some)
    status = triages.status()
    assert status is not None and status.standing is Standing.RUNNING
    assert status.stored.pid is not None
    os.kill(status.stored.pid, signal.SIGKILL)

    def dead() -> bool:
        status = triages.status()
        return status is not None and not status.running

    await until(dead)
    status = triages.status()
    assert status is not None and status.standing is Standing.INTERRUPTED
    before = engine.store.triage_done(number)
    assert len(before) == status.stored.done == engine.store.counts().explanations
    assert await triages.start_again() == number
    await until(dead)
    status = triages.status()
    assert status is not None and status.standing is Standing.FINISHED
    assert status.stored.done == 150
    assert engine.store.triage_done(number) == set(request.chosen(triages.index))
    assert engine.store.counts().scorings == 150
    await until(lambda: not _helpers(engine.home), 10)


async def test_the_run_outlives_who_started_it_and_stops_when_told(engine: Engine) -> None:
    async with await Engine.open(engine.home) as other:
        number = await other.triages().start(TriageRequest(layers=(4,)))
    triages = engine.triages()

    def under_way() -> bool:
        status = triages.status()
        return status is not None and status.stored.id == number and status.stored.done > 0

    await until(under_way)
    assert await triages.stop() is not None
    status = triages.status()
    assert status is not None and status.standing in (Standing.STOPPING, Standing.STOPPED)
    await asyncio.wait_for(triages.stopped(), 30)
    status = triages.status()
    assert status is not None and status.standing is Standing.STOPPED
    assert len(engine.store.triage_done(number)) == status.stored.done < 1024
    assert await triages.stop() is None


def _helpers(home: Path) -> list[str]:
    """Processes of a run of this home."""
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [
        line for line in found.stdout.splitlines() if "engine.triage" in line and str(home) in line
    ]


# ------------------------------------------------------------------ failures


def words(seen: Seen) -> Script:
    """Explains everything alike, and predicts nothing but zeros."""
    return '{"activations": []}' if "Predict how strongly" in seen.text else "the letter t"


def of_model(server: Loopback, **more: object) -> Choices:
    return Choices(
        explainer="summary",
        explainer_model=server.name,
        simulator="json",
        chance=False,
        **more,  # type: ignore[arg-type]
    )


async def test_one_neurons_failure_is_recorded_and_the_run_goes_on(
    small: Engine, loopback: Loopback
) -> None:
    asked = 0

    def brain(seen: Seen) -> Script:
        nonlocal asked
        explaining = "Predict how strongly" not in seen.text
        asked += explaining
        return Status(400, "too odd") if explaining and asked == 2 else words(seen)

    loopback.brain = brain
    chosen = tuple(NeuronId(0, index) for index in range(3))
    request = TriageRequest(neurons=chosen, choices=of_model(loopback))
    triages = small.triages()
    events = await told(triages, request)
    failed = [event for event in events if isinstance(event, NeuronFailed)]
    assert [one.neuron for one in failed] == [chosen[1]]
    assert done(events) == [chosen[0], chosen[2]]
    status = triages.status()
    assert status is not None and status.stored.failed == 1
    [(neuron, message)] = triages.failures(status.stored.id)
    assert neuron == chosen[1] and "too odd" in message
    assert status.stored.usage.requests > 0
    # It is tried again when the run is resumed.
    loopback.brain = words
    again = [event async for event in triages.run_again()]
    assert done(again) == [chosen[1]]
    assert triages.failures(status.stored.id) == []


async def test_what_hits_every_neuron_stops_the_run(small: Engine, loopback: Loopback) -> None:
    loopback.brain = lambda seen: Status(401, "no", "invalid_api_key")
    triages = small.triages()
    events = await told(triages, TriageRequest(layers=(0,), choices=of_model(loopback)))
    assert isinstance(events[-1], TriageFailed) and events[-1].exit_code == 9
    assert not done(events)
    status = triages.status()
    assert status is not None and status.standing is Standing.FAILED and status.resumable
    assert status.stored.message == events[-1].message
    loopback.brain = lambda seen: Status(400, "nothing today")
    events = [event async for event in triages.run_again()]
    assert isinstance(events[-1], TriageFailed), "a model that never answers"


async def test_the_budget_is_of_the_whole_run(small: Engine, loopback: Loopback) -> None:
    loopback.brain = words
    chosen = tuple(NeuronId(0, index) for index in range(4))
    triages = small.triages()
    await told(triages, TriageRequest(neurons=chosen[:1], choices=of_model(loopback)))
    status = triages.status()
    assert status is not None
    one = status.stored.usage.tokens
    limited = of_model(loopback, budget_tokens=2 * one)
    events = await told(triages, TriageRequest(neurons=chosen[1:], choices=limited))
    assert isinstance(events[-1], TriageFailed) and "budget" in events[-1].message
    status = triages.status()
    assert status is not None
    spent = status.stored.usage.tokens
    assert 0 < spent <= 2 * one
    again = [event async for event in triages.run_again()]
    assert isinstance(again[-1], TriageFailed), "resuming must not renew the budget"
    status = triages.status()
    assert status is not None and status.stored.usage.tokens <= 2 * one


async def test_requests_that_make_no_sense(small: Engine) -> None:
    triages = small.triages()
    for request, reason in (
        (TriageRequest(layers=(6,)), "no layer 6"),
        (TriageRequest(neurons=(NeuronId(0, NEURONS),)), "no neuron"),
        (TriageRequest(random=0), "Can't draw"),
        (TriageRequest(choices=Choices(explainer="summary")), "."),
    ):
        with pytest.raises(UsageError, match=reason):
            await told(triages, request)
    with pytest.raises(UsageError, match="to resume"):
        await triages.start_again()
    assert triages.status() is None


neurons = st.builds(NeuronId, st.integers(0, 5), st.integers(0, NEURONS - 1))


@given(
    st.builds(
        TriageRequest,
        layers=st.lists(st.integers(0, 5), unique=True).map(tuple),
        neurons=st.lists(neurons, max_size=4).map(tuple),
        random=st.none() | st.integers(1, 100),
        seed=st.integers(0, 2**31),
        offline=st.booleans(),
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_request_survives_the_store(request_: TriageRequest) -> None:
    assert TriageRequest.from_json(request_.to_json()) == request_


# ------------------------------------------------------------------ the ranking

scores = st.none() | st.floats(-1, 1).map(lambda value: round(value, 3))
saved = st.lists(
    st.tuples(neurons, st.sampled_from(["plural nouns", "commas", "the word the"]), scores),
    max_size=25,
)


@given(saved, st.sampled_from(list(Sorting)), scores, st.none() | st.integers(0, 5))
@example(
    # Scoring 3 is deleted as 1 and 2 come back: the ids add up to the same.
    [(NeuronId(0, 0), text, score) for text, score in zip("aab", (None, 0.0, None), strict=True)],
    Sorting.BEST,
    None,
    None,
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_board_ranks_as_plain_loops_do(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[NeuronId, str, float | None]],
    sorting: Sorting,
    low: float | None,
    layer: int | None,
) -> None:
    async def play() -> None:
        home = tmp_path_factory.mktemp("board")
        write_pointer(home, FOLDER)
        async with await Engine.open(home) as engine:
            board = engine.triages().board()
            half = len(rows) // 2
            for neuron, text, score in rows[:half]:
                await _save(engine, neuron, text, score)
            board.refresh()
            for neuron, text, score in rows[half:]:
                await _save(engine, neuron, text, score)
            board.refresh()
            assert not board.refresh()
            _compare(engine, board, sorting, Filter(layer=layer, score_low=low))
            if rows:  # a deletion is noticed
                [first, *_] = engine.store.list_explanations(engine.index_facts().model_id)
                await engine.store.delete_explanations([first.id])
                assert board.refresh()
                _compare(engine, board, sorting, Filter(layer=layer, text="th wor"))
                # So is one that is undone while another takes its place.
                [other, *_] = [*engine.store.list_explanations(first.model), first]
                await engine.store.delete_explanations([other.id])
                await engine.store.restore_explanations([first.id])
                board.refresh()
                _compare(engine, board, sorting, Filter(layer=layer))

    asyncio.run(play())


async def _save(engine: Engine, neuron: NeuronId, text: str, score: float | None) -> None:
    explanation = Explanation(neuron, text, "token-lookup", {}, None, ())
    await engine.save(explanation, carded(score))


def _compare(engine: Engine, board: Board, sorting: Sorting, only: Filter) -> None:
    index = engine.index
    assert index is not None
    expected = {}
    for layer in range(index.n_layers):
        columns = index.layer(layer)
        for number in range(index.n_neurons):
            neuron = NeuronId(layer, number)
            found = engine.store.explanations(index.model_id, neuron)
            if not found:
                continue
            best = found[0]
            value = best.ev_correlation
            if only.layer not in (None, layer) or (only.text and best.text != "the word the"):
                continue
            if only.score_low is not None and (value is None or value < only.score_low):
                continue
            expected[neuron] = (value, columns.maximum[number], columns.fraction_active[number])
    page, total = board.page(only, sorting, limit=7, offset=0)
    assert total == len(expected)

    def score_key(neuron: NeuronId, sign: int) -> tuple[bool, float, NeuronId]:
        value = expected[neuron][0]
        return value is None, sign * (value or 0.0), neuron

    keys: dict[Sorting, Callable[[NeuronId], object]] = {
        Sorting.BEST: lambda neuron: score_key(neuron, -1),
        Sorting.WORST: lambda neuron: score_key(neuron, 1),
        Sorting.STRONGEST: lambda neuron: (-expected[neuron][1], neuron),
        Sorting.SPARSEST: lambda neuron: (expected[neuron][2], neuron),
        Sorting.NEURON: lambda neuron: neuron,
    }
    if sorting in keys:
        ordered = sorted(expected, key=keys[sorting])  # type: ignore[arg-type]
        assert [row.neuron for row in page] == ordered[:7]
    for row in page:
        assert row.score == expected[row.neuron][0]
    layers = board.by_layer(only)
    assert sum(one.neurons for one in layers) == total
    for one in layers:
        values = [v for n, (v, *_) in expected.items() if n.layer == one.layer and v is not None]
        assert one.scored == sum(one.histogram) == len(values)
        assert (one.mean is None) == (not values)
        if values:
            assert one.mean == pytest.approx(sum(values) / len(values))
