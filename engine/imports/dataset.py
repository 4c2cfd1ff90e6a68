"""Reading a dataset's folder: checksums first, then its lines in the order of explanations."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from engine.errors import FileError
from engine.exports.dataset import sha256
from engine.exports.schema import CHECKSUMS, FORMAT, INDEX, MANIFEST, MODEL, PARTS, VERSION
from engine.imports.checks import Mistaken, checked, parsed

#: A longer line is not read into memory, bytes.
LONGEST = 32 << 20
REMEDY = "Nothing was imported; get a whole copy of it."
Row = dict[str, Any]
_SUM = re.compile(r"([0-9a-f]{64}) [ *](.+)")


@dataclass(frozen=True, slots=True)
class Line:
    """A checked line.

    Attributes:
        where: File and line, for people.
        part: Name in :data:`PARTS`.
    """

    where: str
    part: str
    row: Row


@dataclass(frozen=True, slots=True)
class Facts:
    """What a manifest says, checked."""

    title: str
    licence: str
    checksum: str
    models: tuple[Row, ...]
    indexes: tuple[Row, ...]


def read_facts(folder: Path) -> Facts:
    """The manifest of a dataset, after every checksum has been compared.

    Raises:
        FileError: no dataset, one of a newer version, or a damaged one.
    """
    path = folder / MANIFEST
    try:
        manifest = parsed(_small(path))
    except Mistaken as mistake:
        raise FileError(f"{path} {mistake}.", REMEDY) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FileError(f"{folder} is not a neuroglass dataset.", "Name another folder.")
    if manifest.get("version") != VERSION:
        raise FileError(
            f"{folder} is a dataset of version {manifest.get('version')!r}; this neuroglass reads "
            f"version {VERSION}.",
            "Update neuroglass.",
        )
    _compare_checksums(folder)
    try:
        models = [checked(row, MODEL) for row in _listed(manifest, "models")]
        indexes = [_index(row) for row in _listed(manifest, "indexes")]
    except Mistaken as mistake:
        raise FileError(f"{path}: a model or scan {mistake}.", REMEDY) from None
    return Facts(
        str(manifest.get("title", "")),
        str(manifest.get("licence", "")),
        sha256(folder / CHECKSUMS),
        tuple(models),
        tuple(indexes),
    )


def _index(row: Any) -> Row:
    found = checked(row, INDEX)
    settings = row.get("settings")
    if not isinstance(settings, dict):
        raise Mistaken("has no “settings”")
    return {**found, "settings": settings}


def _listed(manifest: Row, name: str) -> list[Any]:
    value = manifest.get(name)
    if not isinstance(value, list):
        raise Mistaken(f"list is missing ({name})")
    return value


def _compare_checksums(folder: Path) -> None:
    listed = {}
    for line in _small(folder / CHECKSUMS).decode("utf-8", "replace").splitlines():
        match = _SUM.fullmatch(line)
        if match is None:
            raise FileError(f"{folder / CHECKSUMS} is damaged.", REMEDY)
        listed[match[2]] = match[1]
    for part in (MANIFEST, *(part.path for part in PARTS.values())):
        if (folder / part).exists() and part not in listed:
            raise FileError(f"{folder / part} is in no list of checksums.", REMEDY)
    for name, given in listed.items():
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts:
            raise FileError(f"{folder / CHECKSUMS} names files outside of it.", REMEDY)
        path = folder / name
        try:
            # A link may lead to a device that never ends.
            found = sha256(path) if path.is_file() else ""
        except OSError as error:
            raise FileError(f"{path} can't be read: {error.strerror}.", REMEDY) from error
        if not found:
            raise FileError(f"{path} is missing.", REMEDY)
        if found != given:
            raise FileError(f"{path} is damaged: its checksum differs.", REMEDY)


def _small(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise FileError(f"There is no {path}.", "Name the folder of a dataset.")
        with path.open("rb") as file:
            return file.read(LONGEST)
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror}.", REMEDY) from error


def read_lines(folder: Path) -> Iterator[Line]:
    """Every line; what belongs to an explanation follows it, neurons come last.

    Raises:
        FileError: naming file and line of the first that is not what it should be.
    """
    rules = _Follower(_lines(folder, "rules"))
    scorings = _Follower(_lines(folder, "scorings"))
    records = _Follower(_lines(folder, "records"))
    judgements = _Follower(_lines(folder, "judgements"))
    for line in _lines(folder, "explanations"):
        yield line
        key = line.row["id"]
        yield from rules.take(explanation=key)
        for scoring in scorings.take(explanation=key):
            yield scoring
            yield from records.take(explanation=key, scoring=scoring.row["id"])
        yield from judgements.take(explanation=key)
    for follower in (rules, scorings, records, judgements):
        follower.finish()
    yield from _lines(folder, "neurons")


class _Follower:
    """Lines that come in the order of what they belong to."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._next = next(lines, None)

    def take(self, **key: str) -> Iterator[Line]:
        """The next lines, as long as they belong to that key."""
        while self._next is not None and key.items() <= self._next.row.items():
            line, self._next = self._next, next(self._lines, None)
            yield line

    def finish(self) -> None:
        """FileError if a line belonged to nothing."""
        if self._next is not None:
            raise FileError(f"{self._next.where}, belongs to nothing before it.", REMEDY)


def _lines(folder: Path, name: str) -> Iterator[Line]:
    part = PARTS[name]
    path = folder / part.path
    if not path.exists():
        return
    number = 0
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as file:
            while text := file.readline(LONGEST + 1):
                number += 1
                where = f"{path}, line {number}"
                if len(text) > LONGEST:
                    raise FileError(f"{where}, is longer than any line can be.", REMEDY)
                try:
                    row = checked(parsed(text), part.fields)
                except Mistaken as mistake:
                    raise FileError(f"{where}, {mistake}.", REMEDY) from None
                yield Line(where, name, row)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"{path} is damaged after line {number}.", REMEDY) from error
