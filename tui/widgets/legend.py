"""The scale of the heatmap and the tabs of its groups."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len
from rich.style import Style

from tui.passages import figure, level_floor
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
        self._of_excerpt = self._difference = False

    def show(self, extreme: float, *, of_excerpt: bool = False, difference: bool = False) -> None:
        """Show the scale up to ``extreme``, a maximum, or down to it, a minimum.

        Args:
            of_excerpt: The extreme is the excerpt's own, not the neuron's.
            difference: The colours tell of real minus simulated.
        """
        self._extreme, self._of_excerpt, self._difference = extreme, of_excerpt, difference
        self.redraw()

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        if not self._extreme:
            return [[]]
        if self._difference:
            return [self._diverging(width)]
        name = "max" if self._extreme > 0 else "min"
        end = f" {_short(self._extreme)} {'in excerpt' if self._of_excerpt else name}"
        sign = 1 if self._extreme > 0 else -1
        values = ["0", *(_short(level_floor(n, self._extreme)) for n in range(1, LEVELS))]
        size = max(map(len, values)) + 1
        if size * LEVELS + 1 + cell_len(end) > width:
            end = f" {_short(self._extreme)}"
        room = width - 1 - cell_len(end)
        if size * LEVELS > room:  # every other value, on swatches as wide as fit
            size = max(room // LEVELS, 2)
            values = [v if n % 2 == 0 and len(v) < size else "" for n, v in enumerate(values)]
        spans: list[Span] = [(" ", palette.text)]
        for level, value in enumerate(values):
            spans.append((f"{value:^{size}}", palette.level(sign * level)))
        spans.append((end, palette.dim))
        return [spans]

    def _diverging(self, width: int) -> list[Span]:
        """From simulated too high to simulated too low, every other level."""
        palette = self.palette
        size = abs(self._extreme)
        levels = range(1 - LEVELS, LEVELS, 2)
        values = [figure(level / LEVELS * size, size, sign=True) for level in levels]
        wide = max(map(len, values)) + 1
        before, after = " sim ", " real"
        if wide * len(values) + len(before) + len(after) > width:
            before, after = " ", ""
        swatches = [
            (f"{value:^{wide}}", palette.level(level))
            for level, value in zip(levels, values, strict=True)
        ]
        return [(before, palette.dim), *swatches, (after, palette.dim)]


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
