"""Excerpts as heatmaps: each token with its value, real above simulated."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.glyphs import cells, exact
from engine.reports.page import LEVELS, number, text

Floats = NDArray[np.float32]


def level(value: float, extreme: float) -> int:
    """Tenths of the neuron's extreme, cut off toward zero as the method does; -10 to 10."""
    if not math.isfinite(value) or not extreme > 0:
        return 0
    return max(-LEVELS, min(LEVELS, math.trunc(LEVELS * value / extreme)))


def legend(maximum: float | None = None) -> str:
    """What the colours mean, by example; of one neuron, or of each its own maximum."""
    whose = "each neuron’s maximum" if maximum is None else f"the maximum, {number(maximum)}"
    steps = "".join(f'<span class="h{n}">{n}</span>' for n in range(1, LEVELS + 1))
    return (
        f'<p class="legend small dim">Tenths of {whose}: {steps} '
        '<span class="neg">below 0</span> <span class="no">?</span> not simulated. '
        "The outline marks the strongest token; every token’s title has its value.</p>"
    )


def excerpt(
    tokens: Sequence[bytes],
    values: Floats,
    maximum: float,
    source: str,
    *,
    expected: Floats | None = None,
    normalised: bool = False,
    note: str = "",
    lowest: bool = False,
) -> str:
    """One excerpt.

    Args:
        maximum: Of the neuron; the colours are tenths of it.
        source: Document and place, text.
        expected: Simulated values; NaN where there are none.
        normalised: They are from 0 to 10 and not activations.
        note: Of the record as a whole, text.
        lowest: It is the most negative token that counts.
    """
    place = int(values.argmin() if lowest else values.argmax())
    head = f"{number(float(values[place]))} at {text(exact(tokens[place]))} · {text(source)}"
    if note:
        head += f" · {text(note)}"
    lines = [f'<p class="small dim">{head}</p>']
    real = _tokens(tokens, values, maximum, place)
    if expected is None:
        lines.append(f'<p class="t">{real}</p>')
    else:
        simulated = _tokens(tokens, expected, float(LEVELS) if normalised else maximum)
        lines += [
            f'<p class="t two"><span class="w">{name}</span>{drawn}</p>'
            for name, drawn in (("real", real), ("simulated", simulated))
        ]
    return '<div class="x">' + "\n".join(lines) + "</div>"


def _tokens(tokens: Sequence[bytes], values: Floats, extreme: float, peak: int = -1) -> str:
    out = []
    for place, (cell, value) in enumerate(zip(cells(tokens), values.tolist(), strict=True)):
        if not math.isfinite(value):
            out.append(f'<span class="no" title="not simulated">{html.escape(cell.text)}</span>')
            continue
        tenth = level(value, extreme)
        kind = f"h{tenth}" if tenth > 0 else "neg" if tenth < 0 else ""
        kinds = " ".join(filter(None, (kind, "peak" if place == peak else "")))
        named = f' class="{kinds}"' if kinds else ""
        out.append(f'<span{named} title="{number(value)}">{html.escape(cell.text)}</span>')
        if cell.text.endswith("⏎"):
            out.append("<wbr>")
    return "".join(out)
