"""All saved explanations as a list, and all that is known of the one under the cursor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from textual import events
from textual.message import Message

from engine.glyphs import inert
from tui.library_filter import HINT
from tui.session import number
from tui.widgets.explanation_panel import judged, scores
from tui.widgets.pane import Pane, Span, between, fitted, wrapped
from tui.widgets.rows import Rows, heading, paragraph

if TYPE_CHECKING:
    from engine.store import LibraryRow, StoredExplanation
    from tui.library_limits import Limits

#: Columns of the right part; below WIDE the parts stand one above the other.
RIGHT, WIDE = 44, 100
#: Rows that are read at once, around the cursor.
READ = 200
#: Lines of the preview where it stands below the list.
BELOW = 9


@dataclass(slots=True)
class Shelf:
    """What is shown.

    Attributes:
        ids: All explanations that are let through, in order.
        rows: Those around the cursor.
        saved: How many there are without a filter; None before that is known.
        failed: Why they can't be read.
    """

    ids: Sequence[int] = ()
    rows: Mapping[int, LibraryRow] = field(default_factory=dict)
    saved: int | None = None
    failed: str = ""


class LibraryPane(Pane, can_focus=True):
    """Draws the library.

    Attributes:
        preview: What is known of an explanation, read after the cursor rests on it.
        marked: Explanations that were marked, in that order.
        filter: The line that is in force, or being typed.
        typing: Whether the filter is being typed.
    """

    DEFAULT_CSS = "LibraryPane { width: 100%; height: 100%; }"

    class Wanted(Message):
        """The cursor has moved: rows or the preview may have to be read."""

    def __init__(self) -> None:
        super().__init__(id="library")
        self.shelf = Shelf()
        self.cursor = 0
        self.marked: list[int] = []
        self.preview: StoredExplanation | None = None
        self.filter = ""
        self.typing = False
        self.order = ""
        self.limits: Limits | None = None
        self.wrong = ""
        self._top = 0
        self._room = 1

    @property
    def current_id(self) -> int | None:
        """The explanation under the cursor."""
        ids = self.shelf.ids
        return ids[self.cursor] if 0 <= self.cursor < len(ids) else None

    @property
    def current(self) -> LibraryRow | None:
        """What the list shows of it, once that is read."""
        return self.shelf.rows.get(self.current_id or 0)

    @property
    def chosen(self) -> list[int]:
        """The marked explanations, or else the one under the cursor."""
        if self.marked:
            return list(self.marked)
        return [] if self.current_id is None else [self.current_id]

    @property
    def place(self) -> object:
        return self.cursor

    # -- moving

    def move(self, direction: str) -> None:
        """Move the cursor as the action of that name says."""
        page = max(1, self._room - 1)
        steps = {"down": 1, "up": -1, "page_down": page, "page_up": -page}
        steps |= {"half_down": page // 2, "half_up": -(page // 2)}
        steps |= {"home": -len(self.shelf.ids), "end": len(self.shelf.ids)}
        self.to_row(self.cursor + 1 + steps.get(direction, 0))

    def to_row(self, place: int) -> None:
        """Put the cursor on a row, counted from 1."""
        cursor = max(0, min(place, len(self.shelf.ids)) - 1)
        if cursor != self.cursor:
            self.cursor = cursor
            self.redraw()
            self.post_message(self.Wanted())

    def mark(self) -> None:
        """Mark the explanation under the cursor, or take its mark away."""
        here = self.current_id
        if here is None:
            return
        if here in self.marked:
            self.marked.remove(here)
        else:
            self.marked.append(here)
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        """Choose the row under the mouse."""
        if 2 <= event.y < 2 + self._room and self._top + event.y - 2 < len(self.shelf.ids):
            self.to_row(self._top + event.y - 1)

    def on_mouse_scroll_down(self) -> None:
        self.move("half_down")

    def on_mouse_scroll_up(self) -> None:
        self.move("half_up")

    # -- drawing

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        if width < WIDE:
            below = min(BELOW, max(height // 2, 4))
            rows = self._list(width, height - below - 1)
            rows += [[]] * (height - below - 1 - len(rows))
            rows.append([("─" * width, palette.faint)])
            return rows + self._right(width, below)
        left_width = width - RIGHT - 2
        left, right = self._list(left_width, height), self._right(RIGHT, height)
        rows = []
        for y in range(height):
            one = left[y] if y < len(left) else []
            other = right[y] if y < len(right) else []
            rows.append([*between(one, [], left_width, palette.text), ("│", palette.faint), *other])
        return rows

    def _list(self, width: int, height: int) -> list[list[Span]]:
        palette, shelf = self.palette, self.shelf
        names = self._columns("", "neuron", "score", "±", width) + self._by("by", width)
        rows = [self._head(width), [(f"{names}explanation", palette.faint)]]
        self._room = max(height - len(rows), 1)
        if shelf.failed:
            return rows + [
                [(f" {line}", palette.error)] for line in wrapped(shelf.failed, width - 2)
            ]
        if not shelf.ids:
            return rows + [[(f" {line}", palette.dim)] for line in self._nothing(width - 2)]
        if self.cursor < self._top or self.cursor >= self._top + self._room:
            self._top = self.cursor - self._room // 2
        self._top = max(0, min(self._top, len(shelf.ids) - self._room))
        for place in range(self._top, min(self._top + self._room, len(shelf.ids))):
            rows.append(self._row(place, width))
        return rows

    def _nothing(self, width: int) -> list[str]:
        saved = self.shelf.saved
        if saved is None:
            return ["Reading …"]
        if saved:
            return wrapped("No saved explanation is like that. esc clears the filter.", width)
        text = (
            "Nothing is saved yet. In the explorer e explains a neuron and s saves it; "
            "T explains many at once."
        )
        return wrapped(text, width)

    def _head(self, width: int) -> list[Span]:
        palette, shelf = self.palette, self.shelf
        count = f"{len(shelf.ids):,}" if shelf.saved is not None else ""
        if shelf.saved is not None and shelf.saved != len(shelf.ids):
            count += f" of {shelf.saved:,}"
        left: list[Span] = [(f" {count} ", palette.strong)]
        if self.marked:
            left.append((f" {len(self.marked)} marked ", palette.accent))
        shown = inert(self.filter)
        if self.typing:
            left += [(" / ", palette.dim), (shown[-max(width - 30, 8) :], palette.strong)]
            left.append((" ", palette.cursor))
            if not shown:
                left.append((f" {HINT}", palette.faint))
        elif shown:
            left += [(" / ", palette.dim), (shown, palette.accent)]
        if self.wrong:
            left.append(("  ?", palette.error))
        return between(left, [(f"{self.order} ", palette.dim)], width, palette.text)

    @staticmethod
    def _columns(mark: str, neuron: str, score: str, half: str, width: int) -> str:
        sure = f" {half:>4}" if width >= 56 else ""
        return f"{mark:<2}{neuron:>7} {score:>5}{sure}  "

    def _by(self, name: str, width: int) -> str:
        """The explainer's column: where there is room, or the list is sorted by it."""
        sorted_by_it = self.order.endswith("explainer") and width >= 56
        return f"{fitted(inert(name), 12)}  " if sorted_by_it or width >= 88 else ""

    def _row(self, place: int, width: int) -> list[Span]:
        palette, shelf = self.palette, self.shelf
        number_ = shelf.ids[place]
        row = shelf.rows.get(number_)
        here = place == self.cursor
        mark: Span = (
            "▌" if here else " ",
            palette.accent if here else palette.text,
        )
        sign = "◆" if number_ in self.marked else " "
        if row is None:
            return [mark, (sign, palette.accent), ("      …", palette.faint)]
        half = "" if row.low is None or row.high is None else _half(row.high - row.low)
        facts = self._columns("", str(row.neuron), number(row.score), half, width)[2:]
        facts += self._by(row.explainer, width)
        flags = ("★" if row.starred else "") + ("✎" if row.note else "")
        flags += "−" if row.side == "negative" else ""
        tags = " ".join(f"#{inert(tag)}" for tag in row.tags)
        flags = " ".join(filter(None, (flags, tags)))
        flags = f"{flags} " if flags else ""
        flags = flags if len(flags) < width // 2 else fitted(flags, width // 2)
        text = fitted(inert(row.text), max(width - 3 - len(facts) - len(flags), 0))
        if here:
            style, accent = palette.selected, palette.marker
            return [
                (mark[0], accent),
                (sign, accent),
                (facts, style),
                (flags, accent),
                (f"{text} ", style),
            ]
        style = palette.text if row.score is not None else palette.faint
        return [
            mark,
            (sign, palette.accent),
            (facts, style),
            (flags, palette.accent),
            (text, palette.dim),
        ]

    # -- right, or below

    def _right(self, width: int, height: int) -> list[list[Span]]:
        if self.limits is not None:
            return self._limits(self.limits, width, height)
        row = self.current
        if row is None:
            return []
        wide = height > BELOW + 2
        palette = self.palette
        rows = self._title(row, width)
        rows += paragraph(row.text, width, palette)[: 12 if wide else 3]
        preview = self.preview
        if preview is None or preview.id != row.id:
            rows += [[], [(" score", palette.dim), (f"{number(row.score):>13}", palette.strong)]]
            return rows[:height]
        if not preview.scores:
            rows += [*([[]] if wide else []), [(" Not scored.", palette.dim)]]
        elif wide:
            rows += [[], *scores(preview.scores, preview.baselines, width, palette)]
        else:
            rows += scores(preview.scores, (), width, palette)
        rows += [*([[]] if wide else []), *self._origin(row, preview, width)]
        rows += judged(preview.judgements, width, palette)
        if row.note:
            rows += [[], *heading("Note", "", width, palette)]
            for line in row.note.splitlines():
                rows += paragraph(line, width, palette)
        if len(rows) > height:
            rows[height - 1] = [(f" {len(rows) - height + 1} more lines", palette.faint)]
        return rows[:height]

    def _title(self, row: LibraryRow, width: int) -> Rows:
        palette = self.palette
        left: list[Span] = [(f" {row.neuron}", palette.strong)]
        if row.starred:
            left.append((" ★", palette.accent))
        if row.side == "negative":
            left.append(("  negative side", palette.dim))
        if row.tags:
            tags = " ".join(f"#{inert(tag)}" for tag in row.tags)
            left.append((f"  {tags}", palette.accent))
        right: list[Span] = [(f"#{row.id} ", palette.faint)]
        if row.deleted_at is not None:
            right.insert(0, (f"deleted {row.deleted_at[:10]}  ", palette.error))
        return [between(left, right, width, palette.text)]

    def _origin(self, row: LibraryRow, preview: StoredExplanation, width: int) -> Rows:
        palette = self.palette
        model = str(preview.settings.get("model") or "")
        by = " · ".join(filter(None, (row.explainer, model)))
        texts = [f"by {by}, {row.created_at[:10]}"]
        if preview.simulator is not None:
            texts.append(f"scored by {preview.simulator}, {preview.split} split")
        name = row.model_name or row.model[:8]
        texts.append(f"{name}, index {row.index_id[:10]}")
        return [[(f" {fitted(inert(text), width - 2)}", palette.faint)] for text in texts]

    def _limits(self, limits: Limits, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        rows: list[list[Span]] = [[(" Show only", palette.strong)]]
        if height > BELOW + 2:
            rows.append([])
        room = max(height - len(rows), 1)
        first = max(0, min(limits.row - room // 2, len(limits.lines) - room))
        for place, limit in enumerate(limits.lines[first : first + room], start=first):
            here = place == limits.row
            _, shown = limit.choices[limit.at]
            style = palette.dim if not limit.at else palette.strong
            arrows = (f"◂ {shown} ▸", palette.selected) if here else (f"  {shown}", style)
            rows.append(
                [
                    ("▌" if here else " ", palette.accent),
                    (f"{limit.title:<11}", palette.text if here else palette.dim),
                    (fitted(inert(arrows[0]), width - 13), arrows[1]),
                ]
            )
        return rows


def _half(size: float) -> str:
    """Half the width of an interval, as it stands behind ±."""
    return f"{size / 2:.2f}".removeprefix("0")
