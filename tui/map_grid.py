"""How a model's neurons are laid out as cells: layers below each other, wrapped into rows.

A cell stands for ``factor`` neighbouring neurons.  A layer whose cells don't fit into one row
goes on in the next; rows of a layer are padded to an even number, so that with two rows in
one line of text no line belongs to two layers, unless each layer has a single row.

Pure arithmetic, so that it is tested without a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.neuron import NeuronId


@dataclass(frozen=True, slots=True)
class MapGrid:
    """Cells of a model at one zoom.

    Attributes:
        layers, neurons: Of the model, neurons per layer.
        factor: Neurons per cell.
        columns: Cells in a row.
        paired: Whether a line of text holds two rows.
    """

    layers: int
    neurons: int
    factor: int
    columns: int
    paired: bool = True

    @property
    def cells(self) -> int:
        """Cells of a layer."""
        return -(-self.neurons // self.factor)

    @property
    def rows_per_layer(self) -> int:
        """Rows of a layer, padding included."""
        rows = -(-self.cells // self.columns)
        return rows + rows % 2 if self.paired and rows > 1 else rows

    @property
    def rows(self) -> int:
        """Rows of all layers."""
        return self.layers * self.rows_per_layer

    @property
    def lines(self) -> int:
        """Lines of text of all layers."""
        return -(-self.rows // 2) if self.paired else self.rows

    def place(self, neuron: NeuronId) -> tuple[int, int]:
        """Row and column of a neuron's cell."""
        row, column = divmod(neuron.index // self.factor, self.columns)
        return neuron.layer * self.rows_per_layer + row, column

    def at(self, row: int, column: int) -> tuple[int, int] | None:
        """Layer and cell at a row and column; None where there is none."""
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            return None
        layer, inner = divmod(row, self.rows_per_layer)
        cell = inner * self.columns + column
        return (layer, cell) if cell < self.cells else None

    def neurons_of(self, cell: int) -> tuple[int, int]:
        """The first neuron of a cell, and the one after its last."""
        first = cell * self.factor
        return first, min(first + self.factor, self.neurons)

    def moved(self, neuron: NeuronId, rows: int, columns: int) -> NeuronId:
        """The first neuron of a cell so far away; at an edge it stays.

        Sideways the layer's rows follow each other. Downwards padding is stepped over, and
        in a last row that is shorter the nearest cell is taken.
        """
        cell = neuron.index // self.factor
        if columns:
            cell = max(0, min(cell + columns, self.cells - 1))
            return NeuronId(neuron.layer, cell * self.factor)
        row, column = self.place(neuron)
        step = 1 if rows > 0 else -1
        target = max(0, min(row + rows, self.rows - 1))
        while (found := self.at(target, column)) is None:
            layer, inner = divmod(target, self.rows_per_layer)
            last = self.cells - 1
            if inner * self.columns <= last:
                found = layer, last
                break
            target += step
            if not 0 <= target < self.rows:
                found = layer, last
                break
        layer, cell = found
        if (layer, cell) == (neuron.layer, neuron.index // self.factor):
            return neuron
        return NeuronId(layer, cell * self.factor)


def fitting(layers: int, neurons: int, width: int, lines: int, *, paired: bool = True) -> int:
    """The smallest power of two of neurons per cell at which all rows fit into the lines.

    Where not even one row for each layer fits, the one at which a layer is one row.
    """
    factor = 1
    while True:
        grid = MapGrid(layers, neurons, factor, columns_for(neurons, factor, width), paired)
        if grid.lines <= lines or grid.cells <= width:
            return factor
        factor *= 2


def columns_for(neurons: int, factor: int, width: int) -> int:
    """Cells in a row: as many as fit, or somewhat fewer if a layer's rows then are full."""
    cells = -(-neurons // factor)
    width = max(width, 1)
    if cells <= width:
        return cells
    for columns in range(width, width * 3 // 4, -1):
        if cells % columns == 0:
            return columns
    return max(width - width % 8, 1)


def level_labels(bounds: Sequence[float]) -> list[str]:
    """Where each level begins, as a legend says it; of the first one, where it ends."""
    first, *others = bounds
    above_zero = 0 < first < 1e-30
    labels = ["≤0", ">0"] if above_zero else [f"<{_short(first)}", _short(first)]
    return labels + [_short(bound) for bound in others]


def _short(value: float) -> str:
    """About three digits."""
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.2g}"
    if 1 <= abs(value) < 100:
        text = f"{value:.1f}"
    return text.removesuffix(".0")
