"""Reports as files: one HTML page about what a screen shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import FileError, NeuroglassError, UsageError
from engine.glyphs import inert
from tui.screens.frame import Frame

if TYPE_CHECKING:
    from engine.engine import Engine

_ENDINGS = (".html", ".htm")


class Reporter(Frame):
    """Asks for a file and has the report written to it, behind what is shown."""

    def report_name(self) -> str:
        """The name that is offered for the file; empty while there is nothing to report."""
        raise NotImplementedError

    async def write_report(self, engine: Engine, path: Path) -> str:
        """Write it; what is to be said of it beside its size, if anything.

        Raises:
            NeuroglassError: it can't be written, or there is nothing to write.
        """
        raise NotImplementedError

    def action_report(self) -> None:
        """Ask for a file to write a report to."""
        name = self.report_name()
        if name:
            self.ask_text("report", "Report to (.html):", name)

    def report(self, name: str) -> None:
        """Write the report to a new file, in the background."""
        if name and self.report_name():
            self.say("Writing …")
            self.run_worker(self._report(name), name="report", group="report", exclusive=True)

    async def _report(self, name: str) -> None:
        engine, path = self.engine, Path(name).expanduser()
        if engine is None:
            return
        try:
            if path.suffix.lower() not in _ENDINGS:
                raise UsageError(f"{path} would hold a page.", "End the name in .html.")
            if path.exists() and not path.is_dir():
                raise FileError(f"{path} exists.", "Choose another name.")
            remark = await self.write_report(engine, path)
            size = path.stat().st_size
        except NeuroglassError as error:
            self._app.say(inert(str(error)), error=True)
        except OSError as error:
            self._app.say(inert(f"{path} can't be written: {error.strerror}."), error=True)
        else:
            self._app.say(inert(f"Wrote {path}, {size:,} bytes{remark and ', '}{remark}."))
