"""A published dataset, opened: neurons that are loaded one at a time, when they are wanted."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import NeuroglassError, UsageError
from engine.index import LayerStatistics
from engine.neuron import NeuronId
from engine.public_data import convert, decode
from engine.public_data.origins import Origin
from engine.public_data.problems import PublicDataError
from engine.public_data.shapes import Kind, PublicExplanation, PublicNeuron
from engine.records import NeuronRecord, TokenMeans

if TYPE_CHECKING:
    from engine.store import IndexFacts, StoredExplanation, StoredSimulation

#: Neurons that stay in memory, about a megabyte each.
IN_MEMORY = 48
CAVEATS = (
    "The files don't say which document an excerpt is from: excerpts of one document may be "
    "both explained from and scored on.",
)
_READ: dict[Kind, tuple[str, Callable[[bytes, list[str]], Any]]] = {
    Kind.ACTIVATIONS: ("activations", decode.activations),
    Kind.EXPLANATIONS: ("explanations", decode.explanations),
    Kind.RELATED_NEURONS: ("related_neurons", decode.related_neurons),
    Kind.TOKENS_BY_ACTIVATION: ("tokens_by_activation", decode.token_list),
    Kind.TOKENS_BY_WEIGHT: ("tokens_by_weight", decode.weight_tokens),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose neurons they are, as the store files results under.

    Attributes:
        name: For people. Untrusted.
        same: Names of models here whose explanations are of the same neurons.
    """

    name: str
    model_id: str
    index_id: str
    corpus_id: str
    same: tuple[str, ...]


