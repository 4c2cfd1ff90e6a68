"""All saved explanations of all models: find, compare, annotate, delete, open."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual import events

from engine.errors import NeuroglassError
from engine.glyphs import inert
from tui.library_limits import Limits
from tui.screens.library_reader import LibraryReader
from tui.screens.triage import typed

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.store import LibraryRow


class LibraryScreen(LibraryReader):
    """What can be done with explanations; reading is inherited."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._before_typing = ""

    # -- typing and choosing limits

    def takes(self, event: events.Key) -> bool:
        pane = self._pane
        if self.asking:
            return False
        if pane.typing:
            self._type(event)
            return True
        if pane.limits is not None:
            self._choose(event.key, pane.limits)
            return True
        if self._remark[0]:
            self.say("")
        return False

    def _type(self, event: events.Key) -> None:
        pane = self._pane
        if event.key in ("enter", "down"):
            pane.typing = False
            pane.filter = pane.filter.strip()
            self._app.session.library = pane.filter
        elif event.key == "escape":
            pane.typing, pane.filter = False, self._before_typing
        else:
            pane.filter = typed(pane.filter, event)
        self._limit(pane.filter)

    def on_paste(self, event: events.Paste) -> None:
        """Take the first line of what is pasted."""
        if self._pane.typing:
            event.stop()
            self._pane.filter += "".join(event.text.splitlines()[:1])
            self._limit(self._pane.filter)

    def action_library_find(self) -> None:
        """Search and filter as you type."""
        self._before_typing = self._pane.filter
        self._pane.typing = True
        self._drawn()

    def action_library_limit(self) -> None:
        """Set limits one by one."""
        self.run_worker(self._offer(), name="library-limits", group="limits", exclusive=True)

    async def _offer(self) -> None:
        try:
            facets = await asyncio.to_thread(self._engine.store.facets)
        except NeuroglassError as error:
            self.say(inert(str(error)), error=True)
            return
        self._pane.limits = Limits(facets, self._pane.filter)
        self._drawn()

    def _choose(self, key: str, limits: Limits) -> None:
        pane = self._pane
        if not limits.press(key):
            pane.limits = None
            self._app.session.library = pane.filter
        if limits.text != pane.filter:
            pane.filter = limits.text
            self._limit(pane.filter)
        self._drawn()

    # -- what can be done

    def action_sort(self) -> None:
        """Sort by the next column."""
        from engine.store import LibraryOrder

        orders = list(LibraryOrder)
        before = self._order or LibraryOrder.BEST
        self._order = orders[(orders.index(before) + 1) % len(orders)]
        self._app.session.library_order = str(self._order)
        self._find(from_the_top=True)

    def action_back(self) -> None:
        """Take marks away, then the filter; without any, go back."""
        pane = self._pane
        if pane.marked:
            pane.marked.clear()
            self._drawn()
        elif pane.filter:
            pane.filter = self._app.session.library = ""
            self._limit("")
        else:
            super().action_back()

    def action_library_mark(self) -> None:
        """Mark the explanation, or take its mark away, and go on to the next."""
        self._pane.mark()
        self._pane.move("down")
        self._drawn()

    def action_library_compare(self) -> None:
        """Show two explanations side by side."""
        pane = self._pane
        pair = list(pane.marked[-2:])
        here = pane.current_id
        if len(pair) < 2 and here is not None and here not in pair:
            pair.append(here)
        if len(pair) < 2:
            self.say("Mark another one with space; then v shows both.")
            return
        self.run_worker(self._compare(pair), name="library-compare", exclusive=True)

    async def _compare(self, pair: list[int]) -> None:
        from tui.screens.compare import CompareScreen, entry_of

        store = self._engine.store
        rows = await asyncio.to_thread(store.library_rows, pair)
        found = [
            await asyncio.to_thread(store.explanation, number, deleted=True) for number in pair
        ]
        entries = [
            entry_of(one, f"{one.neuron}  {rows[one.id].model_name or one.model[:8]}")
            for one in found
            if one is not None and one.id in rows
        ]
        self.app.push_screen(CompareScreen(self._engine, "Two explanations", entries))

    def action_delete(self) -> None:
        """Delete what is marked, or else the explanation under the cursor."""
        self.run_worker(self._delete(self._pane.chosen), name="library-write", group="write")

    async def _delete(self, ids: list[int]) -> None:
        try:
            done = await self._engine.store.delete_explanations(ids)
        except NeuroglassError as error:
            self.say(inert(str(error)), error=True)
            return
        what = f"#{done[0]}" if len(done) == 1 else f"{len(done)} explanations"
        self._pane.marked.clear()
        self._find()
        self.say(f"Deleted {what}; u brings back, for 30 days.")

    def action_undo(self) -> None:
        """Bring back what was deleted last; among the deleted, what is chosen."""
        self.run_worker(self._undo(), name="library-write", group="write")

    async def _undo(self) -> None:
        ids = self._pane.chosen if self._deleted else None
        try:
            done = await self._engine.store.restore_explanations(ids)
        except NeuroglassError as error:
            self.say(inert(str(error)), error=True)
            return
        self._pane.marked.clear()
        self._find()
        self._keep = done[0] if done and not self._deleted else self._keep
        what = f"#{done[0]}" if len(done) == 1 else f"{len(done)} explanations"
        self.say(f"Brought {what} back." if done else "Nothing deleted is left to bring back.")

    async def action_copy(self) -> None:
        """Send neuron and explanation to the terminal's clipboard."""
        row = self._pane.current
        if row is not None:
            self.say(await self._app.copy(f"{row.neuron} {row.text}"))

    # -- annotating

    def action_star(self) -> None:
        """Star the neuron, or take its star away."""
        row = self._pane.current
        if row is not None:
            store = self._engine.store
            self._write(store.set_star(row.model, row.neuron, not row.starred))

    def action_note(self) -> None:
        """Edit the neuron's note."""
        row = self._pane.current
        if row is None:
            return
        from tui.screens.note import NoteScreen

        def keep(text: str | None) -> None:
            if text is not None and text != row.note:
                self._write(self._engine.store.set_note(row.model, row.neuron, text))

        self.app.push_screen(NoteScreen(row.neuron, row.note), keep)

    def action_tags(self) -> None:
        """Edit the neuron's tags."""
        row = self._pane.current
        if row is not None:
            self._keep = row.id
            self.ask_text("tags", f"Tags of {row.neuron}, parted by commas", ", ".join(row.tags))

    def answered(self, about: str, answer: str) -> None:
        row = self._pane.current
        if about == "tags" and row is not None:
            tags = [tag.strip() for tag in answer.split(",")]
            self._write(self._engine.store.set_tags(row.model, row.neuron, tags))

    def _write(self, writing: object) -> None:
        self.run_worker(self._written(writing), name="library-write", group="write")

    async def _written(self, writing: object) -> None:
        try:
            await writing  # type: ignore[misc]
        except NeuroglassError as error:
            self.say(inert(str(error)), error=True)
            return
        self._reload = True
        self._look()

    # -- opening

    def action_open(self) -> None:
        """Open the neuron in the explorer, with this explanation, in the index it is of."""
        row = self._pane.current
        if row is not None:
            self.run_worker(self._open(row), name="library-open", exclusive=True)

    async def _open(self, row: LibraryRow) -> None:
        app, engine = self._app, self._engine
        catalogue = engine.catalogue
        if catalogue is None or catalogue.index_id != row.index_id:
            name = inert(row.model_name or row.model[:8])
            if app.jobs.scanning:
                self.say(f"It is of another index ({name}): S stops the scan first.", error=True)
                return
            if app.jobs.explaining or app.session.unsaved():
                text = f"It is of another index ({name}): save or cancel what is explained first."
                self.say(text, error=True)
                return
            from engine.opening import reopen

            try:
                index = await reopen(engine, row.index_id, row.index_path)
            except NeuroglassError as error:
                self.say(inert(str(error)), error=True)
                return
            app.explorer.open_index(index)
        app.explorer.prefer(row.neuron, row.id)
        self.open_neuron(row.neuron)
