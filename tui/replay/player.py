"""Playing a session: the real app over the real engine, in a home of its own.

The user's own home is only read: the session's explanations, notes and choices go to a
temporary one, which begins with nothing but the index.
"""

from __future__ import annotations

import asyncio
import io
import os
import random
import shlex
import tempfile
import time
import unicodedata
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from engine.errors import NeuroglassError, UsageError
from tui import tasks
from tui.replay.script import Script, Size, Step

if TYPE_CHECKING:
    from textual.app import App
    from textual.events import Key
    from textual.pilot import Pilot
    from textual.timer import Timer

    from engine.engine import Engine
    from tui.app import NeuroglassApp

A = TypeVar("A", bound="NeuroglassApp")

#: What runs for as long as the app does, or for very long: never waited for.
STANDING = frozenset({"scan"})
#: Everything has been drawn when nothing was under way for so many looks.
LOOK_SECONDS, QUIET_LOOKS = 0.01, 4
#: What is written in a session is always of this day, since it is shown.
DAY = datetime(2026, 1, 2, 12, tzinfo=UTC)
#: What the window in a picture is called.
TITLE = "neuroglass"
#: How long a step may take.
PATIENCE_SECONDS = 120.0

#: Takes each picture: its name, and the screen as SVG.
Camera = Callable[[str, str], Awaitable[None]]


class ReplayError(NeuroglassError):
    """The session could not be played to its end."""


@contextmanager
def fresh_home(index: Path | None, prepare: Sequence[str] = ()) -> Iterator[Path]:
    """A temporary home that opens an index, after some commands have been run on it.

    Blocks while the commands run, and must not be called from a running event loop.

    Args:
        index: Index folder; None: nothing scanned.
        prepare: Command lines, without the program's name.

    Raises:
        ReplayError: a command failed.
    """
    import click

    from engine.paths import write_pointer
    from engine.store.codec import clock_from
    from tui.cli.root import cli

    with tempfile.TemporaryDirectory(prefix="neuroglass-") as folder, clock_from(DAY):
        home = Path(folder)
        if index is not None:
            write_pointer(home, index)
        for line in prepare:
            try:
                _quietly(partial(cli.main, ["--home", str(home), *shlex.split(line)]))
            except (NeuroglassError, click.ClickException, ValueError) as error:
                raise ReplayError(
                    f"The session's command {line!r} failed: {error}", "Mend it in the file."
                ) from error
        yield home


def _quietly(run: Callable[[], object]) -> None:
    out = io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(out):
            run()
    except SystemExit as end:
        if end.code:
            raise ValueError(out.getvalue().strip() or f"status {end.code}") from end


def session_app(home: Path, theme: str, app_class: type[A]) -> A:
    """The app as a session sees it: nothing of the user's settings, no scan by itself.

    Raises:
        UsageError: there is no such theme.
    """
    from tui.theme import DARK, SHORT

    async def open_engine() -> Engine:
        from engine.engine import Engine

        return await Engine.open(home)

    # A theme by name: otherwise it would depend on what this terminal can show.
    app = app_class(open_engine, scan=False, theme=SHORT.get(theme, theme) or DARK)
    if theme and app.theme != SHORT.get(theme, theme):
        raise UsageError(
            f"There is no theme {theme!r}.", f"Write {', '.join(SHORT)} or a theme of Textual's."
        )
    return app


async def play(script: Script, home: Path, size: Size, camera: Camera) -> None:
    """Play without a terminal.

    Raises:
        ReplayError: something waited for never came.
    """
    from tui.app import NeuroglassApp

    os.environ.pop("NO_COLOR", None)  # pictures have colours wherever they are taken
    app = session_app(home, script.theme, NeuroglassApp)
    async with app.run_test(size=(size.width, size.height)) as pilot:
        try:
            await follow(script, pilot, camera)
        finally:
            await app.jobs.close()
            if app.engine is not None:
                await app.engine.close()


