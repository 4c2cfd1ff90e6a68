"""The explanations of one neuron, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.style import Style
from textual.app import ComposeResult

from engine.errors import NeuroglassError
from engine.glyphs import inert
from tui.actions import COMPARE, Action
from tui.find import rows_with
from tui.screens.frame import Frame
from tui.session import NeuronView, Result, number
from tui.widgets.explanation_panel import judged
from tui.widgets.pane import Pane, Span, merged
from tui.widgets.rows import Rows, paragraph, score_row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from engine.engine import Engine
    from engine.judgement import Judgement
    from engine.score import Baseline, Score
    from engine.store import StoredExplanation

_COLUMN = 44


@dataclass(frozen=True, slots=True)
class Entry:
    """One explanation, saved or not.

    Attributes:
        id: Row in the store; None while it is not saved.
        by: Who explained, simulated, and on which split.
        of: Which neuron it is of, where they are of several; else empty.
    """

    id: int | None
    text: str
    by: str
    scores: Sequence[Score]
    baselines: Sequence[Baseline]
    judgements: Sequence[Judgement]
    tokens: int
    of: str = ""

    @property
    def published(self) -> bool:
        """Whether it came with a dataset, and so can't be deleted."""
        return self.id is not None and self.id < 0


def entries(view: NeuronView, result: Result | None) -> list[Entry]:
    """The unsaved one first, then the saved ones in their order."""
    found = []
    if result is not None and result.unsaved and result.explanation is not None:
        card, explanation = result.card, result.explanation
        by = f"{explanation.explainer}, not saved"
        if card is not None:
            by = f"{explanation.explainer} · {card.simulator} · {card.split}, not saved"
        used = explanation.usage.tokens + (card.usage.tokens if card is not None else 0)
        found.append(
            Entry(
                None,
                explanation.text,
                by,
                card.scores if card is not None else (),
                card.baselines if card is not None else (),
                result.judgements,
                used,
            )
        )
    return found + [entry_of(one) for one in view.saved]


def entry_of(one: StoredExplanation, of: str = "") -> Entry:
    """A saved explanation.

    Args:
        of: Which neuron it is of, where they are of several.
    """
    model = str(one.settings.get("model") or "")
    parts = [one.explainer, model, one.simulator or "not scored", one.split or ""]
    if one.id < 0:
        parts = ["published", "scored by its authors" if one.scores else "not scored"]
    return Entry(
        one.id,
        one.text,
        " · ".join(filter(None, parts)),
        one.scores,
        one.baselines,
        one.judgements,
        one.usage.tokens + one.scoring_usage.tokens,
        of,
    )


