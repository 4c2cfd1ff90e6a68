"""A dataset to publish: lines of JSON with a card, checksums, and a database to browse.

README.md          the card, as the Hugging Face hub shows it
neuroglass.json    what it is: format, version, models, scans, counts
SHA256SUMS         checksum of every other file, for ``sha256sum -c``
data/              the parts of :mod:`engine.exports.schema`
explanations.db    explanations and neurons for Datasette, with metadata.json
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from engine import __version__
from engine.exports import browsing, card
from engine.exports.lines import Row, explanation_lines, rest_on
from engine.exports.schema import CARD, CHECKSUMS, FORMAT, MANIFEST, PARTS, VERSION
from engine.exports.tables import Rows
from engine.exports.writers import plain
from engine.index import Index
from engine.store.codec import now

#: Lists of a record that are JSON in the store already, and most of a dataset.
LISTS = ("token_ids", "tokens", "expected", "activations")


@dataclass(frozen=True, slots=True)
class Publication:
    """What its author says of it.

    Attributes:
        licence: Identifier as on the Hugging Face hub, such as ``cc-by-4.0``.
        title: Text.
        records: Whether every simulated record goes with it, which is most of its size and
            has excerpts of the scanned text.
        notes: Whether stars, tags and notes do.
    """

    licence: str
    title: str
    records: bool = True
    notes: bool = False


@dataclass(slots=True)
class Written:
    """Lines by part, and what the card says of them."""

    counts: Counter[str] = field(default_factory=Counter)
    scores: dict[int, list[float | None]] = field(default_factory=dict)
    methods: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, part: str, row: Row) -> None:
        """Count a line."""
        self.counts[part] += 1
        if part == "explanations":
            self.scores.setdefault(row["layer"], []).append(row["score"])
            self.methods[row["explainer"], row["simulator"] or "", row["split"] or ""] += 1


def write(
    folder: Path,
    db: sqlite3.Connection,
    index: Index,
    rows: Rows,
    about: Publication,
    stop: Callable[[], bool],
) -> dict[str, int]:
    """Fill an empty folder; lines by part.

    Args:
        db: A read transaction: the lines are one state of the store.
    """
    (folder / "data").mkdir()
    ids = [row for row, _ in rows.explained()]
    written = Written()
    with ExitStack() as stack:
        files = {name: _open(stack, folder / part.path) for name, part in PARTS.items()}
        for part, row in explanation_lines(db, ids, records=about.records):
            if stop():
                return {}
            _line(files[part], row, LISTS if part == "records" else ())
            written.add(part, row)
        for row in rows.of("neurons", stop):
            _line(files["neurons"], _neuron(db, row, notes=about.notes))
            written.add("neurons", row)
    for name, part_of in PARTS.items():
        if not written.counts[name]:
            (folder / part_of.path).unlink()
    browsing.write(folder, rows, about.title, about.licence, notes=about.notes, stop=stop)
    facts = _manifest(db, ids, index, about, written)
    (folder / MANIFEST).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    (folder / CARD).write_text(card.text(facts, written.scores, written.methods), "utf-8")
    sums = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}" for path in _files(folder)]
    (folder / CHECKSUMS).write_text("\n".join(sums) + "\n", "utf-8")
    return dict(written.counts)


def sha256(path: Path) -> str:
    """Checksum of a file. OSError if it can't be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _neuron(db: sqlite3.Connection, row: Row, *, notes: bool) -> Row:
    said = {one.name: row.get(one.name) for one in PARTS["neurons"].fields}
    said["model"] = row["model_id"]
    said |= {"tags": row["tags"] if notes else [], "note": None, "starred_at": None}
    if notes:
        said["note"] = row["note"] or None
        starred = db.execute(
            "SELECT starred_at FROM neurons JOIN models ON models.id = neurons.model_id "
            "WHERE models.hash = ? AND layer = ? AND neuron_index = ?",
            (row["model_id"], row["layer"], row["neuron"]),
        ).fetchone()
        said["starred_at"] = starred[0] if starred else None
    return said


def _manifest(
    db: sqlite3.Connection, ids: Sequence[int], index: Index, about: Publication, written: Written
) -> Row:
    """What the dataset rests on. Paths of this machine are left out."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "title": about.title,
        "licence": about.licence,
        "neuroglass": __version__,
        "created_at": now(),
        "models": [
            {
                "hash": index.model_id,
                "name": public_name(index.model_name),
                "layers": index.n_layers,
                "neurons": index.n_neurons,
            }
        ],
        "indexes": rest_on(db, ids),
        "counts": {name: written.counts[name] for name in PARTS},
    }


def public_name(name: str) -> str:
    """A model's name without folders of this machine: ``org/model`` stays, paths lose theirs."""
    path = Path(name).expanduser()
    return path.name if path.is_absolute() or name.startswith(".") or path.exists() else name


def _open(stack: ExitStack, path: Path) -> IO[bytes]:
    raw: IO[bytes] = stack.enter_context(path.open("wb"))
    if path.suffix != ".gz":
        return raw
    # Neither name nor time inside, so that the same lines are the same file.
    packed: Any = gzip.GzipFile("", "wb", compresslevel=3, fileobj=raw, mtime=0)
    opened: IO[bytes] = stack.enter_context(packed)
    return opened


def _line(file: IO[bytes], row: Row, ready: Sequence[str] = ()) -> None:
    """One line; fields that are ``ready`` are JSON text already."""
    if not ready:
        file.write(json.dumps(plain(row), allow_nan=False).encode("ascii") + b"\n")
        return
    first = json.dumps(
        {name: value for name, value in row.items() if name not in ready}, allow_nan=False
    )
    rest = ", ".join(f'"{name}": {row[name]}' for name in ready)
    file.write(f"{first[:-1]}, {rest}}}\n".encode())


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.is_file())
