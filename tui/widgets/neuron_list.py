"""The neurons of one layer as a list that draws only the rows in sight."""

from __future__ import annotations

from collections.abc import Callable, Collection

from rich.style import Style
from textual import events
from textual.message import Message
from textual.timer import Timer

from engine.neuron import NeuronId
from tui.find import holds
from tui.session import LayerView, Sort, number
from tui.widgets.pane import Pane, Span, between

_HEAD = 3
ONE_FRAME = 0.012  # seconds; reading a neuron takes about 4 ms


def _distance(number: int) -> Callable[[int], int]:
    return lambda index: abs(index - number)


def _share(percent: float) -> str:
    if percent != percent:
        return "–"
    return f"{percent:.1f}" if percent >= 0.05 or not percent else "<0.1"


class NeuronList(Pane, can_focus=True):
    """Index, strongest activation, share of active tokens, best score, star, unsaved mark."""

    DEFAULT_CSS = "NeuronList { height: 1fr; }"

    class Chosen(Message):
        """The mouse chose another neuron."""

        def __init__(self, neuron: NeuronId) -> None:
            super().__init__()
            self.neuron = neuron

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._view: LayerView | None = None
        self._last_layer = 0
        self._sort = Sort.INDEX
        self._order: list[int] = []
        self._place: dict[int, int] = {}
        self._unsaved: Collection[int] = ()
        self._columns: tuple[list[float], list[float]] = ([], [])
        self._top = 0
        self._cursor = 0
        self._due: Timer | None = None

    def show(
        self,
        view: LayerView,
        order: list[int],
        sort: Sort,
        index: int,
        unsaved: Collection[int],
        last_layer: int,
    ) -> None:
        """Show a layer in an order, with the cursor on neuron ``index``."""
        if view is not self._view or view.grows:
            self._columns = (
                view.statistics.maximum.tolist(),
                view.statistics.fraction_active.tolist(),
            )
        self._view, self._sort = view, sort
        if order is not self._order:
            self._order = order
            self._place = {neuron: place for place, neuron in enumerate(order)}
        if self._due is not None:
            self._due.stop()
            self._due = None
        self._unsaved, self._last_layer = unsaved, last_layer
        self._cursor = self._place.get(index, 0)
        self.redraw()

    def point(self, index: int) -> None:
        """Put the cursor on a neuron without telling anybody."""
        self._cursor = self._place.get(index, self._cursor)
        self._redraw_soon()

    def neighbour(self, by: int) -> int | None:
        """The neuron ``by`` rows away from the cursor; None beyond the ends."""
        place = self._cursor + by
        return self._order[place] if 0 <= place < len(self._order) else None

    @property
    def place(self) -> object:
        return self._cursor

    @property
    def neuron(self) -> NeuronId | None:
        """The neuron under the cursor."""
        if self._view is None or not self._order:
            return None
        return NeuronId(self._view.layer, self._order[self._cursor])

    def places_of(self, indices: Collection[int], text: str) -> list[int]:
        """Places of the given neurons, and of those whose number or note has the text."""
        assert self._view is not None
        notes = self._view.annotations
        return [
            place
            for place, index in enumerate(self._order)
            if index in indices
            or str(index) == text
            or (
                index in notes and holds(f"{notes[index].note} {' '.join(notes[index].tags)}", text)
            )
        ]

    def show_place(self, place: int) -> None:
        self._go(place)

    def to_row(self, number: int) -> None:
        """Put the cursor on neuron ``number`` of the layer, or the nearest, wherever it stands."""
        if self._order:
            near = number if number in self._place else min(self._order, key=_distance(number))
            self._go(self._place[near])

    def move(self, direction: str, count: int = 1) -> None:
        """Move the cursor as the action of that name says, so many times."""
        if not self._order:
            return
        page = max(1, self.size.height - _HEAD)
        last = len(self._order) - 1
        target = {
            "down": self._cursor + count,
            "up": self._cursor - count,
            "page_down": self._cursor + page * count,
            "page_up": self._cursor - page * count,
            "half_down": self._cursor + page // 2 * count,
            "half_up": self._cursor - page // 2 * count,
            "home": 0,
            "end": last,
        }.get(direction, self._cursor)
        self._go(min(max(target, 0), last))

    def _go(self, target: int) -> None:
        if target != self._cursor:
            self._cursor = target
            self._redraw_soon()

    def _redraw_soon(self) -> None:
        """Leave the neuron's own panes time to be read, so that all is one frame."""
        if self._due is None:
            self._due = self.set_timer(ONE_FRAME, self._redraw_now)

    def _redraw_now(self) -> None:
        self._due = None
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        """Choose the row under the mouse."""
        place = self._top + event.y - _HEAD
        if event.y >= _HEAD and place < len(self._order):
            self._cursor = place
            self.redraw()
            self._tell()

    def on_mouse_scroll_down(self) -> None:
        self.move("half_down")
        self._tell()

    def on_mouse_scroll_up(self) -> None:
        self.move("half_up")
        self._tell()

    def _tell(self) -> None:
        if self.neuron is not None:
            self.post_message(self.Chosen(self.neuron))

    # -- drawing

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        view = self._view
        if view is None:
            return []
        title = palette.accent if self.has_focus else palette.text
        heading = Style(bold=True)
        rows: list[list[Span]] = [
            between(
                [
                    (f" Layer {view.layer}", title + heading),
                    (f" of {self._last_layer}", palette.dim),
                ],
                [("[ ] ", palette.faint)],
                width,
                palette.text,
            ),
            [(f" {self._sort}", palette.dim)],
            [(self._columns_of("index", "max", "act %", "score", "")[:width], palette.faint)],
        ]
        room = height - len(rows)
        self._page(room)
        for place in range(self._top, min(self._top + room, len(self._order))):
            rows.append(self._row(place, width))
        return rows

    @staticmethod
    def _columns_of(index: str, maximum: str, share: str, score: str, marks: str) -> str:
        return f" {index:>5} {maximum:>6} {share:>5} {score:>5}{marks:<2}"

    def _page(self, room: int) -> None:
        if self._cursor < self._top or self._cursor >= self._top + room:
            self._top = self._cursor - room // 2
        self._top = max(0, min(self._top, len(self._order) - room))

    def _row(self, place: int, width: int) -> list[Span]:
        palette, view = self.palette, self._view
        assert view is not None
        index = self._order[place]
        maximum, share = self._columns[0][index], self._columns[1][index]
        score = view.scores.get(index)
        annotation = view.annotations.get(index)
        starred = annotation is not None and annotation.starred
        note = annotation is not None and bool(annotation.note)
        marks = ("★" if starred else " ") + (
            "●" if index in self._unsaved else "…" if note else " "
        )
        percent = share * 100
        text = self._columns_of(
            str(index),
            number(maximum, 2 if maximum < 100 else 1),
            _share(percent),
            "" if score is None else number(score),
            "",
        )
        if place == self._cursor:
            style = palette.selected
            mark = "▌" if self.has_focus else " "
            accent = Style(color=palette.accent.color, bgcolor=palette.selected.bgcolor)
            if palette.accent.color is None:
                accent = style
            filled = f"{text[1:]}"
            return [
                (mark, accent),
                (filled[: width - 3], style),
                (marks, accent),
                (" " * width, style),
            ]
        dead = maximum <= 0
        return [
            (text[: width - 2], palette.faint if dead else palette.text),
            (marks, palette.accent),
        ]
