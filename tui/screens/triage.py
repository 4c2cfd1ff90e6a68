"""Runs over many neurons: start, follow, stop, resume; the leaderboard of all results."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen

from engine.errors import NeuroglassError, UsageError
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui.triage_filter import parse, where
from tui.widgets.triage_pane import READ, Choice, Dialog, TriagePane, View

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from engine.engine import Engine
    from engine.triage import Board, Filter, Sorting, TriageRequest

#: How often the run is looked at, in seconds.
LOOK = 0.5
#: How many neurons the dialog offers to draw.
SAMPLE = 200
STOPPING = "Stopping; what is done is kept."


class TriageScreen(ModalScreen[NeuronId]):
    """Follow and choose; the result is the neuron that is to be opened.

    The run is a process of its own: what is shown is read from the store, and leaving the
    screen or the app changes nothing about it.
    """

    CSS = "TriageScreen { background: $background; }"

    def __init__(self, engine: Engine, neuron: NeuronId) -> None:
        super().__init__()
        self._engine = engine
        self._neuron = neuron
        self._pane = TriagePane()
        self._board: Board | None = None
        self._only: Filter | None = None
        self._sorting: Sorting | None = None
        self._looked = asyncio.Lock()
        self._moved = False
        self._request: TriageRequest | None = None

    def compose(self) -> ComposeResult:
        yield self._pane

    def on_mount(self) -> None:
        self.set_focus(self._pane)
        self._look_soon()
        self.set_interval(LOOK, self._look_soon)

    # -- looking

    def _look_soon(self) -> None:
        if not self._looked.locked():
            self.run_worker(self._look(), name="triage")

    def _work(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do it in place of what of the same name is under way."""
        self.run_worker(work, name=name, group=name, exclusive=True)

    async def _look(self) -> None:
        async with self._looked:
            pane = self._pane
            at = pane.current.neuron if self._moved and pane.current is not None else None
            try:
                view = await asyncio.to_thread(self._read, pane.cursor)
            except NeuroglassError as error:
                pane.remark = (inert(str(error)), True)
                pane.redraw()
                return
            running = view.status is not None and view.status.running
            if pane.remark[0] == STOPPING and not running:
                pane.remark = ("", False)
            pane.view = view
            # Who has chosen a row keeps it, wherever new results put it.
            places = [place for place, row in enumerate(view.rows) if row.neuron == at]
            if places and at is not None:
                pane.cursor = view.first + places[0]
            pane.cursor = max(0, min(pane.cursor, view.total - 1))
            pane.redraw()

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

    # -- keys

    def on_key(self, event: events.Key) -> None:
        """Every key is for the pane; none gets through to the screen below."""
        event.stop()
        event.prevent_default()
        pane = self._pane
        if pane.typed is not None:
            self._type_filter(event)
        elif pane.dialog is not None:
            self._in_dialog(event, pane.dialog)
        else:
            self._command(event.key)

    def _command(self, key: str) -> None:
        pane = self._pane
        pane.remark = ("", False)
        page = max(1, pane.room - 1)
        steps = {"j": 1, "down": 1, "k": -1, "up": -1, "pagedown": page, "space": page}
        steps |= {"pageup": -page, "b": -page, "ctrl+d": page // 2, "ctrl+u": -(page // 2)}
        steps |= {"home": -pane.view.total, "less_than_sign": -pane.view.total}
        steps |= {name: pane.view.total for name in ("end", "G", "greater_than_sign")}
        if key in steps:
            self._move(steps[key])
            return
        if key == "escape" and pane.filter:
            self._take_filter("")
        elif key in ("escape", "q", "ctrl+c", "T"):
            self.dismiss(None)
            return
        elif key == "enter" and pane.current is not None:
            self.dismiss(pane.current.neuron)
            return
        elif key in ("slash", "f"):
            pane.typed = pane.filter
        elif key in ("s", "o"):
            self._sort()
        elif key == "n":
            self._ask()
        elif key == "p":
            self.run_worker(self._stop_or_resume(), group="triage-start", exclusive=True)
        pane.redraw()

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
            pane.remark = (inert(str(error)), True)
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
        pane.redraw()

    # -- starting, stopping, resuming

    def _ask(self) -> None:
        """Open the dialog, if nothing runs."""
        pane, index = self._pane, self._engine.index
        status = pane.view.status
        if index is None:
            return
        if status is not None and status.running:
            pane.remark = ("A run is under way; p stops it first.", True)
            return
        layer = self._neuron.layer
        whole = index.n_layers * index.n_neurons
        choices = [
            Choice(f"Layer {layer}   {index.n_neurons:,} neurons", str(layer)),
            Choice(f"The whole model   {whole:,} neurons", "all"),
            Choice(f"{min(SAMPLE, whole):,} random neurons of the model", f"random {SAMPLE}"),
            Choice("Other layers, neurons, or so many at random …", ""),
        ]
        from engine.triage.request import can_batch

        pane.dialog = Dialog(choices, can_batch=can_batch(self._engine.choices))
        self._reckon()

    def _in_dialog(self, event: events.Key, dialog: Dialog) -> None:
        pane, count = self._pane, len(dialog.choices)
        key = event.key
        if dialog.typed is not None:
            if key == "escape":
                dialog.typed = None
            elif key == "enter":
                dialog.choices[-1] = Choice(dialog.typed.strip(), dialog.typed.strip())
                dialog.typed = None
                self._reckon()
            else:
                dialog.typed = typed(dialog.typed, event)
        elif key in ("escape", "q", "ctrl+c"):
            pane.dialog = None
        elif key in ("j", "down", "tab", "k", "up", "shift+tab"):
            by = -1 if key in ("k", "up", "shift+tab") else 1
            dialog.row = (dialog.row + by) % count
            self._reckon()
        elif key == "b" and dialog.can_batch:
            dialog.batch = not dialog.batch
            self._reckon()
        elif key == "enter" and dialog.row == count - 1 and self._request is None:
            dialog.typed = dialog.choices[-1].where
        elif key == "enter" and self._request is not None:
            self.run_worker(
                self._start(self._request),
                name="triage-start",
                group="triage-start",
                exclusive=True,
            )
        elif dialog.row == count - 1 and event.is_printable and event.character:
            dialog.typed = dialog.choices[-1].where + event.character
        pane.redraw()

    def _reckon(self) -> None:
        """Say what the chosen run would do."""
        dialog = self._pane.dialog
        assert dialog is not None
        self._request = None
        named = dialog.choices[dialog.row].where
        dialog.facts, dialog.lines = (("Reckoning …", False) if named else ("", False)), []
        if named:
            self.run_worker(
                self._reckoned(dialog, named),
                name="triage-reckon",
                group="triage-reckon",
                exclusive=True,
            )

    async def _reckoned(self, dialog: Dialog, named: str) -> None:
        from engine.triage import TriageRequest

        choices = self._engine.choices
        try:
            layers, neurons, random, seed = where(named)
            request = TriageRequest(layers, neurons, random, seed, choices, batch=dialog.batch)
            triages = self._engine.triages()
            total, left = await triages.to_do(request)
            dialog.facts = (f"{left:,} of {total:,} neurons are left to explain.", False)
            if not choices.models_needed():
                dialog.lines = ["No language model is asked: nothing is sent or spent."]
            elif left:
                first = next(iter(request.chosen(triages.index)))
                estimate = await self._engine.estimate(first, request.priced)
                money = ""
                if estimate.money is not None:
                    money = f", money {left * estimate.money:.4f}"
                dialog.lines = [
                    f"About {left * estimate.requests:,} requests, "
                    f"{left * estimate.tokens:,} tokens{money}, by what {first} needs."
                ]
        except NeuroglassError as error:
            dialog.facts = (str(error), True)
        else:
            by = choices.explainer
            if choices.simulator != by:
                by += f", scored by {choices.simulator}"
            dialog.lines.append(f"Explained by {by}; c in the explorer changes that.")
            if dialog.batch:
                dialog.lines.append(
                    "In batches, at half the price: each round is answered within a day, and p "
                    "collects it here."
                )
            else:
                dialog.lines.append("It runs in the background, also when the app is closed.")
            if dialog.can_batch:
                dialog.lines.append(
                    f"b asks {'directly' if dialog.batch else 'through a batch'} instead."
                )
            self._request = request
        self._pane.redraw()

    async def _start(self, request: TriageRequest) -> None:
        pane = self._pane
        try:
            await self._engine.triages().start(request)
        except NeuroglassError as error:
            if pane.dialog is not None:
                pane.dialog.facts = (str(error), True)
        else:
            pane.dialog = None
        pane.redraw()
        self._look_soon()

    async def _stop_or_resume(self) -> None:
        pane = self._pane
        triages = self._engine.triages()
        try:
            status = await asyncio.to_thread(triages.status)
            if status is None:
                raise UsageError("There is no run yet.", "n starts one.")
            if status.running:
                await triages.stop()
                pane.remark = (STOPPING, False)
            elif not status.resumable:
                raise UsageError("The run is finished.", "n starts another one.")
            else:
                await triages.start_again(status.stored.id)
        except NeuroglassError as error:
            pane.remark = (inert(str(error)), True)
        with suppress(NeuroglassError):
            self._look_soon()
        pane.redraw()


def typed(text: str, event: events.Key) -> str:
    """A line after a key."""
    if event.key in ("backspace", "ctrl+h"):
        return text[:-1]
    if event.key in ("ctrl+u", "ctrl+w"):
        return ""
    if event.is_printable and event.character:
        return text + event.character
    return text
