"""Finding a text in what is shown: where it stands, and which place comes next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def holds(text: str, wanted: str) -> bool:
    """Whether a text holds the wanted one, upper or lower case."""
    return wanted.casefold() in text.casefold()


def in_tokens(tokens: Sequence[bytes], wanted: str) -> list[int]:
    """The tokens in which an occurrence of the wanted text begins."""
    needle = wanted.casefold().encode()
    # Lower case of ASCII keeps every byte in its place; other letters may not.
    text = b"".join(tokens).decode("utf-8", "replace")
    whole = text.casefold().encode() if text.isascii() else b"".join(tokens).lower()
    starts, size = [], 0
    for token in tokens:
        starts.append(size)
        size += len(token)
    found: list[int] = []
    place = whole.find(needle) if needle else -1
    here = 0
    while place >= 0:
        while here + 1 < len(starts) and starts[here + 1] <= place:
            here += 1
        if not found or found[-1] != here:
            found.append(here)
        place = whole.find(needle, place + 1)
    return found


def next_of(places: Sequence[Any], here: Any, by: int, *, stay: bool = False) -> int:
    """Number of the place that is ``by`` further than here, round the end if need be.

    Args:
        places: In order, at least one.
        stay: A place that is here counts as the first.
    """
    if by > 0:
        beyond = (n for n, p in enumerate(places) if p > here or (stay and p == here))
        return (next(beyond, 0) + by - 1) % len(places)
    before = [n for n, place in enumerate(places) if place < here]
    return ((before[-1] if before else len(places) - 1) + by + 1) % len(places)


def rows_with(texts: Iterable[str], wanted: str) -> list[int]:
    """Numbers of the rows that hold the wanted text."""
    return [number for number, text in enumerate(texts) if holds(text, wanted)]
