"""Runs over many neurons: start, follow, stop, resume; the leaderboard of all results."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import ComposeResult

from engine.errors import NeuroglassError, UsageError
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui.actions import TRIAGE, Action
from tui.screens.reporting import Reporter
from tui.screens.triage_start import STOPPING, Starter
from tui.triage_filter import parse
from tui.widgets.pane import Span
from tui.widgets.prompt import typed
from tui.widgets.triage_pane import READ, View

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from engine.engine import Engine
    from engine.triage import Board, Filter, Sorting

#: How often the run is looked at, in seconds.
LOOK = 0.5


class TriageScreen(Reporter, Starter):
    """Follow and choose.

    The run is a process of its own: what is shown is read from the store, and leaving the
    screen or the app changes nothing about it.
    """

    NAME = TRIAGE
    HEADING = "Triage"

    def __init__(self, engine: Engine, neuron: NeuronId) -> None:
        super().__init__(engine, neuron)
        self._board: Board | None = None
        self._only: Filter | None = None
        self._sorting: Sorting | None = None
        self._looked = asyncio.Lock()
        self._wanted = False  # what is shown is no longer what was asked for
        self._moved = False

    def body(self) -> ComposeResult:
        yield self._pane

    def ready(self) -> None:
        self.set_focus(self._pane)
        self._look_soon()
        self.set_interval(LOOK, self._look_again)

    def foot(self) -> list[tuple[str, str]] | None:
        pane = self._pane
        if pane.typed is not None:
            return [("enter", "filters"), ("esc", "leaves it")]
        if pane.dialog is not None:
            batch = [("b", "batch")] if pane.dialog.can_batch else []
            return [("jk", "move"), ("enter", "starts"), *batch, ("esc", "no run")]
        return None

    def title_of(self, action: Action) -> str:
        status = self._pane.view.status
        if action.id == "triage.pause" and status is not None:
            if status.standing == "waiting":
                return "collect"
            return "stop" if status.running else "resume"
        return action.title

    def status_left(self, room: int) -> list[Span]:
        return self._pane.status(room)

    def why_not(self, action: Action) -> str:
        status = self._pane.view.status
        running = status is not None and status.running
        if action.id == "triage.new" and running:
            return "A run is under way; p stops it first."
        if action.id == "triage.pause" and not running and self._board is not None:
            if status is None:
                return "There is no run yet: N starts one."
            if not status.resumable:
                return "The run is finished: N starts another one."
        if action.id == "open" and self._pane.current is None:
            return "No neuron is explained yet."
        if action.id == "report" and not self._pane.view.total and not self._pane.filter:
            return "No neuron is explained yet: N starts a run."
        return super().why_not(action)

    # -- looking

    def _look_soon(self) -> None:
        self._wanted = True
        self._look_again()

    def _look_again(self) -> None:
        if not self._looked.locked():
            self.run_worker(self._looking(), name="triage")

    def _work(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do it in place of what of the same name is under way."""
        self.run_worker(work, name=name, group=name, exclusive=True)

    async def _looking(self) -> None:
        async with self._looked:
            await self._look()
            while self._wanted:  # a filter or an order was chosen meanwhile
                await self._look()

    async def _look(self) -> None:
        self._wanted = False
        pane = self._pane
        at = pane.current.neuron if self._moved and pane.current is not None else None
        try:
            if self._board is not None and self._only is not None:
                await self._engine.triages().ready_for(self._board, self._only)
            view = await asyncio.to_thread(self._read, pane.cursor)
        except NeuroglassError as error:
            self.say(inert(str(error)), error=True)
            return
        if self._wanted:
            return  # it answers what was asked before
        running = view.status is not None and view.status.running
        stood, pane.view = pane.view.status, view
        if self._remark[0] == STOPPING and not running:
            self._remark = ("", False)
        # Who has chosen a row keeps it, wherever new results put it.
        places = [place for place, row in enumerate(view.rows) if row.neuron == at]
        if places and at is not None:
            pane.cursor = view.first + places[0]
        pane.cursor = max(0, min(pane.cursor, view.total - 1))
        pane.redraw()
        self.draw_status()
        if stood is None or view.status is None or stood.standing != view.status.standing:
            self.draw_footer()

    def _read(self, cursor: int) -> View:
        """Read what is new; on a thread."""
        from engine.triage import Sorting

        triages = self._engine.triages()
        board = self._board
        if board is None:
            board = self._board = triages.board()
        if self._sorting is None:
            self._sorting = Sorting.BEST
        self._pane.sorting = str(self._sorting)
        board.refresh()
        first = max(0, cursor - READ // 2)
        rows, total = board.page(self._only, self._sorting, READ, first)
        status = triages.status()
        failures = triages.failures(status.stored.id) if status and status.stored.failed else []
        return View(status, board.by_layer(self._only), rows, first, total, failures)

    # -- a report

    def report_name(self) -> str:
        return "triage.html"

    async def write_report(self, engine: Engine, path: Path) -> str:
        """All explained neurons, or those that the filter leaves, as on the leaderboard."""
        from engine.store import Selection

        only, filtered = Selection(), self._pane.filter
        if filtered and self._only is not None:
            neurons = await self._filtered(self._only)
            only = Selection(neurons=neurons, explainer=self._only.explainer)
        described = f"Chosen: {filtered}" if filtered else ""
        done = await engine.reports().triage(path, only, described=described)
        return f"{done.counts['neurons']:,} neurons"

    async def _filtered(self, only: Filter) -> tuple[NeuronId, ...]:
        async with self._looked:
            board = self._engine.triages().board()
            await self._engine.triages().ready_for(board, only)

            def read() -> tuple[NeuronId, ...]:
                board.refresh()
                rows, total = board.page(only, limit=0)
                rows, _ = board.page(only, limit=total)
                return tuple(row.neuron for row in rows)

            neurons = await asyncio.to_thread(read)
        if not neurons:
            raise UsageError("No neuron is within the filter.", "esc clears it.")
        return neurons

    def answered(self, about: str, answer: str) -> None:
        if about == "report":
            self.report(answer.strip())

    # -- keys

    def takes(self, event: events.Key) -> bool:
        pane = self._pane
        if pane.typed is not None:
            self._type_filter(event)
        elif pane.dialog is not None:
            self._in_dialog(event, pane.dialog)
        else:
            self._remark = ("", False)
            self.draw_status()
            return False
        self._drawn()
        return True

    def action_move(self, direction: str) -> None:
        """Move in the leaderboard."""
        pane, count = self._pane, self.take_count()
        page = max(1, pane.room - 1)
        if count is not None and direction in ("home", "end"):
            self._move(count - 1 - pane.cursor)
            return
        steps = {"down": 1, "up": -1, "page_down": page, "page_up": -page}
        steps |= {"half_down": page // 2, "half_up": -(page // 2)}
        steps |= {"home": -pane.view.total, "end": pane.view.total}
        self._move(steps.get(direction, 0) * (count or 1))

    def action_back(self) -> None:
        """Clear the filter; without one, go back."""
        if self._pane.filter:
            self._take_filter("")
            self._drawn()
        else:
            super().action_back()

    def action_open(self) -> None:
        """Open the neuron in the explorer."""
        if self._pane.current is not None:
            self.open_neuron(self._pane.current.neuron)

    def action_triage_filter(self) -> None:
        """Type a filter of the leaderboard."""
        self._pane.typed = self._pane.filter
        self._drawn()

    def action_sort(self) -> None:
        """Sort the leaderboard by the next column."""
        self._sort()

    def action_triage_new(self) -> None:
        """Ask what to run over."""
        self._ask()
        self._drawn()

    def action_triage_pause(self) -> None:
        """Stop the run, or go on with it."""
        self.run_worker(self._stop_or_resume(), group="triage-start", exclusive=True)

    def action_choices(self) -> None:
        """Choose how to explain and score."""
        self._app.explorer.action_choices()

    def _move(self, by: int) -> None:
        pane, view = self._pane, self._pane.view
        pane.cursor = max(0, min(pane.cursor + by, view.total - 1))
        self._moved = pane.cursor > 0
        pane.redraw()
        if view.total and pane.current is None:
            # Beyond what was read: at that place there is no neuron yet to be kept.
            self._moved = False
            self._look_soon()

    def _sort(self) -> None:
        from engine.triage import Sorting

        orders = list(Sorting)
        before = self._sorting or Sorting.BEST
        self._sorting = orders[(orders.index(before) + 1) % len(orders)]
        self._from_the_top()

    def _from_the_top(self) -> None:
        self._pane.cursor, self._moved = 0, False
        self._look_soon()

    def _type_filter(self, event: events.Key) -> None:
        pane = self._pane
        assert pane.typed is not None
        if event.key == "escape":
            pane.typed = None
        elif event.key == "enter":
            self._take_filter(pane.typed.strip())
        else:
            pane.typed = typed(pane.typed, event)
        pane.redraw()

    def _take_filter(self, text: str) -> None:
        pane = self._pane
        try:
            self._only = parse(text)
        except NeuroglassError as error:
            pane.typed = None
            self.say(inert(str(error)), error=True)
            return
        pane.typed, pane.filter = None, text
        self._from_the_top()

    def on_paste(self, event: events.Paste) -> None:
        """Take the first line of what is pasted."""
        pane = self._pane
        line = "".join(event.text.splitlines()[:1])
        if pane.typed is not None:
            pane.typed += line
        elif pane.dialog is not None and pane.dialog.typed is not None:
            pane.dialog.typed += line
        else:
            return
        event.stop()
        self._drawn()
