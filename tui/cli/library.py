"""``neuroglass library``: all saved explanations, searched, filtered and sorted."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from tui.cli import output
from tui.cli.place import NeuronArgument, Place, json_option, place_options

if TYPE_CHECKING:
    from engine.store import LibraryRow, Store

SORTS = ("best", "worst", "newest", "neuron", "surest", "explainer")
STATUSES = ("ok", "partial", "undefined", "failed", "unscored")


@click.command("library", short_help="All saved explanations, of every model.")
@click.argument("words", nargs=-1)
@click.option("--model", metavar="NAME", help="Of this model only: its name, or its hash.")
@click.option("--layer", type=click.IntRange(0), help="Of neurons of this layer.")
@click.option("--neuron", type=NeuronArgument(), help="Of this neuron, such as 5:131.")
@click.option("--explainer", metavar="NAME", help="By this explainer.")
@click.option("--simulator", metavar="NAME", help="Scored by this simulator.")
@click.option("--min-score", type=float, help="Scores from here.")
@click.option("--max-score", type=float, help="Scores up to here.")
@click.option("--starred/--unstarred", default=None, help="Of neurons with, or without, a star.")
@click.option("--tag", help="Of neurons with this tag.")
@click.option("--side", type=click.Choice(("positive", "negative")), help="Of this side.")
@click.option("--status", type=click.Choice(STATUSES), help="Whose score has this status.")
@click.option("--deleted", is_flag=True, help="Those that were deleted and can be restored.")
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    default="best",
    show_default=True,
    help="The order; surest: narrowest interval first.",
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--offset", type=click.IntRange(0), default=0, help="Leave out the first so many.")
@json_option
@place_options
def command(
    place: Place,
    words: tuple[str, ...],
    sort: str,
    limit: int,
    offset: int,
    as_json: bool,
    **only: Any,
) -> None:
    """List saved explanations of all models, whatever index is open.

    Each of WORDS must begin a word of the explanation, or of the neuron's note. The score is
    the correlation on top and random records, with its interval. With --json, prints one line
    of JSON per explanation.
    """
    asyncio.run(_list(place, " ".join(words), sort, limit, offset, as_json, only))


async def _list(
    place: Place,
    text: str,
    sort: str,
    limit: int,
    offset: int,
    as_json: bool,
    only: dict[str, Any],
) -> None:
    from engine.store import LibraryFilter, LibraryOrder

    async with await place.engine() as engine:
        limits = {"score_low": only.pop("min_score"), "score_high": only.pop("max_score")}
        chosen = LibraryFilter(text=text, **limits, **only)
        ids = engine.store.library(chosen, LibraryOrder[sort.upper()])
        shown = ids[offset : offset + limit]
        known = engine.store.library_rows(shown)
        rows = [known[number] for number in shown if number in known]
        if as_json:
            for row in rows:
                output.print_json(row_json(row))
        elif rows:
            _print(rows, len(ids), offset)
        else:
            _nothing(engine.store, chosen.deleted)


def row_json(row: LibraryRow) -> dict[str, Any]:
    """One explanation of the library."""
    return {
        "id": row.id,
        **output.neuron_json(row.neuron),
        "model": row.model_name,
        "model_id": row.model,
        "index_id": row.index_id,
        "index_path": row.index_path,
        "text": row.text,
        "side": row.side,
        "explainer": row.explainer,
        "simulator": row.simulator,
        "score": output.number(row.score),
        "interval": [output.number(row.low), output.number(row.high)],
        "records": row.records,
        "coverage": output.number(row.coverage),
        "status": row.status,
        "starred": row.starred,
        "tags": list(row.tags),
        "created_at": row.created_at,
        "deleted_at": row.deleted_at,
    }


def _nothing(store: Store, deleted: bool) -> None:
    if deleted:
        text = "Nothing deleted is like that."
    elif store.counts().explanations:
        text = "No saved explanation is like that."
    else:
        text = "Nothing is saved yet. Start with: neuroglass explain, or neuroglass triage"
    click.echo(text, err=True)


def _print(rows: list[LibraryRow], total: int, offset: int) -> None:
    from engine.glyphs import inert

    click.echo(_line("id", "neuron", "score", "interval", "by", "model", "explanation"), err=True)
    for row in rows:
        interval = "—"
        if row.low is not None and row.high is not None:
            interval = f"[{row.low:.2f}, {row.high:.2f}]"
        marks = ["★"] if row.starred else []
        marks += [f"#{tag}" for tag in row.tags]
        marks += ["(negative)"] if row.side == "negative" else []
        if gaps := output.covered(row.coverage):
            marks.append(f"({gaps})")
        elif row.status not in ("ok", "unscored"):
            marks.append(f"({row.status})")
        line = _line(
            str(row.id),
            str(row.neuron),
            output.shown(row.score, "+.2f"),
            interval,
            inert(row.explainer),
            inert(row.model_name or row.model[:8]),
            inert(" ".join([*marks, row.text])),
        )
        click.echo(output.cut(line) if sys.stdout.isatty() else line)
    if offset + len(rows) < total:
        click.echo(f"{total:,} in all.", err=True)


def _line(
    number: str, neuron: str, score: str, interval: str, by: str, model: str, rest: str
) -> str:
    head = f"{number:>6}  {neuron:>9}  {score:>6}  {interval:>14}  {by:<14}  {model:<10}"
    return f"{head}  {rest}".rstrip()
