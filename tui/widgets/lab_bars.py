"""Texts of the prompt lab's top line and bottom line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.glyphs import exact
from engine.neuron import NeuronId
from tui.session import number
from tui.theme import Palette
from tui.widgets.pane import Span

if TYPE_CHECKING:
    from engine.experiments import PromptReading


def head(
    neuron: NeuronId, reading: PromptReading | None, palette: Palette
) -> tuple[list[Span], list[Span]]:
    """Which neuron, how strongly it fires at most; how the model finds the text."""
    left: list[Span] = [(" Prompt lab", palette.strong), (f"   {neuron}", palette.accent)]
    if reading is None:
        return left, []
    left.append((f"   strongest {float(reading.activations.max()):.2f}", palette.dim))
    if reading.cut:
        return left, [(f"{reading.cut:,} tokens more than the model reads ", palette.accent)]
    loss = reading.surprise[reading.surprise == reading.surprise]
    mean = f" · {float(loss.mean()):.2f} nats a token" if len(loss) else ""
    return left, [(f"{len(reading.tokens)} tokens{mean} ", palette.faint)]


def token(reading: PromptReading | None, place: int, palette: Palette) -> list[Span]:
    """Everything exact about the token under the cursor."""
    if reading is None or place >= len(reading.tokens):
        return []
    value, surprise = float(reading.activations[place]), float(reading.surprise[place])
    return [
        (f" {exact(reading.tokens[place])}", palette.strong),
        (f"  {value:.4f}", palette.accent),
        (f"  surprise {number(surprise, 3)}", palette.text),
        (f"  token {place + 1}/{len(reading.tokens)}", palette.dim),
    ]
