"""All keys, from the one table of actions."""

from __future__ import annotations

from itertools import groupby
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.actions import ACTIONS, Action


def _section(name: str, actions: list[Action]) -> Text:
    text = Text(f"{name}\n", style="bold")
    for action in actions:
        text.append(f"  {action.shown_keys:<16}")
        text.append(f"{action.description}\n", style="dim")
    return text


class HelpScreen(ModalScreen[None]):
    """A panel sized to its content; any of its keys closes it."""

    BINDINGS: ClassVar = [("escape,q,question_mark,f1,enter", "dismiss(None)", "Close")]
    AUTO_FOCUS = "#help"

    def compose(self) -> ComposeResult:
        ordered = sorted(ACTIONS, key=lambda action: list(_ORDER).index(action.group))
        text = Text()
        for name, group in groupby(ordered, key=lambda action: action.group):
            text.append_text(_section(name, list(group)))
            text.append("\n")
        text.append("esc", style="bold")
        text.append(
            " closes.  Marks in the list: ★ starred, ● not saved, … has a note", style="dim"
        )
        with VerticalScroll(id="help"):
            yield Static(text)

    def on_mount(self) -> None:
        self.query_one("#help").can_focus = True


_ORDER = dict.fromkeys(action.group for action in ACTIONS)
