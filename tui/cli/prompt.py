"""``neuroglass prompt``: a neuron, and all neurons, on a typed text."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from tui.cli import output
from tui.cli.place import (
    NeuronArgument,
    Place,
    json_option,
    no_color_option,
    open_index,
    place_options,
)
from tui.cli.typed import text_argument

if TYPE_CHECKING:
    from rich.console import Console

    from engine.engine import Engine
    from engine.experiments import Firing, PromptReading
    from engine.neuron import NeuronId


@click.command("prompt", short_help="Read a neuron on a text of your own.")
@text_argument
@click.option("--neuron", type=NeuronArgument(), help="Read this neuron at every token.")
@click.option(
    "--at",
    "position",
    type=int,
    metavar="N",
    help="Rank the neurons of all layers that fire at token N, counted from 0, or from the end "
    "if negative.",
)
@click.option("--tokens", "listed", is_flag=True, help="List every token with its number.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="Neurons ranked."
)
@json_option
@no_color_option
@place_options
def command(
    place: Place,
    text: str,
    neuron: NeuronId | None,
    position: int | None,
    listed: bool,
    limit: int,
    as_json: bool,
    no_color: bool,
) -> None:
    """Read TEXT through the model; - reads standard input.

    Neurons are ranked by the share of their own maximum over the scanned text. Without
    --neuron and --at, the neurons at the last token are ranked.
    """
    if neuron is None and position is None:
        position = -1
    asyncio.run(_prompt(place, text, neuron, position, listed, limit, as_json, no_color))


async def _prompt(
    place: Place,
    text: str,
    neuron: NeuronId | None,
    position: int | None,
    listed: bool,
    limit: int,
    as_json: bool,
    no_color: bool,
) -> None:
    from engine.neuron import NeuronId

    async with await place.engine() as engine:
        open_index(engine)
        experiments = await engine.experiments()
        firing: tuple[Firing, ...] = ()
        if position is not None:
            firing = await experiments.firing(text, position, limit)
        reading = await experiments.read(text, neuron or NeuronId(0, 0))
        if position is not None:
            position %= len(reading.tokens)
        if as_json:
            _print_json(engine, reading, neuron, position, firing)
            return
        console = output.console(no_color=no_color)
        if neuron is not None:
            _print_heat(console, engine, reading)
        if listed:
            _print_tokens(console, reading, neuron)
        if position is not None:
            _print_firing(console, engine, reading, position, firing)
        if reading.cut:
            console.print(f"\nThe model reads no more: {reading.cut:,} tokens were left out.")


def _print_json(
    engine: Engine,
    reading: PromptReading,
    neuron: NeuronId | None,
    position: int | None,
    firing: tuple[Firing, ...],
) -> None:
    index = open_index(engine)
    facts: dict[str, Any] = {
        "model": index.model_name,
        "model_id": index.model_id,
        "tokens": output.texts(reading.tokens),
        "token_ids": reading.token_ids.tolist(),
        "surprise": output.numbers(reading.surprise),
        "cut": reading.cut,
    }
    if neuron is not None:
        facts |= output.neuron_json(neuron)
        facts["activations"] = output.numbers(reading.activations)
    if position is not None:
        facts["position"] = position
        facts["firing"] = [
            {
                **output.neuron_json(one.neuron),
                "activation": output.number(one.activation),
                "share": output.number(one.share),
                "z": output.number(one.z),
            }
            for one in firing
        ]
    output.print_json(facts, indent=2)


def _print_heat(console: Console, engine: Engine, reading: PromptReading) -> None:
    from rich.text import Text

    from tui.cli import heat

    statistics = open_index(engine).statistics(reading.neuron)
    top = int(reading.activations.argmax())
    head = Text(str(reading.neuron), "bold")
    head.append(f"  strongest {reading.activations[top]:.3f} at token {top}", "not bold dim")
    console.print(head, soft_wrap=True)
    console.print(
        heat.heatmap(console, reading.tokens, reading.activations.tolist(), statistics.maximum)
    )
    console.print(heat.legend(console, statistics.maximum))


def _print_tokens(console: Console, reading: PromptReading, neuron: NeuronId | None) -> None:
    from rich.text import Text

    from engine.glyphs import exact

    console.print(
        Text(f"\n{'token':>5}  {'surprise':>8}", "bold").append(
            f"  {'activation':>10}" if neuron is not None else ""
        )
    )
    for number, token in enumerate(reading.tokens):
        line = f"{number:>5}  {output.shown(float(reading.surprise[number]), '.3f'):>8}"
        if neuron is not None:
            line += f"  {float(reading.activations[number]):>10.3f}"
        console.print(Text(f"{line}  {exact(token)}"), soft_wrap=True)


def _print_firing(
    console: Console,
    engine: Engine,
    reading: PromptReading,
    position: int,
    firing: tuple[Firing, ...],
) -> None:
    from rich.text import Text

    from engine.glyphs import exact

    title = f"\nFiring at token {position}, {exact(reading.tokens[position])}"
    console.print(Text(title, "bold"), soft_wrap=True)
    for one in firing:
        line = Text(f"  {one.neuron!s:<10} {one.share:>5.0%} of max  {one.activation:>7.3f}  ")
        line.append(f"z {output.shown(one.z, '.1f')}")
        words = output.known_as(engine, one.neuron, console.width - 48)
        console.print(line.append(f"  {words}" if words else "", "dim"), soft_wrap=True)
    if not firing:
        console.print("  none fires")
