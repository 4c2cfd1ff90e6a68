"""``neuroglass export``: what was scanned and explained, as files for other programs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.cli.export_openai import write_openai
from tui.cli.place import NeuronArgument, Place, json_option, place_options

if TYPE_CHECKING:
    from engine.neuron import NeuronId

FORMATS = ("openai",)


@click.command("export", short_help="Write neurons and results for other programs.")
@click.option("--format", "how", type=click.Choice(FORMATS), required=True)
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    required=True,
    help="Folder to write into; it is made.",
)
@click.option("--layer", "layers", type=click.IntRange(0), multiple=True, help="These layers only.")
@click.option(
    "--neuron",
    "neurons",
    type=NeuronArgument(),
    multiple=True,
    metavar="NEURON",
    help="These neurons only, such as 5:131; may be repeated.",
)
@click.option("--weights", is_flag=True, help="Related tokens and neurons by weights, too.")
@json_option
@place_options
def command(
    place: Place,
    how: str,
    path: Path,
    layers: tuple[int, ...],
    neurons: tuple[NeuronId, ...],
    weights: bool,
    as_json: bool,
) -> None:
    """Write neurons as files.

    openai writes a folder in the formats of OpenAI's public neuron data, which their viewer
    and code read: one file of excerpts for each neuron, one of its explanations with their
    simulations, and one of its tokens by mean activation; with --weights, which loads the
    model, related tokens and neurons. `neuroglass open DIR` shows it.
    """

    async def run() -> None:
        async with await place.engine() as engine:
            await write_openai(engine, path, layers, neurons, weights=weights, as_json=as_json)

    asyncio.run(run())
