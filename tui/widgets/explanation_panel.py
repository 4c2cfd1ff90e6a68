"""The right-hand panel: explanation, score, saved ones, note, facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.glyphs import inert
from tui.find import rows_with
from tui.session import NeuronView, Result, number
from tui.theme import Palette
from tui.widgets.facts import facts
from tui.widgets.pane import Pane, Span, between, width_of
from tui.widgets.rows import Rows, heading, paragraph, score_row

if TYPE_CHECKING:
    from engine.events import Spent
    from engine.judgement import Judgement
    from engine.score import Baseline, Score
    from engine.store import StoredExplanation


class ExplanationPanel(Pane, can_focus=True):
    """Everything about one neuron that is not an excerpt; scrolls by pages."""

    DEFAULT_CSS = "ExplanationPanel { height: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._view: NeuronView | None = None
        self._result: Result | None = None
        self._top = 0
        self._length = 0
        self._texts: list[str] = []
        self._found: int | None = None

    @property
    def place(self) -> object:
        return self._top if self._found is None else self._found

    def found(self, text: str) -> Sequence[int]:
        return rows_with(self._texts, text)

    def show_place(self, place: int) -> None:
        self._found = place
        if not self._top <= place < self._top + self.size.height - 1:
            self._top = place - self.size.height // 3
        self.redraw()

    def show(self, view: NeuronView | None, result: Result | None) -> None:
        """Show a neuron; ``result`` is the running or unsaved explanation, if any."""
        if view is None or self._view is None or view.record.neuron != self._view.record.neuron:
            self._top, self._found = 0, None
        self._view, self._result = view, result
        self.redraw()

    def move(self, direction: str) -> None:
        """Scroll as the action of that name says."""
        height = self.size.height
        steps = {
            "down": height // 2,
            "up": -(height // 2),
            "half_down": height // 2,
            "half_up": -(height // 2),
            "page_down": height - 1,
            "page_up": -(height - 1),
            "home": -self._length,
            "end": self._length,
        }
        self._top += steps.get(direction, 0)
        self._found = None
        self.redraw()

    def on_mouse_scroll_down(self) -> None:
        self.move("half_down")

    def on_mouse_scroll_up(self) -> None:
        self.move("half_up")

    def build(self, width: int, height: int) -> list[list[Span]]:
        if self._view is None:
            return []
        palette = self.palette
        rows = self._explanation(width, palette)
        rows += self._note(width, palette)
        rows += self._others(width, palette)
        rows += [[], *facts(self._view, width, palette)]
        if self.has_focus:
            rows[0] = [(rows[0][0][0], palette.accent), *rows[0][1:]]
        self._length = len(rows)
        self._texts = ["".join(text for text, _ in row) for row in rows]
        if self._found is not None and self._found < len(rows):
            rows[self._found] = [(self._texts[self._found], palette.selected)]
        self._top = max(0, min(self._top, len(rows) - height))
        shown = rows[self._top : self._top + height]
        if self._top + height < len(rows):
            more = f" {len(rows) - self._top - height + 1} more lines"
            shown[-1] = [(more, palette.faint)]
        return shown

    # -- sections

    def _explanation(self, width: int, palette: Palette) -> Rows:
        result, view = self._result, self._view
        assert view is not None
        if result is not None:
            rows = _fresh(result, width, palette)
            return rows + (_caveats(view, width, palette) if result.card is not None else [])
        if view.saved:
            rows = _stored(view.saved[0], width, palette)
            # The published score stands for itself; ours are on the same excerpts.
            ours = view.saved[0].id >= 0 and bool(view.saved[0].scores)
            return rows + (_caveats(view, width, palette) if ours else [])
        return [
            *heading("Explanation", "", width, palette),
            [(" None yet. ", palette.dim), ("e", palette.accent), (" explains.", palette.dim)],
        ]

    def _note(self, width: int, palette: Palette) -> Rows:
        annotation = self._view.annotation if self._view is not None else None
        if annotation is None or not (annotation.note or annotation.tags):
            return []
        rows: Rows = [[], *heading("Note", " ".join(map(inert, annotation.tags)), width, palette)]
        for line in annotation.note.splitlines():
            rows += paragraph(line, width, palette)
        return rows

    def _others(self, width: int, palette: Palette) -> Rows:
        assert self._view is not None
        saved = list(self._view.saved)
        if self._result is None:
            saved = saved[1:]
        elif self._result.saved is not None:
            saved = [one for one in saved if one.id != self._result.saved]
        if not saved:
            return []
        rows: Rows = [[], *heading("Also saved", str(len(saved)), width, palette)]
        for one in saved[:5]:
            text = inert(one.text)
            room = width - 8
            cut = text if len(text) <= room else text[: room - 1] + "…"
            rows.append([(f" {number(one.ev_correlation):>5} ", palette.text), (cut, palette.dim)])
        return rows


def _fresh(result: Result, width: int, palette: Palette) -> Rows:
    explanation = result.explanation
    note = result.stage or ("saved" if result.saved is not None else "not saved")
    if result.failure and explanation is None:
        note = ""
    if result.candidate and explanation is None:
        note = result.candidate
    rows = heading("Explanation", note, width, palette)
    text = explanation.text if explanation is not None else "".join(result.words)
    if text:
        rows += paragraph(text, width, palette)
    elif result.preparing and result.running:
        rows += paragraph(result.preparing, width, palette, quiet=True)
    if result.failure:
        lines = paragraph(result.failure, width, palette)
        rows += [[(line[0][0], palette.error)] for line in lines]
    for remark in result.remarks:
        rows += [[(line[0][0], palette.error)] for line in paragraph(remark, width, palette)]
    card = result.card
    if card is not None:
        rows += [
            [],
            *scores(card.scores, card.baselines, width, palette),
            [(f" by {card.simulator}, {card.split} split", palette.faint)],
        ]
    rows += judged(result.judgements, width, palette)
    spent = result.spent
    if spent is not None and (spent.usage.requests or spent.replayed or spent.retry):
        rows += [[], *_spent(spent, width, palette)]
    if result.candidates:
        rows += [[], *heading("Candidates", "valid", width, palette)]
    for text, value, kept in result.candidates:
        mark = "▸" if kept else " "
        rows.append(
            between(
                [(f"{mark}{inert(text)}", palette.text if kept else palette.dim)],
                [(f"{number(value):>6} ", palette.text)],
                width,
                palette.text,
            )
        )
    return rows


def _spent(spent: Spent, width: int, palette: Palette) -> Rows:
    usage = spent.usage
    money = "" if spent.money is None else f"  {spent.money:.4f}"
    rows = heading("Language models", f"{usage.requests} asked", width, palette)
    total = f"{usage.input_tokens:,} + {usage.output_tokens:,} tokens{money}"
    rows.append([(f" {total}", palette.text)])
    if spent.replayed:
        rows.append([(f" {spent.replayed} replies kept from before", palette.dim)])
    if spent.retry:
        rows += [[(line[0][0], palette.accent)] for line in paragraph(spent.retry, width, palette)]
    return rows


def judged(judgements: Sequence[Judgement], width: int, palette: Palette) -> Rows:
    """What further scorers found: value, interval, and what chance gets."""
    if not judgements:
        return []
    rows: Rows = [[], *heading("Further scorers", "other", width, palette)]
    for judgement in judgements:
        one = judgement.headline
        interval = ""
        if one.interval is not None:
            interval = f" [{one.interval.low:.2f}, {one.interval.high:.2f}]"
        other = judgement.chance[0].value if judgement.chance else None
        left = [
            (f" {inert(judgement.scorer):<12}", palette.dim),
            (f"{number(one.value):>5}", palette.strong),
        ]
        right = [(f"{number(other):>5} ", palette.text)]
        below: Rows = []
        if width_of([*left, *right]) + len(interval) <= width:
            left.append((interval, palette.dim))
        elif interval:  # in a line of its own rather than cut off
            below = [[(f"{'':>12}{interval}", palette.dim)]]
        rows += [between(left, right, width, palette.text), *below]
        if one.coverage < 1 or one.message:
            why = f"{one.coverage:.0%} answered. {one.message}".strip()
            rows += [[(line[0][0], palette.error)] for line in paragraph(why, width, palette)]
    return rows


def _caveats(view: NeuronView, width: int, palette: Palette) -> Rows:
    rows: Rows = []
    for caveat in view.caveats:
        rows += paragraph(caveat, width, palette, quiet=True)
    return [[], *rows] if rows else []


def _stored(stored: StoredExplanation, width: int, palette: Palette) -> Rows:
    published = stored.id < 0
    when = "published" if published else f"saved {stored.created_at[:10]}"
    rows = heading("Explanation", when, width, palette)
    rows += paragraph(stored.text, width, palette)
    if not stored.scores:
        return [*rows, [(" Not scored.", palette.dim)]]
    by = f" by {inert(stored.simulator or 'unknown')}, {stored.split} split"
    if published:
        by = " as published, by its authors"
    return [
        *rows,
        [],
        *scores(stored.scores, stored.baselines, width, palette),
        [(by, palette.faint)],
        *judged(stored.judgements, width, palette),
    ]


def scores(
    several: Sequence[Score], baselines: Sequence[Baseline], width: int, palette: Palette
) -> Rows:
    """The scores of one card, what they rest on, and what the baselines get."""
    rows: Rows = []
    names = {"top-and-random": "score", "random-only": "random only"}
    for score in several:
        rows.append(score_row(names.get(score.scope, str(score.scope)), score, palette))
    for score in several:
        if score.status != "ok":
            why = f"{score.scope}: {score.status}. {score.message}"
            rows += paragraph(why, width, palette, quiet=True)
    main = several[0]
    if main.coverage < 1:
        missing = f"{main.coverage:.0%} of the tokens have a value; the rest is left out."
        rows += [[(line[0][0], palette.error)] for line in paragraph(missing, width, palette)]
    rows += [
        _pair("r²", number(main.rsquared), "abs dev", number(main.absolute_dev_explained), palette),
        _pair("records", str(main.records), "tokens", f"{main.tokens:,}", palette),
        _pair("coverage", f"{main.coverage:.0%}", "status", str(main.status), palette),
    ]
    if baselines:
        rows += [[], *heading("Baselines", "score  random", width, palette)]
    for baseline in baselines:
        values = [number(score.ev_correlation) for score in baseline.scores]
        text = "".join(f"{value:>8}" for value in values)
        name = inert(baseline.name)[: width - 2 - len(text)]
        rows.append([(f" {name:<{width - 2 - len(text)}}", palette.dim), (text, palette.text)])
    return rows


def _pair(one: str, value: str, other: str, second: str, palette: Palette) -> list[Span]:
    return [
        (f" {one:<9}", palette.dim),
        (f"{value:>6}", palette.text),
        (f"   {other:<8}", palette.dim),
        (f"{second:>6}", palette.text),
    ]
