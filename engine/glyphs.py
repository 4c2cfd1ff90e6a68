"""Untrusted text made inert, and measured in terminal cells.

Corpus text may hold escape sequences, bidirectional overrides, zero-width and
combining characters, or half a UTF-8 character.  A heatmap needs one cell run per
token and must never send any of these to a terminal, so every character that would
move the cursor, turn the line around, or stay invisible is shown as a stand-in:

    ·  space that would not be seen      ⏎ ⇥  newline, tab
    ␀… ␡  control characters (U+2400)    ␦    C1 control characters
    ⇄  bidirectional controls            ◇    zero-width and other format characters
    ¶  line and paragraph separators     ␣    other kinds of space
    □  private use, unassigned           ◌    carries a combining mark that has no base
    ░  part of a character that a later token completes
    ▒  a byte that is not UTF-8          ∅    an empty token

The stand-ins say that something is there; :func:`exact` says what.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from wcwidth import wcswidth, wcwidth

PARTIAL = "░"
INVALID = "▒"
EMPTY = "∅"
BASE = "◌"
#: More marks than this on one base would climb into the lines above.
_MARKS = 3
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u17b4\u17b5\u034f\u180b\u180c\u180d\u180e")
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_PLAIN = re.compile(r" ?[!-~]+(?: [!-~]+)*\Z")


class Kind(StrEnum):
    """What a cell run stands for, so that a front end can dim what is not text."""

    TEXT = "text"
    SPACE = "space"
    BREAK = "break"  # ends a line
    CONTROL = "control"  # holds a stand-in
    PARTIAL = "partial"
    INVALID = "invalid"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Cell:
    """One token as it is shown.

    Attributes:
        text: Inert text; never empty.
        width: Terminal cells it takes.
        kind: The most notable thing in it.
    """

    text: str
    width: int
    kind: Kind


def _stand_in(char: str) -> str | None:
    """The visible form of a character that can't be shown itself; None if it can."""
    code = ord(char)
    if " " <= char <= "~":
        return None
    if char == "\n":
        return "⏎"
    if char == "\t":
        return "⇥"
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if code < 0xA0:
        return "␦"
    if char in _BIDI:
        return "⇄"
    if char in _FILLERS:
        return "◇"
    if 0x1F1E6 <= code <= 0x1F1FF:  # two of them may or may not merge into a flag
        return chr(0x24B6 + code - 0x1F1E6)
    if 0x1F3FB <= code <= 0x1F3FF:  # skin tones: their width depends on the terminal
        return "◇"
    match unicodedata.category(char):
        case "Zl" | "Zp":
            return "¶"
        case "Zs":
            return "␣"
        case "Cf" | "Cc":
            return "◇"
        case "Co" | "Cn" | "Cs":
            return "□"
    if wcwidth(char) < 0:
        return "□"
    return None


def _shown(text: str) -> tuple[str, bool]:
    """Text with stand-ins, spaces as they are; and whether there was any stand-in."""
    out: list[str] = []
    changed = False
    marks = -1  # on the current base; -1 without one
    for char in text:
        if "\ufe00" <= char <= "\ufe0f" and marks >= 0:
            continue  # picks a shape of the base before it; makes widths uncertain
        stand_in = _stand_in(char)
        if stand_in is not None:
            out.append(stand_in)
            changed, marks = True, -1
        elif wcwidth(char) == 0:
            if marks < 0 or marks == _MARKS:
                out.append(BASE)
                changed, marks = True, 0
            out.append(char)
            marks += 1
        else:
            out.append(char)
            marks = -1 if char == " " else 0
    return "".join(out), changed


def _visible_spaces(text: str) -> str:
    """Spaces that a reader would not see become mid dots; a single one before a word stays."""
    return re.sub(r" {2,}| +\Z", lambda match: "·" * len(match[0]), text)


