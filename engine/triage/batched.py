"""A run through the vendors' batch APIs: it goes as far as the replies that are there.

Explaining a neuron takes steps that build on each other, so a run goes in rounds.  Every
neuron's pipeline is run against the reply cache; what it asks for and is not there is
queued.  The queue goes out as batches, and the run ends.  When it is resumed and a batch
has ended, its replies are filed in the cache and the pipelines are run once more, until
nothing has to wait.  The cache is thus the only thing that a batch changes: explanations
and scores come out as those of a run that asks directly.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING

from engine.choices import Choices
from engine.index import Index
from engine.models.connect import LOCAL
from engine.models.faults import LanguageModelError
from engine.neuron import NeuronId
from engine.spending import Spending
from engine.store import Triaged
from engine.triage.sources import FAILURES_IN_A_ROW, Ending, explained
from engine.workbench import Workbench

if TYPE_CHECKING:
    from engine.models.batch_desk import Desk
    from engine.models.batch_rows import Filed, Standing
    from engine.models.batched import BatchedModel
    from engine.models.batches import Batches
    from engine.models.model import LanguageModel


class BatchSpending(Spending):
    """Models that put off what they can't answer; what they use is counted by batch."""

    def __init__(self, bench: Workbench, choices: Choices, triage: int) -> None:
        super().__init__(bench, choices)
        self._bench, self._triage = bench, triage
        self._put_off: list[BatchedModel] = []
        self._before = 0
        self.desk: Desk | None = None

    async def open_desk(self, tell: Callable[[str], None] = lambda _line: None) -> Desk:
        """Where batches are sent and collected."""
        if self.desk is None:
            from engine.models.batch_desk import Desk

            self.desk = Desk(self._bench, await self.batches(), self._triage, tell=tell)
        return self.desk

    async def batches(self) -> Batches:
        """The requests that wait."""
        from engine.models.batches import Batches

        return Batches(await self._bench.replies())

    async def count(self) -> None:
        """Take from the batches what they have used."""
        batches = await self.batches()
        self.meter.used.update(await batches.used(self._triage))

    def begin_neuron(self) -> None:
        """:meth:`waiting` is about what comes from here on."""
        self._before = sum(model.put_off for model in self._put_off)

    def waiting(self) -> bool:
        """See :class:`engine.spending.Spending`."""
        return sum(model.put_off for model in self._put_off) > self._before

    async def _metered(self, name: str) -> LanguageModel:
        if name.startswith(f"{LOCAL}:"):
            return await super()._metered(name)
        from engine.models.batched import BatchedModel

        desk = await self.open_desk()
        model = BatchedModel(
            await self._bench.connected(name),
            ref=name,
            replies=await self._bench.replies(),
            meter=self.meter,
            batches=await self.batches(),
            api=await desk.api(name),
        )
        self._put_off.append(model)
        return model


class InBatches:
    """The results of a run that are there; :attr:`standing` is what it then waits for.

    Attributes:
        filed: What came of the batches that were collected.
    """

    def __init__(
        self,
        bench: Workbench,
        index: Index,
        neurons: Sequence[NeuronId],
        choices: Choices,
        spending: BatchSpending,
        tell: Callable[[str], None],
    ) -> None:
        self._bench, self._index, self._choices = bench, index, choices
        self._left = list(neurons)
        self._spending, self._tell = spending, tell
        self.standing: Standing | None = None
        self.filed: Filed | None = None

    async def results(self) -> AsyncGenerator[Triaged, None]:
        """Collect, go on as far as possible, and send what is needed next.

        Raises:
            LanguageModelError: a vendor that can't be asked, or that refuses.
            Ending: every further neuron would fail alike.
        """
        spending = self._spending
        desk = await spending.open_desk(self._tell)
        for name in self._choices.models_needed().values():
            await spending.model(name)  # a model without a batch API is said at once
        self.filed = await desk.collect()
        await spending.count()
        batches = await spending.batches()
        if await batches.news() or await desk.standing() is None:
            await batches.begin_pass()
            async for result in self._passed():
                yield result
            await desk.form(spending.meter)
            await batches.no_news()
        await desk.submit()
        self.standing = await desk.standing()
        self._tell("")

    async def _passed(self) -> AsyncGenerator[Triaged, None]:
        """Results of the neurons that have to wait for nothing."""
        waiting: list[NeuronId] = []
        in_a_row = 0
        for place, neuron in enumerate(self._left):
            self._tell(f"going on with neuron {place + 1:,} of {len(self._left):,}")
            self._spending.begin_neuron()
            events = self._bench.explain(
                self._index, neuron, self._choices, offline=False, spending=self._spending
            )
            result, failure = await explained(events, neuron)
            if self._spending.waiting():
                waiting.append(neuron)
                continue
            of_model = failure is not None and failure.exit_code == LanguageModelError.exit_code
            in_a_row = in_a_row + 1 if of_model else 0
            if failure is not None and (failure.everywhere or in_a_row >= FAILURES_IN_A_ROW):
                raise Ending(failure.message, failure.remedy, failure.exit_code)
            yield result
        self._left = waiting