async def follow(
    script: Script, pilot: Pilot[object], camera: Camera, *, pace: float = 0.0, live: bool = False
) -> None:
    """Do the steps of a session in an app that is running.

    Args:
        pace: Seconds before each key, for people who watch.
        live: There is a real terminal, whose size is not ours to change.
    """
    random.seed(script.seed)
    await settled(pilot)
    for number, step in enumerate(script.steps, start=1):
        try:
            await _do(step, pilot, pace, live)
            await settled(pilot)
            if step.wait:
                await appears(pilot, step.wait)
        except _Late as late:
            raise ReplayError(
                f"Step {number} did not end: {late}.", "Is it the same index?"
            ) from None
        if _gone(pilot):
            return
        if step.picture:
            await camera(step.picture, pilot.app.export_screenshot(title=TITLE, simplify=True))


def _gone(pilot: Pilot[object]) -> bool:
    leaving: bool = getattr(pilot.app, "leaving", False)
    return leaving or not pilot.app.is_running


async def _do(step: Step, pilot: Pilot[object], pace: float, live: bool) -> None:
    if step.size is not None and not live:
        await pilot.resize_terminal(step.size.width, step.size.height)
    for number, key in enumerate((*step.keys, *step.text)):
        if pace:
            await asyncio.sleep(pace)
        await press(pilot, key)
        if number < len(step.keys):
            await done(pilot)


async def press(pilot: Pilot[object], *keys: str) -> None:
    """Press keys, each when the one before has been taken.

    Pilot's own way rests for a twentieth of a second after each key.
    """
    for key in keys:
        pilot.app.post_message(_event(key))
        for _ in range(2):  # what the key did, and what came of that
            if not _gone(pilot):
                await pilot.pause(0)


def _event(key: str) -> Key:
    """A key as a terminal would tell it."""
    from textual.events import Key
    from textual.keys import REPLACED_KEYS, _character_to_key, _get_unicode_name_from_key

    if len(key) == 1 and not key.isalnum():
        key = _character_to_key(key)
    try:
        name = _get_unicode_name_from_key(REPLACED_KEYS.get(key, key))
        character: str | None = unicodedata.lookup(name)
    except KeyError:
        character = key if len(key) == 1 else None
    return Key(key, character)


class _Late(Exception):
    """Something has taken too long."""


def busy(app: App[object]) -> set[str]:
    """What the app is doing now, or will do by itself in a moment."""
    workers = {worker.name for worker in app.workers if worker.is_running}
    timers = {"a timer" for timer in _timers(app) if timer._task and not timer._task.done()}
    return (workers | tasks.running() | timers) - STANDING


def _timers(app: App[object]) -> Iterator[Timer]:
    """All that go off only once."""
    nodes = [app, *(node for screen in app.screen_stack for node in screen.walk_children())]
    for node in (*nodes, *app.screen_stack):
        yield from (timer for timer in list(node._timers) if timer._repeat == 0)


async def settled(pilot: Pilot[object], *, but: frozenset[str] = frozenset()) -> None:
    """Wait until nothing is opened, read or explained, and all is drawn.

    Args:
        but: Names of work that may go on.
    """
    await done(pilot, QUIET_LOOKS, but=but)


async def done(pilot: Pilot[object], looks: int = 1, *, but: frozenset[str] = frozenset()) -> None:
    """Wait until nothing was under way for so many looks one after the other."""
    end = time.monotonic() + PATIENCE_SECONDS
    quiet = 0
    while True:
        if _gone(pilot):
            return
        doing = busy(pilot.app) - but
        quiet = 0 if doing else quiet + 1
        if quiet >= looks:
            return
        if time.monotonic() > end:
            raise _Late(f"still busy with {', '.join(sorted(doing))}")
        await pilot.pause(LOOK_SECONDS)


async def appears(pilot: Pilot[object], text: str) -> None:
    """Wait until the screen says something, and all is drawn."""
    end = time.monotonic() + PATIENCE_SECONDS
    while text not in screen_text(pilot.app):
        if time.monotonic() > end:
            raise _Late(f"{text!r} is not on the screen")
        await pilot.pause(0.05)
    await settled(pilot)


def screen_text(app: object) -> str:
    """What the screen says, line by line."""
    from textual.app import App

    assert isinstance(app, App)
    lines = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in lines)


def check_index(script: Script, engine_index: object) -> None:
    """Refuse an index that the session was not recorded on.

    Raises:
        UsageError: it is another one.
    """
    from engine.index import Index

    assert isinstance(engine_index, Index)
    if script.index and script.index != engine_index.index_id:
        raise UsageError(
            "The session was recorded on another index, so its pictures would differ.",
            "Name its index with --index, or play it on this one with --any-index.",
        )
