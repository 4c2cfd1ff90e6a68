"""JSON from a model that can't be held to a schema: ask in words, then look for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

#: Openings that lead to nothing before the search is given up: each may cost a pass
#: over the rest of the reply.
_MOST_TRIES = 200
_OPENING = {"object": "{", "array": "["}


def schema_in_words(schema: Mapping[str, Any]) -> str:
    """What to add to a prompt so that the reply is one JSON value of this schema."""
    written = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    return (
        "Reply with a single JSON value and no other text. It has to satisfy this JSON "
        f"schema:\n{written}"
    )


def first_json(text: str, schema: Mapping[str, Any]) -> str | None:
    """The first whole JSON object or array of a reply, fenced or surrounded by prose.

    Args:
        schema: Its top-level ``type`` says whether an object or an array is wanted;
            both will do where it says neither. What is inside is the caller's to check.

    Returns:
        The value as it was written, without anything around it; None if there is none.
        ``NaN`` and ``Infinity`` are no JSON.
    """
    opening = _OPENING.get(str(schema.get("type")), "{[")
    decoder = json.JSONDecoder(parse_constant=_refuse)
    start = tried = 0
    while start < len(text):
        if text[start] in opening:
            tried += 1
            try:
                _, end = decoder.raw_decode(text, start)
            except RecursionError:
                return None
            except ValueError:
                if tried == _MOST_TRIES:
                    return None
            else:
                return text[start:end]
        start += 1
    return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
