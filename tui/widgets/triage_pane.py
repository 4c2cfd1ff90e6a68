"""A run over many neurons: where it stands, scores by layer, and the leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.style import Style

from engine.glyphs import inert
from engine.neuron import NeuronId
from tui.session import clock, number
from tui.theme import BARS, Palette
from tui.triage_filter import HINT
from tui.widgets.pane import Pane, Span, between, fitted, merged, width_of, wrapped

if TYPE_CHECKING:
    from engine.triage import Distribution, Row, Status

#: Columns of the left part; below WIDE the parts stand one above the other.
LEFT = 42
NARROW_LEFT = 28
WIDE, MEDIUM = 100, 70
#: Rows of the board that are read at once, around the cursor.
READ = 200


@dataclass(slots=True)
class View:
    """What is shown, read in one go from the store.

    Attributes:
        rows: Of the board, from place ``first`` on.
        total: Neurons that the filter lets through.
        failures: Of the run, the first few.
    """

    status: Status | None = None
    layers: Sequence[Distribution] = ()
    rows: Sequence[Row] = ()
    first: int = 0
    total: int = 0
    failures: Sequence[tuple[NeuronId, str]] = ()


@dataclass(slots=True)
class Choice:
    """A row of the dialog that starts a run: a title, and what is named by it."""

    title: str
    where: str


@dataclass(slots=True)
class Dialog:
    """Starting a run.

    Attributes:
        typed: While the last row is typed into.
        facts: What the run would do; the flag says that it can't.
        can_batch: Some vendor's batch API can be asked; ``batch`` is the wish to.
    """

    choices: list[Choice]
    row: int = 0
    typed: str | None = None
    facts: tuple[str, bool] = ("", False)
    lines: list[str] = field(default_factory=list)
    can_batch: bool = False
    batch: bool = False


class TriagePane(Pane, can_focus=True):
    """The whole screen, drawn by lines."""

    DEFAULT_CSS = "TriagePane { width: 100%; height: 100%; }"

    def __init__(self) -> None:
        super().__init__(id="triage")
        self.view = View()
        self.cursor = 0
        self.top = 0
        self.sorting = ""
        self.filter = ""
        self.typed: str | None = None
        self.dialog: Dialog | None = None
        self.room = 1

    @property
    def current(self) -> Row | None:
        """The row of the board under the cursor, if it has been read."""
        place = self.cursor - self.view.first
        return self.view.rows[place] if 0 <= place < len(self.view.rows) else None

    # -- drawing

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        body = height
        if width >= MEDIUM:
            left_width = LEFT if width >= WIDE else NARROW_LEFT
            right_width = width - left_width - 3
            left = self._left(left_width, body)
            right = self._right(right_width, body)
            fill = palette.text
            rows: list[list[Span]] = []
            for y in range(body):
                line = [*merged(left[y] if y < len(left) else [], left_width, fill)]
                line.append((" │ ", palette.faint))
                line += right[y] if y < len(right) else []
                rows.append(line)
        else:
            head = self._run(width, 4)[:4]
            rows = [*head, *self._right(width, body - len(head))]
            rows += [[]] * (body - len(rows))
        return rows

    def status(self, width: int) -> list[Span]:
        """What the bottom line says, in so many cells."""
        palette, status, text, failed = self.palette, self.view.status, "", False
        if width < MEDIUM and status is not None and not status.running:
            # Where the parts stand one above the other there is no other room for it.
            text, failed = inert(status.stored.message), bool(status.stored.message)
            if not text and status.request.batch:
                text = inert(status.stored.note)
        if self.typed is not None:
            shown = inert(self.typed)[-max(width - 30, 8) :]
            spans: list[Span] = [(" Filter ", palette.dim), (shown, palette.strong)]
            spans.append((" ", palette.cursor))
            if not self.typed:
                spans.append((f" {HINT}", palette.faint))
            return spans
        style = palette.error if failed else palette.accent
        return [(f" {fitted(text, width - 2)}", style)] if text else []

    # -- left

    def _left(self, width: int, height: int) -> list[list[Span]]:
        rows = self._run(width, max(height // 2, 8, height - len(self.view.layers) - 3))
        rows.append([])
        return rows + self._layers(width, height - len(rows))

    def _run(self, width: int, height: int) -> list[list[Span]]:
        palette, status = self.palette, self.view.status
        if status is None:
            rows: list[list[Span]] = [[(" Run", palette.strong)]]
            text = "No run yet. N starts one: it goes on when the app is closed."
            return rows + [[(f" {line}", palette.dim)] for line in wrapped(text, width - 2)]
        stored = status.stored
        style = palette.error if status.standing in ("failed", "interrupted") else palette.accent
        scope = inert(status.request.scope)
        stands = [(f"{status.standing} ", style)]
        if width < MEDIUM and width > LEFT:  # the parts stand one above the other
            title = [(f" {fitted(scope, width - 17)}", palette.text)]
            rows = [between(title, stands, width, palette.text)]
        else:
            rows = [between([(" Run", palette.strong)], stands, width, palette.text)]
            rows += [[(f" {line}", palette.text)] for line in wrapped(scope, width - 2)[:2]]
        ended = stored.skipped + stored.done + stored.failed
        share = ended / max(stored.total, 1)
        percent = f" {min(int(share * 100), 100)}%"
        cells = max(width - 2 - len(percent), 4)
        full = min(round(share * cells), cells)
        rows.append(
            [
                (f" {'━' * full}", style),
                ("─" * (cells - full), palette.faint),
                (percent, palette.text),
            ]
        )
        counts: list[Span] = [
            (f" {stored.done:,}", palette.text),
            (" done", palette.dim),
            (f"  {stored.left:,}", palette.text),
            (" left", palette.dim),
        ]
        if stored.failed:
            counts += [(f"  {stored.failed:,}", palette.error), (" failed", palette.dim)]
        elif stored.skipped:
            counts += [(f"  {stored.skipped:,}", palette.text), (" before", palette.dim)]
        rows.append(counts)
        rows.append(self._pace(status, width))
        used = stored.usage
        if used.tokens or stored.replayed:
            parts = [f" {used.tokens:,} tokens"]
            if stored.money is not None and stored.money > 0:
                parts.append(f"  money {stored.money:.3g}")
            if stored.replayed:
                parts.append(f"  {stored.replayed:,} kept")
            rows.append([(part, palette.dim) for part in parts if part])
        choices = status.request.choices
        by = choices.explainer
        if choices.simulator != by:
            by += f" · {choices.simulator}"
        rows.append([(f" {fitted(inert(by), width - 2)}", palette.faint)])
        return rows + self._messages(status, width, max(height - len(rows), 1))

    def _pace(self, status: Status, width: int) -> list[Span]:
        palette, stored = self.palette, status.stored
        spans: list[Span] = []
        if status.running and stored.rate:
            rate = f"{stored.rate:.0f}/s" if stored.rate >= 10 else f"{stored.rate * 60:.1f}/min"
            spans.append((f" {rate}", palette.text))
        if status.seconds_left is not None:
            spans.append((f"  {clock(status.seconds_left)} left", palette.text))
        ran = f"  ran {clock(stored.seconds)}"[not spans :]
        return [*spans, (ran, palette.dim)] if width_of(spans) + len(ran) <= width else spans

    def _messages(self, status: Status, width: int, room: int) -> list[list[Span]]:
        palette, stored = self.palette, status.stored
        texts: list[tuple[str, Style]] = []
        if stored.message:
            texts.append((f"{stored.message} {stored.remedy}".strip(), palette.error))
        elif status.standing == "interrupted":
            words = f" {status.last_words}" if status.last_words else ""
            texts.append((f"Its process ended.{words} p goes on.", palette.error))
        elif stored.note and (status.running or status.request.batch):
            texts.append((stored.note, palette.dim))
        if self.view.failures:
            neuron, message = self.view.failures[-1]
            texts.append((f"{neuron}: {message}", palette.dim))
        rows: list[list[Span]] = []
        for text, style in texts:
            rows += [[(f" {line}", style)] for line in wrapped(inert(text), width - 2)]
        return rows[:room]

    def _layers(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        heading = between(
            [(" Scores by layer", palette.dim)], [("0 … 1 ", palette.faint)], width, palette.text
        )
        names = f" {'':>3} {'n':>6} {'mean':>5} "
        rows = [heading, [(names, palette.faint)]]
        layers = list(self.view.layers)
        room = max(height - len(rows), 0)
        if len(layers) > room:
            here = self.current.neuron.layer if self.current is not None else 0
            first = max(0, min(here - room // 2, len(layers) - room))
            layers = layers[first : first + room]
        for layer in layers:
            text = f" {layer.layer:>3} {layer.neurons:>6,} {number(layer.mean):>5} "
            style = palette.text if layer.neurons else palette.faint
            rows.append([(text, style), *_bars(layer.histogram, palette, width - len(text))])
        return rows

    # -- right

    def _right(self, width: int, height: int) -> list[list[Span]]:
        return self._starting(width) if self.dialog is not None else self._board(width, height)

    def _board(self, width: int, height: int) -> list[list[Span]]:
        palette, view = self.palette, self.view
        shown = inert(self.filter)
        left: list[Span] = [("Leaderboard ", palette.strong), (f"{view.total:,}", palette.dim)]
        if shown:
            left += [("  / ", palette.faint), (shown, palette.accent)]
        rows = [
            between(left, [(f"{self.sorting} ", palette.dim)], width, palette.text),
            [
                (
                    f"{self._columns('', 'neuron', 'score', 'act %', 'max', width)}explanation",
                    palette.faint,
                )
            ],
        ]
        detail = 4 if height >= 14 else 0
        self.room = max(height - len(rows) - detail, 1)
        if not view.total:
            text = "No explained neuron is like that; esc clears the filter."
            if not self.filter:
                text = "No neuron is explained yet. N starts a run, e in the explorer explains one."
            return rows + [[(line, palette.dim)] for line in wrapped(text, width)]
        self._page()
        for place in range(self.top, min(self.top + self.room, view.total)):
            rows.append(self._row(place, width))
        rows += [[]] * (height - detail - len(rows))
        if detail and self.current is not None:
            rows.append([("─" * (width - 1), palette.faint)])
            lines = wrapped(inert(self.current.text), width - 1)[: detail - 1]
            rows += [[(line, palette.text)] for line in lines]
        return rows

    def _page(self) -> None:
        if self.cursor < self.top or self.cursor >= self.top + self.room:
            self.top = self.cursor - self.room // 2
        self.top = max(0, min(self.top, self.view.total - self.room))

    @staticmethod
    def _columns(place: str, neuron: str, score: str, active: str, maximum: str, width: int) -> str:
        first = f"{place:>5} " if width >= 56 else ""
        strongest = f" {maximum:>6}" if width >= 64 else ""
        return f" {first}{neuron:>7} {score:>5} {active:>5}{strongest}  "

    def _row(self, place: int, width: int) -> list[Span]:
        palette, view = self.palette, self.view
        number_ = place - view.first
        if not 0 <= number_ < len(view.rows):
            return [("…", palette.faint)]
        row = view.rows[number_]
        percent = row.fraction_active * 100
        facts = self._columns(
            f"{place + 1:,}",
            str(row.neuron),
            number(row.score),
            f"{percent:.1f}" if percent >= 0.05 or not percent else "<0.1",
            number(row.maximum),
            width,
        )
        text = fitted(inert(row.text), width - len(facts) - 1)
        if place == self.cursor and self.dialog is None:
            return [
                ("▌", palette.marker),
                (facts[1:], palette.selected),
                (f"{text} ", palette.selected),
            ]
        style = palette.text if row.score is not None else palette.faint
        return [(facts, style), (text, palette.dim)]

    # -- starting

    def _starting(self, width: int) -> list[list[Span]]:
        palette, dialog = self.palette, self.dialog
        assert dialog is not None
        rows: list[list[Span]] = [[("Start a run", palette.strong)], []]
        for place, choice in enumerate(dialog.choices):
            here = place == dialog.row
            mark: Span = ("▌", palette.accent) if here else (" ", palette.text)
            style = palette.selected if here else palette.text
            if here and dialog.typed is not None:
                typed = inert(dialog.typed)[-max(width - 4, 8) :]
                hint = "" if dialog.typed else " 3 · 3 5:131 · random 200 seed 1"
                rows.append(
                    [mark, (typed, palette.strong), (" ", palette.cursor), (hint, palette.faint)]
                )
            else:
                rows.append([mark, (fitted(inert(choice.title), width - 2), style)])
        rows.append([])
        text, failed = dialog.facts
        style = palette.error if failed else palette.text
        rows += [[(line, style)] for line in wrapped(inert(text), width - 1)]
        rows.append([])
        for text in dialog.lines:
            rows += [[(line, palette.dim)] for line in wrapped(inert(text), width - 1)]
        return rows


def _bars(histogram: Sequence[int], palette: Palette, width: int) -> list[Span]:
    """A bar for each tenth of the score, as high as its share of the layer's highest."""
    most = max(histogram, default=0)
    spans: list[Span] = []
    wide = 2 if width >= 2 * len(histogram) + 1 else 1
    for place, count in enumerate(histogram):
        level = 1 + (7 * count - 1) // most if count else 0
        sign = BARS[max(1, min(level, 8))] if count else "·"
        style = palette.bar(min(8, 2 + place * 6 // 9)) if count else palette.faint
        spans.append((sign * wide, style))
    return spans
