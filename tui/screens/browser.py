"""Looking: the panes of the explorer, how they are laid out and drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical

from engine.errors import NeuroglassError
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui import session as sessions
from tui.actions import EXPLORER, Action
from tui.feed import Feed
from tui.messages import Problem
from tui.passages import counts_of, passages_of
from tui.screens.looking import Looker
from tui.session import GROUPS, HELD_OUT, LayerView, NeuronView, Session
from tui.widgets import status
from tui.widgets.explanation_panel import ExplanationPanel
from tui.widgets.heatmap import Heatmap
from tui.widgets.legend import GroupTabs, Legend
from tui.widgets.neuron_list import NeuronList
from tui.widgets.pane import Line, Span

if TYPE_CHECKING:
    from engine.catalogue import Catalogue

PANES = ("list", "heat", "panel")
#: What is done with the neuron on the screen: it waits until that is the one last gone to.
OF_THE_SHOWN = {
    f"action_{name}"
    for name in (
        *("star", "note", "tags", "copy", "copy_excerpt", "export", "report"),
        *("compare", "write", "explain", "worst"),
    )
}


class Browser(Looker):
    """Neurons on the left, excerpts in the middle, explanation on the right."""

    NAME = EXPLORER
    AUTO_FOCUS = "#list"

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.layer_view: LayerView | None = None
        self.neuron_view: NeuronView | None = None
        self._index: Catalogue | None = None
        self._order: list[int] = []
        self._feed = Feed(self, self._show, self._fail, self._neighbours, self._blank)

    def body(self) -> ComposeResult:
        yield NeuronList(id="list")
        with Vertical(id="heat"):
            yield Line(id="title", keep_left=True)
            yield GroupTabs(id="tabs")
            yield Heatmap(id="heatmap")
            yield Legend(id="legend")
        yield ExplanationPanel(id="panel")

    def ready(self) -> None:
        self._list = self.query_one(NeuronList)
        self._heatmap = self.query_one(Heatmap)
        self._panel = self.query_one(ExplanationPanel)
        self._heatmap.show((), 0, message=("Opening …",))

    def laid_out(self) -> None:
        self._show_pane(self._pane)

    # -- drawing

    def head(self) -> tuple[list[Span], list[Span]]:
        palette = self._app.palette
        right = self._app.scan_text
        if right is None:
            right = status.resting(self._index, palette) if self.engine else []
        return status.title(self._index, palette), right

    def why_not(self, action: Action) -> str:
        reason = super().why_not(action)
        of_neuron = action.needs in ("neuron", "model") or action.id == "open"
        if not reason and of_neuron and self.neuron_view is None:
            going = action.method in ("action_neuron", "action_layer", "action_random")
            return "" if going and self.layer_view is not None else "No neuron is shown yet."
        return reason

    def choose(self, neuron: NeuronId, *, step: bool = False) -> None:
        """Go to a neuron; a burst of these draws only the last one.

        Args:
            step: It is a neighbour: in the history it takes the place of this one.
        """
        if neuron == self.session.neuron:
            return
        self.session.visited.visit(neuron, step=step)
        self._turn_to(neuron)

    def _turn_to(self, neuron: NeuronId) -> None:
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
        first = shown is None
        same = shown is not None and shown.record.neuron == neuron.record.neuron
        self.neuron_view = neuron
        self._draw_neuron(keep_cursor=same)
        if first:
            self.draw_footer()
            self._app.keeper.settled_in()

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
        self.query_one(GroupTabs).show("", {})
        palette = self._app.palette
        name: list[Span] = [(" " * 8, palette.text), ("Neuron ", palette.dim)]
        self.query_one("#title", Line).show([*name, (str(neuron), palette.strong)], [])
        self._remark = ("", False)
        self.draw_status()

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

    def draw_heatmap(self) -> None:
        self._draw_excerpts(keep_cursor=True)

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
            look=self.look,
        )
        self.query_one(GroupTabs).show(group.key, counts_of(view, result))
        self._draw_title(group.description, len(passages))
        if not keep_cursor:
            self._remark = ("", False)
        self.draw_status()

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
        self._draw_neuron(keep_cursor=True)
        super().repaint()

    # -- the status line

    @on(Heatmap.Clicked)
    def _clicked(self) -> None:
        self.say("")

    def draw_status(self) -> None:
        look, here = self.look, self._heatmap.current
        difference = look.difference and here is not None and here[0].expected is not None
        self.query_one(Legend).show(
            self._heatmap.scale_end, of_excerpt=look.per_excerpt, difference=difference
        )
        super().draw_status()

    def status_left(self, room: int) -> list[Span]:
        here, view = self._heatmap.current, self.neuron_view
        if here is None or view is None:
            return []
        return status.token_status(*here, view, self._app.palette, room)

    # -- moving about

    @on(NeuronList.Chosen)
    def _chosen(self, message: NeuronList.Chosen) -> None:
        if message.neuron.layer == self.session.neuron.layer:
            self.choose(message.neuron, step=True)

    def catch_up(self) -> None:
        """Have the list show the layer that the user is on.

        Keys come in bursts: what moves in the list must not move in the layer before,
        because that of the last key is still being read (1 ms from the page cache).
        """
        view, engine, neuron = self.layer_view, self.engine, self.session.neuron
        if view is None or engine is None or self._index is None or view.layer == neuron.layer:
            return
        try:
            self.layer_view = sessions.read_layer(self._index, engine.store, neuron.layer)
        except NeuroglassError as error:
            self._fail(error)
        else:
            self._sort_list()

    def moved(self) -> None:
        """Go to the neuron that the list's cursor was moved to."""
        neuron = self._list.neuron
        here = self.session.neuron.layer
        if self._pane == "list" and neuron is not None and neuron.layer == here:
            self.choose(neuron, step=True)

    async def perform(self, action: Action, letter: str = "") -> None:
        if action.method in OF_THE_SHOWN:
            await self._feed.settled()
            view, neuron = self.neuron_view, self.session.neuron
            if view is not None and view.record.neuron != neuron:
                self.take_count()
                self.say(f"{neuron} is not shown yet.")
                return
        await super().perform(action, letter)

    def arrived(self) -> None:
        # Other screens explain, delete and annotate.
        if self._index is not None:
            self._feed.again()

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
        if self._pane == "list":
            count = self.take_count()
            self.catch_up()
            if direction in ("left", "right"):
                self._layer((count or 1) * (1 if direction == "right" else -1))
            elif direction in ("home", "end") and count is not None:
                self._list.to_row(count)
            else:
                self._list.move(direction, count or 1)
            self.moved()
            return
        super().action_move(direction)
        if self._pane == "heat":
            # In the same frame; a message would come one frame late.
            self.say("")

    def _layer(self, by: int) -> None:
        if self._index is not None:
            self.choose(sessions.neuron_beside(self._index, self.session.neuron, by), step=True)

    def action_open(self) -> None:
        """From the list into the excerpts."""
        self._focus("heat")
