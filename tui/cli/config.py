"""``neuroglass config``: the config file of the app."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from tui.cli.place import json_option


@click.group("config", short_help="The app's config file: where, what, a new one.")
def command() -> None:
    """The app's config file, a few options and keys in TOML.

    It lies in the platform's config folder; NEUROGLASS_CONFIG names another one.
    """


@command.command("path")
def path_() -> None:
    """Print where the file is, or would be."""
    from tui.settings import config_path

    click.echo(str(config_path()))


@command.command("show")
@json_option
def show(as_json: bool) -> None:
    """Print every option as it holds now; what is wrong in the file, on standard error."""
    from engine.glyphs import inert
    from tui.settings import config_path, documented, load

    settings, problems = load()
    if as_json:
        from tui.cli.output import print_json

        facts: dict[str, Any] = {"path": str(config_path()), **asdict(settings)}
        print_json({**facts, "problems": problems}, indent=2)
    else:
        for line in documented(settings).splitlines():
            click.echo(inert(line))
    for line in problems:
        click.echo(inert(line), err=True)
    if problems:
        raise click.exceptions.Exit(1)


@command.command("init")
def init() -> None:
    """Write a file in which every option is explained; never over one that is there."""
    from engine.errors import UsageError
    from tui.settings import config_path, documented

    path = config_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(documented())
    except FileExistsError:
        raise UsageError(f"{path} is there already.", "Edit it, or move it away.") from None
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror}.", "") from error
    click.echo(str(path))


@command.command("keys")
@json_option
def keys(as_json: bool) -> None:
    """Print every action: its id, its keys, what it does."""
    from tui.actions import ACTIONS
    from tui.keys import shown
    from tui.settings import load

    changed = load()[0].keymap
    rows = [(one.id, changed.get(one.id, one.keys), one.description) for one in ACTIONS]
    if as_json:
        from tui.cli.output import print_json

        actions = [{"id": name, "keys": list(ks), "does": what} for name, ks, what in rows]
        print_json({"actions": actions}, indent=2)
        return
    for name, several, what in rows:
        click.echo(f"{name:<18} {' '.join(map(shown, several)):<22} {what}")
