"""``neuroglass import``: results that somebody published, or of another machine."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.place import Place, json_option, place_options

if TYPE_CHECKING:
    from engine.imports import Imported
    from engine.store import StoredImport


_ONE = {"indexes": "index"}


@click.command("import", short_help="Take in a dataset or another database.")
@click.argument("path", type=click.Path(path_type=Path), metavar="PATH", required=False)
@click.option("--list", "listing", is_flag=True, help="Show what was imported so far.")
@json_option
@place_options
def command(place: Place, path: Path | None, listing: bool, as_json: bool) -> None:
    """Take in explanations, scores and records of somebody else, or of another machine.

    PATH is a folder that `neuroglass export --dataset` wrote, a neuroglass.db, or a home folder
    with one. Checksums and every line are checked first; then all that is new enters at once,
    or nothing does. Importing twice adds nothing. Stars and tags are added to yours; your notes
    stay as they are.
    """

    async def run() -> None:
        from engine.errors import UsageError

        if listing == (path is not None):
            raise UsageError("Name what to import, or ask for --list.", "See --help.")
        async with await place.engine() as engine:
            if path is None:
                _list(engine.store.imports(), as_json)
                return
            shows = sys.stderr.isatty() and not as_json
            done = await engine.import_results(path, _progress if shows else None)
            if shows:
                click.echo("\r\x1b[K", nl=False, err=True)
            _tell(done, as_json)

    asyncio.run(run())


def _progress(count: int) -> None:
    click.echo(f"\r\x1b[K{count:,} explanations checked", nl=False, err=True)


def _tell(done: Imported, as_json: bool) -> None:
    from engine.glyphs import inert

    source, added = done.source, done.added
    if as_json:
        output.print_json({"source": asdict(source), "read": done.read, "added": asdict(added)})
        return
    about = f"“{inert(source.title)}” " if source.title else ""
    terms = f", licence {inert(source.licence)}" if source.licence else ""
    explained = done.read.get("explanations", 0)
    click.echo(f"Read {about}from {inert(source.source)}: {explained:,} explanations{terms}.")
    if not added.anything:
        click.echo("Nothing in it was new.")
        return
    parts = [
        f"{count:,} {_ONE.get(name, name[:-1]) if count == 1 else name}"
        for name, count in asdict(added).items()
        if count
    ]
    click.echo(f"Added {', '.join(parts)}.")


def _list(imports: list[StoredImport], as_json: bool) -> None:
    from engine.glyphs import inert

    for one in imports:
        if as_json:
            output.print_json(asdict(one))
            continue
        title = f"“{inert(one.source.title)}”, " if one.source.title else ""
        terms = f", licence {inert(one.source.licence)}" if one.source.licence else ""
        click.echo(
            f"{one.imported_at[:10]}  {title}{one.explanations:,} explanations, "
            f"{one.scorings:,} scorings from {inert(one.source.source)}{terms}"
        )
    if not imports:
        click.echo("Nothing was imported yet.", err=True)
