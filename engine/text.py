"""Text sources: files, directories, JSON Lines, standard input, the embedded demo.

Documents are read one at a time and in a fixed order, so that a corpus may be larger
than memory and has the same identity every time it is read.  Text is passed on as it
is, escape sequences included: making it safe to show is the business of
:mod:`engine.glyphs`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from engine.errors import TextError

#: Longest document in characters; longer ones are parted (see :func:`sections`).
SECTION = 20_000
_JSON_LINES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".json.gz")
_TEXT_FIELDS = ("text", "content")
_NAME_FIELDS = ("name", "title", "id")
_SNIFF = 4096


@dataclass(frozen=True, slots=True)
class Document:
    """A text and what to call it. Both are untrusted."""

    name: str
    text: str


def read_documents(sources: Sequence[str], stdin: IO[bytes] | None = None) -> Iterator[Document]:
    """Read every document of every source, dropping repeated texts.

    Args:
        sources: ``demo``, ``-`` for standard input, text files, JSON Lines files
            (fields ``text`` or ``content``, named by ``name``, ``title`` or ``id``),
            or directories, read recursively without hidden and binary files.
            Files may be gzipped.
        stdin: What ``-`` reads; None for the process's own standard input.

    Raises:
        TextError: a source is missing, unreadable or malformed, or all are empty.
    """
    seen: set[bytes] = set()
    for source in sources:
        for document in _source(source, stdin):
            for section in sections(document):
                digest = hashlib.sha256(section.text.encode("utf-8", "replace")).digest()
                if section.text.strip() and digest not in seen:
                    seen.add(digest)
                    yield section
    if not seen:
        raise TextError(
            f"There is no text in {', '.join(sources) or 'nothing'}.",
            "Name text files, folders or .jsonl files, or 'demo'.",
        )


def sections(document: Document, limit: int = SECTION) -> Iterator[Document]:
    """Part a long document at blank lines into pieces of at most ``limit`` characters.

    Documents are dealt whole to the explain or the score fold.  One giant file could
    not be dealt, and nothing explained from it could ever be scored; its sections can.
    Where no blank line comes in the second half of a piece a line end is taken, and
    where there is none, the limit itself.  The pieces joined are the document.
    """
    text = document.text
    if len(text) <= limit:
        yield document
        return
    start = number = 0
    while start < len(text):
        end = start + limit
        if end < len(text):
            for gap in ("\n\n", "\n"):
                found = text.rfind(gap, start + limit // 2, end)
                if found >= 0:
                    end = found + len(gap)
                    break
        number += 1
        yield Document(f"{document.name} §{number}", text[start:end])
        start = end


def _source(source: str, stdin: IO[bytes] | None) -> Iterator[Document]:
    if source == "demo":
        from engine.demo import demo_documents

        yield from demo_documents()
    elif source == "-":
        yield from _standard_input(stdin or sys.stdin.buffer)
    else:
        path = Path(source).expanduser()
        if path.is_dir():
            yield from _directory(path)
        elif path.exists():
            yield from _file(path)
        else:
            raise TextError(f"There is no file or folder {source}.", "Check the name.")


def _directory(folder: Path) -> Iterator[Document]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") for part in parts):
            if path.suffix != ".gz" and _is_binary(path):
                continue
            yield from _file(path, name="/".join(parts))


def _file(path: Path, name: str | None = None) -> Iterator[Document]:
    name = name or path.name
    try:
        if path.name.endswith(_JSON_LINES):
            with _open(path) as file:
                yield from _json_lines(file, name)
        else:
            with _open(path) as file:
                yield Document(name, _decode(file.read()))
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TextError(f"{path} can't be read: {reason}.", "Check the file.") from error


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def _is_binary(path: Path) -> bool:
    """A NUL byte near the start: the rule that git and grep use."""
    try:
        with path.open("rb") as file:
            return b"\0" in file.read(_SNIFF)
    except OSError as error:
        raise TextError(
            f"{path} can't be read: {error.strerror}.", "Check its permissions."
        ) from error


def _decode(data: bytes) -> str:
    text = data.decode("utf-8-sig", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _standard_input(stdin: IO[bytes]) -> Iterator[Document]:
    """JSON Lines if the first line is a JSON object with a text, else one document."""
    first = stdin.readline()
    if _text_of(_parsed(first)) is not None:
        yield from _json_lines(iter([first]), "standard input")
        yield from _json_lines(stdin, "standard input", start=2)
    else:
        yield Document("standard input", _decode(first + stdin.read()))


def _json_lines(
    lines: IO[bytes] | Iterator[bytes], name: str, start: int = 1
) -> Iterator[Document]:
    for number, line in enumerate(lines, start):
        if not line.strip():
            continue
        facts = _parsed(line)
        if facts is None:
            raise TextError(
                f"{name}, line {number}, is not a JSON object.", "Each line must be one."
            )
        text = _text_of(facts)
        if text is None:
            raise TextError(
                f"{name}, line {number}, has no text.",
                "Put the text in a field called 'text' or 'content'.",
            )
        label = next((str(facts[f]) for f in _NAME_FIELDS if facts.get(f)), f"{name}:{number}")
        yield Document(label, text.replace("\r\n", "\n"))


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        facts = json.loads(line.decode("utf-8-sig", "replace"))
    except ValueError:
        return None
    return facts if isinstance(facts, dict) else None


def _text_of(facts: dict[str, Any] | None) -> str | None:
    for field in _TEXT_FIELDS:
        if facts is not None and isinstance(facts.get(field), str):
            return str(facts[field])
    return None
