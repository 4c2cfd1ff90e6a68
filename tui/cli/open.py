"""``neuroglass open``: the app on a published dataset, or on another index."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tui.cli.place import Place, place_options


@click.command("open", short_help="Browse a published dataset, without any model.")
@click.argument("name", metavar="SOURCE")
@place_options
@click.pass_context
def command(ctx: click.Context, place: Place, name: str) -> None:
    """Open the app on SOURCE.

    SOURCE is a dataset in the formats of OpenAI's public neuron data, of which nothing but
    the neurons you look at is loaded: openai:gpt2-xl or openai:gpt2-small, downloaded neuron by
    neuron and kept; a folder with collated-activations or explanations in it; one such file;
    or the address of such a folder, perhaps with the number of layers and neurons behind it
    (URL#12x3072). An index folder is opened, too.

    The environment variable NEUROGLASS_PUBLIC_DATA names another copy of the published data.
    """
    from engine.errors import UsageError
    from engine.index import MANIFEST

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "The app needs a terminal.", f"In a script: neuroglass show {name} 5:131 --json"
        )
    from tui.launch import run_app

    if (Path(name) / MANIFEST).is_file():
        status = run_app(home=place.home, index=Path(name))
    else:
        status = run_app(home=place.home, source=name)
    ctx.exit(status)
