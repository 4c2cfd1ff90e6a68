"""``neuroglass models``: who can be asked, and what a model can do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.place import Place, json_option, place_options

if TYPE_CHECKING:
    from engine.models.presets import Preset


@click.group("models", short_help="Providers of language models.", invoke_without_command=True)
@json_option
@place_options
@click.pass_context
def command(ctx: click.Context, place: Place, as_json: bool) -> None:
    """List the providers, their addresses, and whether a key is found.

    A model is named PROVIDER:MODEL, local:CHECKPOINT, or URL#MODEL for any server that
    speaks OpenAI's API. Keys come from the environment or the system's keyring.
    """
    if ctx.invoked_subcommand is not None:
        return
    from engine.models.connect import LOCAL
    from engine.models.presets import PRESETS

    rows = [(LOCAL, "a checkpoint on this machine", "needs no key")]
    for preset in PRESETS.values():
        rows.append((preset.name, *_provider(preset)))
    for name, address, state in rows:
        if as_json:
            output.print_json({"provider": name, "address": address, "key": state})
        else:
            click.echo(f"{name:<12}{address:<56}{state}")


def _provider(preset: Preset) -> tuple[str, str]:
    """Its address, and whether a key is found; what is wrong with one is only said."""
    from engine.errors import UsageError
    from engine.models.connect import ModelRef
    from engine.models.keys import find_key

    try:
        address = ModelRef(preset.name, "any").address
    except UsageError as error:
        address, state = preset.base_url, error.message
    else:
        try:
            key = find_key(preset.name)
        except UsageError as error:
            state = error.message
        else:
            if key is not None:
                state = f"key from {key.source}"
            elif preset.key_names:
                state = f"no key: set {preset.key_names[0]}"
            else:
                state = "needs no key"
    return address, state


@command.command("check")
@click.argument("model")
@json_option
@place_options
def check(place: Place, model: str, as_json: bool) -> None:
    """Ask MODEL what it can do, and its provider which models it has."""

    async def run() -> None:
        from engine.glyphs import inert

        async with await place.engine() as engine:
            can = await engine.check_model(model)
        facts = {
            "json_by_schema": can.schema,
            "log_probabilities": can.top_logprobs,
            "prompt_log_probabilities": can.prompt_logprobs,
            "context": can.context,
            "models": list(can.models),
        }
        if as_json:
            output.print_json(facts)
            return
        click.echo(f"JSON by a schema             {'yes' if can.schema else 'in words'}")
        click.echo(f"log-probabilities            {can.top_logprobs or 'no'}")
        click.echo(f"of a prompt (all-at-once)    {'yes' if can.prompt_logprobs else 'no'}")
        click.echo(f"context                      {can.context or 'unknown'}")
        if can.models:
            click.echo(f"{len(can.models)} models:")
            for name in can.models:
                click.echo(f"  {inert(name)}")

    asyncio.run(run())