class PublicDataset:
    """A dataset as a catalogue (:class:`engine.catalogue.Catalogue`).

    Use :func:`engine.public_data.names.open_dataset`.  Everything belongs to one event
    loop, but for reading a prepared neuron, which may be done from any thread.

    Attributes:
        identity: Whose neurons they are.
        origin: Where files come from.
        caveats: What a score on these excerpts is subject to, for people.
        notes: What the dataset says of itself. Untrusted.
    """

    complete = True

    def __init__(
        self,
        identity: Identity,
        origin: Origin,
        n_layers: int,
        n_neurons: int,
        notes: Sequence[str] = (),
    ) -> None:
        self.identity = identity
        self.origin = origin
        self.model_name = identity.name
        self.model_id = identity.model_id
        self.index_id = identity.index_id
        self.corpus_id = identity.corpus_id
        self.n_layers, self.n_neurons = n_layers, n_neurons
        self.caveats = CAVEATS
        self.notes = tuple(notes)
        self._names = origin.neurons()
        self._kept: OrderedDict[NeuronId, PublicNeuron] = OrderedDict()
        self._loading: dict[NeuronId, asyncio.Task[PublicNeuron]] = {}
        self._waiting: Counter[NeuronId] = Counter()
        self._columns: dict[int, LayerStatistics] = {}
        self._scores: dict[int, dict[int, float]] = {}

    # -- which neurons there are

    def check(self, neuron: NeuronId) -> None:
        """UsageError if there is no such neuron, as far as that can be told at once."""
        if not (0 <= neuron.layer < self.n_layers and 0 <= neuron.index < self.n_neurons):
            raise UsageError(
                f"There is no neuron {neuron} in {self.model_name}.",
                f"Layers are 0 to {self.n_layers - 1}, neurons 0 to {self.n_neurons - 1}.",
            )
        if self._names is not None and neuron.index not in self.present(neuron.layer):
            raise self._absent(neuron)

    def present(self, layer: int) -> Sequence[int]:
        """See :class:`engine.catalogue.Catalogue`; of a server, all that there can be."""
        if self._names is None:
            return range(self.n_neurons)
        return self._names.get(layer, ())

    def _absent(self, neuron: NeuronId) -> UsageError:
        here = self._names.get(neuron.layer, ()) if self._names is not None else ()
        remedy = f"Layer {neuron.layer} has {len(here):,} neurons here" if self._names else ""
        if here:
            remedy += f", such as {NeuronId(neuron.layer, here[0])}"
        return UsageError(
            f"{self.model_name} has no files of neuron {neuron}.", f"{remedy}." if remedy else ""
        )

    def first(self) -> NeuronId:
        """The first neuron that there is."""
        if self._names is None:
            return NeuronId(0, 0)
        layer = min(self._names)
        return NeuronId(layer, self._names[layer][0])

    def layer(self, layer: int) -> LayerStatistics:
        """Columns for one layer: numbers of the neurons loaded so far, NaN for the rest.

        The same arrays every time; they fill while neurons are loaded.
        """
        if layer not in self._columns:
            if not 0 <= layer < self.n_layers:
                raise UsageError(
                    f"There is no layer {layer} in {self.model_name}.",
                    f"Layers are 0 to {self.n_layers - 1}.",
                )
            self._columns[layer] = LayerStatistics(
                *(np.full(self.n_neurons, np.nan) for _ in range(7))
            )
        return self._columns[layer]

    def published_scores(self, layer: int) -> dict[int, float]:
        """Neuron index to its best published score, of those loaded so far."""
        return self._scores.setdefault(layer, {})

    # -- loading

    def at_hand(self, neuron: NeuronId) -> bool:
        """See :class:`engine.catalogue.Catalogue`."""
        return self.origin.immediate or neuron in self._kept

    async def prepare(self, neuron: NeuronId) -> None:
        """See :class:`engine.catalogue.Catalogue`.

        A file that can't be read or had is a problem of the neuron, and the others go on.
        """
        self.check(neuron)
        if neuron in self._kept:
            self._kept.move_to_end(neuron)
            return
        task = self._loading.get(neuron)
        if task is None:
            task = asyncio.create_task(self._load(neuron), name=f"load {neuron}")
            self._loading[neuron] = task
            task.add_done_callback(lambda _: self._loading.pop(neuron, None))
        self._waiting[neuron] += 1
        try:
            found = await asyncio.shield(task)
        finally:
            self._waiting[neuron] -= 1
            if not self._waiting[neuron]:  # nobody else wants it
                del self._waiting[neuron]
                task.cancel()
        self._keep(found)

    async def _load(self, neuron: NeuronId) -> PublicNeuron:
        kinds = [kind for kind in Kind if kind in self.origin.kinds]
        got = await asyncio.gather(
            *(self.origin.fetch(kind, neuron) for kind in kinds), return_exceptions=True
        )
        problems: list[str] = []
        files: dict[Kind, bytes] = {}
        failures: list[NeuroglassError] = []
        for kind, data in zip(kinds, got, strict=True):
            if isinstance(data, NeuroglassError):
                failures.append(data)
                problems.append(f"{kind.path(neuron)}: {data.message}")
            elif isinstance(data, BaseException):
                raise data
            elif data is not None:
                files[kind] = data
        if not files:
            if failures:
                raise failures[0]
            raise self._absent(neuron)
        found = await asyncio.to_thread(decoded, neuron, files, problems)
        if found.activations is None and not found.explanations and found.problems:
            raise PublicDataError(
                f"Neuron {neuron} of {self.model_name} can't be read: {found.problems[0]}.",
                "Other neurons can.",
            )
        return found

    def _keep(self, found: PublicNeuron) -> None:
        neuron = found.neuron
        self._kept[neuron] = found
        self._kept.move_to_end(neuron)
        while len(self._kept) > IN_MEMORY:
            self._kept.popitem(last=False)
        statistics = convert.neuron_record(found).statistics
        columns = self.layer(neuron.layer)
        for name in ("maximum", "mean", "variance", "skewness", "kurtosis"):
            getattr(columns, name)[neuron.index] = getattr(statistics, name)
        scores = [one.ev_correlation for one in found.explanations]
        best = max((score for score in scores if score is not None), default=None)
        if best is not None:
            self.published_scores(neuron.layer)[neuron.index] = best

    async def close(self) -> None:
        """Stop loading, let go of connections."""
        tasks = list(self._loading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.origin.close()

    # -- reading what was loaded

    def public(self, neuron: NeuronId) -> PublicNeuron:
        """All that the files have. It must have been prepared: PublicDataError else."""
        found = self._kept.get(neuron)
        if found is None:
            raise PublicDataError(f"Neuron {neuron} has not been loaded yet.", "Ask for it first.")
        return found

    def neuron(self, neuron: NeuronId) -> NeuronRecord:
        """See :class:`engine.catalogue.Catalogue` and :mod:`.convert`."""
        return convert.neuron_record(self.public(neuron))

    def token_means(self, neuron: NeuronId) -> TokenMeans:
        """See :class:`engine.catalogue.Catalogue`."""
        return convert.token_means(self.public(neuron))

    def published(self, neuron: NeuronId) -> list[StoredExplanation]:
        """The explanations that the dataset came with, in its order.

        Their ids are -1, -2, ...: they are in no store.
        """
        return [
            self._stored(neuron, number, one)
            for number, one in enumerate(self.public(neuron).explanations)
        ]

    def published_simulations(self, neuron: NeuronId, number: int) -> list[StoredSimulation]:
        """The scored excerpts of an explanation by its id, in the file's order."""
        from engine.store import StoredSimulation

        explanation = self.public(neuron).explanations[-1 - number]
        return [
            StoredSimulation(
                window=one.simulation.excerpt.window,
                document_name="",
                offset=0,
                role=one.role,
                scale=one.simulation.scale,
                status=one.simulation.status,
                message=one.simulation.message,
                coverage=one.simulation.coverage,
                ev_correlation=one.ev_correlation,
                token_ids=one.simulation.excerpt.token_ids,
                tokens=sequence.simulation.tokens,
                expected=one.simulation.expected,
                activations=one.activations,
            )
            for one, sequence in zip(
                convert.scored_records(explanation), explanation.sequences, strict=True
            )
        ]

    def _stored(self, neuron: NeuronId, number: int, one: PublicExplanation) -> StoredExplanation:
        from engine.store import StoredExplanation

        records = convert.scored_records(one)
        scores = convert.published_scores(one, records)
        return StoredExplanation(
            id=-1 - number,
            model=self.model_id,
            index_id=self.index_id,
            neuron=neuron,
            text=one.text,
            explainer=convert.PUBLISHED,
            settings={"dataset": self.identity.index_id},
            rules=None,
            windows=(),
            seconds=None,
            versions={},
            created_at="",
            simulator=convert.PUBLISHED if scores else None,
            simulator_settings={},
            split=convert.PUBLISHED if scores else None,
            scores=scores,
        )

    def facts(self) -> IndexFacts:
        """See :class:`engine.catalogue.Catalogue`: says where the excerpts came from."""
        from engine.store import IndexFacts

        return IndexFacts(
            model_id=self.model_id,
            model_name=self.model_name,
            n_layers=self.n_layers,
            n_neurons=self.n_neurons,
            index_id=self.index_id,
            corpus_id=self.corpus_id,
            path=self.origin.name,
            tokens=0,
            windows=0,
            settings={"published": True, "caveats": list(self.caveats)},
        )


def decoded(neuron: NeuronId, files: dict[Kind, bytes], problems: list[str]) -> PublicNeuron:
    """A neuron from its files; what can't be read of them is added to the problems."""
    parts: dict[str, Any] = {}
    for kind, data in files.items():
        name, read = _READ[kind]
        path = kind.path(neuron)
        found: list[str] = []
        try:
            part = read(data, found)
        except decode.Unreadable as problem:
            found.append(str(problem))
        else:
            if name == "explanations":
                parts[name] = part.explanations
            else:
                parts[name] = part
            says = getattr(part, "neuron", None)
            if says is not None and says != neuron:
                found.append(f"it says that it is of neuron {says}")
        problems += [f"{path}: {text}" for text in found]
    return PublicNeuron(neuron, problems=tuple(problems), **parts)
