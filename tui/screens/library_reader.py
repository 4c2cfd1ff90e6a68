"""The library as it is read: what is searched for, rows around the cursor, the preview."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult

from engine.errors import NeuroglassError
from engine.glyphs import inert
from tui.actions import LIBRARY, Action
from tui.library_filter import parse
from tui.screens.frame import Frame
from tui.widgets import status
from tui.widgets.library_pane import READ, LibraryPane, Shelf
from tui.widgets.pane import Span

if TYPE_CHECKING:
    from textual.timer import Timer

    from engine.engine import Engine
    from engine.store import LibraryFilter, LibraryOrder, StoredExplanation

#: While a key is held down, the preview waits for a pause of so many seconds.
QUIET = 0.05
#: Rows that have to be there around the cursor before nothing is read.
NEAR = 60
#: Actions that need an explanation under the cursor.
_OF_A_ROW = {"open", "library.mark", "library.compare", "delete", "star", "note", "tags", "copy"}


class LibraryReader(Frame):
    """A list of any length, of which only what is in sight is read."""

    NAME = LIBRARY
    HEADING = "Library"

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self._pane = LibraryPane()
        self._only: LibraryFilter | None = None
        self._order: LibraryOrder | None = None
        self._keep: int | None = None
        self._search = self._reload = self._again = self._looking = False
        self._timer: Timer | None = None

    def body(self) -> ComposeResult:
        yield self._pane

    def ready(self) -> None:
        self.set_focus(self._pane)
        self._pane.filter = self._app.session.library
        self._limit(self._pane.filter)

    def arrived(self) -> None:
        """Something may have been saved, or deleted, meanwhile."""
        self._find()

    # -- what is shown around the list

    def head(self) -> tuple[list[Span], list[Span]]:
        return status.title(None, self._app.palette, self.HEADING), self._app.scan_text or []

    def foot(self) -> list[tuple[str, str]] | None:
        if self._pane.typing:
            return [("enter", "keeps the filter"), ("esc", "drops it")]
        if self._pane.limits is not None:
            return [("jk", "move"), ("hl", "choose"), ("x", "clear all"), ("esc", "done")]
        return None

    def status_left(self, room: int) -> list[Span]:
        pane, palette = self._pane, self._app.palette
        if pane.wrong:
            return [(f" {pane.wrong}", palette.error)]
        if not pane.shelf.ids:
            return []
        spans: list[Span] = [(f" {pane.cursor + 1:,} of {len(pane.shelf.ids):,}", palette.dim)]
        if pane.marked:
            several = " ".join(f"#{number}" for number in pane.marked[:4])
            spans.append((f"   marked {several}", palette.accent))
        return spans

    def title_of(self, action: Action) -> str:
        if action.id == "undo" and self._deleted:
            return "restore"
        return action.title

    def why_not(self, action: Action) -> str:
        if self.engine is None:
            return super().why_not(action)
        if action.id in _OF_A_ROW and self._pane.current is None:
            return "There is no explanation here."
        if action.id == "delete" and self._deleted:
            return "These are deleted already: u brings one back."
        if action.id in _OF_A_ROW or action.id == "sort":
            return ""
        return super().why_not(action)

    @property
    def _deleted(self) -> bool:
        """Whether deleted explanations are looked at."""
        return self._only is not None and self._only.deleted

    # -- reading

    def _limit(self, text: str) -> bool:
        """Take a filter, if it makes sense, and search by it."""
        try:
            only = parse(text)
        except NeuroglassError as error:
            self._pane.wrong = inert(str(error))
            self._drawn()
            return False
        self._pane.wrong = ""
        if only != self._only:
            self._only = only
            self._find(from_the_top=True)
        self._drawn()
        return True

    def _find(self, *, from_the_top: bool = False) -> None:
        """Search again; the explanation under the cursor stays there if it is still found."""
        self._search = True
        self._keep = None if from_the_top else self._pane.current_id
        if from_the_top:
            self._pane.cursor = 0
        self._look()

    def _look(self) -> None:
        self._again = True
        if not self._looking and self.is_mounted:
            self._looking = True
            self.run_worker(self._looked(), name="library")

    async def _looked(self) -> None:
        """Read until what was read is what is wanted."""
        pane = self._pane
        try:
            while self._again:
                self._again = False
                search, self._search = self._search, False
                keep, self._keep = self._keep, None
                try:
                    shelf, place, preview = await asyncio.to_thread(self._read, search, keep)
                except NeuroglassError as error:
                    pane.shelf = Shelf(failed=inert(str(error)))
                    self._drawn()
                    return
                pane.shelf = shelf
                if search:
                    pane.cursor = place
                pane.preview = preview
                pane.order = str(self._order or "")
                self._drawn()
        finally:
            self._looking = False

    def _read(self, search: bool, keep: int | None) -> tuple[Shelf, int, StoredExplanation | None]:
        """Ids if asked for, rows around the cursor, and the preview; on a thread."""
        from engine.store import LibraryFilter, LibraryOrder

        store, pane = self._engine.store, self._pane
        if self._order is None:
            self._order = LibraryOrder(self._app.session.library_order or LibraryOrder.BEST)
        ids, rows, saved = pane.shelf.ids, pane.shelf.rows, pane.shelf.saved
        place = pane.cursor
        if search:
            ids = store.library(self._only or LibraryFilter(), self._order)
            saved = store.library_size()
            rows = {}
            if keep is not None and keep in ids:
                place = ids.index(keep)
        place = max(0, min(place, len(ids) - 1))
        if self._reload or any(one not in rows for one in ids[max(place - NEAR, 0) : place + NEAR]):
            self._reload = False
            rows = store.library_rows(ids[max(place - READ // 2, 0) : place + READ // 2])
        preview = store.explanation(ids[place], deleted=True) if ids else None
        return Shelf(ids, rows, saved), place, preview

    def _drawn(self) -> None:
        self._pane.redraw()
        self.draw_status()
        self.draw_footer()

    @on(LibraryPane.Wanted)
    def _moved(self) -> None:
        self.draw_status()
        if self._timer is not None:
            self._timer.stop()
            self._timer = self.set_timer(QUIET, self._rested)
        else:
            self._timer = self.set_timer(QUIET, self._rested)
            self._look()

    def _rested(self) -> None:
        self._timer = None
        self._look()
