"""``neuroglass search``: words in explanations and notes, or saved patterns."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from tui.cli import output
from tui.cli.place import Place, json_option, place_options

if TYPE_CHECKING:
    from engine.patterns.search import PatternQuery
    from engine.store import StoredExplanation


@click.command("search", short_help="Find words in explanations and notes, or patterns.")
@click.argument("text", default="")
@click.option("--token", default="", metavar="TOKEN", help="Fires at this token.")
@click.option("--class", "kind", default="", metavar="CLASS", help="At tokens of this class.")
@click.option("--after", default="", metavar="TOKEN|CLASS", help="With this somewhere before.")
@click.option("--place", "setting", default="", metavar="PLACE", help="There in a text.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@json_option
@place_options
def command(
    place: Place,
    text: str,
    token: str,
    kind: str,
    after: str,
    setting: str,
    limit: int,
    as_json: bool,
) -> None:
    """Find explanations and notes in which every word of TEXT begins a word.

    Without TEXT, find saved patterns (explain --explainer patterns) that have a token, a
    class of tokens such as numbers, something before it, or a place such as "inside
    quotation marks"; what is given must all be so. With --json, prints one line of JSON
    per hit.
    """
    from engine.errors import UsageError

    if not any((token, kind, after, setting)):
        if not text:
            raise UsageError(
                "There is nothing to search for.", "Give words, or --token, --class, --place."
            )
        asyncio.run(_search(place, text, limit, as_json))
        return
    if text:
        raise UsageError("Words and patterns can't be searched for together.", "Leave one out.")
    from engine.patterns.search import PatternQuery

    query = PatternQuery(token, kind, after, setting)
    asyncio.run(_search_patterns(place, query, limit, as_json))


async def _search_patterns(place: Place, query: PatternQuery, limit: int, as_json: bool) -> None:
    from engine.glyphs import inert
    from engine.patterns.search import search_patterns

    async with await place.engine() as engine:
        hits = await asyncio.to_thread(search_patterns, engine.store, query, limit=limit)
    for hit in hits:
        if as_json:
            output.print_json(
                {
                    **output.neuron_json(hit.neuron),
                    "explanation_id": hit.explanation,
                    "text": hit.text,
                    "score": output.number(hit.score),
                    "words": hit.words,
                    "share": output.number(hit.share),
                    "activation": output.number(hit.activation),
                    "pattern": dict(hit.pattern),
                }
            )
            continue
        score = output.shown(hit.score, "+.2f")
        expected = output.shown(hit.activation, ".2f")
        click.echo(
            f"{hit.neuron!s:>9}  {score:>6}  {hit.share:>4.0%}  {expected:>6}  {inert(hit.words)}"
        )
    if not hits:
        click.echo("Nothing found.", err=True)


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
