r"""Tokens and activations as lines of a prompt (method: Bills et al. 2023, 1.3 and 1.4).

A line is ``token<TAB>value``.  The published code writes tokens raw, so a newline token
breaks its line and a tab token makes two tabs; here such tokens are escaped, reversibly,
and a token never holds a newline or a tab.  The method's own case therefore differs in
one line: ``a``, ``" b"``, newline with 1, 0, .55 of 1 is ``\na\t10\n b\t0\n\\n\t5\n``
between the brackets, with a backslash and an ``n`` where the original has a line break.
Everything else is the method's, byte for byte.

Bytes that are a part of a UTF-8 character are written ``\xe2`` and not as ``bytes:\xe2``,
the way of a server that has since been retired.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from engine.errors import MethodError

#: The word that stands for a value that isn't shown.
UNKNOWN = "unknown"
START, END = "<start>", "<end>"

_NAMED = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_NAMED_BACK = {"\\": b"\\", "n": b"\n", "t": b"\t", "r": b"\r"}
_ESCAPE = re.compile(r"\\(?:([\\ntr])|x([0-9a-f]{2})|u([0-9a-f]{4}))")
#: Controls, and the separators that ``str.splitlines`` breaks a line at.
_BREAKING = frozenset({"Cc", "Zl", "Zp"})


def shown_token(token: bytes) -> str:
    r"""A token as text on one line, from which :func:`read_token` gets it back.

    Newline, tab, carriage return and backslash become ``\n``, ``\t``, ``\r`` and ``\\``;
    bytes that are no UTF-8 ``\xNN``; other control characters and the two Unicode line
    separators ``\uNNNN``.  Anything else, spaces among them, is itself.
    """
    return "".join(_shown(char) for char in token.decode("utf-8", "surrogateescape"))


def read_token(text: str) -> bytes:
    """The token that :func:`shown_token` shows as ``text``.

    Any text can be read: what is no escape of ours stands for itself.
    """
    parts: list[bytes] = []
    done = 0
    for found in _ESCAPE.finditer(text):
        parts.append(text[done : found.start()].encode("utf-8", "surrogatepass"))
        name, byte, code = found.groups()
        if name is not None:
            parts.append(_NAMED_BACK[name])
        elif byte is not None:
            parts.append(bytes([int(byte, 16)]))
        else:
            parts.append(chr(int(code, 16)).encode("utf-8", "surrogatepass"))
        done = found.end()
    parts.append(text[done:].encode("utf-8", "surrogatepass"))
    return b"".join(parts)


def record_lines(
    tokens: Sequence[bytes],
    values: Sequence[int] | None,
    *,
    omit_zeros: bool = False,
    hidden_before: int = 0,
) -> str:
    """One ``token<TAB>value`` line for each token, joined by newlines.

    Args:
        tokens: T of them.
        values: T normalised activations, or None to write ``unknown`` for each.
        omit_zeros: Leave out tokens with the value 0.
        hidden_before: Write ``unknown`` for the values before this index.

    Raises:
        MethodError: if there are not as many values as tokens, or zeros are to be left
            out of a record with hidden values, which would give the hidden ones away.
    """
    if omit_zeros and (values is None or hidden_before > 0):
        raise MethodError("Zeros can't be left out of a record whose values are hidden.")
    if values is None:
        return "\n".join(f"{shown_token(token)}\t{UNKNOWN}" for token in tokens)
    if len(values) != len(tokens):
        raise MethodError(f"{len(values)} values can't be shown beside {len(tokens)} tokens.")
    return "\n".join(
        f"{shown_token(token)}\t{UNKNOWN if index < hidden_before else int(value)}"
        for index, (token, value) in enumerate(zip(tokens, values, strict=True))
        if not (omit_zeros and value == 0)
    )


def records_block(
    records: Sequence[tuple[Sequence[bytes], Sequence[int] | None]],
    *,
    omit_zeros: bool = False,
    hidden_before: Sequence[int] = (),
) -> str:
    """Several records, each between ``<start>`` and ``<end>`` lines.

    Args:
        records: Tokens and normalised activations (or None) of each.
        omit_zeros: See :func:`record_lines`.
        hidden_before: For each record; empty hides nothing.

    Raises:
        MethodError: see :func:`record_lines`; or as many starts as records are not given.
    """
    starts = list(hidden_before) or [0] * len(records)
    if len(starts) != len(records):
        raise MethodError(f"{len(starts)} hidden parts can't be applied to {len(records)} records.")
    lines = [
        record_lines(tokens, values, omit_zeros=omit_zeros, hidden_before=start)
        for (tokens, values), start in zip(records, starts, strict=True)
    ]
    return f"\n{START}\n" + f"\n{END}\n{START}\n".join(lines) + f"\n{END}\n"


def unknown_places(tokens: Sequence[bytes]) -> list[int]:
    """Where each ``unknown`` begins in ``record_lines(tokens, None)``, in characters."""
    places: list[int] = []
    line = 0
    for token in tokens:
        place = line + len(shown_token(token)) + 1
        places.append(place)
        line = place + len(UNKNOWN) + 1
    return places


def non_zero_proportion(values: Sequence[Sequence[int]]) -> float:
    """Share of the tokens of several records whose value is not 0; 0.0 without tokens."""
    total = sum(len(record) for record in values)
    return sum(value != 0 for record in values for value in record) / total if total else 0.0


def _shown(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as surrogateescape keeps it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if unicodedata.category(char) in _BREAKING else char
