"""Passages as coloured text, and the same without colour.

The colour follows the method's own scale: tenths of the neuron's maximum, cut off
toward zero.  Colours come as pairs of background and foreground of rising lightness,
so they read the same on dark and light terminals and for colour-blind people; without
colour every token of a tenth or more carries its number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from tui.passages import Passage

TENTHS = 10
INDENT = 10
_LIGHT, _DARK = "#ffffff", "#000000"
#: Background of 1 to 10 tenths.
_RAMP = (
    "#2b1055",
    "#4a1a6b",
    "#6a1f6e",
    "#8a2a66",
    "#a83a56",
    "#c64c41",
    "#dd652b",
    "#ee8712",
    "#f8ae1a",
    "#f8e05c",
)
_FIRST_DARK = 7
#: Any tenth below zero; GELU hardly goes there.
_NEGATIVE = "#0b4a6f"


def tenth(value: float, maximum: float) -> int:
    """-10 to 10: tenths of the maximum, cut off toward zero; 0 if there is no maximum."""
    if not math.isfinite(value) or not maximum > 0:
        return 0
    return max(-TENTHS, min(TENTHS, math.trunc(TENTHS * value / maximum)))


def style(level: int) -> str:
    """A rich style for a number of tenths; empty for none."""
    if level == 0:
        return ""
    if level < 0:
        return f"{_LIGHT} on {_NEGATIVE}"
    return f"{_DARK if level >= _FIRST_DARK else _LIGHT} on {_RAMP[level - 1]}"


def is_plain(console: Console) -> bool:
    """Whether colours would not be seen, so that numbers must stand in."""
    return console.no_color or console.color_system is None


def legend(console: Console, maximum: float) -> Text:
    """What the colours, or the numbers in brackets, mean."""
    from rich.text import Text

    if is_plain(console):
        scale = f"7 tenths of the neuron's maximum, {maximum:.3f}"
        return Text(f"[token 7]: {scale}; what is nearer to zero than a tenth is unmarked")
    text = Text("0 ")
    for level in range(1, TENTHS + 1):
        text.append(" ▪ ", style(level))
    text.append(f" {maximum:.3f}, the neuron's maximum; ")
    text.append(" ▪ ", style(-1))
    text.append(" below zero")
    return text


def heatmap(
    console: Console, tokens: Sequence[bytes], values: Sequence[float], maximum: float
) -> Text:
    """One excerpt; tokens are inert and carry their activation."""
    from rich.text import Text

    from engine.glyphs import cells

    plain = is_plain(console)
    text = Text(no_wrap=False, overflow="fold")
    for cell, value in zip(cells(tokens), values, strict=True):
        level = tenth(value, maximum)
        if plain and level:
            space = " " if cell.text.startswith(" ") else ""
            text.append(f"{space}[{cell.text.removeprefix(' ')} {level}]")
        else:
            text.append(cell.text, style(level))
    return text


def source(passage: Passage, *, lowest: bool = False) -> Text:
    """A line with the passage's peak, or lowest value, and where it is from."""
    from rich.text import Text

    value = float(passage.values.min() if lowest else passage.values.max())
    head = Text(f"{value:8.3f}  ", "bold")
    where = ""
    if passage.document:  # published excerpts don't say where they are from
        where = f"{passage.document}, token {passage.offset:,}"
        where += f" ({passage.fold} fold)" if passage.fold else ""
    if passage.expected is not None:
        score = "–" if passage.correlation is None else f"{passage.correlation:.3f}"
        where += f", correlation {score}, {passage.role}"
        if passage.failure:
            where += f", {passage.failure}"
    head.append(where, "not bold dim")
    return head


def lines_of(console: Console, passage: Passage, maximum: float) -> list[Text]:
    """The passage's lines; where it was simulated, the simulated values in lines below."""
    from rich.text import Text

    from tui.passages import expected_values

    room = max(console.width - INDENT, 20)
    real = heatmap(console, passage.tokens, passage.values.tolist(), maximum)
    lines = list(real.wrap(console, room))
    simulated = expected_values(passage, maximum)
    if simulated is not None:
        below = heatmap(console, passage.tokens, simulated.tolist(), maximum)
        lines += [Text("simulated:", "dim"), *below.wrap(console, room)]
    for line in lines:
        line.rstrip()
    return lines


def print_passage(
    console: Console, passage: Passage, maximum: float, *, lowest: bool = False
) -> None:
    """Where a passage is from, then its text."""
    from rich.text import Text

    console.print(source(passage, lowest=lowest), soft_wrap=True)
    for line in lines_of(console, passage, maximum):
        console.print(Text(" " * INDENT).append(line), soft_wrap=True)
