"""Starting, following, stopping and resuming runs: what a front end calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO

from engine import promoted
from engine.assembly import identity
from engine.choices import Choices
from engine.errors import NeuroglassError, UsageError
from engine.index import Index
from engine.neuron import NeuronId
from engine.spending import Spending
from engine.store import IndexFacts, Store, StoredTriage, TriageState
from engine.store.codec import digest
from engine.triage import lock, process
from engine.triage.batched import BatchSpending
from engine.triage.board import Board, Filter
from engine.triage.events import TriageEvent
from engine.triage.request import TriageRequest
from engine.triage.run import Run
from engine.workbench import Workbench

#: A process that has told its end is waited for so long, in seconds.
ENDING_SECONDS = 20.0


class Standing(StrEnum):
    """What a run is doing, as people say it."""

    RUNNING = "running"
    STOPPING = "stopping"
    WAITING = "waiting"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, eq=False)
class Status:
    """A run, and whether some process is at it.

    Attributes:
        last_words: Of a process that died; else empty. Untrusted.
    """

    stored: StoredTriage
    standing: Standing
    request: TriageRequest
    last_words: str = ""

    @property
    def running(self) -> bool:
        """Whether a process is at it."""
        return self.standing in (Standing.RUNNING, Standing.STOPPING)

    @property
    def seconds_left(self) -> float | None:
        """Estimate by the rate of late; None while unknown or when nothing runs."""
        rate = self.stored.rate
        return self.stored.left / rate if self.running and rate else None

    @property
    def resumable(self) -> bool:
        """Whether it can go on."""
        return not self.running and self.standing is not Standing.FINISHED


class Triages:
    """Runs over the neurons of one index. Use :meth:`engine.engine.Engine.triages`."""

    def __init__(
        self, home: Path, store: Store, index: Index, facts: IndexFacts, bench: Workbench
    ) -> None:
        self._home, self._store, self._bench = home, store, bench
        self._index, self._facts = index, facts

    @property
    def index(self) -> Index:
        """The index whose neurons are explained."""
        return self._index

    # -- looking

    def status(self) -> Status | None:
        """The run that some process is at, or this index's last one; under a millisecond.

        A finished run gives way to one that waits for a batch.
        """
        held = lock.held(self._home)
        stored = self._store.triage() if held else None
        if stored is None or stored.state is not TriageState.RUNNING:
            held, stored = False, self._last()
        if stored is None:
            return None
        standing = Standing(stored.state)
        words = ""
        if held:
            standing = Standing.STOPPING if stored.stop_asked else Standing.RUNNING
        elif stored.state is TriageState.RUNNING:
            # It may have ended between the two looks.
            stored = self._store.triage(stored.id) or stored
            standing = Standing(stored.state)
            if stored.state is TriageState.RUNNING:
                standing, words = Standing.INTERRUPTED, process.last_words(self._home)
        return Status(stored, standing, TriageRequest.from_json(stored.request), words)

    def failures(self, triage: int, limit: int = 100) -> list[tuple[NeuronId, str]]:
        """Neurons that a run could not explain, and why."""
        return self._store.triage_failures(triage, limit)

    def board(self) -> Board:
        """The ranking of all explained neurons; keep it, since it reads only what is new."""
        return Board(self._store, self._index)

    async def ready_for(self, board: Board, only: Filter) -> None:
        """Read what a filter needs beyond the board's own columns, once.

        Raises:
            ModelError: the subject model can't be loaded, or has changed since the scan.
        """
        if not only.promotes or board.promoted is not None:
            return
        index = self._index
        neurons = index.n_layers * index.n_neurons
        found = await asyncio.to_thread(promoted.load, self._home, index.model_id, neurons)
        if found is None:
            lab = await self._bench.lab(index)
            found = await lab.run(
                lambda subject, stop: promoted.promoted_of_all(
                    subject, index.n_layers, index.n_neurons, stop
                )
            )
            await asyncio.to_thread(promoted.keep, self._home, index.model_id, found)
        board.promoted = found

    async def to_do(self, request: TriageRequest) -> tuple[int, int]:
        """How many neurons a request names, and how many of them are not explained alike.

        Raises:
            UsageError: no such neuron, or choices that can't be carried out.
            LanguageModelError: a model that can't be had.
        """
        request.check()
        chosen = await asyncio.to_thread(request.chosen, self._index)
        before = await self._before(request.choices, offline=request.offline)
        return len(chosen), sum(one not in before for one in chosen)

    # -- running

    async def run(
        self, request: TriageRequest, *, processes: int | None = None
    ) -> AsyncGenerator[TriageEvent, None]:
        """Run in this process; closing the stream leaves a run that can be resumed.

        Args:
            processes: Helpers for explainers without a model; 0: none, None: one per core.

        Raises:
            UsageError: a run is going on already, no such neuron, or choices that can't
                be carried out.
            LanguageModelError: a model that can't be had.
        """
        with await self._locked():
            triage = await self._begin(request)
            events = await self.carry_out(triage, processes=processes)
            async with aclosing(events) as stream:
                async for event in stream:
                    yield event

    async def run_again(
        self, triage: int | None = None, *, processes: int | None = None
    ) -> AsyncGenerator[TriageEvent, None]:
        """Go on with a run, or the last one, in this process; raises as :meth:`run`."""
        with await self._locked():
            stored = self._resumable(triage)
            await self._claim(stored.id)
            events = await self.carry_out(stored.id, processes=processes)
            async with aclosing(events) as stream:
                async for event in stream:
                    yield event

    async def start(self, request: TriageRequest) -> int:
        """Run in a background process that outlives this one; the run's row id.

        Raises: as :meth:`run`.
        """
        with await self._locked() as held:
            triage = await self._begin(request)
            await self._spawn(triage, held)
        return triage

    async def start_again(self, triage: int | None = None) -> int:
        """Go on with a run, or the last one, in the background; raises as :meth:`run`."""
        with await self._locked() as held:
            stored = self._resumable(triage)
            await self._before(TriageRequest.from_json(stored.request).choices)
            await self._spawn(stored.id, held)
        return stored.id

    async def stop(self) -> StoredTriage | None:
        """Ask the run under way to stop; None when none is. See :meth:`stopped`."""
        status = self.status()
        if status is None or not status.running:
            return None
        await self._store.update_triage(status.stored.id, stop_asked=1)
        return status.stored

    async def cancel(self) -> int:
        """Cancel the batches that the last run waits for; how many were under way.

        What was answered by then is collected when the run is resumed; the rest is asked
        for anew then.

        Raises:
            UsageError: a run is going on, or there is none.
            LanguageModelError: a vendor can't be asked.
        """
        with await self._locked():
            stored = self._resumable(None)
            request = TriageRequest.from_json(stored.request)
            spending = BatchSpending(self._bench, request.priced, stored.id)
            count = await (await spending.open_desk()).cancel()
            note = f"{count} batches are being canceled" if count > 1 else ""
            note = "a batch is being canceled" if count == 1 else note
            if count or stored.state is not TriageState.FINISHED:
                await self._store.update_triage(stored.id, state=TriageState.STOPPED, note=note)
        return count

    async def stopped(self) -> None:
        """Wait until no run is under way."""
        while await asyncio.to_thread(lock.held, self._home):
            await asyncio.sleep(0.1)

    async def carry_out(
        self, triage: int, stop: asyncio.Event | None = None, *, processes: int | None = None
    ) -> AsyncGenerator[TriageEvent, None]:
        """The events of a run whose lock the caller holds."""
        stored = self._store.triage(triage)
        if stored is None or stored.index_id != self._index.index_id:
            raise UsageError(f"There is no triage {triage} of this index.")
        request = TriageRequest.from_json(stored.request)
        before = await self._before(request.choices, offline=request.offline)
        run = await asyncio.to_thread(
            lambda: Run(
                self._bench,
                self._store,
                self._index,
                self._facts,
                stored,
                before,
                processes=processes,
            )
        )
        return run.events(stop)

    async def _begin(self, request: TriageRequest) -> int:
        request.check()
        chosen = await asyncio.to_thread(request.chosen, self._index)
        if request.batch:
            await self._can_batch(request.choices)
        facts = await self._identity(request.choices, offline=request.offline)
        triage = await self._store.begin_triage(
            self._facts, digest(facts), request.to_json(), len(chosen)
        )
        await self._claim(triage)
        return triage

    async def _can_batch(self, choices: Choices) -> None:
        """LanguageModelError where a model has no batch API; failures of old runs are void."""
        spending = BatchSpending(self._bench, choices, 0)
        for name in choices.models_needed().values():
            await spending.model(name)
        await (await spending.batches()).forget_failures()

    async def _claim(self, triage: int) -> None:
        await self._store.update_triage(
            triage,
            state=TriageState.RUNNING,
            stop_asked=0,
            message="",
            remedy="",
            exit_code=0,
            note="",
            rate=None,
        )

    async def _spawn(self, triage: int, held: IO[str]) -> None:
        await self._claim(triage)
        try:
            pid = await asyncio.to_thread(process.start, self._home, triage, held)
        except NeuroglassError as error:
            await self._store.update_triage(
                triage, state=TriageState.FAILED, message=error.message, remedy=error.remedy
            )
            raise
        await self._store.update_triage(triage, pid=pid)

    async def _locked(self) -> IO[str]:
        held = await asyncio.to_thread(lock.take, self._home)
        patience = time.monotonic() + ENDING_SECONDS
        while held is None and self._ending() and time.monotonic() < patience:
            held = await asyncio.to_thread(lock.take, self._home)
        if held is None:
            status = self.status()
            which = "" if status is None else f" ({status.request.scope})"
            raise UsageError(
                f"A triage is running already{which}.",
                "Wait for it, or stop it: neuroglass triage --stop",
            )
        return held

    def _ending(self) -> bool:
        """Whether the run that holds the lock has told its end: its process is leaving."""
        stored = self._store.triage()
        return stored is not None and stored.state is not TriageState.RUNNING

    def _last(self) -> StoredTriage | None:
        """The last run, but one that waits for a batch before one that is finished."""
        index = self._index.index_id
        stored = self._store.triage(index=index)
        if stored is None or stored.state is not TriageState.FINISHED:
            return stored
        return self._store.triage(index=index, state=TriageState.WAITING) or stored

    def _resumable(self, triage: int | None) -> StoredTriage:
        index = self._index.index_id
        stored = self._last() if triage is None else self._store.triage(triage, index=index)
        if stored is None:
            raise UsageError(
                "There is no triage of this index to resume.", "Start one: neuroglass triage 0"
            )
        return stored

    async def _identity(self, choices: Choices, *, offline: bool = False) -> dict[str, object]:
        spending = Spending(self._bench, choices, offline=offline)
        return await identity(self._bench, self._index, choices, spending)

    async def _before(self, choices: Choices, *, offline: bool = False) -> set[NeuronId]:
        facts = await self._identity(choices, offline=offline)
        return await asyncio.to_thread(self._store.explained_alike, digest(facts), facts)
