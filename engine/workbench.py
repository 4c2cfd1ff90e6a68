"""Choices made real: models connected, parts put together, runs streamed.

A workbench costs nothing to make; models are connected when a run needs them and kept
until :meth:`Workbench.close`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from engine.assembly import assemble
from engine.catalogue import Catalogue
from engine.choices import Choices
from engine.estimate import Estimate, estimate_run, prepare_estimate
from engine.events import PipelineEvent
from engine.explanation import Evidence, Explanation, Preparing, Side
from engine.index import Index
from engine.neuron import NeuronId
from engine.pipeline import explain_and_score, score_explanation
from engine.sides import means_of, record_of
from engine.spending import Spending
from engine.splits import split_records
from engine.streams import closing

if TYPE_CHECKING:
    from engine.experiments import Experiments
    from engine.lab import Lab
    from engine.models.model import Capabilities, LanguageModel
    from engine.models.replies import Replies
    from engine.patterns.reader import PatternReader
    from engine.senses.model import Senses
    from engine.senses.reader import SenseReader

REPLIES = "replies.db"


class Workbench:
    """Language models and the subject model of one home, connected on first use."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._connected: dict[tuple[str, bool], LanguageModel] = {}
        self._replies: Replies | None = None
        self._lab: Lab | None = None
        self._lab_of = ("", "")
        self._experiments: Experiments | None = None
        self._patterns: PatternReader | None = None
        self._senses: SenseReader | None = None
        self._lock = asyncio.Lock()

    async def explain(
        self,
        index: Catalogue,
        neuron: NeuronId,
        choices: Choices,
        *,
        offline: bool,
        spending: Spending | None = None,
    ) -> AsyncGenerator[PipelineEvent, None]:
        """See :meth:`engine.engine.Engine.explain`.

        Args:
            spending: Of a run over many neurons, which has one budget.
        """
        choices.check()
        await index.prepare(neuron)
        record = record_of(index.neuron(neuron), choices.side)
        means = means_of(index.token_means(neuron), choices.side)
        spending = spending or Spending(self, choices, offline=offline)
        method = await assemble(self, index, neuron, choices, spending)
        stream = spending.watch(explain_and_score(record, means, method))
        async with aclosing(stream) as events:
            async for event in events:
                yield event

    async def score(
        self, index: Catalogue, explanation: Explanation, choices: Choices, *, offline: bool
    ) -> AsyncGenerator[PipelineEvent, None]:
        """See :meth:`engine.engine.Engine.score`."""
        choices = choices.for_scoring(explanation)
        choices.check()
        neuron = explanation.neuron
        await index.prepare(neuron)
        record = record_of(index.neuron(neuron), choices.side)
        means = means_of(index.token_means(neuron), choices.side)
        spending = Spending(self, choices, offline=offline)
        method = await assemble(self, index, neuron, choices, spending)
        stream = spending.watch(score_explanation(explanation, record, means, method))
        async with aclosing(stream) as events:
            async for event in events:
                yield event

    async def estimate(self, index: Catalogue, neuron: NeuronId, choices: Choices) -> Estimate:
        """See :meth:`engine.engine.Engine.estimate`."""
        choices.check()
        if not choices.models_needed():
            return Estimate(())
        await index.prepare(neuron)
        record = record_of(index.neuron(neuron), choices.side)
        means = means_of(index.token_means(neuron), choices.side)
        method = await assemble(self, index, neuron, choices, Spending(self, choices))
        await prepare_estimate(record, means, method)
        return await asyncio.to_thread(estimate_run, record, means, choices, method)

    async def check_model(self, name: str) -> Capabilities:
        """See :meth:`engine.engine.Engine.check_model`."""
        return await (await self.connected(name)).capabilities()

    async def connected(self, name: str, *, offline: bool = False) -> LanguageModel:
        """The bare model of that name. Raises UsageError, LanguageModelError.

        Args:
            offline: It will not be asked anything, and needs no key.
        """
        async with self._lock:
            key = (name, offline)
            if key not in self._connected:
                from engine.models.connect import connect

                self._connected[key] = await asyncio.to_thread(connect, name, offline=offline)
            return self._connected[key]

    async def replies(self) -> Replies:
        """The cache of replies. Raises StoreError."""
        async with self._lock:
            if self._replies is None:
                from engine.models.replies import Replies

                self._replies = await asyncio.to_thread(Replies.open, self._home / REPLIES)
            return self._replies

    async def lab(self, index: Index) -> Lab:
        """The subject model of an index, for experiments."""
        from engine.lab import Lab

        key = (index.model_id, index.index_id)
        if self._lab is None or self._lab_of != key:
            if self._lab is not None:
                await self._lab.close()
            self._lab, self._lab_of = Lab.of(index), key
        return self._lab

    async def experiments(self, index: Index) -> Experiments:
        """What can be tried on an index's neurons; the same object for the same index."""
        if self._experiments is None or self._experiments.index is not index:
            from engine.experiments import Experiments

            self._experiments = Experiments(await self.lab(index), index)
        return self._experiments

    async def patterns(self, index: Index) -> PatternReader:
        """What learns an index's neurons; the same object for the same index."""
        if self._patterns is None or self._patterns.index is not index:
            from engine.patterns.reader import PatternReader

            self._patterns = PatternReader(await self.lab(index), index)
        return self._patterns

    async def prepare(self, index: Index, neurons: Sequence[NeuronId], choices: Choices) -> None:
        """Do for several neurons together what is cheaper so; then explain each of them.

        Raises:
            UsageError: no such neuron.
            ModelError: the subject model can't be had.
        """
        if choices.explainer == "patterns" or choices.needs_senses:
            reader = await self.patterns(index)
            await reader.learn_many(neurons, choices.side)

    async def senses(self, index: Index) -> SenseReader:
        """What finds the senses of an index's neurons; the same object for the same index."""
        patterns = await self.patterns(index)
        if self._senses is None or self._senses.patterns is not patterns:
            from engine.senses.reader import SenseReader

            self._senses = SenseReader(patterns)
        return self._senses

    async def finding_senses(
        self, index: Index, neuron: NeuronId, side: Side
    ) -> AsyncGenerator[Preparing | Senses, None]:
        """See :meth:`engine.engine.Engine.finding_senses`."""
        record = record_of(await asyncio.to_thread(index.neuron, neuron), side)
        means = means_of(index.token_means(neuron), side)
        splits = split_records(record)
        evidence = Evidence(
            neuron, splits.train, splits.others, means, record.statistics, side=side
        )
        reader = await self.senses(index)
        async with closing(reader.finding(evidence)) as steps:
            async for step in steps:
                yield step

    async def close(self) -> None:
        """Let go of everything."""
        for model in self._connected.values():
            await model.close()
        self._connected.clear()
        if self._lab is not None:
            await self._lab.close()
        if self._replies is not None:
            await self._replies.close()
