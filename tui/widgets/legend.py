"""The scale of the heatmap and the tabs of its groups."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len
from rich.style import Style

from tui.passages import level_floor
from tui.session import GROUPS
from tui.theme import LEVELS
from tui.widgets.pane import Pane, Span, width_of

_HERE = Style(underline=True, bold=True)


def _short(value: float) -> str:
    size = abs(value)
    text = f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    return text.replace("0.", ".", 1) if size < 0.995 else text


class Legend(Pane):
    """One swatch per level, each with the smallest value that reaches it."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._extreme = 0.0
        self._unit = ""

    def show(self, extreme: float, unit: str = "") -> None:
        """Show the scale up to ``extreme``, the neuron's maximum, or down to its minimum."""
        self._extreme, self._unit = extreme, unit
        self.redraw()

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        if not self._extreme:
            return [[]]
        end = (
            f" {_short(self._extreme)} max"
            if self._extreme > 0
            else f" {_short(self._extreme)} min"
        )
        sign = 1 if self._extreme > 0 else -1
        values = ["0", *(_short(level_floor(n, self._extreme)) for n in range(1, LEVELS))]
        size = max(map(len, values)) + 1
        if size * LEVELS + 1 + cell_len(end) > width:
            end = end.rsplit(" ", 1)[0]
        room = width - 1 - cell_len(end)
        if size * LEVELS > room:  # every other value, on swatches as wide as fit
            size = max(room // LEVELS, 2)
            values = [v if n % 2 == 0 and len(v) < size else "" for n, v in enumerate(values)]
        spans: list[Span] = [(" ", palette.text)]
        for level, value in enumerate(values):
            spans.append((f"{value:^{size}}", palette.level(sign * level)))
        spans.append((end, palette.dim))
        return [spans]


class GroupTabs(Pane):
    """The groups of excerpts in one row; the shown one in the accent colour."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._current = ""
        self._counts: Mapping[str, int] = {}

    def show(self, current: str, counts: Mapping[str, int]) -> None:
        """Mark a group; ``counts`` says how many excerpts each holds."""
        self._current, self._counts = current, counts
        self.redraw()

    def build(self, width: int, height: int) -> list[list[Span]]:
        if not self._current:
            return []
        for short in (False, True):
            row = self._row(short)
            if width_of(row) <= width:
                break
        return [row]

    def _row(self, short: bool) -> list[Span]:
        palette = self.palette
        spans: list[Span] = [(" " * 8, palette.text)]
        for group in GROUPS:
            label = group.short if short else group.label
            if group.key == self._current:
                spans.append((label, palette.accent + _HERE))
            else:
                spans.append((label, palette.dim if self._counts.get(group.key) else palette.faint))
            spans.append(("  ", palette.text))
        return spans[:-1]
