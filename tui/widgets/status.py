"""Texts of the top line, the status line and the footer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from engine.glyphs import exact, inert
from tui.passages import Passage
from tui.session import NeuronView, clock, number
from tui.theme import Palette
from tui.widgets.pane import Span, width_of

if TYPE_CHECKING:
    from engine.catalogue import Catalogue
    from engine.events import ScanProgress


def title(index: Catalogue | None, palette: Palette, heading: str = "") -> list[Span]:
    """Left part of the top line."""
    spans: list[Span] = [(f" {heading or 'neuroglass'}", palette.strong)]
    if index is not None:
        facts = f"{inert(index.model_name)} · {index.n_layers} layers × {index.n_neurons:,}"
        spans.append((f"   {facts}", palette.dim))
    return spans


def scanning(progress: ScanProgress, palette: Palette) -> list[Span]:
    """``scan 43%  12,300 tok/s  0:21 left``."""
    done = progress.windows_done / max(progress.windows_total, 1)
    spans: list[Span] = [("scan ", palette.dim), (f"{int(done * 100)}%", palette.accent)]
    if progress.tokens_per_second > 0:
        spans.append((f"  {progress.tokens_per_second:,.0f} tok/s", palette.dim))
    if progress.seconds_left is not None:
        spans.append((f"  {clock(progress.seconds_left)} left", palette.dim))
    return [*spans, (" ", palette.text)]


def resting(index: Catalogue | None, palette: Palette) -> list[Span]:
    """What the top line says while nothing runs."""
    from engine.index import Index

    if index is None:
        return [("no index ", palette.dim)]
    if not isinstance(index, Index):
        return [("published neurons · no model ", palette.dim)]
    if index.complete:
        text = f"index complete · {index.windows_scanned:,} windows "
        return [(text, palette.dim)]
    share = index.windows_scanned / max(index.windows_total, 1)
    return [
        (f"index {int(share * 100)}% · ", palette.dim),
        ("S", palette.accent),
        (" resumes ", palette.dim),
    ]


def token_status(
    passage: Passage, token: int, view: NeuronView, palette: Palette, width: int
) -> list[Span]:
    """Everything exact about the token under the cursor, as much as fits."""
    value = float(passage.values[token])
    spans: list[Span] = [
        (f" {exact(passage.tokens[token])}", palette.strong),
        (f"  {value:.4f}", palette.accent),
    ]
    if passage.expected is not None:
        spans.append((f"  simulated {number(float(passage.expected[token]), 4)}", palette.text))
    more = (
        f"  token {token + 1}/{len(passage.tokens)}",
        _share_above(view, value),
        f"  {passage.offset + token:,} in {passage.document}" if passage.document else "",
    )
    for text in more:
        if width_of(spans) + cell_len(text) < width:
            spans.append((text, palette.dim))
    return spans


def _share_above(view: NeuronView, value: float) -> str:
    """Which share of tokens fires at least as strongly, from the histogram's sample."""
    statistics = view.record.statistics
    counts, edges = statistics.histogram, statistics.histogram_edges
    total = int(counts.sum())
    if not total or value <= 0:
        return ""
    first = int(edges.searchsorted(value, side="right")) - 1
    above = int(counts[max(first, 0) :].sum())
    if above * 1000 < total:
        return "  top 0.1% of tokens"
    return f"  top {above / total:.1%} of tokens"


def footer(keys: Sequence[tuple[str, str, bool]], palette: Palette, width: int) -> list[Span]:
    """The few keys that matter, as many as fit.

    Args:
        keys: Key, what it does, and whether it must never fall off the edge.
    """
    room = width - sum(len(key) + len(what) + 3 for key, what, last in keys if last)
    spans: list[Span] = []
    for key, what, last in sorted(keys, key=lambda one: one[2]):
        size = len(key) + len(what) + 3
        if not last:
            if size > room:
                continue
            room -= size
        spans += [(f" {key}", palette.text), (f" {what} ", palette.dim)]
    return spans


def key_line(keys: Sequence[tuple[str, str]], palette: Palette, width: int) -> list[Span]:
    """Keys with what they do; the last one, the way back, never falls off the edge."""
    several = list(keys)
    while len(several) > 2 and sum(len(key) + len(what) + 3 for key, what in several) > width:
        del several[-2]
    spans: list[Span] = []
    for key, what in several:
        spans += [(f" {key}", palette.text), (f" {what} ", palette.dim)]
    return spans
