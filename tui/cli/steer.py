"""``neuroglass steer``: continue a text with a neuron turned up and down."""

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
from tui.cli.typed import change_option, text_argument

if TYPE_CHECKING:
    from engine.change import Change
    from engine.neuron import NeuronId


@click.command("steer", short_help="Continue a text with a neuron turned up and down.")
@neuron_argument
@text_argument
@change_option(
    multiple=True,
    help_text="What to do with the neuron; may be repeated, without it four are compared (zero, "
    "x1, its maximum, four times that)",
)
@click.option(
    "--tokens", type=click.IntRange(1), default=24, show_default=True, help="To write each time."
)
@click.option(
    "--temperature",
    type=click.FloatRange(0),
    default=0.8,
    show_default=True,
    help="0 always takes the likeliest token.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@json_option
@no_color_option
@place_options
def command(
    place: Place,
    neuron: NeuronId,
    text: str,
    changes: tuple[Change, ...],
    tokens: int,
    temperature: float,
    seed: int,
    as_json: bool,
    no_color: bool,
) -> None:
    """Continue TEXT several times with NEURON changed at every token; - reads standard input.

    All continuations use the same random numbers, so that what differs between them comes
    from the neuron.
    """
    asyncio.run(_steer(place, neuron, text, changes, tokens, temperature, seed, as_json, no_color))


async def _steer(
    place: Place,
    neuron: NeuronId,
    text: str,
    changes: tuple[Change, ...],
    tokens: int,
    temperature: float,
    seed: int,
    as_json: bool,
    no_color: bool,
) -> None:
    from contextlib import aclosing

    from engine.change import usual_changes
    from engine.glyphs import inert
    from engine.steering import Steered, SteerFinished

    async with await place.engine() as engine:
        index = open_index(engine)
        changes = changes or usual_changes(index.statistics(neuron).maximum)
        experiments = await engine.experiments()
        written: list[list[Steered]] = [[] for _ in changes]
        ended: tuple[bool, ...] = ()
        stream = experiments.steer(
            text, neuron, changes, tokens=tokens, temperature=temperature, seed=seed
        )
        async with aclosing(stream) as events:
            async for event in events:
                if isinstance(event, Steered):
                    written[event.variant].append(event)
                elif isinstance(event, SteerFinished):
                    ended = event.ended
    texts = [b"".join(one.token for one in row).decode("utf-8", "replace") for row in written]
    if as_json:
        output.print_json(
            {
                **output.neuron_json(neuron),
                "model": index.model_name,
                "model_id": index.model_id,
                "prompt": text,
                "temperature": temperature,
                "seed": seed,
                "continuations": [
                    {
                        "change": str(change),
                        "text": words,
                        "tokens": output.texts([one.token for one in row]),
                        "probabilities": [output.number(one.probability) for one in row],
                        "ended": end,
                    }
                    for change, words, row, end in zip(changes, texts, written, ended, strict=True)
                ],
            },
            indent=2,
        )
        return
    from rich.text import Text

    console = output.console(no_color=no_color)
    for change, words, end in zip(changes, texts, ended, strict=True):
        head = Text(f"{neuron} {change}", "bold")
        console.print(head.append("  ended the text" if end else "", "not bold dim"))
        for line in Text(inert(words)).wrap(console, max(console.width - 2, 20)):
            console.print(Text("  ").append(line), soft_wrap=True)
