"""Choosing how neurons are explained, simulated and scored; remembered until changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import ComposeResult

from engine.choices import RULES
from engine.errors import NeuroglassError, UsageError
from engine.neuron import NeuronId
from tui.actions import CHOICES
from tui.choosing import ROWS, Row, choices_of, values_of
from tui.screens.frame import Frame
from tui.widgets.pane import Pane, Span, wrapped
from tui.widgets.prompt import typed

if TYPE_CHECKING:
    from engine.engine import Engine

_NAME = 22


class ChoicesPane(Pane, can_focus=True):
    """The rows, one of them current; a text row is edited in place."""

    DEFAULT_CSS = "ChoicesPane { width: 76; max-width: 100%; height: 100%; }"

    def __init__(self) -> None:
        super().__init__(id="choices")
        self.values: dict[str, Any] = {}
        self.row = 0
        self.typed: str | None = None
        self.remark: tuple[str, bool] = ("", False)

    @property
    def current(self) -> Row:
        """The row the cursor stands on."""
        return ROWS[self.row]

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        rows: list[list[Span]] = [[]]
        room = max(height - 5, 3)  # two rows around, three for the remark
        top = max(0, min(self.row - room // 2, len(ROWS) - room))
        for number, row in enumerate(ROWS[top : top + room], start=top):
            here = number == self.row
            style = palette.selected if here else palette.text
            mark = ("▌", palette.accent) if here else (" ", palette.text)
            value = row.shown(self.values.get(row.name))
            spans: list[Span] = [mark, (f"{row.title:<{_NAME}}", style if here else palette.dim)]
            if here and self.typed is not None:
                spans += [(self.typed, palette.strong), (" ", palette.cursor)]
            else:
                spans.append((f"{value:<{max(width - _NAME - 2, 0)}}", style))
            rows.append(spans)
        rows.append([])
        text, failed = self.remark
        lines = wrapped(text, width - 2)[:3]
        rows += [[(f" {line}", palette.error if failed else palette.dim)] for line in lines]
        return rows


class ChoicesScreen(Frame):
    """Everything the method can be told, with what it will need for the current neuron."""

    NAME = CHOICES
    HEADING = "How to explain, simulate and score"

    def __init__(self, engine: Engine, neuron: NeuronId) -> None:
        super().__init__()
        self._engine = engine
        self._neuron = neuron
        self._pane = ChoicesPane()

    def body(self) -> ComposeResult:
        yield self._pane

    def ready(self) -> None:
        self._pane.values = values_of(self._engine.choices)
        self.set_focus(self._pane)
        self._look()

    def foot(self) -> list[tuple[str, str]] | None:
        if self._pane.typed is not None:
            return [("enter", "takes it"), ("esc", "leaves it")]
        return None

    def takes(self, event: events.Key) -> bool:
        if self._pane.typed is None:
            return False
        self._type(event)
        self.draw_footer()
        return True

    def action_move(self, direction: str) -> None:
        """Move among the rows; left and right change the value."""
        count, last = self.take_count(), len(ROWS) - 1
        pane = self._pane
        match direction:
            case "left" | "right":
                self._change(-1 if direction == "left" else 1, entered=False)
                return
            case "down" | "up":
                pane.row = (pane.row + (count or 1) * (1 if direction == "down" else -1)) % (
                    last + 1
                )
            case "home" | "end" if count is not None:
                pane.row = max(0, min(count - 1, last))
            case _:
                pane.row = 0 if direction in ("home", "page_up", "half_up") else last
        pane.redraw()

    def action_pane(self, by: int) -> None:
        """Move to a neighbouring row."""
        self.action_move("down" if by > 0 else "up")

    def action_open(self) -> None:
        """Edit the row's text, or take its next value."""
        self._change(1, entered=True)
        self.draw_footer()

    def action_choices_save(self) -> None:
        """Take the choices and remember them."""
        self.run_worker(self._save(), exclusive=True)

    def _change(self, by: int, *, entered: bool) -> None:
        pane, row = self._pane, self._pane.current
        if row.kind == "text":
            if entered:
                pane.typed = str(pane.values.get(row.name) or "")
                pane.redraw()
            return
        options = row.options
        place = options.index(pane.values[row.name]) if pane.values[row.name] in options else 0
        chosen = options[(place + by) % len(options)]
        pane.values[row.name] = chosen
        # What an explainer writes by rule only its own simulator reads.
        if row.name == "explainer" and chosen in RULES and pane.values["simulator"] in RULES:
            pane.values["simulator"] = chosen
        self._look()

    def on_paste(self, event: events.Paste) -> None:
        """Model names are long: take the first line of what is pasted."""
        if self._pane.typed is not None:
            event.stop()
            self._pane.typed += "".join(event.text.splitlines()[:1])
            self._pane.redraw()

    def _type(self, event: events.Key) -> None:
        pane = self._pane
        assert pane.typed is not None
        if event.key == "escape":
            pane.typed = None
        elif event.key == "enter":
            pane.values[pane.current.name] = pane.typed.strip()
            pane.typed = None
            self._look()
            return
        else:
            pane.typed = typed(pane.typed, event)
        pane.redraw()

    def _look(self) -> None:
        """Say what is wrong with the choices, or what they will need."""
        pane = self._pane
        try:
            choices = choices_of(self._engine.choices, pane.values)
        except UsageError as error:
            pane.remark = (str(error), True)
            pane.redraw()
            return
        if not choices.models_needed():
            pane.remark = ("Needs no language model: nothing is sent, nothing is spent.", False)
            pane.redraw()
            return
        pane.remark = ("Reckoning …", False)
        pane.redraw()
        self.run_worker(self._estimate(), name="estimate", exclusive=True)

    async def _estimate(self) -> None:
        pane = self._pane
        try:
            choices = choices_of(self._engine.choices, pane.values)
            estimate = await self._engine.estimate(self._neuron, choices)
        except NeuroglassError as error:
            pane.remark = (str(error), True)
        else:
            money = "no price given" if estimate.money is None else f"{estimate.money:.4f}"
            pane.remark = (
                f"For {self._neuron}: {estimate.requests} requests, about "
                f"{estimate.tokens:,} tokens, money: {money}. "
                "Replies kept from before cost nothing.",
                False,
            )
        pane.redraw()

    async def _save(self) -> None:
        try:
            choices = choices_of(self._engine.choices, self._pane.values)
            await self._engine.remember(choices)
        except NeuroglassError as error:
            self._pane.remark = (str(error), True)
            self._pane.redraw()
            return
        self.action_back()
