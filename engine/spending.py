"""What one run uses of language models, told while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Protocol

from engine.choices import Choices
from engine.events import PipelineEvent, Spent
from engine.models.request import Usage

if TYPE_CHECKING:
    from engine.models.budget import Meter
    from engine.models.faults import Fault
    from engine.models.model import LanguageModel
    from engine.models.replies import Replies


class Backends(Protocol):
    """Where bare models and the reply cache come from."""

    async def connected(self, name: str, *, offline: bool = False) -> LanguageModel:
        """The bare model of that name."""
        ...

    async def replies(self) -> Replies:
        """The cache of replies."""
        ...


class Spending:
    """The meter, the budget and the models of one run.

    Args:
        offline: Answer from the reply cache alone.
    """

    def __init__(self, backends: Backends, choices: Choices, *, offline: bool = False) -> None:
        self._backends = backends
        self._choices = choices
        self._offline = offline
        self._meter: Meter | None = None
        self._models: dict[str, LanguageModel] = {}
        self._told: tuple[Usage, int] | None = None
        self._queue: asyncio.Queue[PipelineEvent | None] = asyncio.Queue()

    async def model(self, name: str) -> LanguageModel:
        """The model of that name behind cache, retries and budget."""
        if name not in self._models:
            self._models[name] = await self._metered(name)
        return self._models[name]

    async def watch(
        self, events: AsyncGenerator[PipelineEvent, None]
    ) -> AsyncGenerator[PipelineEvent, None]:
        """The same events, with :class:`Spent` between them whenever it has changed.

        Several streams may be watched, one after the other.
        """
        self._queue = asyncio.Queue()

        async def pump() -> None:
            try:
                async with aclosing(events) as stream:
                    async for event in stream:
                        await self._queue.put(event)
            finally:
                self._queue.put_nowait(None)

        task = asyncio.create_task(pump(), name="pipeline")
        try:
            while (event := await self._queue.get()) is not None:
                spent = self._spent()
                if spent is not None and not isinstance(event, Spent):
                    yield spent
                yield event
            await task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def waiting(self) -> bool:
        """Whether a request has been put off, so that nothing may be chosen by what it lacks."""
        return False

    @property
    def total(self) -> Spent:
        """What was used so far."""
        meter = self._meter
        if meter is None:
            return Spent(Usage(), 0.0, 0)
        return Spent(meter.usage, meter.money, meter.replayed)

    def _spent(self) -> Spent | None:
        """What was used so far, if that has changed since it was told."""
        meter = self._meter
        if meter is None or (meter.usage, meter.replayed) == self._told:
            return None
        self._told = (meter.usage, meter.replayed)
        return Spent(meter.usage, meter.money, meter.replayed)

    def _waiting(self, fault: Fault, seconds: float, attempt: int) -> None:
        """A request failed and will be tried again."""
        meter = self._meter
        assert meter is not None
        text = f"{fault}, again in {seconds:.0f} s (try {attempt + 1})"
        self._queue.put_nowait(Spent(meter.usage, meter.money, meter.replayed, text))

    @property
    def meter(self) -> Meter:
        """What counts for all models of the run."""
        if self._meter is None:
            from engine.models.budget import Budget, Meter

            budget = Budget(self._choices.budget_tokens, self._choices.budget_money)
            self._meter = Meter(budget, self._choices.prices)
        return self._meter

    async def _metered(self, name: str) -> LanguageModel:
        from engine.models.metered import MeteredModel

        return MeteredModel(
            await self._backends.connected(name, offline=self._offline),
            ref=name,
            replies=await self._backends.replies(),
            meter=self.meter,
            offline=self._offline,
            on_wait=self._waiting,
        )
