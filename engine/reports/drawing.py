"""Plots as inline SVG, each with its numbers in words for who can't see it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.reports.page import number, text

WIDTH = 640


@dataclass(frozen=True, slots=True)
class Point:
    """One line of :func:`dots`.

    Attributes:
        chance: Whether it is a baseline, drawn hollow.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    chance: bool = False


def histogram(
    counts: Sequence[int],
    low: float,
    high: float,
    label: str,
    *,
    unit: str,
    logarithmic: bool = False,
    marks: Sequence[tuple[str, float]] = (),
) -> str:
    """Bars of equal width from ``low`` to ``high``.

    Args:
        label: What it shows, one sentence, text.
        unit: Of the horizontal axis, text.
        logarithmic: Heights by the logarithm of the count, where most bars would not be
            seen otherwise.
        marks: Named places on the axis.
    """
    height, top, bottom = 150, 18, 34
    heights = [math.log1p(count) if logarithmic else float(count) for count in counts]
    most = max(heights, default=0) or 1.0
    step = WIDTH / max(len(counts), 1)
    span = (high - low) or 1.0
    parts = []
    for place, (count, tall) in enumerate(zip(counts, heights, strict=True)):
        drawn = max(1.0 if count else 0.0, (height - top) * tall / most)
        begin, end = low + span * place / len(counts), low + span * (place + 1) / len(counts)
        parts.append(
            f'<rect class="bar" x="{place * step:.1f}" y="{height - drawn:.1f}" '
            f'width="{max(step - 1, 0.5):.1f}" height="{drawn:.1f}">'
            f"<title>{number(begin)} to {number(end)}: {count:,}</title></rect>"
        )
    parts.append(f'<line class="axis" x1="0" x2="{WIDTH}" y1="{height}" y2="{height}"/>')
    for name, value in marks:
        x = min(max((value - low) / span, 0), 1) * WIDTH
        side = "end" if x > WIDTH * 0.8 else "start"
        shift = -4 if side == "end" else 4
        parts.append(
            f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height}"/>'
            f'<text x="{x + shift:.1f}" y="12" text-anchor="{side}">{text(name)} '
            f"{number(value, '.2f')}</text>"
        )
    parts += _ends(low, high, height + 16, unit)
    return _svg(height + bottom, label, parts)


def dots(points: Sequence[Point], label: str, low: float = -0.2, high: float = 1.0) -> str:
    """Values with their intervals on one axis, a line each."""
    known = [v for p in points for v in (p.value, p.low, p.high) if v is not None]
    low, high = min([low, *known]), max([high, *known])
    left, line = 230, 26
    inner = WIDTH - left - 60

    def x(value: float) -> float:
        return left + inner * (value - low) / (high - low)

    bottom = line * len(points) + 8
    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(
            f'<line class="axis" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="0" y2="{bottom}"/>'
            f'<text x="{x(tick):.1f}" y="{bottom + 14}" text-anchor="middle">{tick:g}</text>'
        )
    for row, point in enumerate(points):
        y = line * row + line / 2 + 4
        name = point.name if len(point.name) <= 36 else point.name[:35] + "…"
        parts.append(f'<text x="0" y="{y + 4:.1f}">{text(name)}</text>')
        if point.value is None:
            parts.append(f'<text x="{x(0) + 6:.1f}" y="{y + 4:.1f}">no value</text>')
            continue
        if point.low is not None and point.high is not None:
            kind = "chancebar" if point.chance else "whisker"
            parts.append(
                f'<line class="{kind}" x1="{x(point.low):.1f}" x2="{x(point.high):.1f}" '
                f'y1="{y:.1f}" y2="{y:.1f}"/>'
            )
        kind = "chance" if point.chance else "mark"
        parts.append(
            f'<circle class="{kind}" cx="{x(point.value):.1f}" cy="{y:.1f}" r="5">'
            f"<title>{text(point.name)}: {number(point.value)}</title></circle>"
            f'<text x="{WIDTH}" y="{y + 4:.1f}" text-anchor="end">'
            f"{number(point.value, '.2f')}</text>"
        )
    return _svg(bottom + 20, label, parts)


def spark(counts: Sequence[int], label: str) -> str:
    """A small histogram that stands in a table."""
    width, height = 120, 22
    most = max(counts, default=0) or 1
    step = width / max(len(counts), 1)
    bars = [
        f'<rect class="bar" x="{place * step:.1f}" y="{height - height * count / most:.1f}" '
        f'width="{step - 1:.1f}" height="{height * count / most:.1f}"/>'
        for place, count in enumerate(counts)
    ]
    return _svg(height, label, bars, width)


def _ends(low: float, high: float, y: float, unit: str) -> list[str]:
    return [
        f'<text x="0" y="{y}">{number(low, ".2f")}</text>',
        f'<text x="{WIDTH / 2}" y="{y}" text-anchor="middle">{text(unit)}</text>',
        f'<text x="{WIDTH}" y="{y}" text-anchor="end">{number(high, ".2f")}</text>',
    ]


def _svg(height: float, label: str, parts: Sequence[str], width: int = WIDTH) -> str:
    return (
        f'<svg role="img" aria-label="{text(label)}" width="{width}" height="{height:.0f}" '
        f'viewBox="0 0 {width} {height:.0f}" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{text(label)}</title>" + "".join(parts) + "</svg>"
    )
