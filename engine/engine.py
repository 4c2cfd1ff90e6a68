"""The engine's face: what a front end, a script or a notebook holds.

Everything slow is an async method or a stream of typed events; everything else is a
read that takes about a millisecond.  Opening an engine imports neither torch nor a
model: a scanned index is enough to browse, explain, simulate and score.

    async with Engine.open() as engine:
        async for event in engine.scan():
            ...
        async for event in engine.explain(NeuronId(5, 131)):
            ...
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from engine.catalogue import Catalogue, index_of
from engine.choices import Choices
from engine.errors import UsageError
from engine.events import PipelineEvent, ScanEvent, ScanPublished
from engine.explanation import Explanation, Preparing, Side
from engine.index import MANIFEST, Index
from engine.keep import Keep
from engine.neuron import NeuronId
from engine.opening import Opening
from engine.paths import read_pointer
from engine.scan_request import ScanRequest
from engine.score import ScoreCard
from engine.streams import in_thread

if TYPE_CHECKING:
    from engine.effects import Effects
    from engine.estimate import Estimate
    from engine.experiments import Experiments
    from engine.exports import Exports
    from engine.imports import Imported
    from engine.judgement import Judgement
    from engine.models.model import Capabilities
    from engine.neuron_map import NeuronMap, Quantity
    from engine.public_data.dataset import PublicDataset
    from engine.reports import Reports
    from engine.senses.model import Senses
    from engine.similarity import Likeness, SimilarNeurons
    from engine.store import IndexFacts, Store
    from engine.triage import Triages
    from engine.workbench import Workbench

#: Name under which the store remembers the choices.
CHOICES = "choices"


class Engine:
    """One home folder: its store and one open index. Use :meth:`open`."""

    def __init__(self, home: Path, store: Store, index: Index | None, path: Path | None) -> None:
        self.home = home
        self.store = store
        self.index = index
        self.dataset: PublicDataset | None = None
        self._path = path
        self._opened: Workbench | None = None

    @classmethod
    def open(
        cls, home: Path | None = None, *, index: Path | None = None, source: str | None = None
    ) -> Opening:
        """Open the store and, if there is one, an index; or a published dataset instead.

        Enter it with ``async with``, which closes the engine at the end, or await it.

        Args:
            home: Folder of everything; None for ``$NEUROGLASS_HOME`` or the platform's.
            index: An index folder; None for the one scanned last.
            source: A published dataset (:func:`engine.public_data.names.open_dataset`),
                with which there is no index.

        Raises:
            NeuroglassError: the home can't be used (also as StoreError), or the named
                index can't be opened. A damaged index that was not named is an
                error too: silently scanning again would hide it.
        """
        return Opening(cls, home, index, source)

    async def __aenter__(self) -> Engine:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish pending writes, let go of language models, close the store."""
        if self._opened is not None:
            await self._opened.close()
        if self.dataset is not None:
            await self.dataset.close()
        await self.store.close()

    # -- index

    def reload_index(self) -> Index | None:
        """Open the newest generation of the current index, in milliseconds.

        Raises:
            IndexFormatError: it is damaged.
        """
        if self.dataset is not None:
            return None
        if self._path is None:
            self._path = read_pointer(self.home)
        if self._path is not None and (self._path / MANIFEST).exists():
            self.index = Index.open(self._path)
        return self.index

    def open_index(self, path: Path) -> Index:
        """Open another index folder and make it the current one."""
        self.index = Index.open(path)
        self._path = path
        return self.index

    def scan_to_do(
        self, model: str | None = None, sources: tuple[str, ...] | None = None
    ) -> ScanRequest | None:
        """The scan that a front end should start, or go on with; None if nothing is left.

        Without a model and sources it is the one that the open index was made by, if that
        was cut off; without an index it is the demo.
        """
        index = self.index
        if self.dataset is not None:
            return None
        if index is None:
            return ScanRequest(model=model or "demo", sources=sources or ("demo",))
        same = model in (None, index.model_name) and sources in (None, index.sources)
        if not same:
            request = ScanRequest(model=model or index.model_name, sources=sources or index.sources)
            return None if request.made(index) else request
        if index.complete or "-" in index.sources:  # standard input can't be read again
            return None
        settings = index.manifest["settings"]
        return ScanRequest(
            model=index.model_name,
            sources=index.sources,
            keep=Keep(**settings["keep"]),
            index=str(index.path),
            **{name: settings[name] for name in ScanRequest.IDENTITY},
        )

    async def scan(self, request: ScanRequest | None = None) -> AsyncGenerator[ScanEvent, None]:
        """Scan in a child process, streaming events until a terminal one.

        The scan goes on where an earlier one of the same model, text and settings was
        cut off. Closing the stream stops it after a checkpoint. When a generation is
        published, :meth:`reload_index` opens it.
        """
        from engine.scan_process import scan_in_process

        request = request or ScanRequest()
        async with aclosing(scan_in_process(request, self.home)) as events:
            async for event in events:
                if isinstance(event, ScanPublished):
                    self._path = Path(event.path)
                yield event

    @property
    def catalogue(self) -> Catalogue | None:
        """Where neurons are looked up: the published dataset, else the index, if any."""
        return self.index if self.dataset is None else self.dataset

    def _require(self) -> Catalogue:
        """The catalogue, whichever it is."""
        catalogue = self.catalogue
        return index_of(None) if catalogue is None else catalogue

    def _require_index(self) -> Index:
        return index_of(self.catalogue)

    # -- the method

    @property
    def choices(self) -> Choices:
        """How to explain and score, as last remembered in this home."""
        kept = self.store.recall(CHOICES)
        return Choices() if kept is None else Choices.from_json(kept)

    async def remember(self, choices: Choices) -> None:
        """Use these choices from now on, in the next session, too.

        Raises:
            UsageError: they can't be carried out together.
        """
        choices.check()
        await self.store.remember(CHOICES, choices.to_json())

    def explain(
        self, neuron: NeuronId, choices: Choices | None = None, *, offline: bool = False
    ) -> AsyncGenerator[PipelineEvent, None]:
        """Explain one neuron, simulate its held-out records and score the match.

        Closing the stream cancels at once; nothing is saved here (see :meth:`save`), but
        every reply of a language model is, so that the same call goes on from there.

        Args:
            choices: None for the remembered ones.
            offline: Send nothing; language models answer from the reply cache alone.

        Raises:
            UsageError: no such neuron, or choices that can't be carried out.
            IndexFormatError: nothing has been scanned yet.
            LanguageModelError: a model that can't be had: no key, no such provider.
        """
        return self._workbench().explain(
            self._require(), neuron, choices or self.choices, offline=offline
        )

    def score(
        self, explanation: Explanation, choices: Choices | None = None, *, offline: bool = False
    ) -> AsyncGenerator[PipelineEvent, None]:
        """Simulate and score an explanation that exists already; see :meth:`written`.

        The stream of :meth:`explain` without words and Explained; raises the same.
        """
        return self._workbench().score(
            self._require(), explanation, choices or self.choices, offline=offline
        )

    @staticmethod
    def written(neuron: NeuronId, text: str, *, side: Side = "positive") -> Explanation:
        """An explanation of the user's own. UsageError when it is blank."""
        text = " ".join(text.split()).removesuffix(".")
        if not text:
            raise UsageError("An explanation needs at least a word.", "Write what it fires on.")
        return Explanation(neuron, text, explainer="human", side=side)

    async def estimate(self, neuron: NeuronId, choices: Choices | None = None) -> Estimate:
        """What :meth:`explain` would ask of language models; raises the same."""
        return await self._workbench().estimate(self._require(), neuron, choices or self.choices)

    async def check_model(self, name: str) -> Capabilities:
        """Ask a model what it can do. Raises UsageError, LanguageModelError."""
        return await self._workbench().check_model(name)

    async def senses(self, neuron: NeuronId, side: Side = "positive") -> Senses:
        """The several things that make a neuron fire, each with a sentence and excerpts.

        Found in the explain fold alone. The first neuron of a layer costs a pass over
        that, the next ones some seconds.

        Raises:
            UsageError: no such neuron.
            IndexFormatError: nothing has been scanned yet.
            ModelError: the subject model can't be loaded, or has changed since the scan.
            MethodError: the neuron never fires in the explain fold.
        """
        async with aclosing(self.finding_senses(neuron, side)) as steps:
            found = [step async for step in steps][-1]
        assert not isinstance(found, Preparing)
        return found

    def finding_senses(
        self, neuron: NeuronId, side: Side = "positive"
    ) -> AsyncGenerator[Preparing | Senses, None]:
        """Stream how far :meth:`senses` is, then what it found; raises the same."""
        return self._workbench().finding_senses(self._require_index(), neuron, side)

    # -- what the weights say

    async def effects(self, neuron: NeuronId, count: int = 10) -> Effects:
        """Tokens and neurons that a neuron reads from and writes to, by weights alone.

        Args:
            count: Of each kind.

        Raises:
            UsageError: no such neuron.
            IndexFormatError: nothing has been scanned yet.
            ModelError: the subject model can't be loaded, or has changed since the scan.
        """
        from engine.effects import effects_of

        index = self._require_index()
        index.check(neuron)
        lab = await self._workbench().lab(index)
        return await lab.run(lambda subject, stop: effects_of(subject, neuron, count, stop))

    async def similar(
        self, neuron: NeuronId, by: Likeness = "activation", count: int = 10
    ) -> SimilarNeurons:
        """The neurons most like a neuron; by activation it takes the index alone.

        Raises:
            UsageError: no such neuron, or no such measure.
            IndexFormatError: nothing has been scanned yet.
            MethodError: the neuron has the same mean at every token.
            ModelError: by weights, see :meth:`effects`.
        """
        from engine.similarity import check_likeness, similar_by_activation, similar_by_weights

        check_likeness(by)
        index = self._require_index()
        index.check(neuron)
        if by == "activation":
            return await in_thread(lambda stop: similar_by_activation(index, neuron, count, stop))
        lab = await self._workbench().lab(index)
        return await lab.run(
            lambda subject, stop: similar_by_weights(subject, index, neuron, by, count, stop)
        )

    async def neuron_map(self, quantity: Quantity) -> NeuronMap:
        """A quantity of every neuron of the open index, as a matrix.

        Raises:
            IndexFormatError: nothing has been scanned yet.
        """
        from engine.neuron_map import read_map

        index = self._require_index()
        return await in_thread(lambda stop: read_map(index, self.store, quantity))

    async def experiments(self) -> Experiments:
        """What can be tried on the open index's neurons with a typed text; cheap.

        Raises:
            IndexFormatError: nothing has been scanned yet.
        """
        return await self._workbench().experiments(self._require_index())

    def triages(self) -> Triages:
        """Explaining many neurons of the open index, here or in the background; cheap.

        Raises:
            IndexFormatError: nothing has been scanned yet.
        """
        from engine.triage import Triages

        index = self._require_index()
        return Triages(self.home, self.store, index, self.index_facts(), self._workbench())

    def exports(self) -> Exports:
        """Writing results of the open index's model; IndexFormatError without an index."""
        from engine.exports import Exports

        return Exports(self.store, self._require_index(), self.index_facts())

    def reports(self) -> Reports:
        """Writing HTML files about the open index's neurons, as :meth:`exports`."""
        from engine.reports import Reports

        return Reports(self.store, self._require_index(), self.effects)

    async def import_results(
        self, path: Path, progress: Callable[[int], None] | None = None
    ) -> Imported:
        """See :func:`engine.imports.import_results`; no index is needed."""
        from engine.imports import import_results

        return await import_results(self.store, self.home, path, progress)

    def _workbench(self) -> Workbench:
        if self._opened is None:
            from engine.workbench import Workbench

            self._opened = Workbench(self.home)
        return self._opened

    # -- the store

    def index_facts(self) -> IndexFacts:
        """What the store remembers of the open index."""
        return self._require().facts()

    async def save(
        self,
        explanation: Explanation,
        card: ScoreCard | None = None,
        judgements: Sequence[Judgement] = (),
    ) -> int:
        """Save an explanation with its scores; returns its id once it is on disk."""
        catalogue = self._require()
        # The excerpts of a published dataset have no document to be named.
        of = catalogue.excerpt if isinstance(catalogue, Index) else None
        evidence = [of(window) for window in explanation.windows] if of is not None else []
        return await self.store.save_explanation(
            catalogue.facts(), explanation, card, evidence, judgements
        )
