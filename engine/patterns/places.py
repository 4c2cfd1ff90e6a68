"""Where in a text a token stands: how far in, how far in its line, inside what marks.

All of it follows from the text before the token and the token itself, so that it can be
told of any text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

#: The places that are told apart, and how many values each has.
PLACES: dict[str, int] = {"position": 96, "line": 32, "inside": 8}
#: Bits of the place called ``inside``.
QUOTES, BRACKETS, BACKTICKS = 1, 2, 4
#: Positions below are told apart one by one, those above by their logarithm.
_SINGLE = 64
#: Of a line whose start was not seen.
LINE_UNKNOWN = PLACES["line"] - 1
_CLOSING = {"\u201c": "\u201d", "\u00ab": "\u00bb"}
_MARKS = frozenset("\"'\u201c\u201d\u00ab\u00bb()[]{}`\n")


def places_of(tokens: Sequence[bytes]) -> dict[str, NDArray[np.int64]]:
    """Each place's value at each token, int64 [T], from 0 to one below its number.

    ``position`` counts tokens from the window's start, ``line`` those since the last line
    break, ``inside`` holds the bits of what is open: :data:`QUOTES`, :data:`BRACKETS`,
    :data:`BACKTICKS`.
    """
    count = np.arange(len(tokens))
    far = _SINGLE + (4 * np.log2(np.maximum(count, 1) / _SINGLE)).astype(np.int64)
    position = np.minimum(np.where(count < _SINGLE, count, far), PLACES["position"] - 1)
    return {"position": position, "line": _line(tokens), "inside": _inside(tokens)}


def _line(tokens: Sequence[bytes]) -> NDArray[np.int64]:
    breaks = np.array([b"\n" in token for token in tokens], dtype=np.bool_)
    count = np.arange(len(tokens))
    last = np.maximum.accumulate(np.where(breaks, count, -1))
    return np.where(last < 0, LINE_UNKNOWN, np.minimum(count - last, LINE_UNKNOWN - 1))


def _inside(tokens: Sequence[bytes]) -> NDArray[np.int64]:
    found = np.zeros(len(tokens), dtype=np.int64)
    state = _Marks()
    for i, token in enumerate(tokens):
        marked, text = _marked(token)
        if marked:
            state.read(text)
        if text:
            state.before = text[-1]
        found[i] = state.code
    return found


@lru_cache(maxsize=1 << 16)
def _marked(token: bytes) -> tuple[bool, str]:
    text = token.decode("utf-8", "replace")
    return not _MARKS.isdisjoint(text), text


class _Marks:
    """What is open, read from left to right; a blank line closes everything.

    A straight mark opens after white space or an opening bracket; elsewhere it closes
    what is open.  So an apostrophe opens nothing.
    """

    def __init__(self) -> None:
        self.before = " "
        self._quote = ""
        self._depth = 0
        self._ticks = False

    @property
    def code(self) -> int:
        """The bits."""
        return QUOTES * bool(self._quote) + BRACKETS * (self._depth > 0) + BACKTICKS * self._ticks

    def read(self, text: str) -> None:
        """A token's text that has marks in it."""
        for char, after in zip(text, [*text[1:], " "], strict=True):
            if char == "\n" and self.before == "\n":
                self._quote, self._depth, self._ticks = "", 0, False
            elif char in _MARKS:
                self._mark(char, after)
            self.before = char

    def _mark(self, char: str, after: str) -> None:
        if char in _CLOSING:
            self._quote = _CLOSING[char]
        elif char == self._quote:
            # "don't" between single marks goes on.
            if char != "'" or not after.isalnum():
                self._quote = ""
        elif char in "\"'":
            if not self._quote and (self.before.isspace() or self.before in "([{=,:-\u2014`"):
                self._quote = char
        elif char in "([{":
            self._depth += 1
        elif char in ")]}":
            self._depth = max(0, self._depth - 1)
        elif char == "`":
            self._ticks = not self._ticks
        elif char == "\n" and self._quote == "'":
            self._quote = ""
