"""The store's face: asynchronous writes, immediate reads."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from engine.explanation import Explanation
from engine.judgement import Judgement
from engine.neuron import NeuronId
from engine.records import Excerpt
from engine.score import ScoreCard
from engine.store import deletion, imports, library, ranking, reads, searching, triages, writes
from engine.store.connection import (
    check,
    connect,
    open_for_writing,
    patiently,
    transaction,
    translate,
)
from engine.store.imports import Added, Source, StoredImport
from engine.store.kinds import (
    Annotation,
    Counts,
    IndexFacts,
    Order,
    SavedPatterns,
    SearchHit,
    StoredExplanation,
    StoredSimulation,
    StoredSource,
)
from engine.store.library import Facets, LibraryFilter, LibraryOrder, LibraryRow
from engine.store.reader import Reader
from engine.store.triages import StoredTriage, Triaged, TriageState
from engine.store.writer import Writer, closed

if TYPE_CHECKING:
    from sqlite_utils import Database

T = TypeVar("T")


class Store:
    """Explanations, scores, notes, stars and tags in one SQLite file.

    Every write method is one transaction and returns once it is committed: what was
    acknowledged survives a killed process and, where the disk keeps its word, a power
    cut.  Cancelling a write's await does not undo the write.  Reads see one
    consistent state and may be called from any thread.  Those of one neuron take under a
    millisecond; over 36 000 scored explanations, those of a layer take 10 ms, a search
    30 ms, and a page of the whole model, best first, 0.15 s, which is for a thread.
    Several processes may use one file.

    Every method raises :class:`StoreError` for a full disk, a damaged file, a lock that
    is never released, or a store that is closed.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Use :meth:`open` instead."""
        self.path = path
        self._writer = Writer(connection, path)
        self._local = threading.local()
        self._readers: weakref.WeakSet[Reader] = weakref.WeakSet()
        self._readers_lock = threading.Lock()
        self._closed = False

    @classmethod
    def open(cls, path: Path) -> Store:
        """Open ``path``, or create it; bring an older schema up to date.

        Blocks for 1 to 10 ms, and for 0.05 to 0.3 s when the schema is created.

        Raises:
            StoreError: if the folder is missing, the file is damaged, not a database,
                another program's, written by a newer neuroglass, or not writable, or if
                the disk is full.  A file that can't be used is left as it was.
        """
        path = Path(path).expanduser().absolute()
        return cls(path, open_for_writing(path))

    # ------------------------------------------------------------ writes

    async def save_index(self, facts: IndexFacts) -> int:
        """Insert or update an index and its model; the row id of the index."""
        return await self._write(lambda db: writes.save_index(db, facts))

    async def save_explanation(
        self,
        index: IndexFacts,
        explanation: Explanation,
        card: ScoreCard | None,
        evidence: Sequence[Excerpt] = (),
        judgements: Sequence[Judgement] = (),
    ) -> int:
        """Save an explanation and how it scored, with every simulated record.

        Saving the same again changes nothing; saving it with another card adds that
        scoring to the ones it has.

        Args:
            index: What ``explanation.windows`` and the card's windows refer to.
            card: None when it was not scored.
            evidence: The excerpts it was written from, as far as they are at hand, for
                the names of their documents.
            judgements: What further scorers found.

        Returns:
            The row id of the explanation.
        """
        return await self._write(
            lambda db: writes.save_explanation(db, index, explanation, card, evidence, judgements)
        )

    async def set_note(self, model: str, neuron: NeuronId, text: str) -> None:
        """Replace the neuron's note; blank text removes it."""
        await self._write(lambda db: writes.set_note(db, model, neuron, text))

    async def set_star(self, model: str, neuron: NeuronId, starred: bool) -> None:
        """Star the neuron or take its star away."""
        await self._write(lambda db: writes.set_star(db, model, neuron, starred))

    async def set_tags(self, model: str, neuron: NeuronId, tags: Sequence[str]) -> None:
        """Replace the neuron's tags."""
        given = tuple(tags)
        await self._write(lambda db: writes.set_tags(db, model, neuron, given))

    async def delete_explanations(self, ids: Sequence[int]) -> list[int]:
        """Delete explanations with their scorings; the ids of those that were there.

        They can be brought back for :data:`engine.store.KEPT_DAYS`.
        """
        return await self._write(lambda db: deletion.delete(db, ids))

    async def restore_explanations(self, ids: Sequence[int] | None = None) -> list[int]:
        """Bring deleted explanations back; the ids of those brought back.

        Args:
            ids: None for what was deleted last, all of it together.
        """
        return await self._write(lambda db: deletion.restore(db, ids))

    async def forget_explanations(self, ids: Sequence[int]) -> list[int]:
        """Delete explanations for good, deleted ones too; the ids of those there were."""
        return await self._write(lambda db: deletion.forget(db, ids))

    async def remember(self, name: str, value: Any) -> None:
        """Keep a JSON value by name; :meth:`recall` gives it back."""
        await self._write(lambda db: writes.remember(db, name, value))

    async def begin_triage(
        self, index: IndexFacts, method: str, request: Mapping[str, Any], total: int
    ) -> int:
        """A new run over many neurons, not yet running; its row id.

        Args:
            method: Hash of what makes two results be of the same kind.
            request: JSON values.
            total: Neurons asked for.
        """
        return await self._write(lambda db: triages.begin(db, index, method, request, total))

    async def update_triage(self, triage: int, **columns: Any) -> None:
        """Change columns of a run's row; see :class:`StoredTriage`."""
        await self._write(lambda db: triages.update(db, triage, columns))

    async def save_triaged(
        self, triage: int, index: IndexFacts, results: Sequence[Triaged], **columns: Any
    ) -> list[int | None]:
        """Save what became of neurons and where the run stands, all in one transaction.

        Returns:
            Row ids of the explanations; None for each neuron that failed.
        """
        return await self._write(lambda db: triages.save(db, triage, index, results, columns))

    async def merge(self, staged: Path, source: Source) -> Added:
        """Add what another database of this schema has and this one has not.

        One transaction: all of it, or nothing. See :mod:`engine.store.imports`.
        """

        def merge() -> Added:
            try:
                with closing(connect(self.path)) as db:
                    db.execute("ATTACH DATABASE ? AS staged", (str(staged),))
                    unit = functools.partial(imports.merge, db, source)
                    return patiently(lambda: transaction(db, unit))
            except sqlite3.Error as error:
                raise translate(error, self.path) from error

        return await asyncio.to_thread(merge)

    async def close(self) -> None:
        """Write what is still queued, then let go of the file; may be called twice."""
        self._closed = True
        with self._readers_lock:
            readers = list(self._readers)
        for reader in readers:
            reader.close()
        # The writer closes last, so that SQLite folds the log into the file.
        await asyncio.shield(asyncio.wrap_future(self._writer.close()))

    # ------------------------------------------------------------ reads

    def explanations(self, model: str, neuron: NeuronId) -> list[StoredExplanation]:
        """The neuron's explanations with their scores, best first, unscored ones last."""
        return self._read(lambda db: reads.explanations_of(db, model, neuron))

    def explanation(
        self, explanation_id: int, *, deleted: bool = False
    ) -> StoredExplanation | None:
        """One explanation by its row id; None if there is none.

        Args:
            deleted: Give it also if it was deleted.
        """
        found = self._read(lambda db: reads.load(db, [explanation_id], deleted=deleted))
        return found[0] if found else None

    def list_explanations(
        self, model: str, *, limit: int = 100, offset: int = 0, order: Order = "best"
    ) -> list[StoredExplanation]:
        """A page of the model's explanations."""
        return self._read(lambda db: reads.list_explanations(db, model, limit, offset, order))

    def library(
        self, only: LibraryFilter | None = None, order: LibraryOrder = LibraryOrder.BEST
    ) -> list[int]:
        """Row ids of all explanations, of any model, that a filter lets through, in order."""
        return self._read(lambda db: library.ids(db, only or LibraryFilter(), order))

    def library_rows(self, ids: Sequence[int]) -> dict[int, LibraryRow]:
        """Row id to what a list shows of an explanation, deleted ones included."""
        return self._read(lambda db: library.rows(db, ids))

    def library_size(self) -> int:
        """How many explanations of any model there are."""
        return self._read(library.size)

    def facets(self) -> Facets:
        """By what explanations can be told apart, and how many there are of each."""
        return self._read(library.facets)

    def best_scores(self, model: str, layer: int) -> dict[int, float]:
        """Neuron index to its best top-and-random correlation; others are left out."""
        return self._read(lambda db: reads.best_scores(db, model, layer))

    def annotations(self, model: str, layer: int) -> dict[int, Annotation]:
        """Neuron index to star, tags and note; neurons without any are left out."""
        return self._read(lambda db: reads.annotations_of(db, model, layer))

    def starred(self, model: str) -> list[NeuronId]:
        """The starred neurons by layer and index."""
        return self._read(lambda db: reads.starred(db, model))

    def card(self, explanation_id: int, scoring_id: int | None = None) -> list[StoredSimulation]:
        """The records of the current, or the given, scoring in the order scored."""
        return self._read(lambda db: reads.card(db, explanation_id, scoring_id))

    def sources(self, explanation_id: int) -> list[StoredSource]:
        """The records that an explanation was written from."""
        return self._read(lambda db: reads.sources(db, explanation_id))

    def search(self, text: str, limit: int = 50, *, model: str | None = None) -> list[SearchHit]:
        """Explanations and notes in which every given word begins a word.

        Upper and lower case and accents make no difference.  Any text may be given;
        text without a letter or digit finds nothing.
        """
        return self._read(lambda db: searching.search(db, text, limit, model))

    def saved_patterns(self, model: str | None = None) -> list[SavedPatterns]:
        """What saved explanations by patterns say; reads them all."""
        return self._read(lambda db: searching.saved_patterns(db, model))

    def counts(self, model: str | None = None) -> Counts:
        """How much is stored, of one model or of all."""
        return self._read(lambda db: reads.counts(db, model))

    def indexes(self) -> list[IndexFacts]:
        """Every index that was ever used here, the latest used first."""
        return self._read(reads.indexes)

    def recall(self, name: str) -> Any:
        """What :meth:`remember` kept under this name; None when nothing is."""
        return self._read(lambda db: reads.recall(db, name))

    def triage(
        self,
        triage: int | None = None,
        *,
        index: str | None = None,
        state: TriageState | None = None,
    ) -> StoredTriage | None:
        """A run over many neurons, or the one touched last; None if there is none.

        ``index`` (a hash) and ``state`` narrow it down.
        """
        return self._read(lambda db: triages.load(db, triage, index, state))

    def triage_stop_asked(self, triage: int) -> bool:
        """Whether somebody asked the run to stop."""
        return self._read(lambda db: triages.stop_asked(db, triage))

    def triage_failures(self, triage: int, limit: int = 100) -> list[tuple[NeuronId, str]]:
        """Neurons that a run could not explain, and why, in their order."""
        return self._read(lambda db: triages.failures(db, triage, limit))

    def triage_done(self, triage: int) -> set[NeuronId]:
        """Neurons that a run has explained."""
        return self._read(lambda db: triages.done_by(db, triage))

    def explained_alike(self, method: str, facts: Mapping[str, Any]) -> set[NeuronId]:
        """Neurons explained and scored in the same way, by a run or one at a time.

        Args:
            method: Hash of the facts.
            facts: See :func:`engine.assembly.identity`.
        """
        return self._read(lambda db: triages.done_before(db, method, facts))

    def scorings_since(self, model: str, scoring: int = 0) -> list[tuple[Any, ...]]:
        """See :func:`engine.store.ranking.scorings_since`."""
        return self._read(lambda db: ranking.scorings_since(db, model, scoring))

    def senses_since(self, model: str, explanation: int = 0) -> list[tuple[int, int, int, int]]:
        """See :func:`engine.store.ranking.senses_since`."""
        return self._read(lambda db: ranking.senses_since(db, model, explanation))

    def scoring_counts(self, model: str) -> tuple[int, int, int]:
        """See :func:`engine.store.ranking.scoring_counts`."""
        return self._read(lambda db: ranking.scoring_counts(db, model))

    def explained_neurons(self, model: str) -> list[tuple[int, int, int, float | None]]:
        """See :func:`engine.store.ranking.explained_neurons`."""
        return self._read(lambda db: ranking.explained_neurons(db, model))

    def explanation_texts(self, ids: Sequence[int]) -> dict[int, str]:
        """Explanation row id to its text."""
        return self._read(lambda db: ranking.texts(db, ids))

    def explanations_with_words(self, text: str, model: str) -> set[int] | None:
        """Row ids of explanations in which every word begins a word; None: no word given."""
        return self._read(lambda db: ranking.with_words(db, text, model))

    def imports(self) -> list[StoredImport]:
        """Where imported results came from, the latest import first."""
        return self._read(imports.listed)

    def read(self, unit: Callable[[sqlite3.Connection], T]) -> T:
        """A read of one's own, such as those of :mod:`engine.store.selecting`."""
        return self._read(unit)

    def check(self) -> None:
        """Look at every page of the file; about 1 ms per megabyte.

        Raises:
            StoreError: if the file is damaged.
        """
        self._read(lambda db: check(db, self.path))

    # ------------------------------------------------------------ plumbing

    async def _write(self, unit: Callable[[Database], T]) -> T:
        future = self._writer.submit(unit)
        return await asyncio.shield(asyncio.wrap_future(future))

    def _read(self, unit: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return self._reader().read(unit)
        except sqlite3.Error as error:
            raise (closed() if self._closed else translate(error, self.path)) from error

    def _reader(self) -> Reader:
        reader: Reader | None = getattr(self._local, "reader", None)
        if self._closed:
            raise closed()
        if reader is None:
            reader = self._local.reader = Reader(connect(self.path, read_only=True))
            with self._readers_lock:
                self._readers.add(reader)
        return reader
