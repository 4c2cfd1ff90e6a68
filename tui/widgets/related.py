"""What a published dataset has beside excerpts: related tokens and neurons, what is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from engine.glyphs import exact
from tui.session import number
from tui.theme import Palette
from tui.widgets.rows import Rows, heading, paragraph

if TYPE_CHECKING:
    from engine.public_data.shapes import PublicNeuron, TokenList

TOKENS, NEURONS = 5, 3


def related(public: PublicNeuron, width: int, palette: Palette) -> Rows:
    """Rows of tokens and neurons by weights; empty where the dataset has none."""
    rows: Rows = []
    weights = public.tokens_by_weight
    if weights is not None:
        for title, listed in (
            ("Raised by", weights.input_positive),
            ("Lowered by", weights.input_negative),
            ("Raises", weights.output_positive),
            ("Lowers", weights.output_negative),
        ):
            rows += _tokens(title, listed, width, palette)
    links = public.related_neurons
    if links is not None:
        for title, neurons in (("Fed by", links.upstream), ("Feeds", links.downstream)):
            if not neurons:
                continue
            rows += [[], *heading(title, "weight", width, palette)]
            rows += [
                [
                    (f" {neuron!s:<{width - 11}}", palette.text),
                    (f"{number(weight):>9} ", palette.text),
                ]
                for neuron, weight in neurons[:NEURONS]
            ]
    return rows


def _tokens(title: str, listed: TokenList, width: int, palette: Palette) -> Rows:
    if not listed.tokens:
        return []
    rows: Rows = [[], *heading(title, "weight", width, palette)]
    room = width - 11
    for token, weight in list(zip(listed.tokens, listed.values, strict=True))[:TOKENS]:
        text = exact(token.encode("utf-8", "replace"))
        if cell_len(text) > room:
            text = set_cell_size(text, room - 1) + "…"
        text += " " * (room - cell_len(text))
        rows.append([(f" {text}", palette.text), (f"{number(weight):>9} ", palette.text)])
    return rows


def problems(public: PublicNeuron, width: int, palette: Palette) -> Rows:
    """What of the neuron could not be read, and why."""
    if not public.problems:
        return []
    rows: Rows = [[], *heading("Not read", str(len(public.problems)), width, palette)]
    for problem in public.problems:
        rows += [[(line[0][0], palette.error)] for line in paragraph(problem, width, palette)]
    return rows
