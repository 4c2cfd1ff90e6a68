"""``neuroglass senses``: the several things that make a neuron fire."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import click

from tui.cli import output
from tui.cli.place import (
    Place,
    json_option,
    neuron_argument,
    no_color_option,
    open_index,
    place_options,
)

if TYPE_CHECKING:
    from engine.explanation import Side
    from engine.neuron import NeuronId
    from engine.records import ActivationRecord
    from engine.senses.model import Sense, Senses

#: Tokens shown before the one that fires, and after it.
BEFORE, AFTER = 16, 6


@click.command("senses", short_help="Show the several things that make a neuron fire.")
@neuron_argument
@click.option(
    "--side",
    type=click.Choice(("positive", "negative")),
    default="positive",
    show_default=True,
    help="Values above zero, or below.",
)
@click.option(
    "--limit", type=click.IntRange(0), default=4, show_default=True, help="Excerpts of each."
)
@json_option
@no_color_option
@place_options
def command(
    place: Place, neuron: NeuronId, side: str, limit: int, as_json: bool, no_color: bool
) -> None:
    """Group what makes a neuron fire into senses, each with a sentence, a share and excerpts.

    NEURON is layer and index, such as 5:131. Everything is from the explain fold; `neuroglass
    explain --explainer senses` scores it on documents held out from that.
    """
    asyncio.run(_senses(place, neuron, cast("Side", side), limit, as_json, no_color))


async def _senses(
    place: Place, neuron: NeuronId, side: Side, limit: int, as_json: bool, no_color: bool
) -> None:
    async with await place.engine() as engine:
        index = open_index(engine)
        senses = await engine.senses(neuron, side)
        if as_json:
            facts = {"model": index.model_name, "model_id": index.model_id}
            output.print_json(
                {**output.neuron_json(neuron), **facts, **_as_json(senses, limit)}, indent=2
            )
            return
        statistics = index.statistics(neuron)
        largest = statistics.maximum if side == "positive" else -statistics.minimum
        _print(senses, limit, largest, no_color)


def _as_json(senses: Senses, limit: int) -> dict[str, Any]:
    from engine.senses.model import held_out_json

    return {
        "side": senses.side,
        "text": senses.text,
        "held_out": held_out_json(senses.held_out),
        "senses": [_sense_json(one, limit) for one in senses.senses],
    }


def _sense_json(sense: Sense, limit: int) -> dict[str, Any]:
    facts = sense.to_json()
    return {
        **{name: facts[name] for name in ("text", "share", "tokens", "needs", "patterns")},
        "records": [
            {
                "window": record.excerpt.window,
                "document": record.excerpt.document_name,
                "offset": record.excerpt.offset,
                "place": place,
                "tokens": output.texts(record.excerpt.tokens),
                "activations": output.numbers(record.activations),
            }
            for record, place in zip(sense.excerpts[:limit], sense.places, strict=False)
        ],
    }


def _print(senses: Senses, limit: int, largest: float, no_color: bool) -> None:
    from rich.text import Text

    from engine.glyphs import inert
    from tui.cli import heat

    console = output.console(no_color=no_color)
    count = len(senses.senses)
    side = "" if senses.side == "positive" else ", negative side"
    head = Text(f"{senses.neuron}{side}", "bold")
    head.append(f"  {count} sense{'s' if count > 1 else ''}", "not bold")
    console.print(head, soft_wrap=True)
    if senses.held_out:
        tried = ", ".join(f"{row.groups}: {row.r2:.2f}" for row in senses.held_out)
        console.print(
            Text(f"Predicted of documents left out, R² by number of senses: {tried}", "dim"),
            soft_wrap=True,
        )
    else:
        console.print(Text("It fires too seldom to tell senses apart.", "dim"), soft_wrap=True)
    for number, sense in enumerate(senses.senses, start=1):
        console.print()
        line = Text(f"{number}) {sense.share:4.0%}  ", "bold")
        console.print(line.append(inert(sense.text), "not bold"), soft_wrap=True)
        shown = zip(sense.excerpts[:limit], sense.places, strict=False)
        for record, place in shown:
            console.print(_line(console, record, place, largest), soft_wrap=True)
    console.print()
    console.print(heat.legend(console, largest))


def _line(console: Any, record: ActivationRecord, place: int, largest: float) -> Any:
    """The tokens around the one that fires, in one line."""
    from rich.text import Text

    from tui.cli import heat

    first = max(0, place - BEFORE)
    part = slice(first, place + 1 + AFTER)
    text = heat.heatmap(
        console, record.excerpt.tokens[part], record.activations[part].tolist(), largest
    )
    return Text(f"{record.activations[place]:8.3f}  ").append(text)
