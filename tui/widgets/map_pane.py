"""All neurons of the model as a dense map: a cell for each, or for several together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.style import Style
from textual import events
from textual.message import Message

from engine.neuron import NeuronId
from tui.map_grid import MapGrid, columns_for, fitting, level_labels
from tui.widgets.pane import Pane, Span, between, width_of, wrapped

if TYPE_CHECKING:
    from rich.color import Color

    from engine.neuron_map import Cells, NeuronMap, Pooling
    from tui.theme import Palette

#: Signs of levels 0 to 8 where there are no colours; the first one is a missing value.
SIGNS = "·▁▂▃▄▅▆▇█"
TITLES = {
    "score": "Score of the best explanation",
    "maximum": "Largest activation",
    "active": "Share of tokens it fires at",
    "explanations": "Number of explanations",
    "kurtosis": "Kurtosis of the activations",
}
#: Lines above and below the cells: title, ruler; legend.
_ABOVE, _BELOW = 2, 2


@dataclass(slots=True)
class _Drawn:
    """Lines without the cursor, kept while nothing but the cursor changes."""

    cells: Cells | None = None
    grid: MapGrid | None = None
    palette: Palette | None = None
    coloured: bool = False
    lines: dict[int, list[Span]] = field(default_factory=dict)


class MapPane(Pane, can_focus=True):
    """Draws the map and moves in it.

    Attributes:
        factor: Neurons per cell; 0 until the size is known.
        fitted: Whether the factor follows the size, so that the whole model is in sight.
        signs: Whether height alone tells the level, also where there are colours.
        neuron: The first neuron of the cell under the cursor, or the one come from.
    """

    DEFAULT_CSS = "MapPane { width: 100%; height: 100%; }"

    class Moved(Message):
        """The cursor, the zoom or what a cell stands for has changed."""

    def __init__(self, neuron: NeuronId) -> None:
        super().__init__(id="map")
        self.neuron = neuron
        self.factor = 0
        self.fitted = True
        self.by: Pooling = "max"
        self.signs = False
        self.message: tuple[str, bool] = ("Reading all neurons …", False)
        self._map: NeuronMap | None = None
        self._cells: Cells | None = None
        self._drawn = _Drawn()
        self._styles: dict[tuple[int, int], Style] = {}
        self._top = 0

    def show(self, found: NeuronMap, cells: Cells | None = None) -> None:
        """Show a map, of which cells may have been reckoned; cursor and zoom stay."""
        self._map, self._cells = found, cells
        last = NeuronId(found.n_layers - 1, found.n_neurons - 1)
        if self.neuron.layer > last.layer or self.neuron.index > last.index:
            self.neuron = NeuronId(0, 0)
        self._changed()

    def fail(self, text: str) -> None:
        """Show why there is no map."""
        self._map, self.message = None, (text, True)
        self.redraw()

    # -- what is under the cursor

    @property
    def shown(self) -> NeuronMap | None:
        """What is shown, once it is read."""
        return self._map

    @property
    def cells(self) -> Cells | None:
        """The map at the present zoom."""
        found = self._map
        if found is None or not self.factor:
            return None
        cells = self._cells
        if cells is None or (cells.factor, cells.by) != (self.factor, self.by):
            cells = self._cells = found.cells(self.factor, self.by)
        return cells

    @property
    def grid(self) -> MapGrid | None:
        """How the cells are laid out; None before there is anything to lay out."""
        found = self._map
        if found is None or not self.size.width:
            return None
        width, lines = self._room()
        paired = self._paired
        if self.fitted:
            self.factor = fitting(found.n_layers, found.n_neurons, width, lines, paired=paired)
        columns = columns_for(found.n_neurons, self.factor, width)
        return MapGrid(found.n_layers, found.n_neurons, self.factor, columns, paired)

    @property
    def under(self) -> tuple[NeuronId, NeuronId, NeuronId] | None:
        """First and last neuron of the cell under the cursor, and its strongest one."""
        grid, found = self.grid, self._map
        if grid is None or found is None:
            return None
        layer = self.neuron.layer
        first, after = grid.neurons_of(self.neuron.index // grid.factor)
        strongest = found.strongest(layer, first, after)
        return NeuronId(layer, first), NeuronId(layer, after - 1), strongest

    @property
    def value(self) -> float | None:
        """The value of the cell under the cursor; None where it has none."""
        cells = self.cells
        if cells is None:
            return None
        value = float(cells.values[self.neuron.layer, self.neuron.index // cells.factor])
        return None if value != value else value

    @property
    def place(self) -> object:
        return self.neuron, self.factor

    @property
    def _coloured(self) -> bool:
        return not self.signs and self.palette.heat[1].bgcolor is not None

    @property
    def _paired(self) -> bool:
        """Whether a line holds two rows of cells: not where a small model leaves room."""
        found = self._map
        if not self._coloured or found is None:
            return self._coloured
        return fitting(found.n_layers, found.n_neurons, *self._room(), paired=False) > 1

    def _room(self) -> tuple[int, int]:
        """Cells in a line, and lines."""
        width, height = self.size
        return max(width - self._margin(width) - 1, 8), max(height - _ABOVE - _BELOW, 1)

    @staticmethod
    def _margin(width: int) -> int:
        return 11 if width >= 70 else 6

    # -- moving

    def move(self, direction: str) -> None:
        """Move the cursor as the action of that name says."""
        grid = self.grid
        if grid is None:
            return
        per_line = 2 if grid.paired else 1
        page = max(self._room()[1] * per_line - per_line, 1)
        rows = {"down": 1, "up": -1, "page_down": page, "page_up": -page}
        rows |= {"half_down": page // 2, "half_up": -(page // 2)}
        columns = {"left": -1, "right": 1}
        if direction in rows:
            self.go(grid.moved(self.neuron, rows[direction], 0))
        elif direction in columns:
            self.go(grid.moved(self.neuron, 0, columns[direction]))
        elif direction == "home":
            self.go(NeuronId(0, 0))
        elif direction == "end":
            self.go(NeuronId(grid.layers - 1, (grid.cells - 1) * grid.factor))

    def go(self, neuron: NeuronId) -> None:
        """Put the cursor on a neuron's cell."""
        if neuron != self.neuron:
            self.neuron = neuron
            self._changed()

    def zoom(self, by: int) -> bool:
        """Twice or half as close; whether that is possible."""
        grid = self.grid
        if grid is None:
            return False
        whole = fitting(grid.layers, grid.neurons, *self._room(), paired=grid.paired)
        if by > 0:
            factor = grid.factor // 2
        else:
            factor = min(grid.factor * 2, whole) if grid.factor < whole else 0
        if factor:
            self.factor, self.fitted = factor, factor == whole
            self._changed()
        return bool(factor)

    def fit(self) -> None:
        """The whole model in sight again."""
        self.fitted = True
        self._changed()

    def _changed(self) -> None:
        self.redraw()
        self.post_message(self.Moved())

    def on_resize(self) -> None:
        """Other neurons may be in the cell under the cursor now."""
        self.post_message(self.Moved())

    def on_click(self, event: events.Click) -> None:
        """Choose the cell under the mouse."""
        grid = self.grid
        line, column = event.y - _ABOVE + self._top, event.x - self._margin(self.size.width)
        if grid is None or event.y < _ABOVE:
            return
        for row in (2 * line, 2 * line + 1) if grid.paired else (line,):
            found = grid.at(row, column)
            if found is not None:
                self.go(NeuronId(found[0], found[1] * grid.factor))
                return

    # -- drawing

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette, grid, cells, found = self.palette, self.grid, self.cells, self._map
        if grid is None or cells is None or found is None:
            text, failed = self.message
            style = palette.error if failed else palette.dim
            return [[], *([(f" {line}", style)] for line in wrapped(text, width - 2))]
        self._prepare(grid, cells, palette)
        row, column = grid.place(self.neuron)
        here = row // 2 if grid.paired else row
        room = max(height - _ABOVE - _BELOW, 1)
        if here < self._top or here >= self._top + room:
            self._top = here - room // 2
        self._top = max(0, min(self._top, grid.lines - room))
        margin = self._margin(width)
        rows = [
            self._title(width),
            [(" " * (margin + column), palette.text), ("▾", palette.accent)],
        ]
        for line in range(self._top, min(self._top + room, grid.lines)):
            spans = [*self._label(grid, line, margin, here), *self._line(grid, line)]
            if line == here:
                spans = self._with_cursor(grid, spans, margin + column, row)
            rows.append(spans)
        rows += [[]] * (height - 1 - len(rows))
        rows.append(self._legend(cells, width))
        return rows

    def _prepare(self, grid: MapGrid, cells: Cells, palette: Palette) -> None:
        drawn, coloured = self._drawn, self._coloured
        same = drawn.cells is cells and drawn.palette is palette
        if not same or (drawn.grid, drawn.coloured) != (grid, coloured):
            self._drawn = _Drawn(cells, grid, palette, coloured)
            self._styles = {}

    def _title(self, width: int) -> list[Span]:
        palette, found = self.palette, self._map
        assert found is not None
        cell = "" if self.factor == 1 else f"{self.by} of {self.factor} neurons a cell"
        left: list[Span] = [
            (f" {TITLES[found.quantity]}", palette.strong),
            (f"   {cell}", palette.dim),
        ]
        explained = f"{int(found.explained.sum()):,} of {found.explained.size:,} explained "
        right: list[Span] = [(explained, palette.dim)]
        if width_of(left) + width_of(right) > width - 2:
            right = []
        return between(left, right, width, palette.text)

    def _label(self, grid: MapGrid, line: int, margin: int, here: int) -> list[Span]:
        """Layer and first neuron of a line."""
        palette = self.palette
        row = line * 2 if grid.paired else line
        layer, inner = divmod(row, grid.rows_per_layer)
        current = line == here
        first = inner * grid.columns * grid.factor
        shown = f"{layer:>3}"
        if grid.paired and grid.rows_per_layer == 1 and current:
            shown, layer = f"{self.neuron.layer:>3}", self.neuron.layer  # of the two in the line
        elif inner:
            shown = "   "
        mark: Span = ("▸" if current else " ", palette.accent)
        style = palette.strong if layer == self.neuron.layer else palette.dim
        start = f"{first:>6} " if margin > 6 else "  "
        if margin > 6 and first >= grid.neurons:
            start = " " * 7
        return [mark, (shown, style), (start[: margin - 4], palette.faint)]

    def _line(self, grid: MapGrid, line: int) -> list[Span]:
        """The cells of a line without the cursor."""
        kept = self._drawn.lines.get(line)
        if kept is None:
            kept = []
            for column in range(grid.columns):
                text, style = self._cell(grid, line, column)
                if kept and kept[-1][1] == style:
                    kept[-1] = (kept[-1][0] + text, style)
                else:
                    kept.append((text, style))
            self._drawn.lines[line] = kept
        return kept

    def _level(self, grid: MapGrid, row: int, column: int) -> int:
        """The level of a cell; -1 where there is none."""
        found = grid.at(row, column)
        cells = self._drawn.cells
        return -1 if found is None or cells is None else int(cells.levels[found])

    def _cell(self, grid: MapGrid, line: int, column: int) -> Span:
        palette = self.palette
        if not grid.paired:
            level = self._level(grid, line, column)
            if level < 0:
                return " ", palette.text
            if self._coloured and level:
                return " ", self._style(level, level)
            return SIGNS[level], palette.text if level else palette.faint
        upper = self._level(grid, 2 * line, column)
        lower = self._level(grid, 2 * line + 1, column)
        if upper <= 0 and lower <= 0:
            return ("·", palette.faint) if upper == 0 or lower == 0 else (" ", palette.text)
        if upper == lower:
            return " ", self._style(upper, upper)
        if upper <= 0:
            return "▄", self._style(lower, upper)
        return "▀", self._style(upper, lower)

    def _style(self, ink: int, ground: int) -> Style:
        """A level's colour on that of another level; levels up to 0 are the background."""
        style = self._styles.get((ink, ground))
        if style is None:
            palette = self.palette
            style = Style(color=self._colour(ink, palette), bgcolor=self._colour(ground, palette))
            self._styles[ink, ground] = style
        return style

    @staticmethod
    def _colour(level: int, palette: Palette) -> Color | None:
        return palette.heat[level].bgcolor if level > 0 else palette.text.bgcolor

    def _with_cursor(self, grid: MapGrid, spans: list[Span], at: int, row: int) -> list[Span]:
        """The line with the cell at a column of the screen marked."""
        palette = self.palette
        out: list[Span] = []
        seen = 0
        for text, style in spans:
            if seen <= at < seen + len(text):
                before, sign, after = text[: at - seen], text[at - seen], text[at - seen + 1 :]
                out += [
                    (before, style),
                    self._cursor(grid, sign, style, row, palette),
                    (after, style),
                ]
            else:
                out.append((text, style))
            seen += len(text)
        return [span for span in out if span[0]]

    @staticmethod
    def _cursor(grid: MapGrid, sign: str, style: Style, row: int, palette: Palette) -> Span:
        """One half of the sign in a colour that no level has; the other half stays."""
        mark = palette.cold[6].bgcolor
        if not grid.paired:
            coloured = mark is not None and sign not in SIGNS[1:]
            return sign, Style(color=style.color, bgcolor=mark) if coloured else palette.cursor
        upper, lower = style.bgcolor, style.bgcolor
        if sign == "▀":
            upper = style.color
        elif sign == "▄":
            lower = style.color
        if row % 2:
            return "▄", Style(color=mark, bgcolor=upper)
        return "▀", Style(color=mark, bgcolor=lower)

    def _legend(self, cells: Cells, width: int) -> list[Span]:
        palette = self.palette
        spans: list[Span] = [(" · ", palette.faint), ("none", palette.dim)]
        labels = level_labels(cells.bounds)
        gap = " " if width_of(spans) + sum(len(label) + 5 for label in labels) > width else "  "
        for level, label in enumerate(labels, start=1):
            sign: Span = (SIGNS[level], palette.text)
            if self._coloured:
                sign = ("  ", self._style(level, level))
            part: list[Span] = [(gap, palette.text), sign, (f" {label}", palette.dim)]
            if width_of(spans) + width_of(part) > width:
                break
            spans += part
        return spans
