"""Breaking tokens into lines of a width, at word starts where possible."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from engine.glyphs import Cell, Kind


def wrap(
    shown: Sequence[Cell], width: int, room: Sequence[int] | None = None
) -> list[tuple[int, int]]:
    """Break cells into lines, at word starts where possible. Ranges of tokens.

    Args:
        room: Cells that each token takes at least.
    """
    widths = [cell.width for cell in shown]
    if room is not None:
        widths = list(map(max, widths, room))
    lines: list[tuple[int, int]] = []
    start = used = 0
    for begin, end in _words(shown):
        size = sum(widths[begin:end])
        if used and used + size > width:
            lines.append((start, begin))
            start, used = begin, 0
        if not used and shown[begin].text.startswith(" ") and room is None:
            size -= 1
        if size <= width:
            used += size
            continue
        for token in range(begin, end):  # a word longer than a line
            if used and used + widths[token] > width:
                lines.append((start, token))
                start, used = token, 0
            used += widths[token]
    if start < len(shown):
        lines.append((start, len(shown)))
    return lines


def _words(shown: Sequence[Cell]) -> list[tuple[int, int]]:
    apart = (Kind.SPACE, Kind.BREAK)
    starts = [
        i
        for i, cell in enumerate(shown)
        if i == 0
        or cell.kind in apart
        or shown[i - 1].kind in apart
        or cell.text.startswith(" ")
        or cell.width > len(cell.text)  # East Asian text has no spaces to break at
    ]
    return list(pairwise([*starts, len(shown)]))
