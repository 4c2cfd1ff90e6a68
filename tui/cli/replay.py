"""``neuroglass replay``: play a recorded session and take its pictures."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.errors import NeuroglassError, UsageError
from tui.cli.place import Place, place_options

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tui.replay.script import Script, Size


@click.command("replay", short_help="Play a recorded session of the app.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a picture (SVG) for each step that names one into this folder.",
)
@click.option("--size", help="Terminal size, such as 80x24. Default: all that the file names.")
@click.option("--theme", help="Colours: dark, light or plain. Default: what the file names.")
@click.option("--check", is_flag=True, help="Compare with the pictures in --out; change nothing.")
@click.option("--live", is_flag=True, help="Play it here in the terminal, for you to watch.")
@click.option(
    "--pace",
    type=click.FloatRange(0, 10),
    default=0.25,
    show_default=True,
    help="Seconds before each key, with --live.",
)
@click.option("--any-index", is_flag=True, help="Play it though it was recorded on another index.")
@place_options
def command(
    place: Place,
    file: Path,
    out: Path | None,
    size: str | None,
    theme: str | None,
    check: bool,
    live: bool,
    pace: float,
    any_index: bool,
) -> None:
    """Play the keys of a session FILE over the index, and take its pictures.

    The session gets a home of its own: your explanations, notes and settings are neither
    shown nor changed. A session file is TOML, as `neuroglass record` writes it:

    \b
        title = "A neuron is browsed"
        sizes = ["120x40", "80x24"]
        theme = "light"
        prepare = ["annotate 1:1 --star"]
        steps = [
          { picture = "opened" },
          { keys = "j j enter", picture = "excerpts" },
          { keys = ":", text = "1:7", picture = "typing" },
          { keys = "enter", wait = "1:7" },
          { size = "60x20", picture = "smaller" },
        ]

    With index = "none" it begins with nothing scanned.

    On the same index the pictures are the same on every machine. With --check, exits
    with 1 if one differs or is missing.
    """
    from tui.launch import SETTINGS
    from tui.replay.script import Size, read_script

    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    script = read_script(file)
    if theme:
        script = replace(script, theme=theme)
    if check and out is None:
        raise UsageError("--check needs pictures to compare with.", "Name their folder with --out.")
    sizes = (Size.parse(size),) if size else script.sizes
    index = asyncio.run(_index(place, script, any_index))
    if live:
        _live(script, index, pace)
        return
    differing = 0
    for one in sizes:
        differing += _headless(script, index, one, out, check)
    if differing:
        click.echo(f"{differing} of the pictures differ or are missing.", err=True)
        raise click.exceptions.Exit(1)


async def _index(place: Place, script: Script, any_index: bool) -> Path | None:
    from tui.cli.place import open_index
    from tui.replay.player import check_index
    from tui.replay.script import NO_INDEX

    if script.index == NO_INDEX:
        return None
    async with await place.engine() as engine:
        index = open_index(engine)
        if not any_index:
            check_index(script, index)
        return Path(index.path).resolve()


def _headless(script: Script, index: Path | None, size: Size, out: Path | None, check: bool) -> int:
    """Play at one size; returns how many pictures are not as they were."""
    from tui.replay.player import fresh_home, play

    pictures: dict[str, str] = {}

    async def camera(name: str, svg: str) -> None:
        pictures[name] = svg

    with fresh_home(index, script.prepare) as home:
        asyncio.run(play(script, home, size, camera))
    differing = 0
    for name, svg in pictures.items():
        if out is None:
            click.echo(f"{size} {name}")
            continue
        path = out / f"{size} {name}.svg"
        if not check:
            _write(path, svg)
            click.echo(path)
        elif not path.exists() or path.read_text("utf-8") != svg:
            differing += 1
            click.echo(f"differs: {path}")
    return differing


def _write(path: Path, svg: str) -> None:
    from engine.paths import write_atomically

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, svg)
    except OSError as error:
        raise NeuroglassError(
            f"{path} can't be written: {error.strerror}.", "Name another folder with --out."
        ) from error


def _live(script: Script, index: Path | None, pace: float) -> None:
    from tui.app import NeuroglassApp
    from tui.replay.player import follow, fresh_home, session_app

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("--live needs a terminal.", "Leave it out to play without one.")
    failures: list[NeuroglassError] = []

    async def nothing(name: str, svg: str) -> None:
        pass

    async def drive(pilot: Pilot[object]) -> None:
        try:
            await follow(script, pilot, nothing, pace=pace, live=True)
        except NeuroglassError as error:
            failures.append(error)
            pilot.app.exit()

    with fresh_home(index, script.prepare) as home:
        session_app(home, script.theme, NeuroglassApp).run(mouse=False, auto_pilot=drive)
    if failures:
        raise failures[0]
