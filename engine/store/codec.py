"""Values to column text and back.

Everything is kept as text and numbers that ``sqlite3``, sqlite-utils and Datasette
show as they are; nothing is a blob.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What the clock of this process is put forward by.
_ahead = timedelta()


@contextmanager
def clock_from(start: datetime) -> Iterator[None]:
    """Count the time of what is written from this one, for what must repeat on any day."""
    global _ahead
    before, _ahead = _ahead, start - datetime.now(UTC)
    try:
        yield
    finally:
        _ahead = before


def now(ago: timedelta | None = None) -> str:
    """The time, or so long ago, as ISO 8601 text in UTC; sorts as time does."""
    return (
        (datetime.now(UTC) + _ahead - (ago or timedelta()))
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def clean(text: str) -> str:
    """Text that SQLite can hold whole.

    Lone surrogates can't be encoded and a NUL ends the text for most readers; both
    become U+FFFD.  All else, escape sequences included, is kept: making text inert
    is the business of whoever shows it.
    """
    if text.isascii() and "\0" not in text:
        return text
    return (
        text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def number(value: float | None) -> float | None:
    """A finite float, or None: what has no value is NULL, never zero."""
    if value is None or not math.isfinite(value):
        return None
    return float(value)


def _plain(value: Any) -> Any:
    """JSON values only: numpy scalars unwrapped, non-finite numbers to None."""
    # The usual types first: a table of rules has thousands of values.
    kind = type(value)
    if kind is str:
        return clean(value)
    if kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return number(value)
    if kind is list:
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return number(value)
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    return clean(str(value))


def dump(value: Any) -> str:
    """JSON text, readable: characters outside ASCII stand as themselves."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(", ", ": "))


def load(text: str | None) -> Any:
    """The value of a JSON column; None for NULL."""
    return None if text is None else json.loads(text)


def dump_floats(values: NDArray[np.float32]) -> str:
    """A JSON array of float32 [T] in the shortest digits that give the same float32.

    NaN is ``null``.  An infinity is ``9e999``, a JSON number that every reader
    takes for infinity.
    """
    digits = np.asarray(values, dtype=np.float32).astype(str).tolist()
    names = {"nan": "null", "inf": "9e999", "-inf": "-9e999"}
    return "[" + ", ".join(names.get(digit, digit) for digit in digits) + "]"


def load_floats(text: str) -> NDArray[np.float32]:
    """float32 [T] from :func:`dump_floats`; ``null`` becomes NaN."""
    return np.array(json.loads(text), dtype=np.float32)


def digest(*parts: Any) -> str:
    """A hash of JSON values by which the same content is known again, 32 digits."""
    text = json.dumps(_plain(parts), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
