"""``neuroglass choices``: how neurons are explained and scored from now on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import click

from tui.cli import output
from tui.cli.choosing import apply, choosing_options
from tui.cli.place import Place, json_option, place_options


@click.command("choices", short_help="How to explain and score: show, or change.")
@choosing_options
@click.option("--reset", is_flag=True, help="Back to the token look-up, no models, no budget.")
@json_option
@place_options
def command(place: Place, chosen: Mapping[str, Any], reset: bool, as_json: bool) -> None:
    """Show the remembered choices; with options, change them first.

    The app and every command use them. Keys are no choices: they stay in the environment
    or the system's keyring.
    """

    async def run() -> None:
        from engine.choices import Choices
        from engine.glyphs import inert

        async with await place.engine() as engine:
            choices = Choices() if reset else engine.choices
            if reset or chosen:
                choices = apply(choices, chosen)
                await engine.remember(choices)
            facts = choices.to_json()
            if as_json:
                output.print_json(facts)
                return
            for name, value in facts.items():
                click.echo(f"{name.replace('_', ' '):<18}{inert(_shown(value))}")

    asyncio.run(run())


def _shown(value: Any) -> str:
    match value:
        case None | "" | () | {}:
            return "—"
        case bool():
            return "yes" if value else "no"
        case dict():
            prices = (f"{k} {v['input']:g}/{v['output']:g}" for k, v in value.items())
            return f"{', '.join(prices)} per million tokens"
        case list() | tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)
