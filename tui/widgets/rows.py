"""Small pieces that the right-hand panel is put together from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from engine.glyphs import inert
from tui.session import number
from tui.theme import BARS, Palette
from tui.widgets.pane import Span, between, wrapped

if TYPE_CHECKING:
    from engine.score import Score

Rows = list[list[Span]]


def heading(text: str, note: str, width: int, palette: Palette) -> Rows:
    """A section's first row, with a quiet remark flush right."""
    return [
        between([(f" {text}", palette.dim)], [(f"{note} ", palette.faint)], width, palette.text)
    ]


def paragraph(text: str, width: int, palette: Palette, *, quiet: bool = False) -> Rows:
    """Untrusted text, made inert and wrapped."""
    style = palette.dim if quiet else palette.text
    return [[(f" {line}", style)] for line in wrapped(inert(text), width - 2)]


def fact(name: str, value: str, palette: Palette, rest: str = "") -> list[Span]:
    """A name, its aligned value, and a remark."""
    return [
        (f" {name:<9}", palette.dim),
        (f"{value:>8}", palette.text),
        (f"  {rest}", palette.dim),
    ]


def score_row(name: str, score: Score, palette: Palette) -> list[Span]:
    """``score  0.62 [0.48, 0.73]``; without a value it says so."""
    value = number(score.ev_correlation)
    interval = ""
    if score.interval is not None:
        interval = f" [{score.interval.low:.2f}, {score.interval.high:.2f}]"
    return [
        (f" {name:<12}", palette.dim),
        (f"{value:>6}", palette.strong if name == "score" else palette.text),
        (interval, palette.dim),
    ]


def histogram(counts: Sequence[int], width: int) -> tuple[str, str]:
    """Bars of log(1 + count), two rows high, at most ``width`` cells; zero draws nothing."""
    from math import log1p

    if not counts or not max(counts):
        return "", ""
    size = min(width, len(counts))
    bounds = [round(i * len(counts) / size) for i in range(size + 1)]
    sums = [sum(counts[a:b]) for a, b in pairwise(bounds)]
    top = log1p(max(sums))
    heights = [max(1, round(log1p(n) / top * 16)) if n else 0 for n in sums]
    upper = "".join(BARS[max(height - 8, 0)] for height in heights)
    return upper, "".join(BARS[min(height, 8)] for height in heights)
