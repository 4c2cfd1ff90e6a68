"""What is written down about a neuron in the explorer, and what is copied and exported."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import FileError, NeuroglassError
from engine.glyphs import inert
from tui.messages import Problem
from tui.screens.reporting import Reporter
from tui.screens.travelling import Traveller

if TYPE_CHECKING:
    from engine.engine import Engine


class Taker(Reporter, Traveller):
    """Stars, notes, tags; copying, exporting, reporting."""

    async def action_star(self) -> None:
        """Star the neuron, or take its star away."""
        engine, view, index = self.engine, self.neuron_view, self._index
        if engine is None or view is None or index is None:
            return
        starred = view.annotation is not None and view.annotation.starred
        try:
            await engine.store.set_star(index.model_id, view.record.neuron, not starred)
        except NeuroglassError as error:
            self.post_message(Problem(error.message, error.remedy))
            return
        self._feed.again()

    def action_note(self) -> None:
        """Edit the neuron's note."""
        view, index, engine = self.neuron_view, self._index, self.engine
        if view is None or index is None or engine is None:
            return
        from tui.screens.note import NoteScreen

        neuron = view.record.neuron
        before = view.annotation.note if view.annotation is not None else ""

        async def keep(text: str | None) -> None:
            if text is None or text == before:
                return
            try:
                await engine.store.set_note(index.model_id, neuron, text)
            except NeuroglassError as error:
                self.post_message(Problem(error.message, error.remedy))
                return
            self._feed.again()

        self.app.push_screen(NoteScreen(neuron, before), keep)

    def action_tags(self) -> None:
        """Edit the neuron's tags."""
        view = self.neuron_view
        if view is not None:
            tags = view.annotation.tags if view.annotation is not None else ()
            text = f"Tags of {view.record.neuron}, parted by commas"
            self.ask_text("tags", text, ", ".join(tags))

    async def _set_tags(self, text: str) -> None:
        view, index, engine = self.neuron_view, self._index, self.engine
        if view is None or index is None or engine is None:
            return
        try:
            tags = [tag.strip() for tag in text.split(",")]
            await engine.store.set_tags(index.model_id, view.record.neuron, tags)
        except NeuroglassError as error:
            self.post_message(Problem(error.message, error.remedy))
            return
        self._feed.again()

    async def action_copy(self) -> None:
        """Send neuron and explanation to the terminal's clipboard."""
        view = self.neuron_view
        if view is None:
            return
        result = self.session.results.get(view.record.neuron)
        text = str(view.record.neuron)
        if result is not None and result.explanation is not None:
            text += f" {result.explanation.text}"
        elif view.saved:
            text += f" {view.saved[0].text}"
        self.say(await self._app.copy(text))

    async def action_copy_excerpt(self) -> None:
        """Send the text of the excerpt under the cursor to the terminal's clipboard."""
        here = self._heatmap.current
        if here is not None:
            text = b"".join(here[0].tokens).decode("utf-8", "replace")
            self.say(await self._app.copy(text))

    def action_export(self) -> None:
        """Ask for a file to write what is shown to."""
        view = self.neuron_view
        if view is not None:
            neuron = view.record.neuron
            name = f"neuron-{neuron.layer}-{neuron.index}.svg"
            self.ask_text("export", "Write to (.svg .txt .md .json):", name)

    async def export(self, name: str) -> None:
        view, index = self.neuron_view, self._index
        if view is None or index is None or not name:
            return
        from tui import sheet

        groups = {self.session.group: self._heatmap.passages}
        shown = sheet.Sheet(index, view, groups, self.session.results.get(view.record.neuron))
        path = Path(name).expanduser()

        def write() -> int:
            form = sheet.format_of(path)
            if path.exists() and not path.is_dir():
                raise FileError(f"{path} exists.", "Choose another name.")
            return sheet.write(path, sheet.render(shown, form))

        try:
            size = await asyncio.to_thread(write)
        except NeuroglassError as error:
            self.say(inert(f"{error.message} {error.remedy}"), error=True)
        else:
            self.say(f"Wrote {inert(str(path))}, {size:,} bytes.")

    def report_name(self) -> str:
        view = self.neuron_view
        if view is None:
            return ""
        neuron = view.record.neuron
        return f"neuron-{neuron.layer}-{neuron.index}.html"

    async def write_report(self, engine: Engine, path: Path) -> str:
        assert self.neuron_view is not None
        neuron = self.neuron_view.record.neuron
        await engine.reports().neuron(path, neuron)
        result = self.session.results.get(neuron)
        unsaved = result is not None and result.unsaved
        return "without what is not saved" if unsaved else ""
