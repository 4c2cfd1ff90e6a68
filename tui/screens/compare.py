"""The explanations of one neuron, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen

from engine.errors import NeuroglassError
from engine.glyphs import inert
from tui.session import NeuronView, Result, number
from tui.widgets.explanation_panel import judged
from tui.widgets.pane import Pane, Span, merged
from tui.widgets.rows import Rows, paragraph, score_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.engine import Engine
    from engine.judgement import Judgement
    from engine.score import Baseline, Score

_COLUMN = 44


@dataclass(frozen=True, slots=True)
class Entry:
    """One explanation, saved or not.

    Attributes:
        id: Row in the store; None while it is not saved.
        by: Who explained, simulated, and on which split.
    """

    id: int | None
    text: str
    by: str
    scores: Sequence[Score]
    baselines: Sequence[Baseline]
    judgements: Sequence[Judgement]
    tokens: int

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
    for one in view.saved:
        model = str(one.settings.get("model") or "")
        parts = [one.explainer, model, one.simulator or "not scored", one.split or ""]
        if one.id < 0:
            parts = ["published", "scored by its authors" if one.scores else "not scored"]
        found.append(
            Entry(
                one.id,
                one.text,
                " · ".join(filter(None, parts)),
                one.scores,
                one.baselines,
                one.judgements,
                one.usage.tokens + one.scoring_usage.tokens,
            )
        )
    return found


class ComparePane(Pane, can_focus=True):
    """A grid of explanations; the current one is marked."""

    DEFAULT_CSS = "ComparePane { width: 100%; height: 100%; }"

    def __init__(self, title: str) -> None:
        super().__init__(id="compare")
        self._title = title
        self.entries: list[Entry] = []
        self.current = 0
        self.asked = False
        self.columns = 1

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        rows: list[list[Span]] = [[(f" {self._title}", palette.strong)], []]
        room = height - 4
        if not self.entries:
            rows.append([(" None yet. e explains, E scores words of your own.", palette.dim)])
        else:
            rows += self._grid(width, room)
        rows += [[]] * (height - 1 - len(rows))
        rows[height - 1 :] = [self._keys()]
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

    def _keys(self) -> list[Span]:
        palette = self.palette
        keys = [("jk", "move"), ("enter", "show"), ("d", "delete"), ("esc", "back")]
        if self.asked:
            keys = [("d", "again deletes it for good"), ("esc", "keeps it")]
        spans: list[Span] = []
        for key, meaning in keys:
            spans += [(f" {key}", palette.text), (f" {meaning} ", palette.dim)]
        return spans


class CompareScreen(ModalScreen[int]):
    """Compare; the result is the saved explanation that is to be shown."""

    def __init__(self, engine: Engine, view: NeuronView, result: Result | None) -> None:
        super().__init__()
        self._engine = engine
        self._pane = ComparePane(f"Explanations of {view.record.neuron}")
        self._pane.entries = entries(view, result)

    def compose(self) -> ComposeResult:
        yield self._pane

    def on_mount(self) -> None:
        self.set_focus(self._pane)

    def on_key(self, event: events.Key) -> None:
        """Every key is for the pane; none gets through to the screen below."""
        event.stop()
        event.prevent_default()
        pane, count = self._pane, len(self._pane.entries)
        steps = {"l": 1, "right": 1, "h": -1, "left": -1, "tab": 1}
        steps |= {"j": pane.columns, "down": pane.columns}
        steps |= {"k": -pane.columns, "up": -pane.columns}
        if event.key == "d" and count:
            self._delete()
            return
        if event.key == "escape" and pane.asked:
            pane.asked = False
        elif event.key in ("escape", "q", "v", "ctrl+c"):
            self.dismiss(None)
            return
        elif event.key == "enter" and count:
            self.dismiss(pane.entries[pane.current].id)
            return
        elif event.key in steps and count:
            pane.asked = False
            pane.current = max(0, min(pane.current + steps[event.key], count - 1))
        pane.redraw()

    def _delete(self) -> None:
        pane = self._pane
        entry = pane.entries[pane.current]
        if entry.id is None or entry.published:
            return
        if not pane.asked:
            pane.asked = True
            pane.redraw()
            return
        pane.asked = False
        self.run_worker(self._deleted(pane.entries[pane.current].id), exclusive=True)

    async def _deleted(self, number_: int | None) -> None:
        assert number_ is not None
        try:
            await self._engine.store.delete_explanations([number_])
        except NeuroglassError as error:
            self.notify(inert(str(error)), severity="error", markup=False)
            return
        self._pane.entries = [one for one in self._pane.entries if one.id != number_]
        self._pane.current = min(self._pane.current, max(len(self._pane.entries) - 1, 0))
        self._pane.redraw()
