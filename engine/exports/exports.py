"""Writing results of one index's model: what a front end or a script calls."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.errors import UsageError
from engine.exports import files, neuronpedia, writers
from engine.exports.tables import COLUMNS, Rows, Table
from engine.index import Index
from engine.store import IndexFacts, Selection, Store
from engine.store.codec import now
from engine.store.connection import connect
from engine.streams import in_thread

#: By this file a folder is known as one that was written here.
MARK = "neuroglass.json"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        path: File or folder; ``-`` for standard output.
        counts: Rows by kind.
    """

    path: Path
    counts: dict[str, int] = field(default_factory=dict)


class Exports:
    """Use :meth:`engine.engine.Engine.exports`."""

    def __init__(self, store: Store, index: Index, facts: IndexFacts) -> None:
        self._store, self._index, self._facts = store, index, facts

    async def table(
        self, path: Path, how: str, table: Table = "explanations", only: Selection | None = None
    ) -> Exported:
        """Write a table as ``csv``, ``jsonl`` or ``parquet``.

        Args:
            path: A file, replaced when all is written; ``-`` for standard output.

        Raises:
            UsageError: no such format, layer or neuron; Parquet without pyarrow.
            FileError: it can't be written.
        """
        form = writers.check(how)
        chosen = self._checked(only)

        def write(stop: Callable[[], bool]) -> Exported:
            rows = Rows(self._store, self._index, chosen).of(table, stop)
            with files.output(path) as file:
                count = writers.write(file, form, COLUMNS[table], rows)
                _cancelled(stop)
            return Exported(path, {table: count})

        return await in_thread(write)

    async def neuronpedia(
        self,
        path: Path,
        only: Selection | None = None,
        *,
        model: str = "",
        name: str = "neuroglass",
        creator: str = "",
    ) -> Exported:
        """Write a folder in Neuronpedia's form; see :mod:`engine.exports.neuronpedia`.

        Args:
            path: A new or empty folder, or one that was written here before.
            model: Neuronpedia's id of the model; empty for its name here.
            name: Of the source set.
            creator: Id of an account on Neuronpedia.

        Raises:
            UsageError: no such layer or neuron, or a name that is no name of a folder.
            FileError: it can't be written.
        """
        chosen = self._checked(only)
        model = model or Path(self._index.model_name).name
        for given in (model, name):
            if not given or "/" in given or given.startswith("."):
                raise UsageError(
                    f"{given!r} can't be the name of a folder.", "Use letters, digits and dashes."
                )

        def write(stop: Callable[[], bool]) -> Exported:
            rows = Rows(self._store, self._index, chosen)
            ids: dict[object, list[int]] = {}
            for row, neuron in rows.explained():
                ids.setdefault(neuron, []).append(row)
            with files.folder(path, MARK) as folder:
                counts = neuronpedia.write(
                    folder,
                    self._index,
                    rows.chosen(),
                    lambda neuron: rows.stored(ids.get(neuron, [])),
                    model=model,
                    name=name,
                    creator=creator,
                    when=now(),
                    stop=stop,
                )
                _cancelled(stop)
                mark = {"format": "neuronpedia", "counts": counts}
                (folder / MARK).write_text(json.dumps(mark, indent=1) + "\n")
            return Exported(path, counts)

        return await in_thread(write)

    async def dataset(
        self,
        path: Path,
        licence: str,
        only: Selection | None = None,
        *,
        title: str = "",
        records: bool = True,
        notes: bool = False,
    ) -> Exported:
        """Write a dataset to publish; see :mod:`engine.exports.dataset`.

        Args:
            path: A new or empty folder, or one that was written here before.
            licence: Under which it is published: an identifier as on the Hugging Face hub.
            title: Empty for one by the model's name.
            records: Every simulated record, with excerpts of the scanned text.
            notes: Also stars, tags and notes.

        Raises:
            UsageError: no such layer or neuron, nothing that could be written, no licence.
            FileError: it can't be written.
        """
        from engine.exports import dataset

        chosen = self._checked(only)
        about = dataset.Publication(
            _licence(licence), title or f"Neurons of {dataset.public_name(self._index.model_name)}"
        )
        about = replace(about, records=records, notes=notes)

        def write(stop: Callable[[], bool]) -> Exported:
            rows = Rows(self._store, self._index, chosen)
            if not rows.explained():
                raise UsageError(
                    "There is no explanation to publish.", "Explain some: neuroglass triage"
                )
            with files.folder(path, MARK) as folder:
                # A connection of its own: one state of the store from the first line on.
                with closing(connect(self._store.path, read_only=True)) as db:
                    db.execute("BEGIN")
                    counts = dataset.write(folder, db, self._index, rows, about, stop)
                _cancelled(stop)
            return Exported(path, counts)

        return await in_thread(write)

    def _checked(self, only: Selection | None) -> Selection:
        from engine.neuron import NeuronId

        only = only or Selection()
        for neuron in (*only.neurons, *(NeuronId(layer, 0) for layer in only.layers)):
            self._index.check(neuron)
        return only


def _cancelled(stop: Callable[[], bool]) -> None:
    """Leave without putting a half-written file in place; nobody waits for the error."""
    if stop():
        raise InterruptedError


def _licence(name: str) -> str:
    name = name.strip().lower()
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{1,40}", name):
        raise UsageError(
            "Say under which licence it is published.",
            "Name it as the Hugging Face hub does, such as cc-by-4.0, cc0-1.0 or mit.",
        )
    return name
