"""Contexts put together into a few ranked patterns, each said in a few words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.patterns.contexts import Context
from engine.token_words import Kind, classes_of, kind_of, quoted

#: A class stands for a set of tokens if that many different ones of it are there ...
CLASS_TOKENS = 3
#: ... and it has this share of them; the others are told beside it.
CLASS_SHARE = 0.8
#: Patterns kept, and tokens shown of each place.
PATTERNS = 8
SHOWN = 3
#: The offset of a place that is somewhere before, not always equally far.
SOMEWHERE = None


@dataclass(frozen=True, slots=True)
class Place:
    """What stands at one place of a pattern.

    Attributes:
        offset: Tokens before the one that fires, 0 for itself; :data:`SOMEWHERE` if that
            differs.
        tokens: Those seen there, most often seen first.
        kind: The class that holds them, or ``""``.
    """

    offset: int | None
    tokens: tuple[bytes, ...]
    kind: str

    def words(self) -> str:
        """The tokens, or their class with some of them."""
        names = list(dict.fromkeys(_shown(token) for token in self.tokens))
        if self.kind:
            return f"{self.kind} ({', '.join(names[:SHOWN])})"
        if len(names) > SHOWN:
            return f"{', '.join(names[:SHOWN])} or the like"
        return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


@dataclass(frozen=True, slots=True)
class Pattern:
    """A set of contexts that make the neuron fire alike.

    Attributes:
        places: That matter, the token itself first.
        activation: Mean in the contexts alone, activation units.
        share: Of the strong activations that all contexts stand for.
        count: Contexts.
        length: Tokens of the median context.
    """

    places: tuple[Place, ...]
    activation: float
    share: float
    count: int
    length: int

    def words(self) -> str:
        """For people: the token, then what must stand before it."""
        said = [self.places[0].words()]
        for place in self.places[1:]:
            if place.offset == 1:
                said.append(f"after {place.words()}")
            elif place.offset is None:
                said.append(f"with {place.words()} somewhere before")
            else:
                said.append(f"with {place.words()} {place.offset} tokens before")
        return " ".join(said)

    def to_json(self) -> dict[str, Any]:
        """JSON values, for search and other programs."""
        return {
            "words": self.words(),
            "places": [
                {
                    "offset": place.offset,
                    "tokens": [one.decode("utf-8", "backslashreplace") for one in place.tokens],
                    "class": place.kind,
                }
                for place in self.places
            ],
            "activation": float(f"{self.activation:.4g}"),
            "share": float(f"{self.share:.3g}"),
            "count": self.count,
            "length": self.length,
        }


#: By the offset of each place that matters, what stands there: words or a class.
_Key = tuple[tuple[int | None, frozenset[str]], ...]


def group(contexts: Sequence[Context], decode: Callable[[int], bytes]) -> tuple[Pattern, ...]:
    """Put contexts together by the places that matter, then by what stands there.

    Contexts of the same places belong together if their tokens do: the same word in any
    case and spacing, or the same class of tokens.  Patterns of several places that differ
    at one of them only are one, with a set of tokens there; those of the same tokens at
    other distances are one, with a token somewhere before.
    """
    total = sum(one.mass for one in contexts) or 1.0
    sets: dict[_Key, list[tuple[Context, tuple[bytes, ...]]]] = {}
    for one in contexts:
        tokens = tuple(_at(one, offset, decode) for offset in one.needed)
        names = [frozenset([_name(token)]) for token in tokens]
        key: _Key = tuple(zip(one.needed, names, strict=True))
        sets.setdefault(key, []).append((one, tokens))
    sets = _with_sets(_any_distance(_with_sets(sets)))
    found = []
    for key, members in sets.items():
        columns = zip(*(tokens for _, tokens in members), strict=True)
        places = [_place(offset, seen) for (offset, _), seen in zip(key, columns, strict=True)]
        own = [one for one, _ in members]
        found.append(
            Pattern(
                places=tuple(places),
                activation=float(np.mean([one.kept for one in own])),
                share=sum(one.mass for one in own) / total,
                count=len(own),
                length=int(np.median([len(one.token_ids) for one in own])),
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.share, one.words()))[:PATTERNS])


_Sets = dict[_Key, list[tuple[Context, tuple[bytes, ...]]]]


def _any_distance(sets: _Sets) -> _Sets:
    """Join what has the same tokens at differing distances, then whatever follows them."""
    alike: dict[tuple[frozenset[str], ...], list[_Key]] = {}
    for key in sets:
        if len(key) == 2:
            alike.setdefault(tuple(names for _, names in key), []).append(key)
    for (own, before), keys in alike.items():
        if len(keys) > 1:
            sets[(0, own), (SOMEWHERE, before)] = [one for key in keys for one in sets.pop(key)]
    led: dict[frozenset[str], list[_Key]] = {}
    for key in sets:
        if len(key) == 2:
            led.setdefault(key[1][1], []).append(key)
    for before, keys in led.items():
        if len({key[1][0] for key in keys}) > 1:
            own = frozenset[str]().union(*(key[0][1] for key in keys))
            sets[(0, own), (SOMEWHERE, before)] = [one for key in keys for one in sets.pop(key)]
    return sets


def _with_sets(sets: _Sets) -> _Sets:
    """Join what differs at one place only, the largest such families first."""
    while True:
        families: dict[tuple[Any, ...], list[_Key]] = {}
        for key in sets:
            for place in range(len(key)) if len(key) > 1 else ():
                offsets = tuple(offset for offset, _ in key)
                rest = tuple(names for i, (_, names) in enumerate(key) if i != place)
                families.setdefault((place, offsets, rest), []).append(key)
        several = {family: keys for family, keys in families.items() if len(keys) > 1}
        if not several:
            return sets
        (place, *_), keys = max(
            several.items(), key=lambda item: sum(len(sets[key]) for key in item[1])
        )
        union = frozenset().union(*(key[place][1] for key in keys))
        joined = tuple(
            (offset, union if i == place else names) for i, (offset, names) in enumerate(keys[0])
        )
        members = [one for key in keys for one in sets.pop(key)]
        sets[joined] = members


def _at(context: Context, offset: int, decode: Callable[[int], bytes]) -> bytes:
    return decode(int(context.token_ids[len(context.token_ids) - 1 - offset]))


def _shown(token: bytes) -> str:
    return "part of a character" if kind_of(token) is Kind.BYTES else quoted(token)


def _name(token: bytes) -> str:
    names = classes_of(token)
    return f"class {names[0]}" if names else quoted(token).casefold()


def _place(offset: int | None, tokens: Iterable[bytes]) -> Place:
    seen = list(tokens)
    ranked = sorted(dict.fromkeys(seen), key=lambda token: (-seen.count(token), token))
    distinct = {quoted(token).casefold(): token for token in ranked}
    kind = ""
    if len(distinct) >= CLASS_TOKENS:
        holds: dict[str, int] = {}
        for token in seen:
            for name in classes_of(token):
                holds[name] = holds.get(name, 0) + 1
        most = max(holds, key=lambda name: holds[name], default="")
        if most and holds[most] >= CLASS_SHARE * len(seen):
            kind = most
    return Place(offset, tuple(ranked), kind)
