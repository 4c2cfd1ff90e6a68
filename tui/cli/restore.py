"""``neuroglass restore``: bring deleted explanations back."""

from __future__ import annotations

import asyncio

import click

from tui.cli import output
from tui.cli.place import Place, json_option, place_options


@click.command("restore", short_help="Bring deleted explanations back.")
@click.argument("ids", metavar="[ID...]", nargs=-1, type=click.IntRange(1))
@json_option
@place_options
def command(place: Place, ids: tuple[int, ...], as_json: bool) -> None:
    """Bring explanations back with their scores; without ids, what was deleted last.

    What can be brought back: neuroglass library --deleted.
    """
    asyncio.run(_restore(place, ids, as_json))


async def _restore(place: Place, ids: tuple[int, ...], as_json: bool) -> None:
    from engine.errors import UsageError

    async with await place.engine() as engine:
        done = await engine.store.restore_explanations(ids or None)
        if as_json:
            output.print_json({"restored": done})
        elif done:
            click.echo(f"Restored {' '.join(map(str, done))}.", err=True)
        missing = sorted(set(ids) - set(done))
        if missing or not (ids or done):
            which = f" with the id {', '.join(map(str, missing))}" if missing else ""
            raise UsageError(
                f"Nothing deleted{which} is left to restore.",
                "See what is: neuroglass library --deleted",
            )