@lru_cache(maxsize=1 << 16)
def _whole(token: bytes) -> Cell | None:
    """The cell of a token that is valid UTF-8 by itself; None if it is not."""
    try:
        text = token.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if _PLAIN.match(text):
        return Cell(text, len(text), Kind.TEXT)
    if not text:
        return Cell(EMPTY, 1, Kind.EMPTY)
    shown, changed = _shown(text)
    if "\n" in text:
        kind = Kind.BREAK
    elif not text.strip(" "):
        kind = Kind.SPACE
    else:
        kind = Kind.CONTROL if changed else Kind.TEXT
    return _measured(_visible_spaces(shown), kind)


def _measured(text: str, kind: Kind) -> Cell:
    width = wcswidth(text)
    if width <= 0:  # can't happen for what _shown lets through; never guess a width
        text, width = "□", 1
    return Cell(text, width, kind)


def cells(tokens: Sequence[bytes]) -> tuple[Cell, ...]:
    """One cell run per token, in order.

    A character split over tokens is shown by the token that completes it; the ones
    before show ``░``. Bytes that belong to no character show ``▒``.
    """
    out = [_whole(token) for token in tokens]
    start = 0
    while start < len(out):
        if out[start] is not None:
            start += 1
            continue
        stop = start
        while stop < len(out) and (out[stop] is None or not tokens[stop]):
            stop += 1
        out[start:stop] = _joined(tokens[start:stop])
        start = stop
    return tuple(cell for cell in out if cell is not None)


def _joined(tokens: Sequence[bytes]) -> list[Cell]:
    """Cells of neighbouring tokens none of which is valid UTF-8 by itself, or which are empty."""
    owner = [number for number, token in enumerate(tokens) for _ in token]
    texts = [""] * len(tokens)
    partial = [False] * len(tokens)
    invalid = [False] * len(tokens)
    for start, stop, char in _characters(b"".join(tokens)):
        last = owner[stop - 1]
        if char is None:
            texts[last] += "\ue000"  # in the text itself it would have become a stand-in
            invalid[last] = True
            continue
        texts[last] += char if char != "\ue000" else "\ue001"
        for number in range(owner[start], last):
            partial[number] = True
    out = []
    for token, text, is_partial, is_invalid in zip(tokens, texts, partial, invalid, strict=True):
        if not token:
            out.append(Cell(EMPTY, 1, Kind.EMPTY))
            continue
        pieces = [_shown(piece)[0] for piece in text.split("\ue000")]
        shown = _visible_spaces(INVALID.join(pieces)) + PARTIAL * is_partial
        if is_invalid:
            kind = Kind.INVALID
        elif is_partial:
            kind = Kind.PARTIAL
        else:
            kind = Kind.BREAK if "\n" in text else Kind.TEXT
        out.append(_measured(shown, kind))
    return out


def _characters(data: bytes) -> Iterator[tuple[int, int, str | None]]:
    """``(start, stop, character)``; None in place of a byte that is not UTF-8."""
    start = 0
    while start < len(data):
        lead = data[start]
        length = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        char: str | None
        try:
            char = data[start : start + length].decode("utf-8")
        except UnicodeDecodeError:
            char, length = None, 1
        yield start, start + length, char
        start += length


def inert(text: str) -> str:
    """Text for one line of a terminal: names, notes, explanations. Spaces stay."""
    return text if text.isascii() and text.isprintable() else _shown(text)[0]


@lru_cache(maxsize=4096)
def exact(token: bytes) -> str:
    r"""An unambiguous form: ``" the"``, ``"\n"``, or ``bytes e2 80`` if it is no UTF-8.

    Different tokens have different forms, and no form needs a stand-in.
    """
    try:
        text = token.decode("utf-8")
    except UnicodeDecodeError:
        return f"bytes {token.hex(' ')}"
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    simple = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char)
    if simple is not None:
        return simple
    if char == " " or (_stand_in(char) is None and wcwidth(char) > 0):
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
