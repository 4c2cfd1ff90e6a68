"""``neuroglass delete``: delete saved explanations, so that they can be restored."""

from __future__ import annotations

import asyncio

import click

from tui.cli import output
from tui.cli.place import Place, json_option, place_options


@click.command("delete", short_help="Delete saved explanations.")
@click.argument("ids", metavar="ID...", nargs=-1, type=click.IntRange(1), required=True)
@click.option("--for-good", is_flag=True, help="Forget them and their scores at once.")
@json_option
@place_options
def command(place: Place, ids: tuple[int, ...], for_good: bool, as_json: bool) -> None:
    """Delete explanations with their scores, by the ids that library and compare show.

    For 30 days they can be brought back: neuroglass restore. After that the next deletion
    forgets them.
    """
    asyncio.run(_delete(place, ids, for_good, as_json))


async def _delete(place: Place, ids: tuple[int, ...], for_good: bool, as_json: bool) -> None:
    from engine.errors import UsageError

    async with await place.engine() as engine:
        store = engine.store
        done = await (store.forget_explanations if for_good else store.delete_explanations)(ids)
        if as_json:
            output.print_json({"deleted": done, "for_good": for_good})
        elif done:
            numbers = " ".join(map(str, done))
            click.echo(f"Deleted {numbers}.", err=True)
            if not for_good:
                click.echo(f"Bring back with: neuroglass restore {numbers}", err=True)
        if missing := sorted(set(ids) - set(done)):
            raise UsageError(
                f"There is no explanation {', '.join(map(str, missing))}.",
                "List them with: neuroglass library",
            )
