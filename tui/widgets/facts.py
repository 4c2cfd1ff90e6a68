"""What the scan knows of a neuron: moments, histogram, top tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from engine.glyphs import exact
from tui.session import NeuronView, number
from tui.theme import Palette
from tui.widgets.related import problems, related
from tui.widgets.rows import Rows, fact, heading, histogram

if TYPE_CHECKING:
    from engine.records import NeuronStatistics, TokenMeans

TOP_TOKENS = 12


def facts(view: NeuronView, width: int, palette: Palette) -> Rows:
    """Rows of the facts section."""
    statistics = view.record.statistics
    covered = f"{statistics.tokens:,} tokens" if statistics.tokens else "published"
    share = statistics.fraction_active
    rows = [
        *heading("Statistics", covered, width, palette),
        fact("max", number(statistics.maximum), palette, f"min {number(statistics.minimum)}"),
        fact(
            "mean", number(statistics.mean, 3), palette, f"sd {number(statistics.variance**0.5, 3)}"
        ),
        fact(
            "skew",
            number(statistics.skewness, 1),
            palette,
            f"kurt {number(statistics.kurtosis, 0)}",
        ),
        fact("active", f"{share:.1%}" if share == share else "–", palette, "above zero"),
        *_distribution(statistics, width, palette),
        [],
        *_top_tokens(view.means, width, palette),
    ]
    if view.public is not None:
        rows += [*related(view.public, width, palette), *problems(view.public, width, palette)]
    return rows


def _distribution(statistics: NeuronStatistics, width: int, palette: Palette) -> Rows:
    counts = statistics.histogram.tolist()
    edges = statistics.histogram_edges.tolist()
    filled = [i for i, count in enumerate(counts) if count]
    if not filled:
        return []
    first, last = filled[0], filled[-1]
    upper, bars = histogram(counts[first : last + 1], width - 2)
    low, high = f" {edges[first]:.2f}", f"{edges[last + 1]:.2f}"
    note = "log counts"
    gap = max(len(bars) - len(low) - len(high) + 1, 1)
    middle = f"{note:^{gap}}" if gap > len(note) + 1 else " " * gap
    return [
        [(f" {upper}", palette.dim)],
        [(f" {bars}", palette.dim)],
        [(f"{low}{middle}{high}", palette.faint)],
    ]


def _top_tokens(means: TokenMeans, width: int, palette: Palette) -> Rows:
    rows: Rows = heading("Top tokens", "mean     n" if means.complete else "mean", width, palette)
    order = means.means.argsort()[::-1][:TOP_TOKENS]
    # A published table has no counts.
    room = width - (17 if means.complete else 11)
    for place in order.tolist():
        text = exact(means.texts[place])
        if cell_len(text) > room:
            text = set_cell_size(text, room - 1) + "…"
        text += " " * (room - cell_len(text))
        rows.append(
            [
                (f" {text}", palette.text),
                (f"{float(means.means[place]):>9.2f}", palette.text),
                (f"{int(means.counts[place]):>6,} " if means.complete else " ", palette.dim),
            ]
        )
    return rows if len(rows) > 1 else []
