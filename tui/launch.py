"""Starting the app from the command line."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import UsageError

if TYPE_CHECKING:
    from engine.engine import Engine

#: Textual reads these once, when it is imported; what the user has set wins. Frames may
#: follow each other fast, because the driver sends no more than the line takes.
SETTINGS = {"TEXTUAL_ANIMATIONS": "none", "TEXTUAL_SMOOTH_SCROLL": "0", "TEXTUAL_FPS": "120"}


def run_app(
    home: Path | None = None,
    index: Path | None = None,
    model: str | None = None,
    sources: tuple[str, ...] | None = None,
    source: str | None = None,
    fresh: bool = False,
) -> int:
    """Run the app until the user leaves; returns the exit code.

    Args:
        source: A published dataset to browse instead of an index.
        fresh: Don't open where the app was left.

    Raises:
        UsageError: the terminal can't show it.
    """
    if os.environ.get("TERM", "dumb") == "dumb" or not sys.stdout.isatty():
        raise UsageError(
            "The app needs a terminal that can move its cursor.",
            "Use the commands instead: neuroglass --help",
        )
    from tui.settings import load

    settings, problems = load()
    for name, value in {**SETTINGS, "TEXTUAL_FPS": str(settings.fps)}.items():
        os.environ.setdefault(name, value)
    # A thread that reads or explains gives way to the one that draws after so long.
    sys.setswitchinterval(0.001)
    from tui.app import make_app

    async def open_engine() -> Engine:
        def load() -> type[Engine]:
            # Both take a tenth of a second to import; a thread keeps the keys alive.
            import engine.store  # noqa: F401
            from engine.engine import Engine

            return Engine

        return await (await asyncio.to_thread(load)).open(home, index=index, source=source)

    app = make_app(
        open_engine,
        model=model,
        sources=sources,
        scan=index is None and source is None,
        settings=settings,
        problems=problems,
        restore=settings.restore and not fresh,
    )
    # Over SSH every move of the mouse would be a packet; the terminal's own selection
    # works when the mouse is left alone.
    remote = "SSH_CONNECTION" in os.environ or "SSH_TTY" in os.environ
    mouse = not remote if settings.mouse == "auto" else bool(settings.mouse)
    app.run(mouse=mouse)
    return app.return_code or 0
