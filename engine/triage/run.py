"""One run over many neurons: a stream of events, and every result on disk as it comes."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.choices import SCORERS, Choices
from engine.errors import NeuroglassError, StoreError
from engine.events import Spent
from engine.index import Index
from engine.models.request import Usage
from engine.neuron import NeuronId
from engine.spending import Spending
from engine.store import IndexFacts, Store, StoredTriage, Triaged, TriageState
from engine.triage.batched import BatchSpending, InBatches
from engine.triage.events import (
    NeuronDone,
    NeuronFailed,
    TriageEvent,
    TriageFailed,
    TriageFinished,
    TriageProgress,
    TriageStarted,
    TriageStopped,
    TriageWaiting,
)
from engine.triage.request import TriageRequest
from engine.triage.sources import one_by_one
from engine.triage.workers import in_processes, processes_for
from engine.workbench import Workbench

if TYPE_CHECKING:
    from engine.models.batch_rows import Standing

#: Results are saved, progress is told and the wish to stop is looked for so often, in
#: seconds: what a killed process loses, beside the neurons under way.
TICK = 0.5
#: The rate is that of the last so many seconds.
RATE_SECONDS = 30.0
#: Results that may wait for the disk.
WAITING = 256


def needs_one_process(choices: Choices) -> bool:
    """Whether models are asked, or the subject model is needed: those are in one process."""
    return bool(choices.models_needed()) or any(name in SCORERS for name in choices.scorers)


class Run:
    """The parts of one run; :meth:`events` may be called once.

    Args:
        stored: The run's row.
        facts: Of the index.
        before: Neurons explained alike already, by anybody.
        processes: For explainers without a model; None: as many as there are cores.
    """

    def __init__(
        self,
        bench: Workbench,
        store: Store,
        index: Index,
        facts: IndexFacts,
        stored: StoredTriage,
        before: set[NeuronId],
        *,
        processes: int | None = None,
    ) -> None:
        self._bench, self._store, self._index, self._facts = bench, store, index, facts
        self._request = TriageRequest.from_json(stored.request)
        # What batches have used is counted by them, also that of earlier parts of the run.
        if self._request.batch:
            stored = replace(stored, usage=Usage(), money=0.0, replayed=0)
        self._stored = stored
        neurons = self._request.chosen(index)
        own = store.triage_done(stored.id)
        wanted = set(neurons)
        self._pending = [one for one in neurons if one not in before and one not in own]
        self._done = len(own & wanted)
        self._failed = 0
        self._skipped = len(neurons) - len(self._pending) - self._done
        self._total = len(neurons)
        self._choices = _left_of_budget(self._request.priced, self._stored)
        if processes is None:
            processes = processes_for(len(self._pending), self._choices)
        self._processes = processes
        self._spending: Spending
        self._batched: InBatches | None = None
        if self._request.batch:
            spending = BatchSpending(bench, self._choices, stored.id)
            self._spending = spending
            self._batched = InBatches(
                bench, index, self._pending, self._choices, spending, self._say
            )
        else:
            self._spending = Spending(bench, self._choices, offline=self._request.offline)
        self._note = ""
        self._told: tuple[Any, ...] = ()
        self._started = time.monotonic()
        self._seen: deque[tuple[float, int]] = deque([(self._started, self._done)])

    async def events(self, stop: asyncio.Event | None = None) -> AsyncGenerator[TriageEvent, None]:
        """Run to the end, or until ``stop`` is set or the store asks for it.

        Closing the stream saves what is done and leaves the run to be resumed.
        """
        choices = self._choices
        ready: list[Triaged] = []
        pump: asyncio.Task[None] | None = None
        ended = False
        try:
            await self._write((), state=TriageState.RUNNING)
            yield TriageStarted(
                self._stored.id,
                self._request.scope,
                choices.explainer,
                choices.simulator,
                self._total,
                self._skipped,
                self._done,
            )
            yield self._progress()
            pump = asyncio.create_task(self._pump(ready), name="triage")
            stopped = False
            while not stopped and not pump.done():
                await asyncio.wait({pump}, timeout=TICK)
                for event in await self._save(ready):
                    yield event
                yield self._progress()
                stopped = (stop is not None and stop.is_set()) or self._store.triage_stop_asked(
                    self._stored.id
                )
            if pump.done():
                stopped = False
                for event in await self._save(ready):
                    yield event
                pump.result()
            ended = True
            if self._waits is not None and not stopped:
                yield await self._wait(self._waits)
            elif stopped and self._left:
                await _cancelled(pump)
                for event in await self._save(ready):
                    yield event
                await self._write((), state=TriageState.STOPPED)
                yield TriageStopped(self._done, self._failed, self._left)
            else:
                self._note = ""
                await self._write((), state=TriageState.FINISHED)
                seconds = time.monotonic() - self._started
                yield TriageFinished(self._done, self._failed, self._skipped, seconds)
        except NeuroglassError as error:
            ended = True
            with suppress(StoreError):  # where the disk is full, this can't be kept either
                await self._write(
                    (),
                    state=TriageState.FAILED,
                    message=error.message,
                    remedy=error.remedy,
                    exit_code=error.exit_code,
                )
            yield TriageFailed(error.message, error.remedy, error.exit_code)
        except Exception as error:
            ended = True
            text = f"The run broke: {type(error).__name__}: {error}."
            with suppress(StoreError):
                await self._write((), state=TriageState.FAILED, message=text, exit_code=1)
            raise
        finally:
            if pump is not None:
                await _cancelled(pump)
            if not ended:
                with suppress(StoreError):
                    await self._save(ready)
                    await self._write((), state=TriageState.STOPPED)

    @property
    def _left(self) -> int:
        return self._total - self._skipped - self._done - self._failed

    @property
    def _waits(self) -> Standing | None:
        return None if self._batched is None else self._batched.standing

    async def _wait(self, standing: Standing) -> TriageWaiting:
        """Write that the run waits for batches; the event that tells of it."""
        self._note = str(standing)
        if self._batched is not None and self._batched.filed is not None:
            self._note = "; ".join(filter(None, [str(self._batched.filed), self._note]))
        await self._write((), state=TriageState.WAITING)
        return TriageWaiting(
            self._done,
            self._failed,
            self._left,
            standing.batches,
            standing.requests,
            standing.answered,
            self._note,
        )

    async def _pump(self, ready: list[Triaged]) -> None:
        if self._batched is not None:
            source = self._batched.results()
        elif not needs_one_process(self._choices) and self._processes:
            source = in_processes(self._index.path, self._pending, self._choices, self._processes)
        else:
            source = one_by_one(
                self._bench,
                self._index,
                self._pending,
                self._choices,
                self._spending,
                self._hear,
                offline=self._request.offline,
            )
        try:
            async for result in source:
                ready.append(result)
                while len(ready) > WAITING:
                    await asyncio.sleep(TICK / 10)
        finally:
            await source.aclose()

    def _hear(self, spent: Spent) -> None:
        self._note = spent.retry

    def _say(self, note: str) -> None:
        self._note = note

    async def _save(self, ready: list[Triaged]) -> list[TriageEvent]:
        """Save what has come since the last time; the events that tell of it."""
        results = [self._with_evidence(one) for one in ready]
        ready.clear()
        self._failed += sum(one.explanation is None for one in results)
        self._done += sum(one.explanation is not None for one in results)
        now = time.monotonic()
        self._seen.append((now, self._done + self._failed))
        while len(self._seen) > 2 and now - self._seen[1][0] > RATE_SECONDS:
            self._seen.popleft()
        told = (self._spending.total, self._note)
        if not results and told == self._told:
            return []
        self._told = told
        return _events_of(results, await self._write(results))

    def _with_evidence(self, one: Triaged) -> Triaged:
        if one.explanation is None:
            return one
        windows = one.explanation.windows
        return replace(one, evidence=[self._index.excerpt(window) for window in windows])

    async def _write(self, results: Sequence[Triaged], **columns: Any) -> list[int | None]:
        stored, spent = self._stored, self._spending.total
        usage = stored.usage + spent.usage
        return await self._store.save_triaged(
            stored.id,
            self._facts,
            results,
            total=self._total,
            skipped=self._skipped,
            done=self._done,
            failed=self._failed,
            seconds=stored.seconds + time.monotonic() - self._started,
            rate=self._rate(),
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            requests=usage.requests,
            replayed=stored.replayed + spent.replayed,
            money=_sum(stored.money, spent.money),
            note=self._note,
            pid=os.getpid(),
            **columns,
        )

    def _rate(self) -> float | None:
        (first, before), (last, now) = self._seen[0], self._seen[-1]
        return (now - before) / (last - first) if now > before and last > first else None

    def _progress(self) -> TriageProgress:
        rate, spent = self._rate(), self._spending.total
        return TriageProgress(
            total=self._total,
            skipped=self._skipped,
            done=self._done,
            failed=self._failed,
            rate=rate,
            seconds_left=None if rate is None else self._left / rate,
            usage=self._stored.usage + spent.usage,
            replayed=self._stored.replayed + spent.replayed,
            money=_sum(self._stored.money, spent.money),
            note=self._note,
        )


def _events_of(results: Sequence[Triaged], ids: Sequence[int | None]) -> list[TriageEvent]:
    events: list[TriageEvent] = []
    for one, row in zip(results, ids, strict=True):
        if one.explanation is None or row is None:
            events.append(NeuronFailed(one.neuron, one.message))
            continue
        score = None if one.card is None else one.card.score().ev_correlation
        events.append(NeuronDone(one.neuron, score, row, one.explanation.text))
    return events


def _left_of_budget(choices: Choices, stored: StoredTriage) -> Choices:
    """The choices with what earlier parts of the run have left of the budget."""
    tokens, money = choices.budget_tokens, choices.budget_money
    if tokens is not None:
        tokens = max(0, tokens - stored.usage.tokens)
    if money is not None:
        money = max(0.0, money - (stored.money or 0.0))
    return replace(choices, budget_tokens=tokens, budget_money=money)


def _sum(before: float | None, now: float | None) -> float | None:
    return None if before is None or now is None else before + now


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, NeuroglassError):
        await task
