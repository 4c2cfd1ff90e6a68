"""``neuroglass record``: use the app, and keep what was pressed as a session file."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from engine.errors import NeuroglassError, UsageError
from tui.cli.place import Place, open_index, place_options


@click.command("record", short_help="Record a session of the app as a file.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--title", default="", help="A sentence about the session.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@place_options
def command(place: Place, file: Path, title: str, force: bool) -> None:
    """Open the app, write down every key until you quit, and save them as a session FILE.

    A step ends where you pause. The session works on a home of its own that begins with
    nothing but the open index: what you explain and save while recording is thrown away.
    Texts you type are part of the recording. Play it with: neuroglass replay FILE
    """
    from tui.launch import SETTINGS

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("Recording needs a terminal.", "A session can be written by hand, too.")
    if file.exists() and not force:
        raise UsageError(f"{file} exists.", "Choose another name, or replace it with --force.")
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    path, index_id = asyncio.run(_index(place))
    from engine.paths import write_atomically
    from tui.replay.player import fresh_home, session_app
    from tui.replay.recorder import Recorder, RecordingApp
    from tui.replay.script import to_toml

    recorder = Recorder()
    with fresh_home(path) as home:
        app = session_app(home, "", RecordingApp)
        app.recorder = recorder
        app.run(mouse=False)
        theme = app.theme
    text = to_toml(recorder.script(title or file.stem, index_id, theme))
    try:
        write_atomically(file, text)
    except OSError as error:
        raise NeuroglassError(
            f"{file} can't be written: {error.strerror}.", "Record again into another folder."
        ) from error
    click.echo(f"Recorded {file}. Play it with: neuroglass replay {file}", err=True)


async def _index(place: Place) -> tuple[Path, str]:
    async with await place.engine() as engine:
        index = open_index(engine)
        return Path(index.path).resolve(), index.index_id
