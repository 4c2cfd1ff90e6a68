"""The prompt lab: type a text, watch a neuron on it, take it away, turn it up."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container

from engine.errors import NeuroglassError
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui.actions import LAB, Action
from tui.hints import hints
from tui.passages import Passage
from tui.screens.looking import Looker
from tui.widgets import lab_bars
from tui.widgets.firing_list import FiringList
from tui.widgets.heatmap import Heatmap
from tui.widgets.lab_result import LabResult
from tui.widgets.pane import Span
from tui.widgets.prompt_heat import PromptHeat
from tui.widgets.text_line import TextLine

if TYPE_CHECKING:
    from engine.change import Change
    from engine.engine import Engine
    from engine.experiments import PromptReading

#: The neurons at a token are ranked once the cursor has rested so long.
REST_SECONDS = 0.12
#: Continuations are drawn a few times a second.
DRAW_SECONDS = 0.1
COUNT = 40
#: What can be done without a text.
FREE = ("lab.type", "lab.open")
_HINT = (
    "On the tokens: a takes the neuron away and compares what the model predicts, c changes to "
    "what, w where. s continues the text with the neuron turned up and down."
)


class PromptScreen(Looker):
    """Experiments on a typed text."""

    NAME = LAB
    CSS = """
    #lab-line { height: 1; margin-top: 1; }
    #lab-body {
        height: 1fr; layout: grid; margin-top: 1;
        grid-size: 2 2; grid-columns: 1fr 46; grid-rows: 12 1fr;
    }
    #lab-list { row-span: 2; border-left: solid $rule; height: 1fr; }
    #lab-result { border-top: solid $rule; height: 1fr; }
    PromptScreen.medium #lab-body { grid-columns: 1fr 31; grid-rows: 6 1fr; }
    PromptScreen.medium #lab-line { margin-top: 0; }
    PromptScreen.narrow #lab-body {
        grid-size: 1 2; grid-columns: 1fr; grid-rows: 4 1fr; margin-top: 0;
    }
    PromptScreen.narrow #lab-line { margin-top: 0; }
    PromptScreen.narrow #lab-list { row-span: 1; border-left: none; border-top: solid $rule; }
    PromptScreen.narrow #lab-result { display: none; }
    PromptScreen.narrow.results #lab-result { display: block; }
    PromptScreen.narrow.results #lab-list { display: none; }
    """

    def __init__(self, engine: Engine, neuron: NeuronId, text: str = "") -> None:
        super().__init__()
        self._engine = engine
        self._neuron = neuron
        self._line = TextLine(text, id="lab-line")
        self._heat = PromptHeat(id="lab-heat")
        self._list = FiringList(id="lab-list")
        self._result = LabResult(id="lab-result")
        self._reading: PromptReading | None = None
        self._extreme = 0.0
        self._wanted = False
        self._busy = False
        self._kind = 0
        self._everywhere = True
        self._seed = 0

    def body(self) -> ComposeResult:
        yield self._line
        with Container(id="lab-body"):
            yield self._heat
            yield self._list
            yield self._result

    def ready(self) -> None:
        self.set_focus(self._line)
        self._nothing_yet()
        self._read()
        self._draw_bars()

    def medium(self, width: int, height: int) -> bool:
        return width < 106 or height < 32

    def head(self) -> tuple[list[Span], list[Span]]:
        return lab_bars.head(self._neuron, self._reading, self._app.palette)

    def status_left(self, room: int) -> list[Span]:
        return lab_bars.token(self._reading, self._heat.token, self._app.palette)

    def foot(self) -> list[tuple[str, str]] | None:
        if self.focused is self._line:
            return [("type", "your text"), ("tab", "tokens"), ("esc", "to the tokens")]
        return None

    def why_not(self, action: Action) -> str:
        if action.id.startswith("lab.") and action.id not in FREE and self._reading is None:
            return "There is no text yet: i types one."
        return super().why_not(action)

    @property
    def text(self) -> str:
        """What was typed."""
        return self._line.text

    # -- keys

    def takes(self, event: events.Key) -> bool:
        if self.focused is not self._line:
            return False
        if event.key in ("tab", "shift+tab"):
            return False
        if event.key in ("enter", "down"):
            self._turn(1)
        elif event.key in ("escape", "ctrl+c"):
            if event.key == "ctrl+c" or not self.text:
                self.action_back()
            else:
                self._turn(1)
        elif self._line.type(event):
            self._changed()
        return True

    def on_paste(self, event: events.Paste) -> None:
        """Take what is pasted, with its new lines, into the text."""
        if self.asking:
            return
        event.stop()
        if self.focused is self._line:
            self._line.insert(event.text)
            self._changed()

    @on(Heatmap.Clicked)
    def _clicked(self) -> None:
        self._draw_bars()
        self._rank()

    def on_descendant_focus(self) -> None:
        """The mouse can choose a pane, too."""
        self._draw_bars()

    def _turn(self, by: int) -> None:
        panes: list[TextLine | PromptHeat | FiringList] = [self._line, self._heat, self._list]
        here = next((i for i, pane in enumerate(panes) if pane is self.focused), 0)
        self._focus(panes[(here + by) % len(panes)])

    def _focus(self, pane: TextLine | PromptHeat | FiringList) -> None:
        if pane is self._list:
            self.remove_class("results")
        self.set_focus(pane, scroll_visible=False)
        self._heat.redraw()
        self._draw_bars()

    def action_pane(self, by: int) -> None:
        """Go to the next or previous pane."""
        self._turn(by)

    def action_move(self, direction: str) -> None:
        """Move within the focused pane."""
        before = self._heat.token
        super().action_move(direction)
        if self._heat.token != before:
            self.say("")
            self._rank()

    def action_open(self) -> None:
        """From the tokens into the list; in the list, watch the neuron."""
        if self.focused is self._heat:
            self._focus(self._list)
        else:
            self._watch(self._list.current)

    def action_lab_open(self) -> None:
        """Open a neuron in the explorer."""
        chosen = self._list.current if self.focused is self._list else self._neuron
        self.open_neuron(chosen or self._neuron)

    def action_lab_type(self) -> None:
        """Type."""
        self._focus(self._line)

    def action_lab_change(self) -> None:
        """Ablate to the next kind of value."""
        self._kind += 1
        self.action_lab_ablate()

    def action_lab_where(self) -> None:
        """Ablate at one token, or everywhere."""
        self._everywhere = not self._everywhere
        self.action_lab_ablate()

    def action_lab_seed(self) -> None:
        """Steer with the next seed."""
        self._seed += 1
        self.action_lab_steer()

    # -- reading

    def _changed(self) -> None:
        self._app.session.prompt = self.text
        self._result.say("")
        self.remove_class("results")
        self.workers.cancel_group(self, "try")
        self._read()

    def _read(self) -> None:
        """Read the text as it is now; while one is read, only the latest comes next."""
        self._wanted = True
        if not self._busy:
            self._busy = True
            self.run_worker(self._read_on(), name="prompt", group="prompt")

    async def _read_on(self) -> None:
        try:
            while self._wanted:
                self._wanted = False
                text, neuron = self.text, self._neuron
                if not text:
                    self._reading = None
                    self._nothing_yet()
                    continue
                if self._reading is None:
                    self._heat.show((), 0, message=("Reading …",))
                try:
                    experiments = await self._engine.experiments()
                    reading = await experiments.read(text, neuron)
                except NeuroglassError as error:
                    self._show_failure(error)
                    continue
                self._show(reading)
        finally:
            self._busy = False
        self._draw_bars()
        self._rank()

    def _nothing_yet(self) -> None:
        self._heat.show((), 0, message=("Type a text: the neuron is read as you type.",))
        self._list.clear("Nothing typed yet.")

    def _show_failure(self, error: NeuroglassError) -> None:
        self._reading = None
        lines = [inert(line) for line in (error.message, error.remedy) if line]
        self._heat.show((), 0, message=lines, failed=True)
        self._list.clear("Nothing was read.")

    def _show(self, reading: PromptReading) -> None:
        index = self._engine.index
        assert index is not None
        before, token = self._reading, self._heat.token
        self._reading, self._extreme = reading, index.statistics(reading.neuron).maximum
        self.draw_heatmap()
        typing = self.focused is self._line or before is None
        self._heat.point(-1 if typing else token)
        if self._result.empty:
            self._result.say(_HINT)
        self._draw_bars()

    def draw_heatmap(self) -> None:
        reading = self._reading
        if reading is not None:
            token = self._heat.token
            passage = Passage(-1, "", 0, reading.tokens, reading.activations)
            self._heat.show([passage], self._extreme, look=self.look)
            self._heat.point(token)

    def _rank(self) -> None:
        if self._reading is not None:
            self.run_worker(self._ranker(), name="firing", group="firing", exclusive=True)

    async def _ranker(self) -> None:
        await asyncio.sleep(REST_SECONDS)
        reading, token = self._reading, self._heat.token
        if reading is None:
            return
        try:
            experiments = await self._engine.experiments()
            firing = await experiments.firing(self.text, token, COUNT)
        except NeuroglassError as error:
            self._list.clear(inert(str(error)))
            return
        known = await asyncio.to_thread(hints, self._engine, [one.neuron for one in firing])
        if reading is self._reading and token < len(reading.tokens):
            self._list.show(reading.tokens[token], firing, known, self._neuron)

    def _watch(self, neuron: NeuronId | None) -> None:
        if neuron is not None and neuron != self._neuron:
            self._neuron = neuron
            self._list.select(neuron)
            self._changed()

    # -- trying

    def _change(self) -> Change:
        from engine.change import Change, usual_changes

        index = self._engine.index
        assert index is not None
        zero, _, full, more = usual_changes(index.statistics(self._neuron).maximum)
        several = (zero, Change("mean"), full, more, Change("scale", -1.0))
        return several[self._kind % len(several)]

    def action_lab_ablate(self) -> None:
        """Take the neuron away and compare."""
        if self._reading is not None:
            self.add_class("results")
            self.run_worker(self._ablating(), name="ablate", group="try", exclusive=True)

    async def _ablating(self) -> None:
        token, change = self._heat.token, self._change()
        places = None if self._everywhere else (token,)
        try:
            experiments = await self._engine.experiments()
            found = await experiments.ablate(
                self.text, self._neuron, change, positions=places, position=token
            )
        except NeuroglassError as error:
            self._result.say(inert(str(error)), error=True)
            return
        self._result.show_ablation(found)

    def action_lab_steer(self) -> None:
        """Continue the text with the neuron turned up and down."""
        if self._reading is not None:
            self.add_class("results")
            self.run_worker(self._steering(), name="steer", group="try", exclusive=True)

    async def _steering(self) -> None:
        from engine.change import usual_changes
        from engine.steering import Steered, SteerFinished

        index = self._engine.index
        assert index is not None
        changes = usual_changes(index.statistics(self._neuron).maximum)
        self._result.start_steering(self._neuron, changes, self._seed)
        drawn = 0.0
        clock = asyncio.get_running_loop().time
        try:
            experiments = await self._engine.experiments()
            stream = experiments.steer(self.text, self._neuron, changes, seed=self._seed)
            async with aclosing(stream) as several:
                async for event in several:
                    if isinstance(event, Steered):
                        self._result.steer(event.variant, event.token)
                    elif isinstance(event, SteerFinished):
                        self._result.end_steering(event.ended)
                    if clock() - drawn > DRAW_SECONDS:
                        drawn = clock()
                        self._result.redraw()
        except NeuroglassError as error:
            self._result.say(inert(str(error)), error=True)

    # -- the lines around

    def _draw_bars(self) -> None:
        if self.is_mounted:
            self.draw_top()
            self.draw_status()
            self.draw_footer()
