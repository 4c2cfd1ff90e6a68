"""Looking: the panes of the explorer, how they are laid out, and moving among them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, cast

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.events import Resize
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget

from engine.errors import NeuroglassError
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui import session as sessions
from tui.feed import Feed
from tui.messages import Problem
from tui.passages import counts_of, passages_of
from tui.session import GROUPS, HELD_OUT, LayerView, NeuronView, Session
from tui.widgets import status
from tui.widgets.explanation_panel import ExplanationPanel
from tui.widgets.heatmap import Heatmap
from tui.widgets.help import Help
from tui.widgets.legend import GroupTabs, Legend
from tui.widgets.neuron_list import NeuronList
from tui.widgets.pane import Line, Pane, Span, TooSmall
from tui.widgets.prompt import BottomLine

if TYPE_CHECKING:
    from engine.catalogue import Catalogue
    from engine.engine import Engine
    from tui.app import NeuroglassApp

PANES = ("list", "heat", "panel")


class Browser(Screen[None]):
    """Neurons on the left, excerpts in the middle, explanation on the right."""

    AUTO_FOCUS = "#list"

    #: Textual repaints the whole screen when the focus moves; each pane draws its own.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(self) -> None:
        super().__init__()
        self.session = Session()
        self.layer_view: LayerView | None = None
        self.neuron_view: NeuronView | None = None
        self._index: Catalogue | None = None
        self._order: list[int] = []
        self._feed = Feed(self, self._show, self._fail, self._neighbours, self._blank)
        self._scan_text: list[Span] | None = None
        self._remark = ("", False)
        self._before = "list"

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
        yield TooSmall(id="small")
        yield Help(id="help")

    def on_mount(self) -> None:
        self._list = self.query_one(NeuronList)
        self._heatmap = self.query_one(Heatmap)
        self._panel = self.query_one(ExplanationPanel)
        self._status = self.query_one(BottomLine)
        self._heatmap.show((), 0, message=("Opening …",))
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
        self._draw_footer()
        self.query_one(TooSmall).redraw()

    @property
    def _app(self) -> NeuroglassApp:
        return cast("NeuroglassApp", self.app)

    @property
    def engine(self) -> Engine | None:
        """The engine, once it is open."""
        return self._app.engine

    # -- drawing

    def _draw_footer(self) -> None:
        spans = status.footer(self._app.palette, self.size.width, ready=self._index is not None)
        self.query_one("#footer", Line).show(spans)

    def draw_top(self) -> None:
        """Repaint the top line."""
        palette = self._app.palette
        right = self._scan_text
        if right is None:
            right = status.resting(self._index, palette) if self.engine else []
        self.query_one("#top", Line).show(status.title(self._index, palette), right)

    def choose(self, neuron: NeuronId) -> None:
        """Go to a neuron; a burst of these draws only the last one."""
        if neuron == self.session.neuron:
            return
        self.session.neuron = neuron
        if self.layer_view is not None and self.layer_view.layer == neuron.layer:
            self._list.point(neuron.index)
        self._feed.want(neuron)

    def _show(self, layer: LayerView, neuron: NeuronView) -> None:
        if layer is not self.layer_view:
            self.layer_view = layer
            self._sort_list()
        else:
            self._draw_list()
        shown = self.neuron_view
        same = shown is not None and shown.record.neuron == neuron.record.neuron
        self.neuron_view = neuron
        self._draw_neuron(keep_cursor=same)

    def _blank(self, layer: LayerView, neuron: NeuronId, error: NeuroglassError | None) -> None:
        """A neuron that is being loaded, or could not be: nothing else's excerpts stay."""
        if layer is not self.layer_view:
            self.layer_view = layer
            self._sort_list()
        else:
            self._draw_list()
        self.neuron_view = None
        lines = [f"Loading neuron {neuron} …"]
        if error is not None:
            lines = [inert(line) for line in (error.message, error.remedy) if line]
        self._panel.show(None, None)
        self._heatmap.show((), 0, message=lines, failed=error is not None)
        self.query_one(Legend).show(0)
        self.query_one(GroupTabs).show("", {})
        palette = self._app.palette
        name: list[Span] = [(" " * 8, palette.text), ("Neuron ", palette.dim)]
        self.query_one("#title", Line).show([*name, (str(neuron), palette.strong)], [])
        self._remark = ("", False)
        self._draw_status()

    def _neighbours(self) -> list[NeuronId]:
        """What the next keys are likely to ask for."""
        found = (self._list.neighbour(by) for by in (1, -1, 2, -2, 3))
        return [NeuronId(self.session.neuron.layer, index) for index in found if index is not None]

    def _fail(self, error: NeuroglassError) -> None:
        self.post_message(Problem(error.message, error.remedy))

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

    def _draw_excerpts(self, *, keep_cursor: bool = False) -> None:
        view = self.neuron_view
        if view is None:
            return
        group = next(group for group in GROUPS if group.key == self.session.group)
        result = self.session.results.get(view.record.neuron)
        passages = passages_of(view, group.key, result, self._index)
        statistics = view.record.statistics
        extreme = statistics.minimum if group.key == "bottom" else statistics.maximum
        extreme = extreme if extreme == extreme else 0.0  # a published one may not be known
        missing: tuple[str, ...] = ("Nothing here: the scan kept no such window.",)
        if view.public is not None:
            missing = ("Nothing here: the files have no such excerpt.",)
            missing += tuple(inert(problem) for problem in view.public.problems)
        if group.key == HELD_OUT:
            missing = ("Not scored yet.", "e explains the neuron and scores it on held-out text.")
        self._heatmap.show(
            passages,
            extreme,
            keep_cursor=keep_cursor,
            message=missing,
        )
        self.query_one(Legend).show(extreme)
        self.query_one(GroupTabs).show(group.key, counts_of(view, result))
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
        spans.append((f"   max {sessions.number(statistics.maximum)}", palette.dim))
        self.query_one("#title", Line).show(
            spans, [(f"{count} {description} ", palette.faint)] if count else []
        )

    def repaint(self) -> None:
        """Draw everything again after a change of colours."""
        self._draw_footer()
        self.draw_top()
        self._draw_neuron(keep_cursor=True)
        for pane in self.query(Pane):
            pane.redraw(everything=True)

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
            self.choose(sessions.neuron_beside(self._index, self.session.neuron, by))

    def action_random(self) -> None:
        """Go to a random neuron."""
        if self._index is not None:
            layers = [n for n in range(self._index.n_layers) if self._index.present(n)]
            layer = random.choice(layers)
            self.choose(NeuronId(layer, random.choice(self._index.present(layer))))

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
