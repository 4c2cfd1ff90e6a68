"""Whether a line is what it should be: every field there, of its kind, and within bounds.

A file that comes from elsewhere is believed in nothing.  What passes here can be saved and
read back without a surprise; what does not is told in one line that names file and line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from engine.exports.schema import Field
from engine.store.codec import clean

_NUMBERS = {int, float}
_LONGEST_INT = 1 << 62
NoneType = type(None)


class Mistaken(Exception):
    """What is wrong with a line, for people."""


def checked(row: Any, fields: Sequence[Field]) -> dict[str, Any]:
    """The fields of a row, clean.

    Raises:
        Mistaken: one is missing or of another kind.
    """
    if not isinstance(row, dict):
        raise Mistaken("is not an object")
    found = {}
    for one in fields:
        if one.name not in row:
            raise Mistaken(f"has no “{one.name}”")
        found[one.name] = _value(row[one.name], one)
    return found


def parsed(line: bytes | str) -> Any:
    """The JSON value of a line. Mistaken if it is none, or nested beyond reason."""
    try:
        return json.loads(line, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Mistaken("is not JSON") from None


def _no_number(name: str) -> float:
    raise ValueError(name)


def _value(value: Any, one: Field) -> Any:
    if value is None and one.empty:
        return None
    match one.kind:
        case "text":
            if isinstance(value, str) and (not one.among or value in one.among):
                return clean(value)
        case "int":
            if type(value) is int and abs(value) < _LONGEST_INT:
                return value
        case "float":
            if type(value) in _NUMBERS and math.isfinite(value):
                return float(value)
        case "json":
            if isinstance(value, str) and isinstance(parsed(value), dict):
                return clean(value)
        case "texts":
            if isinstance(value, list) and set(map(type, value)) <= {str}:
                return [clean(text) for text in value]
        case "ints":
            if _all(value, {int}) and all(abs(number) < 1 << 31 for number in value):
                return value
        case "floats":
            if _all(value, {int, float, NoneType}):
                return value
        case "list":
            if isinstance(value, list):
                return [checked(inner, one.fields) for inner in value]
    raise Mistaken(f"has a “{one.name}” that is not {_KINDS[one.kind]}")


def _all(value: Any, kinds: set[type]) -> bool:
    return isinstance(value, list) and set(map(type, value)) <= kinds


_KINDS: Mapping[str, str] = {
    "text": "a known text",
    "int": "an integer",
    "float": "a number",
    "json": "a JSON object in a text",
    "texts": "a list of texts",
    "ints": "a list of integers",
    "floats": "a list of numbers",
    "list": "a list",
}
