"""A filter of the leaderboard as one typed line: words, and limits such as ``score>.5``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from engine.errors import UsageError

if TYPE_CHECKING:
    from engine.triage import Filter

#: Limits by their names, each as it may be written.
_LIMITS = {
    "score": "score>.5",
    "active": "active<1%",
    "layer": "layer=3",
    "by": "by=NAME",
    "senses": "senses>1",
    "promotes": "promotes=TOKEN",
}
#: What the box says while it is empty.
HINT = ", ".join(("words", *_LIMITS.values()))
_NAMES = "|".join(_LIMITS)
_LIMIT = re.compile(rf"({_NAMES})(<=|>=|=|<|>)(\S+)")
_FIELDS = {"score": ("score_low", "score_high"), "active": ("active_low", "active_high")}


def parse(text: str) -> Filter:
    """Read a filter; limits are inclusive, whichever sign is used,
    except those of whole numbers.

    Raises:
        UsageError: a limit that makes no sense.
    """
    from engine.triage import Filter

    changes: dict[str, Any] = {}
    words = []
    # "score > .5" means the same as "score>.5".
    joined = re.sub(rf"\b({_NAMES})\s*(<=|>=|=|<|>)\s*", r"\1\2", text)
    for word in joined.split():
        match = _LIMIT.fullmatch(word)
        if match is None:
            words.append(word)
            continue
        name, sign, value = match.groups()
        if name == "by" and sign == "=":
            changes["explainer"] = value
        elif name == "promotes" and sign == "=":
            changes["promotes"] = value
        elif name == "senses" and value.isdecimal():
            # Whole numbers: more than one is two or more.
            count = int(value)
            if sign in (">", ">=", "="):
                changes["senses_low"] = count + (sign == ">")
            if sign in ("<", "<=", "="):
                changes["senses_high"] = count - (sign == "<")
        elif name == "layer" and sign == "=" and value.isdecimal():
            changes["layer"] = int(value)
        elif name in _FIELDS:
            low, high = _FIELDS[name]
            number = _number(value, name, word)
            if sign != "<" and sign != "<=":
                changes[low] = number
            if sign != ">" and sign != ">=":
                changes[high] = number
        else:
            raise _nonsense(name, word)
    return Filter(text=" ".join(words), **changes)


def _number(value: str, name: str, word: str) -> float:
    try:
        number = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        raise _nonsense(name, word) from None
    if number != number:
        raise _nonsense(name, word)
    return number


def _nonsense(name: str, word: str) -> UsageError:
    return UsageError(f"{word!r} limits nothing.", f"Write it as in {_LIMITS[name]}.")


def where(text: str) -> tuple[tuple[int, ...], tuple[Any, ...], int | None, int]:
    """Read which neurons a run is over: ``3``, ``3 4 5:131``, ``all``, ``random 200``.

    Returns:
        Layers, neurons, how many at random and the seed, for
        :class:`engine.triage.TriageRequest`.

    Raises:
        UsageError: it is none of these.
    """
    from engine.neuron import NeuronId

    layers: list[int] = []
    neurons: list[NeuronId] = []
    random: int | None = None
    seed = 0
    words = text.replace(",", " ").split()
    if not words:
        raise UsageError("Nothing is named.", "Write 3, 5:131, all, or random 200.")
    while words:
        word = words.pop(0)
        if word in ("random", "seed"):
            if not (words and words[0].isdecimal()):
                raise UsageError(f"{word} needs a number.", f"Write {word} 200.")
            number = int(words.pop(0))
            random, seed = (number, seed) if word == "random" else (random, number)
        elif word.isdecimal():
            layers.append(int(word))
        elif word != "all":
            neurons.append(NeuronId.parse(word))
    return tuple(sorted(set(layers))), tuple(sorted(set(neurons))), random, seed
