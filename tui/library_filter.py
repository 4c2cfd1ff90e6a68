"""A filter of the library as one typed line: words, and limits such as ``score>.5``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from engine.errors import NeuroglassError, UsageError

if TYPE_CHECKING:
    from engine.store import LibraryFilter

#: What the box says while it is empty.
HINT = "words, score>.5, layer=3, tag=odd"
#: Names that can be limited, with the field of the filter.
FIELDS = {
    "layer": "layer",
    "neuron": "neuron",
    "by": "explainer",
    "sim": "simulator",
    "tag": "tag",
    "side": "side",
    "status": "status",
    "model": "model",
    "starred": "starred",
    "deleted": "deleted",
}
_NAMES = "|".join([*FIELDS, "score"])
_LIMIT = re.compile(rf'\b({_NAMES})\s*(<=|>=|=|<|>)\s*("[^"]*"?|\S+)')
#: A limit that is still being typed.
_OPEN = re.compile(rf'\b({_NAMES})\s*(<=|>=|=|<|>)\s*"?$')
_SIDES = ("positive", "negative")
_STATUSES = ("ok", "partial", "undefined", "failed", "unscored")


def parse(text: str) -> LibraryFilter:
    """Read a filter; limits are inclusive, whichever sign is used.

    Raises:
        UsageError: a limit that makes no sense.
    """
    from engine.store import LibraryFilter

    text = _OPEN.sub("", text)
    found: dict[str, Any] = {}
    for match in _LIMIT.finditer(text):
        name, sign, value = match[1], match[2], match[3].strip('"')
        if name == "score":
            number = _number(value, match[0])
            if not sign.startswith("<"):
                found["score_low"] = number
            if not sign.startswith(">"):
                found["score_high"] = number
        elif sign != "=":
            raise _nonsense(match[0])
        else:
            found[FIELDS[name]] = _value(name, value, match[0])
    return LibraryFilter(text=_LIMIT.sub(" ", text).strip(), **found)


def limited(text: str, name: str, limit: str) -> str:
    """The line with another limit of that name, such as ``>.5``; empty takes it away."""
    kept = _LIMIT.sub(lambda match: "" if match[1] == name else match[0], text)
    kept = " ".join(kept.split())
    if not limit:
        return kept
    sign, value = re.fullmatch(r"(<=|>=|=|<|>)(.*)", limit, re.DOTALL).groups()  # type: ignore[union-attr]
    if re.search(r"\s", value):
        value = f'"{value}"'
    return f"{kept} {name}{sign}{value}".strip()


def limit_of(text: str, name: str) -> str:
    """The limit of that name in the line, such as ``>.5``; empty without one."""
    found = ""
    for match in _LIMIT.finditer(text):
        if match[1] == name:
            value = match[3].strip('"')
            found = f"{match[2]}{value}"
    return found


def _value(name: str, value: str, word: str) -> Any:
    from engine.neuron import NeuronId

    if name == "layer" and value.isdecimal():
        return int(value)
    if name == "neuron":
        try:
            return NeuronId.parse(value)
        except NeuroglassError:
            raise _nonsense(word) from None
    if name in ("starred", "deleted") and value in ("yes", "no"):
        return value == "yes"
    known = {"side": _SIDES, "status": _STATUSES}.get(name)
    if name in ("layer", "starred", "deleted") or (known is not None and value not in known):
        raise _nonsense(word)
    return value


def _number(value: str, word: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise _nonsense(word) from None
    if number != number:
        raise _nonsense(word)
    return number


def _nonsense(word: str) -> UsageError:
    return UsageError(f"{word!r} limits nothing.", f"Write {HINT}.")
