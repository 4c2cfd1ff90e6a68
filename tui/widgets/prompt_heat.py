"""The heatmap of a typed prompt: one passage, in which the cursor also moves by lines."""

from __future__ import annotations

from tui.passages import Block
from tui.widgets.heatmap import GUTTER, Heatmap


class PromptHeat(Heatmap):
    """A heatmap of one passage that has no document."""

    def move(self, direction: str) -> None:
        """Move the cursor: ``left``, ``right``, ``up``, ``down``, ``home``, ``end``."""
        if not self.passages:
            return
        last = len(self.passages[0].tokens) - 1
        if direction in ("left", "right"):
            self.point(self.token + (1 if direction == "right" else -1))
        elif direction in ("home", "end"):
            self.point(0 if direction == "home" else last)
        else:
            self.point(self._beside(1 if "down" in direction else -1))

    def to_row(self, number: int) -> None:
        """Put the cursor on a token, counted from 1."""
        self.point(max(number - 1, 0))

    def point(self, token: int) -> None:
        """Put the cursor on a token; negative from the end."""
        if not self.passages:
            return
        count = len(self.passages[0].tokens)
        self.token = max(0, min(token + count if token < 0 else token, count - 1))
        self.redraw()

    def _beside(self, by: int) -> int:
        """The token above or below the cursor; the same one at the edges."""
        self._lay_out(*self.size)
        [block] = self._blocks
        line = block.line_of(self.token)
        if not 0 <= line + by < len(block.lines):
            return self.token
        column = self._column(block, line, self.token)
        start, stop = block.lines[line + by]
        return min(
            range(start, stop), key=lambda t: abs(self._column(block, line + by, t) - column)
        )

    @staticmethod
    def _column(block: Block, line: int, token: int) -> int:
        start = block.lines[line][0]
        return GUTTER + sum(block.shown(t, line)[1] for t in range(start, token))

    def _caption(self, block: Block) -> str:
        return ""
