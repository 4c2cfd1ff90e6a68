r"""Reading activations off the distributions that a model has over a text of ours.

The published parser walks the reply's tokens and asserts that each is the one expected
(method: Bills et al. 2023, 1.7a).  Here the text is our own, so where each activation
belongs is known beforehand, to the character.  The reply's tokens are laid along the text,
and a distribution counts where a token begins exactly at such a place:

* a token that was split in two makes no difference; pieces of a character, as
  ``bytes:\x..``, ``\x..`` or U+FFFD, are passed over up to the next stretch that fits;
* a place that no token begins at, because the tab was merged into the word, has no value.
  The published code knows merging for newline tokens alone and gives 0.0 there; our
  newlines are escaped and can't be merged, and 0.0 would pass for an answer;
* a reply that does not follow the text has no values from there on, where the published
  code stops the run with an assertion;
* a distribution without any activation in it is missing, where the published code has 0.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.expected_value import expected_value, value_distribution
from engine.models.request import TokenLogprobs
from engine.normalise import STEPS
from engine.prompt_records import UNKNOWN

#: How many tokens must fit where the text is found again, and where it is found first.
_AHEAD = 4
_ANCHOR = 32
#: Special tokens that may stand before the text.
_LEADING = 2

_BYTES = re.compile(r"(?:\\x[0-9a-fA-F]{2})+\Z")
#: How servers and local tokenizers write a token that is no whole characters.
_PARTIAL = re.compile(r"\ufffd|\\x[0-9a-fA-F]{2}|<0x[0-9a-fA-F]{2}>")
_CROSSED = re.compile(r"[\t\n]")


def place_tokens(
    text: str, tokens: Sequence[TokenLogprobs], start: int = 0
) -> dict[int, TokenLogprobs]:
    """Where in the text each token begins, for those of which it is certain.

    The backend's own offsets are a hint and no more: servers count a part of a character
    as a whole one, or give none.

    Args:
        text: The text that was sent.
        tokens: Of all of it, or from the token that holds character ``start`` on.
    """
    at = _anchor(text, tokens, start)
    placed: dict[int, TokenLogprobs] = {}
    if at is None:
        return placed
    lost = False
    gap = 0  # characters that what was passed over may stand for
    pieces = b""
    for number, token in enumerate(tokens):
        piece = byte_piece(token.text)
        if piece is not None:
            pieces += piece
            whole = _decoded(pieces)
            if whole and not lost and text.startswith(whole, at):
                at, pieces = at + len(whole), b""
            continue
        if lost or pieces or not text.startswith(token.text, at):
            gap, lost, pieces = gap + len(pieces), True, b""
            stretch = _plain(tokens[number : number + _AHEAD])
            found = _find(text, stretch, at, gap, token.start)
            if found is None:
                if number >= _LEADING and not _PARTIAL.search(token.text):
                    break  # the model read something else than what was sent
                gap += len(token.text)
                continue
            at, gap, lost = found, 0, False
        if token.text:
            placed[at] = token
            at += len(token.text)
    return placed


def byte_piece(text: str) -> bytes | None:
    r"""The bytes of a token that a server writes as ``bytes:\xe2\x80``; None for others."""
    name, colon, escapes = text.partition(":")
    if name != "bytes" or not colon or not _BYTES.match(escapes):
        return None
    return bytes.fromhex(escapes.replace("\\x", ""))


def value_at(
    placed: Mapping[int, TokenLogprobs], place: int, highest: int = STEPS
) -> tuple[float | None, str]:
    """The expected activation at one place, or None and why there is none."""
    token = placed.get(place)
    if token is None or not (token.text.startswith(UNKNOWN) or UNKNOWN.startswith(token.text)):
        return None, "without a token that begins there"
    if not token.top:
        return None, "without a distribution"
    distribution = value_distribution(token.top)
    if highest < STEPS:
        distribution = value_distribution(
            {text: logprob for text, logprob in token.top.items() if text in _up_to(highest)}
        )
    value = expected_value(distribution)
    return value, "" if value is not None else "without a number among the likeliest tokens"


def read_values(
    text: str,
    places: Sequence[int],
    tokens: Sequence[TokenLogprobs],
    start: int = 0,
    highest: int = STEPS,
) -> tuple[NDArray[np.float32], str]:
    """Expected activations at the given places, and what is missing in one line.

    Returns:
        float32, one for each place, NaN where there is none; and a message, empty if
        nothing is missing.
    """
    placed = place_tokens(text, tokens, start)
    values = np.full(len(places), np.nan, dtype=np.float32)
    missing: dict[str, int] = {}
    for number, place in enumerate(places):
        value, why = value_at(placed, place, highest)
        if value is None:
            missing[why] = missing.get(why, 0) + 1
        else:
            values[number] = value
    if not missing:
        return values, ""
    if not placed:
        return values, "the model's tokens don't follow the text that was sent"
    reasons = ", ".join(f"{count} {why}" for why, count in missing.items())
    return values, f"{sum(missing.values())} of {len(places)} tokens have no value: {reasons}"


def _up_to(highest: int) -> frozenset[str]:
    return frozenset(str(value) for value in range(highest + 1))


def _anchor(text: str, tokens: Sequence[TokenLogprobs], start: int) -> int | None:
    """Where the first whole token begins that is not a special one of the model's."""
    partial = 0
    while partial < len(tokens) and _PARTIAL.search(tokens[partial].text):
        partial += 1
    gap = sum(len(token.text) for token in tokens[:partial])
    for length in (_ANCHOR, _AHEAD):
        for skipped in range(min(partial + _LEADING + 1, len(tokens))):
            first = tokens[skipped]
            stretch = _plain(tokens[skipped : skipped + length])
            # The first may hold character ``start`` and begin before it.
            earliest = max(0, start - max(len(first.text), 1) + 1)
            for begin in (*range(earliest, start + 1), 0):
                room = gap if begin in (start, 0) else 0
                found = _find(text, stretch, begin, room, first.start)
                if found is not None:
                    return found
    return None


def _find(text: str, stretch: str, at: int, gap: int, hint: int) -> int | None:
    """A stretch's place: at most ``gap`` characters on, or else where the backend says.

    Never beyond a tab or the end of a line: no piece of a character stands for those, and
    behind them the same stretch may be another token's.
    """
    if not stretch:
        return None
    found = text.find(stretch, at, at + gap + len(stretch))
    if found < 0 and hint >= at and text.startswith(stretch, hint):
        found = hint
    return found if found >= 0 and not _CROSSED.search(text, at, found) else None


def _plain(tokens: Sequence[TokenLogprobs]) -> str:
    """The tokens joined, up to the first that may hold only a part of a character."""
    parts = []
    for token in tokens:
        if _PARTIAL.search(token.text):
            break
        parts.append(token.text)
    return "".join(parts)


def _decoded(pieces: bytes) -> str | None:
    try:
        return pieces.decode()
    except UnicodeDecodeError:
        return None
