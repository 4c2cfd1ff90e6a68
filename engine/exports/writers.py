"""Rows into CSV, JSON Lines and Parquet.

JSON Lines and Parquet keep every text as it is.  CSV is for spreadsheets, which run a cell
that begins like a formula and show control characters as nothing: there, text is made
inert as on the screen, and what could be a formula begins with an apostrophe.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import IO, Any, Literal

from engine.errors import UsageError
from engine.exports.tables import Column, Kind, Row, as_text, names
from engine.glyphs import inert
from engine.store.codec import clean

Format = Literal["csv", "jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("csv", "jsonl", "parquet")
#: What spreadsheets take for the beginning of a formula, full-width forms among them.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
#: Rows of a Parquet row group.
GROUP = 5_000


def write(file: IO[bytes], how: Format, columns: Sequence[Column], rows: Iterable[Row]) -> int:
    """Write rows; how many there were.

    Raises:
        UsageError: Parquet without pyarrow.
        OSError: the file can't be written.
    """
    match how:
        case "csv":
            return _csv(file, columns, rows)
        case "jsonl":
            return _jsonl(file, columns, rows)
        case "parquet":
            return _parquet(file, columns, rows)


def check(how: str) -> Format:
    """The format of that name. UsageError for an unknown one, and Parquet without pyarrow."""
    if how == "parquet":
        _pyarrow()
    for known in FORMATS:
        if how == known:
            return known
    raise UsageError(f"There is no format {how!r}.", f"Choose one of {', '.join(FORMATS)}.")


def cell(value: Any) -> Any:
    """A value as a cell of a spreadsheet: text that nothing runs."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value) if math.isfinite(value) else ""
        case str():
            shown = inert(value)
            return f"'{shown}" if shown.lstrip().startswith(FORMULA) else shown
        case list() | dict():
            return as_text(plain(value))
        case _:
            return value


def plain(value: Any) -> Any:
    """The same as JSON has it: NaN as null, no half of a surrogate pair."""
    match value:
        case str():
            return clean(value)
        case float():
            return value if math.isfinite(value) else None
        case list():
            # Activations come by the thousand.
            if value and type(value[0]) is float:
                return [item if item - item == 0 else None for item in value]
            return value if value and type(value[0]) is int else [plain(item) for item in value]
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case _:
            return value


def _csv(file: IO[bytes], columns: Sequence[Column], rows: Iterable[Row]) -> int:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names(columns))
        count = 0
        for row in rows:
            writer.writerow([cell(row[column.name]) for column in columns])
            count += 1
    finally:
        text.detach()
    return count


def _jsonl(file: IO[bytes], columns: Sequence[Column], rows: Iterable[Row]) -> int:
    count = 0
    for row in rows:
        ordered = {column.name: plain(row[column.name]) for column in columns}
        file.write(json.dumps(ordered, allow_nan=False).encode("ascii") + b"\n")
        count += 1
    return count


def _parquet(file: IO[bytes], columns: Sequence[Column], rows: Iterable[Row]) -> int:
    pa = _pyarrow()
    import pyarrow.parquet as pq

    kinds: dict[Kind, Any] = {
        "int": pa.int64(),
        "float": pa.float64(),
        "text": pa.string(),
        "bool": pa.bool_(),
        "texts": pa.list_(pa.string()),
        "ints": pa.list_(pa.int64()),
        "floats": pa.list_(pa.float32()),
        "json": pa.string(),
    }
    schema = pa.schema(
        [
            pa.field(
                column.name,
                kinds[column.kind],
                metadata={"description": column.meaning} if column.meaning else None,
            )
            for column in columns
        ]
    )
    structures = [column.name for column in columns if column.kind == "json"]
    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _groups(rows):
            taken = [
                {**plain(row), **{name: as_text(plain(row[name])) for name in structures}}
                for row in group
            ]
            writer.write_table(pa.Table.from_pylist(taken, schema=schema))
            count += len(taken)
    return count


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    source = iter(rows)
    while group := list(islice(source, GROUP)):
        yield group


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed.",
            "Install it: pip install 'neuroglass[parquet]'",
        ) from None
    return pyarrow
