"""Where batches are sent, looked for and collected."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

from engine.models.batch_api import BatchApi, Outcome
from engine.models.batch_rows import Batch, BatchState, Filed, Queued, Standing
from engine.models.batches import Batches
from engine.models.budget import Meter
from engine.models.faults import Fault, LanguageModelError
from engine.models.retry import RetryPolicy, retried

if TYPE_CHECKING:
    from engine.models.model import LanguageModel

#: After one of these nobody knows whether the vendor has taken a batch.
DOUBTS = frozenset(
    {
        Fault.UNREACHABLE,
        Fault.TIMEOUT,
        Fault.STALLED,
        Fault.BROKEN_STREAM,
        Fault.SERVER,
        Fault.CONFLICT,
        Fault.MALFORMED,
    }
)
#: A vendor's list shows a batch that was taken by then, in seconds.
SETTLE = 15.0
#: How patiently a vendor is asked for what may be asked twice.
POLICY = RetryPolicy()
#: Results that are filed in one transaction.
CHUNK = 200
#: Requests that are read from the queue at once.
READ = 500


class Backends(Protocol):
    """Where bare models come from."""

    async def connected(self, name: str, *, offline: bool = False) -> LanguageModel:
        """The bare model of that name."""
        ...


class Desk:
    """Sends and collects for one run.

    Args:
        triage: Row of the run in the store.
        tell: Takes a line on what is being done.
    """

    def __init__(
        self,
        backends: Backends,
        batches: Batches,
        triage: int,
        *,
        policy: RetryPolicy | None = None,
        tell: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._backends, self._batches, self._triage = backends, batches, triage
        self._policy = policy or POLICY
        self._tell = tell
        self._apis: dict[str, BatchApi] = {}

    async def api(self, name: str) -> BatchApi:
        """The batch API of a model. LanguageModelError ``UNSUPPORTED`` if there is none."""
        if name not in self._apis:
            model: Any = await self._backends.connected(name)
            make = getattr(model, "batches", None)
            if make is None:
                raise LanguageModelError(
                    Fault.UNSUPPORTED,
                    f"{name} runs on this machine and has no batch API.",
                    "Run it without --batch.",
                )
            api: BatchApi = make()
            for status, body in await self._batches.learnt(name):
                if status == 200:
                    model.give_room()
                else:
                    api.learn(status, body)
            self._apis[name] = api
        return self._apis[name]

    # -- collecting

    async def collect(self) -> Filed:
        """Look at every batch that was sent, and file what has ended.

        Raises:
            LanguageModelError: a vendor can't be asked, after the others were; or the
                requests of a batch failed in a way in which every other would. What was
                filed stays.
        """
        total = Filed()
        unasked: LanguageModelError | None = None
        for batch in await self._batches.open():
            try:
                if batch.state is BatchState.SUBMITTING:
                    batch = await self._looked_for(batch)
                filed = await self._collect_one(batch) if batch.waiting else None
            except LanguageModelError as error:
                unasked = unasked or error
                continue
            if filed is not None:
                total.answered += filed.answered
                total.again += filed.again
                total.failed += filed.failed
                total.error = filed.error or total.error
        if unasked is not None:
            raise unasked
        met = total.error
        if met is not None and met.ends_run and not total.answered:
            raise met
        return total

    async def _collect_one(self, batch: Batch) -> Filed | None:
        """None while it runs on, or if it proved to be somebody else's."""
        api = await self.api(batch.name)
        self._tell(f"looking at batch {batch.vendor_id}")
        looked = await retried(lambda: api.look(batch.vendor_id), self._policy)
        batch = await self._batches.update(batch, answered=looked.answered, failed=looked.failed)
        if not looked.ended:
            return None
        if batch.doubtful and not await self._is_ours(api, batch):
            others = (*batch.foreign_ids, batch.vendor_id)
            changes = {"state": BatchState.SUBMITTING, "vendor_id": "", "doubtful": False}
            batch = await self._batches.update(batch, **changes, foreign_ids=others)
            batch = await self._looked_for(batch)
            return await self._collect_one(batch) if batch.waiting else None
        filed = Filed()
        if looked.refused is not None:
            filed.again += await self._batches.end(batch)
            if not await self._learn(api, batch.name, looked.refused):
                raise looked.refused
            return filed
        async with aclosing(api.results(batch.vendor_id)) as results:
            chunk: dict[int, Any] = {}
            async for custom_id, raw in results:
                token, _, place = custom_id.rpartition("-")
                if token == batch.token and place.isdecimal():
                    chunk[int(place)] = raw
                if len(chunk) == CHUNK:
                    await self._file(api, batch, chunk, filed)
                    chunk = {}
            await self._file(api, batch, chunk, filed)
        filed.again += await self._batches.end(batch)
        return filed

    async def _is_ours(self, api: BatchApi, batch: Batch) -> bool:
        async with aclosing(api.results(batch.vendor_id)) as results:
            async for custom_id, _ in results:
                return custom_id.rpartition("-")[0] == batch.token
        return False

    async def _file(self, api: BatchApi, batch: Batch, raws: dict[int, Any], total: Filed) -> None:
        if not raws:
            return
        self._tell(f"filing the replies of batch {batch.vendor_id}")
        outcomes: list[tuple[Queued, Outcome]] = []
        for queued in await self._batches.requests_of(batch.token, list(raws)):
            outcome = api.read(queued.request, raws[queued.place], batch.room)
            if outcome.status is not None and api.learn(outcome.status, outcome.body):
                await self._batches.learn(batch.name, outcome.status, outcome.body)
                self._learning = batch.token
            if outcome.status in (400, 422) and self._learning == batch.token:
                # It will be asked without what the model refuses.
                outcome = replace(outcome, again=True)
            if outcome.error is not None and outcome.error.fault is Fault.NO_ROOM:
                await self._batches.learn(batch.name, 200, {"room": False})
            outcomes.append((queued, outcome))
        filed = await self._batches.file(batch, outcomes)
        total.answered += filed.answered
        total.again += filed.again
        total.failed += filed.failed
        total.error = filed.error or total.error

    #: The batch whose errors have taught what to leave out.
    _learning = ""

    async def _learn(self, api: BatchApi, name: str, error: LanguageModelError) -> bool:
        """Whether a batch that was refused as a whole may be taken in another form."""
        body = {"message": error.message}
        if error.fault is not Fault.BAD_REQUEST or not api.learn(400, body):
            return False
        await self._batches.learn(name, 400, body)
        return True

    # -- finding again

    async def _looked_for(self, batch: Batch) -> Batch:
        """A batch that may have been sent, once it is known whether it was."""
        api = await self.api(batch.name)
        self._tell("looking for a batch whose submission was cut off")
        wait = batch.sent_at + SETTLE - time.time()
        if wait > 0:
            await asyncio.sleep(min(wait, SETTLE))
        found = await retried(
            lambda: api.find(batch.token, batch.marker, batch.requests, batch.sent_at),
            self._policy,
        )
        known = {other.vendor_id for other in await self._batches.open()} | set(batch.foreign_ids)
        found = [one for one in found if one not in known]
        if not found:
            return await self._batches.update(batch, state=BatchState.PREPARED, foreign_ids=())
        return await self._batches.update(
            batch,
            state=BatchState.SUBMITTED,
            vendor_id=found[0],
            doubtful=not api.certain,
        )

    # -- sending

    async def form(self, meter: Meter) -> None:
        """Make batches of the queue, as far as the budget certainly lasts.

        Raises:
            LanguageModelError: ``BUDGET`` if it is too small for a single request, and
                none is under way.
        """
        under_way = await self._batches.reserved()
        used = Meter(meter.budget, meter.prices, dict(meter.used))
        for name, usage in under_way.items():
            used.add(name, usage)
        chosen: list[Queued] = []
        size = last = 0
        refused: LanguageModelError | None = None
        some = bool(under_way)
        while refused is None and (part := await self._batches.queued(last, READ)):
            for queued in part:
                last = queued.id
                try:
                    async with used.reserved(queued.name, queued.most):
                        used.add(queued.name, queued.most)
                except LanguageModelError as error:
                    refused = error
                    break
                api = await self.api(queued.name)
                length = len(json.dumps(api.line("", queued.request))) + 64
                full = len(chosen) >= api.most_requests or size + length > api.most_bytes
                if full:
                    await self._prepare(chosen)
                    chosen, size = [], 0
                chosen.append(queued)
                size += length
                some = True
        await self._prepare(chosen)
        if refused is not None and not some:
            raise refused

    async def _prepare(self, chosen: list[Queued]) -> None:
        def where(queued: Queued) -> tuple[str, str]:
            return queued.name, queued.endpoint

        for (name, endpoint), group in groupby(sorted(chosen, key=where), where):
            token = secrets.token_hex(8)
            ids = [queued.id for queued in group]
            await self._batches.prepare(token, name, self._triage, endpoint, ids)

    async def submit(self) -> None:
        """Send every batch that is prepared, each once.

        Raises:
            LanguageModelError: the vendor refuses it, or can't be reached. Where it is not
                known whether it was taken, the next :meth:`collect` looks for it.
        """
        for batch in await self._batches.open():
            if batch.state is BatchState.PREPARED:
                await self._submit(batch)

    async def _submit(self, batch: Batch) -> None:
        api = await self.api(batch.name)
        self._tell(f"sending a batch of {batch.requests:,} requests")
        lines = [
            api.line(f"{batch.token}-{queued.place}", queued.request)
            for queued in await self._batches.requests_of(batch.token)
        ]
        marker = await retried(api.marker, self._policy)
        batch = await self._batches.update(
            batch, state=BatchState.SUBMITTING, marker=marker, sent_at=time.time(), room=api.room
        )

        async def attempt() -> str:
            try:
                return await api.submit(batch.token, batch.endpoint, lines)
            except LanguageModelError as error:
                if error.fault in DOUBTS:
                    raise _Doubt(error) from error
                raise

        try:
            vendor_id = await retried(attempt, self._policy)
        except _Doubt as doubt:
            error = doubt.error
            raise LanguageModelError(
                error.fault,
                f"{error.message.removesuffix('.')}, so it is not known whether it took the batch.",
                "Resume the run later: it looks for the batch first, and sends nothing twice.",
            ) from error
        except LanguageModelError:
            await self._batches.update(batch, state=BatchState.PREPARED)
            raise
        await self._batches.update(batch, state=BatchState.SUBMITTED, vendor_id=vendor_id)

    # -- the rest

    async def cancel(self) -> int:
        """Cancel every batch of the run; how many the vendors were asked to cancel.

        What is answered by then is still collected later.  One that was not sent yet is
        dissolved, and so is one that the vendor does not know.
        """
        count = 0
        for batch in await self._batches.open():
            if batch.triage != self._triage:
                continue
            if batch.state is BatchState.SUBMITTING:
                batch = await self._looked_for(batch)
            if batch.state is BatchState.PREPARED:
                await self._batches.end(batch)
            elif batch.doubtful:
                continue  # it may be somebody else's
            else:
                count += await self._cancel(batch)
        return count

    async def _cancel(self, batch: Batch) -> bool:
        api = await self.api(batch.name)
        try:
            await retried(lambda: api.cancel(batch.vendor_id), self._policy)
        except LanguageModelError as error:
            if error.fault is not Fault.BAD_REQUEST:
                raise
            await self._batches.end(batch)
            return False
        await self._batches.update(batch, state=BatchState.CANCELING)
        return True

    async def standing(self) -> Standing | None:
        """How far the batches are, as far as they have been looked at; None without any."""
        batches = await self._batches.open()
        if not batches:
            return None
        return Standing(
            len(batches),
            sum(batch.requests for batch in batches),
            sum(batch.answered for batch in batches),
            sum(batch.doubtful for batch in batches),
            sum(batch.state is BatchState.CANCELING for batch in batches),
            ", ".join(sorted({batch.name.partition(":")[0] for batch in batches})),
        )


class _Doubt(Exception):
    """The vendor may have taken the batch."""

    def __init__(self, error: LanguageModelError) -> None:
        super().__init__(str(error))
        self.error = error
