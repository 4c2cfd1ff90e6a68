"""``neuroglass map``: all neurons of the model at a glance."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from tui.cli import output
from tui.cli.place import Place, json_option, open_index, place_options

QUANTITIES = ("score", "maximum", "active", "explanations", "kurtosis")
#: Signs of levels 0 to 8; the first one is that of a missing value.
SIGNS = "·▁▂▃▄▅▆▇█"


@click.command("map", short_help="All neurons at a glance: layers by neurons.")
@click.option(
    "--by",
    type=click.Choice(QUANTITIES),
    default="score",
    show_default=True,
    help="What is shown of each neuron: its best score, its maximum, the share of tokens it "
    "fires at, how many explanations it has, the kurtosis of its activations.",
)
@click.option("--zoom", type=click.IntRange(1), help="Neurons per cell. Default: as fits.")
@click.option(
    "--pool",
    type=click.Choice(("max", "mean")),
    default="max",
    show_default=True,
    help="How the neurons of one cell become its value.",
)
@json_option
@place_options
def command(place: Place, by: str, zoom: int | None, pool: str, as_json: bool) -> None:
    """Print a row for each layer, a sign for each cell; missing values are dots.

    With --json, prints one JSON object: values has a list for each layer, with null where
    there is no value, every neuron by itself unless --zoom is given.
    """
    asyncio.run(_map(place, by, zoom, pool, as_json))


async def _map(place: Place, by: str, zoom: int | None, pool: str, as_json: bool) -> None:
    from engine.neuron_map import Quantity
    from tui.map_grid import level_labels

    async with await place.engine() as engine:
        open_index(engine)
        found = await engine.neuron_map(Quantity(by))
        factor = zoom or (1 if as_json else _fitting(found.n_neurons))
        cells = found.cells(factor, "mean" if pool == "mean" else "max")
        if as_json:
            facts: dict[str, Any] = {
                "by": by,
                "layers": found.n_layers,
                "neurons": found.n_neurons,
                "zoom": factor,
                "pool": pool,
                "bounds": [output.number(bound) for bound in cells.bounds],
                "values": [output.numbers(row) for row in cells.values],
            }
            output.print_json(facts)
            return
        cell = "a neuron" if factor == 1 else f"the {pool} of {factor} neurons"
        click.echo(f"{by}; a sign is {cell}; · is no value", err=True)
        for layer, row in enumerate(cells.levels.tolist()):
            click.echo(f"{layer:>3} {''.join(SIGNS[level] for level in row)}")
        labels = level_labels(cells.bounds)
        click.echo("  ".join(map(" ".join, zip(SIGNS[1:], labels, strict=True))), err=True)


def _fitting(neurons: int) -> int:
    """Neurons per cell so that a layer is one line."""
    import shutil
    import sys

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else output.PIPE_WIDTH
    return -(-neurons // max(width - 4, 1))
