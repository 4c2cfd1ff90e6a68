"""``neuroglass effects``: what a neuron's weights say it reads and writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
    from rich.console import Console

    from engine.effects import Effects, Link, Weighted
    from engine.engine import Engine
    from engine.neuron import NeuronId


@click.command("effects", short_help="Show what a neuron reads and writes, by its weights.")
@neuron_argument
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="Of each kind."
)
@json_option
@no_color_option
@place_options
def command(place: Place, neuron: NeuronId, limit: int, as_json: bool, no_color: bool) -> None:
    """Show the tokens that a neuron promotes and reads, and the neurons it is connected to.

    NEURON is layer and index, such as 5:131. Everything is the direct path on raw weights:
    no attention, no biases.
    """
    asyncio.run(_effects(place, neuron, limit, as_json, no_color))


async def _effects(
    place: Place, neuron: NeuronId, limit: int, as_json: bool, no_color: bool
) -> None:
    async with await place.engine() as engine:
        index = open_index(engine)
        effects = await engine.effects(neuron, limit)
        if as_json:
            facts = {"model": index.model_name, "model_id": index.model_id}
            output.print_json(
                {**output.neuron_json(neuron), **facts, **effects_json(effects)}, indent=2
            )
        else:
            _print(output.console(no_color=no_color), engine, effects)


def effects_json(effects: Effects) -> dict[str, Any]:
    """Effects as JSON values."""
    return {
        "promoted": output.weighted_json(effects.output.promoted),
        "suppressed": output.weighted_json(effects.output.suppressed),
        "readings": [
            {
                "name": one.name,
                "activating": output.weighted_json(one.activating),
                "suppressing": output.weighted_json(one.suppressing),
                "upstream": _links_json(one.upstream),
                "upstream_against": _links_json(one.upstream_against),
            }
            for one in effects.readings
        ],
        "downstream": [
            {
                "name": one.name,
                "excited": _links_json(one.excited),
                "inhibited": _links_json(one.inhibited),
            }
            for one in effects.downstream
        ],
    }


def _links_json(links: Sequence[Link]) -> list[dict[str, Any]]:
    return [
        {**output.neuron_json(link.neuron), "weight": output.number(link.weight)} for link in links
    ]


def _print(console: Console, engine: Engine, effects: Effects) -> None:
    from rich.text import Text

    console.print(Text(f"{effects.neuron}, by its weights alone", "bold"))
    _print_tokens(console, "Promotes", effects.output.promoted)
    _print_tokens(console, "Suppresses", effects.output.suppressed)
    for one in effects.readings:
        name = f" ({one.name})" if one.name else ""
        _print_tokens(console, f"Input tokens for it{name}", one.activating)
        _print_tokens(console, f"Input tokens against it{name}", one.suppressing)
    for one in effects.readings:
        name = f" ({one.name})" if one.name else ""
        _print_links(console, engine, f"Upstream for it{name}", one.upstream)
        _print_links(console, engine, f"Upstream against it{name}", one.upstream_against)
    for several in effects.downstream:
        name = f" ({several.name})" if several.name else ""
        _print_links(console, engine, f"Downstream excited{name}", several.excited)
        _print_links(console, engine, f"Downstream inhibited{name}", several.inhibited)


def _print_tokens(console: Console, title: str, tokens: Sequence[Weighted]) -> None:
    from rich.text import Text

    from engine.glyphs import exact

    console.print(Text(f"\n{title}", "bold"))
    entries = [f"{exact(token)} {weight:+.3f}" for token, weight in tokens]
    for line in output.columns(entries, console.width - 2):
        console.print(Text(f"  {line}"), soft_wrap=True)


def _print_links(console: Console, engine: Engine, title: str, links: Sequence[Link]) -> None:
    from rich.text import Text

    console.print(Text(f"\n{title}", "bold"))
    for link in links:
        words = output.known_as(engine, link.neuron, console.width - 24)
        line = Text(f"  {link.neuron!s:<10} {link.weight:+.3f}")
        console.print(line.append(f"  {words}" if words else "", "dim"), soft_wrap=True)
    if not links:
        console.print("  none: there is no layer on that side", soft_wrap=True)
