"""The one screen: neurons on the left, excerpts in the middle, explanation on the right."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, cast

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.events import Resize
from textual.reactive import Reactive
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget

from engine.errors import NeuroglassError
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui import session as sessions
from tui.actions import bindings
from tui.messages import EngineOpened, ExplainMoved, IndexChanged, Problem, ScanMoved
from tui.passages import Passage, from_record, from_scored, from_stored
from tui.session import GROUPS, HELD_OUT, LayerView, NeuronView, Result, Session
from tui.widgets import status
from tui.widgets.explanation_panel import ExplanationPanel
from tui.widgets.heatmap import Heatmap
from tui.widgets.help import Help
from tui.widgets.legend import GroupTabs, Legend
from tui.widgets.neuron_list import NeuronList
from tui.widgets.pane import Line, Pane, Span
from tui.widgets.prompt import BottomLine

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.index import Index
    from tui.app import NeuroglassApp

#: A neuron is drawn at once, but while keys keep coming only this often.
QUIET_SECONDS = 0.06
LATEST_SECONDS = 0.25
PANES = ("list", "heat", "panel")
OPENING = ("Opening …",)


class Explorer(Screen[None]):
    """Shows what the engine found. It decides nothing about neurons itself."""

    BINDINGS = bindings()
    AUTO_FOCUS = "#list"

    #: Textual repaints the whole screen when the focus moves; each pane draws its own.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(self) -> None:
        super().__init__()
        self.session = Session()
        self.layer_view: LayerView | None = None
        self.neuron_view: NeuronView | None = None
        self._index: Index | None = None
        self._order: list[int] = []
        self._reading = False
        self._stale = False  # layer columns, scores or stars have changed on disk
        self._timer: Timer | None = None
        self._drawn = 0.0
        self._waiting = 0.0
        self._scan_text: list[Span] | None = None

    def compose(self) -> ComposeResult:
        yield Line(id="top")
        with Container(id="body"):
            yield NeuronList(id="list")
            with Vertical(id="heat"):
                yield Line(id="title", keep_left=True)
                yield GroupTabs(id="tabs")
                yield Heatmap(id="heatmap")
                yield Legend(id="legend")
            yield ExplanationPanel(id="panel")
        yield BottomLine(id="status")
        yield Line(id="footer")
        yield Line(id="small")
        yield Help(id="help")

    def on_mount(self) -> None:
        self._list = self.query_one(NeuronList)
        self._heatmap = self.query_one(Heatmap)
        self._panel = self.query_one(ExplanationPanel)
        self._status = self.query_one(BottomLine)
        self._before = "list"
        self._remark = ("", False)
        self._heatmap.show((), 0, message=OPENING)
        self.draw_top()

    def on_resize(self, event: Resize) -> None:
        """Choose the layout that fits."""
        width, height = event.size
        tiny = width < 40 or height < 12
        narrow = not tiny and (width < 70 or height < 18)
        medium = not tiny and not narrow and width < 106
        for name, wanted in (("tiny", tiny), ("narrow", narrow), ("medium", medium)):
            self.set_class(wanted, name)
        self._show_pane(self._pane)
        palette = self._app.palette
        self.query_one("#footer", Line).show(status.footer(palette, width))
        self.query_one("#small", Line).show([("neuroglass needs 40 × 12 cells.", palette.text)])

    @property
    def _app(self) -> NeuroglassApp:
        return cast("NeuroglassApp", self.app)

    @property
    def engine(self) -> Engine | None:
        """The engine, once it is open."""
        return self._app.engine

    # -- engine, index and scan

    @on(EngineOpened)
    def _engine_opened(self, message: EngineOpened) -> None:
        if message.engine.index is not None:
            self._take(message.engine.index)
        self.draw_top()

    @on(IndexChanged)
    def _index_changed(self, message: IndexChanged) -> None:
        self._take(message.index)
        self.draw_top()

    def _take(self, index: Index) -> None:
        self._index = index
        self._stale = True
        here = self.session.neuron
        if here.layer >= index.n_layers or here.index >= index.n_neurons:
            self.session.neuron = NeuronId(0, 0)
        self._load()

    @on(ScanMoved)
    def _scan_moved(self, message: ScanMoved) -> None:
        from engine.events import ScanFailed, ScanProgress, ScanStage

        palette, event = self._app.palette, message.event
        if isinstance(event, ScanProgress):
            self._scan_text = status.scanning(event, palette)
        elif isinstance(event, ScanStage):
            self._scan_text = [(f"{event.text} ", palette.dim)]
        elif not self._app.jobs.scanning or event is None or "Scan" in type(event).__name__:
            if isinstance(event, ScanFailed):
                self.post_message(Problem(event.message, event.remedy))
            if event is None or type(event).__name__ in _TERMINAL:
                self._scan_text = None
        if self._index is None and not isinstance(event, ScanFailed):
            self._heatmap.show((), 0, message=self._app.waiting_text())
        self.draw_top()

    @on(Problem)
    def _problem(self, message: Problem) -> None:
        text = f"{message.message} {message.remedy}".strip()
        if message.fatal or self._index is None:
            lines = [line for line in (message.message, message.remedy) if line]
            self._heatmap.show((), 0, message=[inert(line) for line in lines])
        else:
            self.say(inert(text), error=True)

    def draw_top(self) -> None:
        """Repaint the top line."""
        palette = self._app.palette
        right = self._scan_text
        if right is None:
            right = status.resting(self._index, palette) if self.engine else []
        self.query_one("#top", Line).show(status.title(self._index, palette), right)

    # -- reading and showing a neuron

    def choose(self, neuron: NeuronId) -> None:
        """Go to a neuron; a burst of these draws only the last one."""
        if neuron == self.session.neuron:
            return
        self.session.neuron = neuron
        if self.layer_view is not None and self.layer_view.layer == neuron.layer:
            self._list.point(neuron.index)
        now = time.monotonic()
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        else:
            self._waiting = now
        if now - self._drawn > 2 * QUIET_SECONDS or now - self._waiting > LATEST_SECONDS:
            self._waiting = now
            self._load()
        else:
            self._timer = self.set_timer(QUIET_SECONDS, self._load)

    def _load(self) -> None:
        self._timer = None
        if not self._reading and self.engine is not None and self._index is not None:
            self._reading = True
            self.run_worker(self._read(), group="read", exit_on_error=True)

    async def _read(self) -> None:
        """Read until what was read is what is wanted, then draw."""
        engine, index = self.engine, self._index
        assert engine is not None
        assert index is not None
        try:
            while True:
                wanted, stale, index = self.session.neuron, self._stale, self._index
                assert index is not None
                self._stale = False
                layer = self.layer_view
                if stale or layer is None or layer.layer != wanted.layer:
                    layer = await asyncio.to_thread(
                        sessions.read_layer, index, engine.store, wanted.layer
                    )
                view = await asyncio.to_thread(sessions.read_neuron, index, engine.store, wanted)
                if wanted == self.session.neuron and not self._stale:
                    break
        except NeuroglassError as error:
            self.post_message(Problem(error.message, error.remedy))
            return
        finally:
            self._reading = False
        self._drawn = time.monotonic()
        if layer is not self.layer_view:
            self.layer_view = layer
            self._sort_list()
        else:
            self._draw_list()
        same = self.neuron_view is not None and self.neuron_view.record.neuron == wanted
        self.neuron_view = view
        self._draw_neuron(keep_cursor=same)

    def _sort_list(self) -> None:
        if self.layer_view is not None:
            self._order = sessions.ordered(self.layer_view, self.session.sort, self._unsaved())
            self._draw_list()

    def _unsaved(self) -> set[int]:
        layer = self.session.neuron.layer
        return {r.neuron.index for r in self.session.unsaved() if r.neuron.layer == layer}

    def _draw_list(self) -> None:
        if self.layer_view is not None and self._index is not None:
            self._list.show(
                self.layer_view,
                self._order,
                self.session.sort,
                self.session.neuron.index,
                self._unsaved(),
                self._index.n_layers - 1,
            )

    def _draw_neuron(self, *, keep_cursor: bool = False) -> None:
        view = self.neuron_view
        if view is None:
            return
        self._panel.show(view, self.session.results.get(view.record.neuron))
        self._draw_excerpts(keep_cursor=keep_cursor)

    def _passages(self, view: NeuronView, key: str) -> list[Passage]:
        from engine.records import Group

        if key != HELD_OUT:
            return [from_record(record) for record in view.record.group(Group(key))]
        result = self.session.results.get(view.record.neuron)
        if result is not None and result.records:
            return [from_scored(record) for record in result.records]
        if self._index is None or result is not None:
            return []
        return [from_stored(record, self._index.vocabulary) for record in view.held_out]

    def _counts(self, view: NeuronView) -> dict[str, int]:
        from engine.records import Fold, Group

        counts = {
            group.key: sum(len(view.record.records.get((f, Group(group.key)), ())) for f in Fold)
            for group in GROUPS[:-1]
        }
        result = self.session.results.get(view.record.neuron)
        counts[HELD_OUT] = len(result.records) if result is not None else len(view.held_out)
        return counts

    def _draw_excerpts(self, *, keep_cursor: bool = False) -> None:
        view = self.neuron_view
        if view is None:
            return
        group = next(group for group in GROUPS if group.key == self.session.group)
        passages = self._passages(view, group.key)
        statistics = view.record.statistics
        extreme = statistics.minimum if group.key == "bottom" else statistics.maximum
        missing: tuple[str, ...] = ("Nothing here: the scan kept no such window.",)
        if group.key == HELD_OUT:
            missing = ("Not scored yet.", "e explains the neuron and scores it on held-out text.")
        self._heatmap.show(
            passages,
            extreme,
            keep_cursor=keep_cursor,
            message=missing,
        )
        self.query_one(Legend).show(extreme)
        self.query_one(GroupTabs).show(group.key, self._counts(view))
        self._draw_title(group.description, len(passages))
        if not keep_cursor:
            self._remark = ("", False)
        self._draw_status()

    def _draw_title(self, description: str, count: int) -> None:
        view, palette = self.neuron_view, self._app.palette
        if view is None:
            return
        statistics = view.record.statistics
        style = palette.accent if self.focused is self._heatmap else palette.text
        spans: list[Span] = [(" " * 8, palette.text), ("Neuron ", palette.dim)]
        spans.append((str(view.record.neuron), style + palette.strong.without_color))
        if view.annotation is not None and view.annotation.starred:
            spans.append((" ★", palette.accent))
        spans.append((f"   max {statistics.maximum:.2f}", palette.dim))
        self.query_one("#title", Line).show(
            spans, [(f"{count} {description} ", palette.faint)] if count else []
        )

    # -- the status line

    @on(Heatmap.Clicked)
    def _clicked(self) -> None:
        self.say("")

    def say(self, text: str, *, error: bool = False) -> None:
        """Show a remark in the status line until the cursor moves."""
        self._remark = (text, error)
        self._draw_status()

    def _draw_status(self) -> None:
        palette = self._app.palette
        text, error = self._remark
        here, view = self._heatmap.current, self.neuron_view
        left: list[Span] = []
        if here is not None and view is not None and not error:
            room = self.size.width - (cell_len(text) + 2 if text else 0)
            left = status.token_status(*here, view, palette, room)
        right: list[Span] = []
        if text:
            right = [(f" {text} ", palette.error if error else palette.accent)]
        self._status.show(left, right)

    # -- moving about

    @on(NeuronList.Chosen)
    def _chosen(self, message: NeuronList.Chosen) -> None:
        self.choose(NeuronId(self.session.neuron.layer, message.index))

    @property
    def _pane(self) -> str:
        focused = self.focused
        if focused is self._heatmap:
            return "heat"
        return "panel" if focused is self._panel else "list"

    def _show_pane(self, name: str) -> None:
        """In the narrow layout one pane is shown; elsewhere classes would only cost paint."""
        narrow = self.has_class("narrow")
        for pane in PANES:
            self.set_class(narrow and pane == name, f"show-{pane}")

    def action_pane(self, by: int) -> None:
        """Focus the next or previous pane."""
        self._focus(PANES[(PANES.index(self._pane) + by) % len(PANES)])

    def _focus(self, name: str) -> None:
        self._show_pane(name)
        # Not Widget.focus(), which repaints the widget before it asks for the focus.
        self.set_focus(
            self.query_one("#heatmap" if name == "heat" else f"#{name}"), scroll_visible=False
        )
        group = next(group for group in GROUPS if group.key == self.session.group)
        self._draw_title(group.description, len(self._heatmap.passages))

    def action_move(self, direction: str) -> None:
        """Move within the focused pane."""
        if self._pane == "list" and direction in ("left", "right"):
            self.action_layer(1 if direction == "right" else -1)
            return
        panes: dict[str, NeuronList | Heatmap | ExplanationPanel] = {
            "list": self._list,
            "heat": self._heatmap,
            "panel": self._panel,
        }
        panes[self._pane].move(direction)
        if self._pane == "heat":
            # In the same frame; a message would come one frame late.
            self.say("")

    def action_enter(self) -> None:
        """From the list into the excerpts."""
        self._focus("heat")

    def action_neuron(self, by: int) -> None:
        """Go to a neighbour in the list's order."""
        index = self._list.neighbour(by)
        if index is not None:
            self.choose(NeuronId(self.session.neuron.layer, index))

    def action_layer(self, by: int) -> None:
        """Go to a neighbouring layer, to the neuron of the same index."""
        if self._index is not None:
            layer = (self.session.neuron.layer + by) % self._index.n_layers
            self.choose(NeuronId(layer, self.session.neuron.index))

    def action_random(self) -> None:
        """Go to a random neuron."""
        if self._index is not None:
            layer = random.randrange(self._index.n_layers)
            self.choose(NeuronId(layer, random.randrange(self._index.n_neurons)))

    def action_sort(self) -> None:
        """Sort the list by the next column."""
        self.session.sort = self.session.sort.next()
        self._sort_list()

    def action_group(self, by: int) -> None:
        """Show a neighbouring group."""
        keys = [group.key for group in GROUPS]
        self._show_group(keys[(keys.index(self.session.group) + by) % len(keys)])

    def action_show_group(self, number: int) -> None:
        """Show a group by its number, counted from 1."""
        self._show_group(GROUPS[number - 1].key)

    def _show_group(self, key: str) -> None:
        if key != self.session.group:
            self.session.group = key
            self._draw_excerpts()
        if self.has_class("narrow"):
            self._focus("heat")

    def action_worst(self) -> None:
        """Show the held-out excerpt that was predicted worst."""
        self._show_group(HELD_OUT)
        self._focus("heat")
        if self._heatmap.go_to_worst():
            self.say("")
        else:
            self.say("Not scored yet: e explains and scores.")

    def action_goto(self) -> None:
        """Ask where to go."""
        if self._index is not None:
            self._before = self._pane
            self._status.ask_text("goto", "Go to layer:neuron, or a neuron of this layer")

    def _go_to(self, text: str) -> None:
        if not text or self._index is None:
            return
        try:
            layer = self.session.neuron.layer
            neuron = NeuronId(layer, int(text)) if text.isdecimal() else NeuronId.parse(text)
            self._index.check(neuron)
        except NeuroglassError as error:
            self.say(inert(str(error)), error=True)
            return
        self.choose(neuron)

    @on(BottomLine.Answered)
    async def _answered(self, message: BottomLine.Answered) -> None:
        self._status.stop()
        self._focus(self._before)
        if message.answer == "escape":
            return
        if message.about == "goto":
            self._go_to(message.answer.strip())
        elif message.about == "quit":
            if message.answer == "s":
                for result in self.session.unsaved():
                    if not await self._save(result):
                        return
            self._app.leave()

    # -- explaining and saving

    def action_explain(self) -> None:
        """Explain the current neuron."""
        engine, view = self.engine, self.neuron_view
        if engine is None or view is None:
            return
        running = self.session.running
        if running is not None:
            self.say(f"{running.neuron} is being explained; esc cancels.")
            return
        neuron = self.session.neuron
        before = self.session.results.get(neuron)
        if before is not None and before.unsaved:
            self.say("Replacing the unsaved explanation.")
        self.session.results[neuron] = Result(neuron, stage="explaining")
        self._app.jobs.start_explain(engine, neuron)
        if self.has_class("narrow"):
            self._focus("panel")
        self._draw_neuron(keep_cursor=True)

    @on(ExplainMoved)
    def _explain_moved(self, message: ExplainMoved) -> None:
        from engine import events

        result = self.session.results.get(message.neuron)
        if result is None:
            return
        match message.event:
            case events.Word(text=text):
                result.words.append(text)
            case events.Explained(explanation=explanation):
                result.explanation, result.stage = explanation, "simulating"
            case events.RecordSimulated(number=number, total=total, record=record):
                result.records.append(record)
                result.stage = f"simulating {number}/{total}" if number < total else "scoring"
            case events.Scored(explanation=explanation, card=card):
                result.explanation, result.card = explanation, card
                result.records, result.stage = list(card.records), ""
            case events.PipelineFailed(message=text, remedy=remedy):
                result.failure, result.stage = f"{text} {remedy}".strip(), ""
            case None:
                result.stage = ""
                if result.explanation is None:
                    del self.session.results[message.neuron]
                else:
                    result.failure = "Cancelled before it was scored."
        ended = not result.running
        if ended:
            self._draw_list()
        if self.neuron_view is None or self.neuron_view.record.neuron != message.neuron:
            if ended and result.card is not None:
                self.say(f"{message.neuron} is explained and scored.")
            return
        if ended:
            self._draw_neuron(keep_cursor=True)
        else:
            self._panel.show(self.neuron_view, result)

    async def action_cancel(self) -> None:
        """Cancel what runs; otherwise go back to the list."""
        if self._app.jobs.explaining:
            await self._app.jobs.cancel_explain()
            self.say("Cancelled.")
        elif self._pane != "list":
            self._focus("list")

    async def action_save(self) -> None:
        """Save the explanation of the current neuron."""
        result = self.session.results.get(self.session.neuron)
        if result is None or result.explanation is None:
            self.say("Nothing to save: e explains.")
        elif result.running:
            self.say("Not yet: the score is still to come.")
        elif result.saved is not None:
            self.say("Already saved.")
        elif await self._save(result):
            self.say("Saved.")

    async def _save(self, result: Result) -> bool:
        engine = self.engine
        assert engine is not None
        assert result.explanation is not None
        try:
            result.saved = await engine.save(result.explanation, result.card)
        except NeuroglassError as error:
            self.post_message(Problem(error.message, error.remedy))
            return False
        self._stale = True
        self._load()
        return True

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
        self._stale = True
        self._load()

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
            self._stale = True
            self._load()

        self.app.push_screen(NoteScreen(neuron, before), keep)

    # -- the program

    async def action_scan(self) -> None:
        """Start the scan or stop it."""
        await self._app.toggle_scan()
        self.draw_top()

    def action_copy(self) -> None:
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
        self.app.copy_to_clipboard(text)
        self.say(f"Sent {len(text.encode())} bytes to the terminal's clipboard.")

    def action_light(self) -> None:
        """Switch between dark and light."""
        self._app.toggle_light()

    def action_palette(self) -> None:
        """Open the command palette."""
        self.app.action_command_palette()

    def action_help(self) -> None:
        """Show all keys."""
        self._before = self._pane
        panel = self.query_one(Help)
        panel.add_class("open")
        self.set_focus(panel, scroll_visible=False)

    @on(Help.Closed)
    def _help_closed(self) -> None:
        self.query_one(Help).remove_class("open")
        self._focus(self._before)

    async def action_quit(self) -> None:
        """Quit; unsaved explanations are asked about once."""
        unsaved = self.session.unsaved()
        if not unsaved or self._status.asking:
            self._app.leave()
            return
        many = (
            f"{len(unsaved)} explanations are"
            if len(unsaved) > 1
            else (f"The explanation of {unsaved[0].neuron} is")
        )
        self._before = self._pane
        answers = {"s": "save and quit", "q": "quit without"}
        self._status.ask("quit", f"{many} not saved.", answers)

    def repaint(self) -> None:
        """Draw everything again after a change of colours."""
        width = self.size.width
        self.query_one("#footer", Line).show(status.footer(self._app.palette, width))
        self.draw_top()
        self._draw_neuron(keep_cursor=True)
        for pane in self.query(Pane):
            pane.redraw(everything=True)


_TERMINAL = ("ScanFinished", "ScanStopped", "ScanFailed")
