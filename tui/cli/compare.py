"""``neuroglass compare``: all explanations of one neuron side by side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.place import (
    Place,
    json_option,
    neuron_argument,
    no_color_option,
    open_catalogue,
    place_options,
)

if TYPE_CHECKING:
    from engine.neuron import NeuronId
    from engine.score import Score
    from engine.store import StoredExplanation


@click.command("compare", short_help="Explanations of a neuron side by side.")
@neuron_argument
@no_color_option
@json_option
@place_options
def command(place: Place, neuron: NeuronId, no_color: bool, as_json: bool) -> None:
    """List a neuron's saved explanations with their scores, best first.

    Columns: score, the correlation on top and random records, with its interval; random, on
    random records alone; other, what another neuron's explanation gets on the first; cover,
    how much of the text has a predicted value; tokens, what language models used. Scores of
    different simulators or splits are different quantities. Of a published dataset (--source),
    its own explanations stand beside yours; they have no id.
    """

    async def run() -> None:
        async with await place.engine() as engine:
            from engine.known import explanations_of

            catalogue = open_catalogue(engine)
            await catalogue.prepare(neuron)
            found = await asyncio.to_thread(explanations_of, catalogue, engine.store, neuron)
            if as_json:
                for stored in found:
                    output.print_json(output.explanation_json(stored))
            elif found:
                _print(found, no_color)
            else:
                click.echo(f"Neuron {neuron} has no saved explanation.", err=True)

    asyncio.run(run())


def _print(found: list[StoredExplanation], no_color: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from engine.score import Scope

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("id", "score", "interval", "random", "other", "cover"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("tokens", justify="right", no_wrap=True)
    table.add_column("explanation", ratio=1, overflow="fold")
    for stored in found:
        both, random = stored.score(), stored.score(Scope.RANDOM_ONLY)
        other = next((b for b in stored.baselines if b.name == "another-neuron"), None)
        lines = [
            output.text_line(stored),
            f"  {output.explained_by(stored)}",
            f"  scored by {output.simulated_by(stored)}",
            *(f"  {output.judgement_line(judgement)}" for judgement in stored.judgements),
        ]
        if stored.simulator is None:
            lines[2] = "  not scored"
        used = stored.usage + stored.scoring_usage
        table.add_row(
            str(stored.id) if stored.id >= 0 else "—",
            _value(both),
            _interval(both),
            _value(random),
            _value(other.scores[0] if other else None),
            _coverage(stored),
            f"{used.tokens:,}" if used.tokens else "—",
            Text("\n".join(lines)),
        )
    output.console(no_color=no_color).print(table)


def _value(score: Score | None) -> str:
    return output.shown(None if score is None else score.ev_correlation, ".2f")


def _coverage(stored: StoredExplanation) -> str:
    """The smallest of its scores: 100 % only where nothing is missing."""
    if not stored.scores:
        return "—"
    least = min(score.coverage for score in stored.scores)
    return "100%" if least >= 1 else f"{min(99, round(100 * least))}%"


def _interval(score: Score | None) -> str:
    if score is None or score.interval is None:
        return "—"
    return f"[{score.interval.low:.2f}, {score.interval.high:.2f}]"
