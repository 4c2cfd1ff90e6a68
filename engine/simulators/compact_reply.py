"""Reading a compact reply: pairs of a token's number and its activation.

How this differs from the published parsers' observed behaviour (method: section 5), which
all turn what they can't read into zeros that are then scored:

* what is not JSON, has no ``activations`` or other items than pairs is malformed as a whole;
* a value below 0, above 10, null, true, NaN or a word makes its own token missing; numbers
  in quotes and fractions are read, as there;
* JSON between code fences is read;
* the last value can't be lost: there is no closing sign to leave out;
* a list shorter than the text is complete: tokens that are left out are zeros by the
  agreed format, and the reply says which token each value belongs to.  Only where the reply
  was cut off are the tokens after the last one given missing;
* a token's number that the text hasn't got is reported.  The published parser never
  compares which token a value is for.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.normalise import STEPS

_FENCED = re.compile(r"```[a-zA-Z]*\s*(.*?)(?:```|\Z)", re.DOTALL)
_PAIR = re.compile(r"\[\s*(\d{1,9})\s*,\s*(\"?[-+.\w]+\"?)\s*\]")
#: Opening braces in prose that may come before the object.
_TRIES = 20


class MalformedReply(ValueError):
    """A reply that can't be read; the text says why, in words that a model understands."""


def read_reply(text: str, length: int, *, cut: bool = False) -> tuple[NDArray[np.float32], str]:
    """Activations of every token, from ``{"activations": [[3, 7], [10, 2]]}``.

    Args:
        text: Untrusted.
        length: Tokens of the excerpt.
        cut: The reply ended at its length limit.

    Returns:
        float32 [length], NaN where a value is missing; and what was wrong in one line.

    Raises:
        MalformedReply: nothing of it can be relied on.
    """
    body = _unfenced(text)
    try:
        pairs = _pairs(_parsed(body))
        cut = False
    except MalformedReply:
        pairs = _whole_pairs(body) if cut else []
        if not pairs:
            raise
    return _values(pairs, length, cut)


def _values(
    pairs: Sequence[tuple[int, Any]], length: int, cut: bool
) -> tuple[NDArray[np.float32], str]:
    values = np.zeros(length, dtype=np.float32)
    known: set[int] = set()
    outside = unreadable = 0
    doubled: set[int] = set()
    for index, value in pairs:
        if not 0 <= index < length:
            outside += 1
            continue
        if index in known:
            doubled.add(index)
            continue
        known.add(index)
        number = _number(value)
        unreadable += number is None
        values[index] = math.nan if number is None else number
    values[list(doubled)] = math.nan
    after = 0
    if cut:
        given = [index for index, _ in pairs]
        # Only in ascending order does a gap say that a token was passed over.
        last = given[-1] if given == sorted(given) else -1
        gone = [i for i in range(length) if i > last and i not in known]
        values[gone] = math.nan
        after = len(gone)
    found = {
        "no number from 0 to 10": unreadable,
        "given twice": len(doubled),
        "missing because the reply was cut off": after,
        "for a token that the text hasn't got": outside,
    }
    problems = [f"{count} {what}" for what, count in found.items() if count]
    return values, f"activations: {', '.join(problems)}" if problems else ""


def _unfenced(text: str) -> str:
    fenced = _FENCED.search(text)
    return (fenced.group(1) if fenced else text).strip()


def _parsed(body: str) -> Mapping[str, Any]:
    """The JSON object in a text; words before and after it don't matter."""
    decoder = json.JSONDecoder()
    reason = "it holds no JSON object"
    begin = body.find("{")
    for _ in range(_TRIES):
        if begin < 0:
            break
        try:
            data = decoder.raw_decode(body, begin)[0]
        except (ValueError, RecursionError):
            reason = "it is not valid JSON"
        else:
            if "activations" in data:
                return dict(data)
            reason = 'it has no list "activations"'
        begin = body.find("{", begin + 1)
    raise MalformedReply(reason)


def _pairs(data: Mapping[str, Any]) -> list[tuple[int, Any]]:
    items = data["activations"]
    if not isinstance(items, list):
        raise MalformedReply('it has no list "activations"')
    pairs = []
    for item in items:
        if not (isinstance(item, list) and len(item) == 2):
            raise MalformedReply("an item is not a pair of a token's number and its activation")
        index = item[0]
        if not isinstance(index, int) or isinstance(index, bool):
            raise MalformedReply("a token's number is not a whole number")
        pairs.append((index, item[1]))
    return pairs


def _whole_pairs(body: str) -> list[tuple[int, Any]]:
    """The pairs of a reply that was cut off, but for one that was itself cut."""
    return [(int(pair[1]), pair[2].strip('"')) for pair in _PAIR.finditer(body)]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number <= STEPS else None
