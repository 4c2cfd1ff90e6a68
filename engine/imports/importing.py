"""Taking results in: check everything, then merge what is new in one transaction."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import FileError
from engine.exports.files import told
from engine.exports.schema import MANIFEST
from engine.imports.database import OtherDatabase, is_database
from engine.imports.dataset import Facts, Line, read_facts, read_lines
from engine.imports.staging import Staging
from engine.store import Added, Source, Store
from engine.store.connection import translate
from engine.streams import in_thread

#: The name of a database in a home folder.
STORE = "neuroglass.db"
_PREFIX = ".import-"
#: Explanations between two words on how far it is.
STEP = 200


@dataclass(frozen=True, slots=True)
class Imported:
    """What was there, and what of it was new here.

    Attributes:
        source: Where it came from. Untrusted text.
        read: Lines by part.
    """

    source: Source
    read: dict[str, int]
    added: Added


async def import_results(
    store: Store, home: Path, path: Path, progress: Callable[[int], None] | None = None
) -> Imported:
    """Import a dataset's folder, a ``neuroglass.db``, or a home folder with one.

    Every checksum and every line is checked before anything is changed; then all that is new
    enters in one transaction, or nothing does. What is here already is known again by its
    content, so importing twice adds nothing. Stars and tags are added to one's own; a note
    enters only where there is none.

    Args:
        progress: Told from a thread how many explanations have been checked.

    Raises:
        FileError: nothing of that kind, or it is damaged, or of a newer version.
        StoreError: the store can't be written.
    """
    path = path.expanduser()
    folder = _room(home)
    try:
        source, read = await in_thread(
            lambda stop: _stage(path, folder, store, stop, progress or (lambda _: None))
        )
        added = await store.merge(folder / "staged.db", source)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Imported(source, read, added)


def _stage(
    path: Path,
    folder: Path,
    store: Store,
    stop: Callable[[], bool],
    progress: Callable[[int], None],
) -> tuple[Source, dict[str, int]]:
    with _opened(path, folder) as (facts, lines), _no_space(folder):
        _agree(facts, store)
        staging = Staging(folder / "staged.db", facts)
        staging.fill(_watched(lines, stop, progress))
    source = Source(str(path.absolute()), facts.title, facts.licence, facts.checksum)
    return source, dict(staging.counts)


@contextlib.contextmanager
def _opened(path: Path, folder: Path) -> Iterator[tuple[Facts, Iterable[Line]]]:
    if (path / MANIFEST).exists():
        yield read_facts(path), read_lines(path)
        return
    if (path / STORE).is_file():
        path = path / STORE
    try:
        known = path.is_file() and is_database(path)
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror}.", "") from error
    if not known:
        if not path.exists():
            raise FileError(f"There is no file or folder {path}.", "Check the name.")
        raise FileError(
            f"{path} is neither a dataset's folder nor a neuroglass.db.", "Name one of these."
        )
    other = OtherDatabase(path, folder / "copy.db")
    with contextlib.closing(other):
        yield other.facts(), other.lines()


def _agree(facts: Facts, store: Store) -> None:
    """FileError where a model is known here by the same hash, but with another shape."""
    shapes = {index.model_id: (index.n_layers, index.n_neurons) for index in store.indexes()}
    for row in facts.models:
        shape = shapes.get(row["hash"])
        if shape and row["layers"] and shape != (row["layers"], row["neurons"]):
            raise FileError(
                "It has a model that is known here with other numbers of layers and neurons.",
                "Nothing was imported.",
            )


def _watched(
    lines: Iterable[Line], stop: Callable[[], bool], progress: Callable[[int], None]
) -> Iterator[Line]:
    count = 0
    for line in lines:
        if line.part == "explanations":
            if count % STEP == 0:
                progress(count)
            count += 1
            if stop():
                raise InterruptedError
        yield line
    progress(count)


@contextlib.contextmanager
def _no_space(folder: Path) -> Iterator[None]:
    """What is staged may fill the disk: said as everywhere else."""
    with told(folder):
        try:
            yield
        except sqlite3.Error as error:
            found = translate(error, folder / "staged.db")
            raise FileError(found.message, "Nothing was imported.") from error


def _room(home: Path) -> Path:
    """A folder for what is staged, on the disk of the store; those of the dead are removed."""
    for left in home.glob(f"{_PREFIX}*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not _lives(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    with told(home):
        return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=home))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
