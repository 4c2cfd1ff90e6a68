"""``neuroglass leaderboard``: explained neurons, ranked and filtered."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from tui.cli import output
from tui.cli.place import Place, json_option, open_index, place_options

if TYPE_CHECKING:
    from engine.triage import Distribution, Row

SORTS = ("best", "worst", "strongest", "sparsest", "neuron", "newest")
_SHARE = click.FloatRange(0, 1)


@click.command("leaderboard", short_help="Explained neurons, ranked and filtered.")
@click.option("--layer", type=click.IntRange(0), help="One layer only.")
@click.option("--text", default="", help="Explanations with these words, or beginnings of words.")
@click.option("--min-score", type=float, help="Scores from here.")
@click.option("--max-score", type=float, help="Scores up to here.")
@click.option("--min-active", type=_SHARE, help="Share of tokens it fires at, from here; 0 to 1.")
@click.option("--max-active", type=_SHARE, help="Share of tokens it fires at, up to here.")
@click.option("--min-senses", type=click.IntRange(1), help="Senses, where known, from here.")
@click.option("--max-senses", type=click.IntRange(1), help="Senses, where known, up to here.")
@click.option(
    "--promotes", default="", metavar="TOKEN", help="A token among the ten it promotes most."
)
@click.option("--explainer", default="", metavar="NAME", help="By this explainer only.")
@click.option(
    "--sort", type=click.Choice(SORTS), default="best", show_default=True, help="The order."
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--offset", type=click.IntRange(0), default=0, help="Leave out the first so many.")
@click.option("--layers", is_flag=True, help="How scores lie by layer, instead of neurons.")
@json_option
@place_options
def command(
    place: Place,
    layer: int | None,
    text: str,
    min_score: float | None,
    max_score: float | None,
    min_active: float | None,
    max_active: float | None,
    min_senses: int | None,
    max_senses: int | None,
    promotes: str,
    explainer: str,
    sort: str,
    limit: int,
    offset: int,
    layers: bool,
    as_json: bool,
) -> None:
    """Rank explained neurons, each by its best explanation.

    The score is the correlation on top and random records; active is the share of tokens at
    which the neuron fires. The number of senses is known of neurons that were explained by
    them, or --by-sense. With --json, prints one line of JSON per neuron or layer.
    """

    async def run() -> None:
        from engine.neuron import NeuronId
        from engine.triage import Filter, Sorting

        async with await place.engine() as engine:
            index = open_index(engine)
            if layer is not None:
                index.check(NeuronId(layer, 0))
            only = Filter(
                layer,
                text,
                min_score,
                max_score,
                min_active,
                max_active,
                explainer,
                min_senses,
                max_senses,
                promotes,
            )
            triages = engine.triages()
            board = triages.board()
            board.refresh()
            await triages.ready_for(board, only)
            if layers:
                for one in board.by_layer(only):
                    if as_json:
                        output.print_json(_layer_json(one))
                if not as_json:
                    _print_layers(board.by_layer(only))
                return
            rows, total = board.page(only, Sorting[sort.upper()], limit, offset)
            for row in rows:
                if as_json:
                    output.print_json(_row_json(row))
            if not as_json:
                _print_rows(rows, total, offset)

    asyncio.run(run())


def _row_json(row: Row) -> dict[str, Any]:
    return {
        **output.neuron_json(row.neuron),
        "score": output.number(row.score),
        "coverage": output.number(row.coverage),
        "fraction_active": output.number(row.fraction_active),
        "maximum": output.number(row.maximum),
        "senses": row.senses,
        "explanation_id": row.explanation,
        "explainer": row.explainer,
        "text": row.text,
    }


def _layer_json(layer: Distribution) -> dict[str, Any]:
    return {
        "layer": layer.layer,
        "neurons": layer.neurons,
        "scored": layer.scored,
        "mean": output.number(layer.mean),
        "median": output.number(layer.median),
        "histogram": list(layer.histogram),
    }


def _print_rows(rows: list[Row], total: int, offset: int) -> None:
    from engine.glyphs import inert

    if not rows:
        click.echo("No explained neuron is like that.", err=True)
        return
    click.echo(_line("place", "neuron", "score", "active", "max", "explanation"), err=True)
    for place, row in enumerate(rows, start=offset + 1):
        gaps = output.covered(row.coverage)
        words = f"({gaps}) {row.text}" if gaps else row.text
        line = _line(
            f"{place:,}",
            str(row.neuron),
            output.shown(row.score, "+.2f"),
            f"{row.fraction_active:.2%}",
            f"{row.maximum:.2f}",
            inert(words),
        )
        click.echo(output.cut(line) if sys.stdout.isatty() else line)
    if offset + len(rows) < total:
        click.echo(f"{total:,} in all.", err=True)


def _line(place: str, neuron: str, score: str, active: str, maximum: str, rest: str) -> str:
    return f"{place:>6}  {neuron:>9}  {score:>6}  {active:>7}  {maximum:>7}  {rest}".rstrip()


def _print_layers(layers: list[Distribution]) -> None:
    from tui.cli.triage_running import layer_table

    output.console().print(layer_table(layers))