class ComparePane(Pane, can_focus=True):
    """A grid of explanations; the current one is marked."""

    DEFAULT_CSS = "ComparePane { width: 100%; height: 100%; }"

    def __init__(self) -> None:
        super().__init__(id="compare")
        self.entries: list[Entry] = []
        self.current = 0
        self.columns = 1

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        rows: list[list[Span]] = [[]]
        room = height - 1
        if not self.entries:
            rows.append([(" None yet. e explains, E scores words of your own.", palette.dim)])
        else:
            rows += self._grid(width, room)
        return rows

    def _grid(self, width: int, room: int) -> list[list[Span]]:
        self.columns = max(1, min(width // _COLUMN, len(self.entries)))
        size = width // self.columns
        lines: list[list[list[Span]]] = []
        for start in range(0, len(self.entries), self.columns):
            cells = [
                self._entry(number_, size)
                for number_ in range(start, min(start + self.columns, len(self.entries)))
            ]
            tall = max(map(len, cells))
            fill = self.palette.text
            lines.append(
                [
                    [
                        span
                        for cell in cells
                        for span in merged(cell[y] if y < len(cell) else [], size, fill)
                    ]
                    for y in range(tall)
                ]
                + [[]]
            )
        here = self.current // self.columns
        top, used = here, len(lines[here])
        while top > 0 and used + len(lines[top - 1]) <= room:
            top -= 1
            used += len(lines[top])
        return [row for line in lines[top:] for row in line][:room]

    def _entry(self, place: int, width: int) -> Rows:
        entry, palette = self.entries[place], self.palette
        here = place == self.current
        style: Style = palette.accent if here else palette.dim
        mark = "▸" if here else " "
        name = "not saved" if entry.id is None else f"#{entry.id}"
        if entry.published:
            name = "in the files"
        rows: Rows = [[(f"{mark}{name}  ", style), (inert(entry.by), palette.faint)]]
        if entry.of:
            rows.insert(0, [(f" {inert(entry.of)}", palette.strong)])
        rows += paragraph(entry.text, width - 1, palette)
        names = {"top-and-random": "score", "random-only": "random only"}
        for score in entry.scores:
            rows.append(score_row(names.get(score.scope, str(score.scope)), score, palette))
        other = next((b for b in entry.baselines if b.name == "another-neuron"), None)
        if other is not None and other.scores:
            rows.append(
                [
                    (f" {'other neuron':<12}", palette.dim),
                    (f"{number(other.scores[0].ev_correlation):>6}", palette.text),
                ]
            )
        if entry.scores:
            covered = entry.scores[0].coverage
            rows.append(
                [
                    (f" {'coverage':<12}", palette.dim),
                    (f"{covered:>6.0%}", palette.text if covered == 1 else palette.error),
                    (f"   {entry.tokens:,} tokens used" if entry.tokens else "", palette.dim),
                ]
            )
        return rows + judged(entry.judgements, width - 1, palette)[1:]

    # -- moving

    @property
    def place(self) -> object:
        return self.current

    def move(self, direction: str) -> None:
        """Move among the explanations as the action of that name says."""
        count = len(self.entries)
        step = {"left": -1, "right": 1, "up": -self.columns, "down": self.columns}
        step |= {"home": -count, "end": count, "page_up": -count, "page_down": count}
        self.current = max(0, min(self.current + step.get(direction, 0), count - 1))
        self.redraw()

    def found(self, text: str) -> Sequence[int]:
        return rows_with((f"{one.text} {one.by}" for one in self.entries), text)

    def show_place(self, place: int) -> None:
        self.current = place
        self.redraw()

    def to_row(self, number_: int) -> None:
        """Put the cursor on an explanation, counted from 1."""
        self.current = max(0, min(number_, len(self.entries)) - 1)
        self.redraw()


class CompareScreen(Frame):
    """Compare explanations, of one neuron or of several.

    Args:
        title: For the top line.
        chosen: Is told which saved explanation is to be shown; None: nothing can be chosen.
    """

    NAME = COMPARE

    def __init__(
        self,
        engine: Engine,
        title: str,
        several: Sequence[Entry],
        chosen: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__()
        self._engine = engine
        self._title = title
        self._chosen = chosen
        self._gone: list[tuple[int, Entry]] = []
        self._pane = ComparePane()
        self._pane.entries = list(several)

    def body(self) -> ComposeResult:
        yield self._pane

    def ready(self) -> None:
        self.set_focus(self._pane)

    def head(self) -> tuple[list[Span], list[Span]]:
        return [(f" {self._title}", self._app.palette.strong)], self._app.scan_text or []

    def why_not(self, action: Action) -> str:
        pane = self._pane
        if action.id == "undo" and not self._gone:
            return "Nothing was deleted here; the library has what was deleted before."
        if action.id in ("open", "delete"):
            if not pane.entries:
                return "There is no explanation yet."
            entry = pane.entries[pane.current]
            if action.id == "delete" and entry.id is None:
                return "That one is not saved: there is nothing to delete."
            if action.id == "delete" and entry.published:
                return "That one came with the published files: it stays there."
            if action.id == "open" and self._chosen is None:
                return "They are opened from the library."
        return super().why_not(action)

    def action_open(self) -> None:
        """Show the explanation in the explorer."""
        number_ = self._pane.entries[self._pane.current].id
        if number_ is not None and self._chosen is not None:
            self._chosen(number_)
        self.action_back()

    async def action_delete(self) -> None:
        """Delete the explanation; it can be brought back."""
        pane = self._pane
        place, entry = pane.current, pane.entries[pane.current]
        assert entry.id is not None
        if await self._done(self._engine.store.delete_explanations([entry.id])):
            self._gone.append((place, entry))
            del pane.entries[place]
            pane.current = min(place, max(len(pane.entries) - 1, 0))
            self._changed(f"Deleted #{entry.id}; u brings it back.")

    async def action_undo(self) -> None:
        """Bring back what was deleted here last."""
        place, entry = self._gone.pop()
        assert entry.id is not None
        if await self._done(self._engine.store.restore_explanations([entry.id])):
            self._pane.entries.insert(place, entry)
            self._pane.current = place
            self._changed(f"Brought #{entry.id} back.")

    async def _done(self, writing: Awaitable[list[int]]) -> list[int]:
        try:
            return await writing
        except NeuroglassError as error:
            self.say(inert(str(error)), error=True)
            return []

    def _changed(self, remark: str) -> None:
        self._pane.redraw()
        self.draw_footer()
        self.say(remark)
