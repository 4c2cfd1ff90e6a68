"""Choosing how neurons are explained, simulated and scored; remembered until changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen

from engine.choices import RULES
from engine.errors import NeuroglassError, UsageError
from engine.neuron import NeuronId
from tui.choosing import ROWS, Row, choices_of, values_of
from tui.widgets.pane import Pane, Span, wrapped

if TYPE_CHECKING:
    from engine.engine import Engine

_NAME = 22


class ChoicesPane(Pane, can_focus=True):
    """The rows, one of them current; a text row is edited in place."""

    DEFAULT_CSS = "ChoicesPane { width: 76; max-width: 100%; height: 27; max-height: 100%; }"

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
        rows: list[list[Span]] = [
            [(" How to explain, simulate and score", palette.strong)],
            [],
        ]
        room = max(height - 7, 3)
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
        rows += [[]] * (height - 4 - len(rows))
        text, failed = self.remark
        lines = wrapped(text, width - 2)[:3]
        rows += [[(f" {line}", palette.error if failed else palette.dim)] for line in lines]
        rows += [[]] * (height - 1 - len(rows))
        rows.append(self._keys())
        return rows

    def _keys(self) -> list[Span]:
        palette = self.palette
        keys = [("enter", "takes it"), ("esc", "leaves it")]
        if self.typed is None:
            act = {"text": "edits", "cycle": "changes"}[self.current.kind]
            keys = [("jk", "move"), ("enter", act), ("s", "saves"), ("esc", "no change")]
        spans: list[Span] = []
        for key, meaning in keys:
            spans += [(f" {key}", palette.text), (f" {meaning} ", palette.dim)]
        return spans


class ChoicesScreen(ModalScreen[bool]):
    """Everything the method can be told, with what it will need for the current neuron."""

    BINDINGS: ClassVar = []

    def __init__(self, engine: Engine, neuron: NeuronId) -> None:
        super().__init__()
        self._engine = engine
        self._neuron = neuron

    def compose(self) -> ComposeResult:
        yield ChoicesPane()

    def on_mount(self) -> None:
        self._pane = self.query_one(ChoicesPane)
        self._pane.values = values_of(self._engine.choices)
        self.set_focus(self._pane)
        self._look()

    def on_key(self, event: events.Key) -> None:
        """Every key is for the pane; none gets through to the screen below."""
        event.stop()
        event.prevent_default()
        if self._pane.typed is not None:
            self._type(event)
            return
        key = event.key
        if key in ("j", "down", "tab"):
            self._pane.row = (self._pane.row + 1) % len(ROWS)
        elif key in ("k", "up", "shift+tab"):
            self._pane.row = (self._pane.row - 1) % len(ROWS)
        elif key in ("enter", "space", "l", "right", "h", "left"):
            self._change(-1 if key in ("h", "left") else 1, entered=key == "enter")
            return
        elif key == "s":
            self.run_worker(self._save(), exclusive=True)
            return
        elif key in ("escape", "q", "c", "ctrl+c"):
            self.dismiss(False)
            return
        self._pane.redraw()

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
        elif event.key in ("backspace", "ctrl+h"):
            pane.typed = pane.typed[:-1]
        elif event.key in ("ctrl+u", "ctrl+w"):
            pane.typed = ""
        elif event.is_printable and event.character:
            pane.typed += event.character
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
        self.dismiss(True)
