"""Starting, stopping and resuming a run over many neurons, from the triage screen."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from textual import events

from engine.errors import NeuroglassError, UsageError
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui.screens.frame import Frame
from tui.triage_filter import where
from tui.widgets.prompt import typed
from tui.widgets.triage_pane import Choice, Dialog, TriagePane

if TYPE_CHECKING:
    from textual.worker import Worker

    from engine.engine import Engine
    from engine.triage import TriageRequest

#: How many neurons the dialog offers to draw.
SAMPLE = 200
RECKONING = "triage-reckon"
STOPPING = "Stopping; what is done is kept."


class Starter(Frame):
    """The dialog that starts a run, and what is done with a run that there is."""

    def __init__(self, engine: Engine, neuron: NeuronId) -> None:
        super().__init__()
        self._engine = engine
        self._neuron = neuron
        self._pane = TriagePane()
        self._request: TriageRequest | None = None

    def _look_soon(self) -> None:
        """Look at the run again."""
        raise NotImplementedError

    def _drawn(self) -> None:
        self._pane.redraw()
        self.draw_status()
        self.draw_footer()

    def _ask(self) -> None:
        """Open the dialog, if nothing runs."""
        pane, index = self._pane, self._engine.index
        if index is None:
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
        # What another row would do must not arrive on this one, where enter starts it.
        self.workers.cancel_group(self, RECKONING)
        if named:
            # Not a coroutine, which would be left unawaited when the next key cancels it.
            reckon = partial(self._reckoned, dialog, named)
            _: Worker[None] = self.run_worker(reckon, name=RECKONING, group=RECKONING)

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
        self._drawn()
        self._look_soon()

    async def _stop_or_resume(self) -> None:
        triages = self._engine.triages()
        try:
            status = await asyncio.to_thread(triages.status)
            if status is None:
                raise UsageError("There is no run yet.", "N starts one.")
            if status.running:
                await triages.stop()
                self.say(STOPPING)
            elif not status.resumable:
                raise UsageError("The run is finished.", "N starts another one.")
            else:
                await triages.start_again(status.stored.id)
        except NeuroglassError as error:
            self.say(inert(str(error)), error=True)
        with suppress(NeuroglassError):
            self._look_soon()
