"""Contexts put together into a few ranked patterns, each said in a few words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.patterns.contexts import Context
from engine.token_words import classes_of, listing, quoted

#: A class stands for a set of tokens if that many different ones of it are there, and
#: nothing else is.
CLASS_TOKENS = 3
#: Patterns kept, and tokens shown of each place.
PATTERNS = 8
SHOWN = 4


@dataclass(frozen=True, slots=True)
class Pattern:
    """A set of contexts that make the neuron fire alike.

    Attributes:
        places: For each offset that matters, 0 first, the tokens seen there, most often
            seen first, and the class that holds them all or ``""``.
        activation: Mean in the contexts alone, activation units.
        share: Of all contexts' activation.
        count: Contexts.
    """

    places: tuple[tuple[int, tuple[bytes, ...], str], ...]
    activation: float
    share: float
    count: int

    def words(self) -> str:
        """For people: the token, then what must stand before it."""
        said = [_place(tokens, name) for _, tokens, name in self.places]
        before = [
            f"after {words}" if offset == 1 else f"with {words} {offset} tokens before"
            for (offset, _, _), words in zip(self.places[1:], said[1:], strict=True)
        ]
        return " ".join([said[0], *before])

    def to_json(self) -> dict[str, Any]:
        """JSON values, for search and other programs."""
        return {
            "places": [
                {
                    "offset": offset,
                    "tokens": [token.decode("utf-8", "backslashreplace") for token in tokens],
                    "class": name,
                }
                for offset, tokens, name in self.places
            ],
            "activation": float(f"{self.activation:.4g}"),
            "share": float(f"{self.share:.3g}"),
            "count": self.count,
        }


def group(contexts: Sequence[Context], decode: Callable[[int], bytes]) -> tuple[Pattern, ...]:
    """Put contexts together by the places that matter, then by what stands there.

    Contexts of the same places belong together if their tokens do: the same word in any
    case and spacing, or the same class of tokens.
    """
    total = sum(max(one.activation, 0.0) for one in contexts) or 1.0
    sets: dict[tuple[Any, ...], list[Context]] = {}
    for one in contexts:
        key = tuple((offset, _key(_at(one, offset, decode))) for offset in one.needed)
        sets.setdefault(key, []).append(one)
    found = [
        Pattern(
            places=tuple(_tokens(members, offset, decode) for offset in members[0].needed),
            activation=float(np.mean([one.kept for one in members])),
            share=sum(max(one.activation, 0.0) for one in members) / total,
            count=len(members),
        )
        for members in sets.values()
    ]
    return tuple(sorted(found, key=lambda one: (-one.share, one.words()))[:PATTERNS])


def _at(context: Context, offset: int, decode: Callable[[int], bytes]) -> bytes:
    return decode(int(context.token_ids[len(context.token_ids) - 1 - offset]))


def _key(token: bytes) -> str:
    names = classes_of(token)
    return f"class {names[0]}" if names else quoted(token).casefold()


def _tokens(
    members: Sequence[Context], offset: int, decode: Callable[[int], bytes]
) -> tuple[int, tuple[bytes, ...], str]:
    tokens = [_at(one, offset, decode) for one in members]
    ranked = sorted(dict.fromkeys(tokens), key=lambda token: (-tokens.count(token), token))
    common = set(classes_of(tokens[0])).intersection(*(classes_of(token) for token in tokens))
    name = next((one for one in classes_of(tokens[0]) if one in common), "")
    enough = len({quoted(token).casefold() for token in tokens}) >= CLASS_TOKENS
    return offset, tuple(ranked), name if enough else ""


def _place(tokens: Sequence[bytes], name: str) -> str:
    shown = listing(dict.fromkeys(quoted(token) for token in tokens[:SHOWN]))
    return f"{name}, such as {shown}" if name else shown
