"""The senses of a neuron: the several things that make it fire, each with its excerpts."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container

from engine.errors import MethodError, NeuroglassError
from engine.explanation import Preparing, Side
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui.actions import SENSES, Action
from tui.passages import of_sense
from tui.screens.looking import Looker
from tui.widgets.heatmap import Heatmap
from tui.widgets.pane import Span
from tui.widgets.senses_pane import SenseFacts, SenseList

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.senses.model import Senses


class SensesScreen(Looker):
    """Move over the senses; look at the excerpts of the one under the cursor."""

    NAME = SENSES
    CSS = """
    #senses-body {
        height: 1fr; layout: grid; margin-top: 1;
        grid-size: 2 2; grid-columns: 46 1fr; grid-rows: 9 1fr;
    }
    #senses-list { row-span: 2; border-right: solid $rule; height: 1fr; }
    #senses-facts { height: 1fr; }
    SensesScreen.medium #senses-body, SensesScreen.narrow #senses-body {
        grid-size: 1 3; grid-columns: 1fr; grid-rows: auto 5 1fr; margin-top: 0;
    }
    SensesScreen.narrow #senses-body { grid-rows: auto 4 1fr; }
    SensesScreen.medium #senses-list, SensesScreen.narrow #senses-list {
        row-span: 1; border-right: none; height: auto; max-height: 8;
    }
    SensesScreen.narrow #senses-list { max-height: 7; }
    SensesScreen.waiting #senses-list, SensesScreen.waiting #senses-facts { display: none; }
    SensesScreen.waiting #senses-body {
        grid-size: 1 1; grid-columns: 1fr; grid-rows: 1fr;
    }
    """

    def __init__(self, engine: Engine, neuron: NeuronId, side: Side = "positive") -> None:
        super().__init__()
        self._engine = engine
        self._neuron = neuron
        self._side = side
        self._senses: Senses | None = None
        self._extreme = 0.0
        self._list = SenseList(id="senses-list")
        self._facts = SenseFacts(id="senses-facts")
        self._heat = Heatmap(id="senses-heat")

    def body(self) -> ComposeResult:
        with Container(id="senses-body"):
            yield self._list
            yield self._facts
            yield self._heat

    def ready(self) -> None:
        self._load()

    def head(self) -> tuple[list[Span], list[Span]]:
        palette = self._app.palette
        side = ", negative side" if self._side == "negative" else ""
        left = [(" Senses of ", palette.strong), (str(self._neuron), palette.accent)]
        return [*left, (side, palette.dim)], [("from the explain text alone ", palette.faint)]

    def status_left(self, room: int) -> list[Span]:
        if self._senses is None:
            return []
        sense = self._senses.senses[self._list.row]
        before = any(len(sense.needed(n)) > 1 for n in range(len(sense.places)))
        text = " Underlined: the token it fires at"
        return [(f"{text}, and the one before" if before else text, self._app.palette.dim)]

    def laid_out(self) -> None:
        stacked = self.has_class("medium") or self.has_class("narrow")
        self._list.short = self._facts.sentence = stacked
        self._list.redraw()
        self._facts.redraw()

    def title_of(self, action: Action) -> str:
        if action.id == "senses.side":
            return "positive side" if self._side == "negative" else "negative side"
        return super().title_of(action)

    # -- finding them

    def _load(self) -> None:
        self._senses = None
        self._say_instead("Loading the model …")
        self.run_worker(self._read(), name="senses", exclusive=True)

    async def _read(self) -> None:
        engine, neuron, side = self._engine, self._neuron, self._side
        try:
            async with aclosing(engine.finding_senses(neuron, side)) as steps:
                async for step in steps:
                    if isinstance(step, Preparing):
                        share = f" {step.share:.0%}" if step.share else ""
                        self._say_instead(f"{step.text[:1].upper()}{step.text[1:]} …{share}")
                    else:
                        await self._show(step)
        except MethodError as error:
            self._say_instead(error.message, "s shows the other side.")
        except NeuroglassError as error:
            self._say_instead(inert(error.message), inert(error.remedy), failed=True)

    async def _show(self, senses: Senses) -> None:
        index = self._engine.index
        assert index is not None
        facts = await asyncio.to_thread(index.statistics, self._neuron)
        self._extreme = facts.minimum if self._side == "negative" else facts.maximum
        self._senses = senses
        self._list.show(senses)
        self.remove_class("waiting")
        self._show_sense()
        self.set_focus(self._list)

    def _say_instead(self, *lines: str, failed: bool = False) -> None:
        self.add_class("waiting")
        self.set_focus(self._heat)
        self._heat.show((), 0.0, message=lines, failed=failed)
        self.draw_top()
        self.draw_status()
        self.draw_footer()

    def _show_sense(self) -> None:
        assert self._senses is not None
        self._facts.show(self._senses, self._list.row)
        self._draw_excerpts()
        self.draw_status()

    def draw_heatmap(self) -> None:
        if self._senses is not None:
            self._draw_excerpts(keep_cursor=True)

    def _draw_excerpts(self, *, keep_cursor: bool = False) -> None:
        assert self._senses is not None
        sense = self._senses.senses[self._list.row]
        passages = of_sense(sense, negative=self._side == "negative")
        self._heat.show(passages, self._extreme, keep_cursor=keep_cursor, look=self.look)

    # -- keys

    def action_move(self, direction: str) -> None:
        """Move over the senses, or in the excerpts."""
        before = self._list.row
        super().action_move(direction)
        if self._list.row != before:
            self._show_sense()

    def moved(self) -> None:
        if self._senses is not None and self.focused is self._list:
            self._show_sense()

    def action_pane(self, by: int) -> None:
        """Go from the senses to the excerpts, or back."""
        if self._senses is not None:
            self.set_focus(self._list if self.focused is self._heat else self._heat)

    def action_open(self) -> None:
        """From a sense to its excerpts, from those to the neuron in the explorer."""
        if self._senses is not None and self.focused is self._list:
            self.set_focus(self._heat)
        else:
            self.open_neuron(self._neuron)

    def action_senses_side(self) -> None:
        """Show the senses of the other side."""
        self._side = "positive" if self._side == "negative" else "negative"
        self._load()
