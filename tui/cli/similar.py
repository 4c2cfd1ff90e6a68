"""``neuroglass similar``: the neurons most like a neuron."""

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
    open_index,
    place_options,
)

if TYPE_CHECKING:
    from engine.neuron import NeuronId
    from engine.similarity import Likeness

#: As :data:`engine.similarity.LIKENESSES`, which would bring numpy along.
BY = ("activation", "input", "output")


@click.command("similar", short_help="Find neurons like a neuron.")
@neuron_argument
@click.option(
    "--by",
    type=click.Choice(BY),
    default="activation",
    show_default=True,
    help="Activation: correlation of the mean activations by token, from the index alone. "
    "Input, output: cosine of the weights.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="Neurons."
)
@json_option
@no_color_option
@place_options
def command(
    place: Place, neuron: NeuronId, by: Likeness, limit: int, as_json: bool, no_color: bool
) -> None:
    """Find the neurons that fire on the same tokens, or read or write alike.

    NEURON is layer and index, such as 5:131.
    """
    asyncio.run(_similar(place, neuron, by, limit, as_json, no_color))


async def _similar(
    place: Place, neuron: NeuronId, by: Likeness, limit: int, as_json: bool, no_color: bool
) -> None:
    from rich.text import Text

    async with await place.engine() as engine:
        index = open_index(engine)
        similar = await engine.similar(neuron, by, limit)
        if as_json:
            output.print_json(
                {
                    **output.neuron_json(neuron),
                    "model": index.model_name,
                    "model_id": index.model_id,
                    "by": similar.by,
                    "top_windows_kept": similar.kept,
                    "similar": [
                        {
                            **output.neuron_json(one.neuron),
                            "likeness": output.number(one.likeness),
                            "top_windows_shared": one.shared,
                        }
                        for one in similar.found
                    ],
                },
                indent=2,
            )
            return
        console = output.console(no_color=no_color)
        console.print(Text(f"Like {neuron}, by {by}", "bold"))
        for one in similar.found:
            line = Text(f"  {one.neuron!s:<10} {one.likeness:+.3f}")
            line.append(f"  {one.shared:>2} of {similar.kept} top windows shared", "dim")
            words = output.known_as(engine, one.neuron, console.width - 56)
            console.print(line.append(f"  {words}" if words else "", "dim"), soft_wrap=True)
