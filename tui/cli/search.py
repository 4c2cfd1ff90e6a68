"""``neuroglass search``: words in explanations and notes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from tui.cli import output
from tui.cli.place import Place, json_option, place_options

if TYPE_CHECKING:
    from engine.store import StoredExplanation


@click.command("search", short_help="Find words in explanations and notes.")
@click.argument("text")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@json_option
@place_options
def command(place: Place, text: str, limit: int, as_json: bool) -> None:
    """Find explanations and notes in which every word of TEXT begins a word.

    With --json, prints one line of JSON per hit.
    """
    asyncio.run(_search(place, text, limit, as_json))


async def _search(place: Place, text: str, limit: int, as_json: bool) -> None:
    from engine.glyphs import inert

    async with await place.engine() as engine:
        hits = engine.store.search(text, limit)
        for hit in hits:
            stored = None
            if hit.explanation_id is not None:
                stored = engine.store.explanation(hit.explanation_id)
            coverage = _coverage(stored)
            if as_json:
                facts: dict[str, Any] = {
                    **output.neuron_json(hit.neuron),
                    "kind": hit.kind,
                    "model": hit.model_name,
                    "model_id": hit.model,
                    "text": hit.text,
                    "side": None if stored is None else stored.side,
                    "score": output.number(hit.score),
                    "coverage": output.number(coverage),
                    "explanation_id": hit.explanation_id,
                }
                output.print_json(facts)
            else:
                score = output.shown(hit.score, "+.2f")
                model = inert(hit.model_name or hit.model[:8])
                marks = "(negative) " if stored is not None and stored.side == "negative" else ""
                if gaps := output.covered(coverage):
                    marks += f"({gaps}) "
                click.echo(
                    f"{hit.neuron!s:>9}  {score:>6}  {hit.kind:<11}  {model}  "
                    f"{marks}{inert(hit.snippet)}"
                )
        if not hits:
            click.echo("Nothing found.", err=True)


def _coverage(stored: StoredExplanation | None) -> float | None:
    """Of the score shown; None where there is none."""
    score = None if stored is None else stored.score()
    return None if score is None else score.coverage
