"""What takes the place of the status line: a question, or a place to type."""

from __future__ import annotations

from collections.abc import Mapping

from textual import events
from textual.message import Message
from textual.widgets import Input

from tui.widgets.pane import Pane, Span


class GoTo(Input):
    """A one-row input without a blinking cursor."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, compact=True, select_on_focus=False)
        self.cursor_blink = False


class Question(Pane, can_focus=True):
    """A question answered with one key; escape is always an answer."""

    class Answered(Message):
        """Which key was pressed: one of the offered, or ``escape``."""

        def __init__(self, about: str, key: str) -> None:
            super().__init__()
            self.about = about
            self.key = key

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._about = ""
        self._text = ""
        self._answers: Mapping[str, str] = {}

    def ask(self, about: str, text: str, answers: Mapping[str, str]) -> None:
        """Show a question.

        Args:
            about: Comes back with the answer.
            answers: Key to what it does.
        """
        self._about, self._text, self._answers = about, text, answers
        self.redraw()

    def on_key(self, event: events.Key) -> None:
        """Answer; every other key is swallowed, so that nothing happens by accident."""
        event.stop()
        event.prevent_default()
        if event.key in self._answers or event.key == "escape":
            self.post_message(self.Answered(self._about, event.key))

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        spans: list[Span] = [(f" {self._text}  ", palette.strong)]
        for key, meaning in {**self._answers, "esc": "stay"}.items():
            spans += [(f" {key}", palette.accent), (f" {meaning} ", palette.dim)]
        return [spans]
