"""Writing reports: what a front end or a script calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.exports import files
from engine.exports.exports import Exported
from engine.exports.tables import Rows
from engine.index import Index
from engine.neuron import NeuronId
from engine.reports.neuron import neuron_report
from engine.reports.triage import triage_report
from engine.store import Annotation, Selection, Store, StoredExplanation
from engine.store.codec import now

if TYPE_CHECKING:
    from engine.effects import Effects


class Reports:
    """Use :meth:`engine.engine.Engine.reports`."""

    def __init__(
        self, store: Store, index: Index, effects: Callable[[NeuronId], Awaitable[Effects]]
    ) -> None:
        self._store, self._index, self._effects = store, index, effects

    async def neuron(self, path: Path, neuron: NeuronId, *, effects: bool = False) -> Exported:
        """Write what is known of one neuron as an HTML file.

        Args:
            path: Replaced when all is written; ``-`` for standard output.
            effects: Also the tokens it reads and writes by its weights; loads the model.

        Raises:
            UsageError: no such neuron.
            FileError: it can't be written.
            ModelError: the model of the effects can't be loaded.
        """
        import asyncio

        self._index.check(neuron)
        weights = await self._effects(neuron) if effects else None

        def write() -> Exported:
            store, model = self._store, self._index.model_id
            explanations = store.explanations(model, neuron)
            page = neuron_report(
                self._index,
                neuron,
                explanations,
                lambda one: store.card(one.id, one.scoring_id) if one.scoring_id else [],
                store.annotations(model, neuron.layer).get(neuron.index, Annotation()),
                weights,
                _when(),
            )
            _put(path, page)
            return Exported(path, {"explanations": len(explanations)})

        return await asyncio.to_thread(write)

    async def triage(
        self, path: Path, only: Selection | None = None, *, limit: int = 100, described: str = ""
    ) -> Exported:
        """Write how all explained neurons score, and the best of them, as an HTML file.

        Args:
            only: Each neuron is told about by the best explanation that is left.
            limit: Neurons told about one by one, from the best down; the lowest follow in a
                table.
            described: What was chosen, in words.

        Raises:
            UsageError: no such layer or neuron.
            FileError: it can't be written.
        """
        import asyncio

        only = replace(only or Selection(), best=True)
        for one in (*only.neurons, *(NeuronId(layer, 0) for layer in only.layers)):
            self._index.check(one)

        def write() -> Exported:
            rows = Rows(self._store, self._index, only)
            scored = [
                (row, neuron.layer, score)
                for row, neuron, score in rows.scored()
                if neuron.layer < self._index.n_layers and neuron.index < self._index.n_neurons
            ]
            scored.sort(key=lambda one: (one[2] is None, -(one[2] or 0.0)))

            def load(places: Sequence[int]) -> list[StoredExplanation]:
                return list(rows.stored([scored[place][0] for place in places]))

            chosen = [(layer, score) for _, layer, score in scored]
            page = triage_report(self._index, chosen, load, limit, described, _when())
            _put(path, page)
            return Exported(path, {"neurons": len(chosen)})

        return await asyncio.to_thread(write)


def _put(path: Path, page: str) -> None:
    with files.output(path) as file:
        file.write(page.encode("utf-8", "replace"))


def _when() -> str:
    return f"{now()[:16].replace('T', ' ')} UTC"
