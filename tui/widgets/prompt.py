"""The status line, which at times asks something instead.

Status, question and input share one row and one widget, so that asking repaints that
row and nothing else: showing another widget would lay out the whole screen anew.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual import events
from textual.message import Message

from engine.glyphs import inert
from tui.widgets.pane import Pane, Span, between


def typed(text: str, event: events.Key) -> str:
    """A line that is typed at its end, after a key."""
    if event.key in ("backspace", "ctrl+h"):
        return text[:-1]
    if event.key in ("ctrl+u", "ctrl+w"):
        return ""
    if event.is_printable and event.character:
        return text + event.character
    return text


class BottomLine(Pane, can_focus=True):
    """Shows the status; takes one key, or a line of text, when asked to."""

    class Answered(Message):
        """The question ``about`` got an answer; ``escape`` is always one."""

        def __init__(self, about: str, answer: str) -> None:
            super().__init__()
            self.about = about
            self.answer = answer

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._left: list[Span] = []
        self._right: list[Span] = []
        self._about = ""
        self._text = ""
        self._answers: Mapping[str, str] = {}
        self._typed: str | None = None
        self._hint: list[Span] | None = None

    @property
    def asking(self) -> bool:
        """Whether it waits for an answer."""
        return bool(self._about)

    def show(self, left: list[Span], right: list[Span]) -> None:
        """Replace the status; while something is asked it waits behind."""
        self._left, self._right = left, right
        self.redraw()

    def hint(self, spans: list[Span] | None) -> None:
        """Show, in place of the status, what keys may follow; None for no more."""
        self._hint = spans
        self.redraw()

    def ask(self, about: str, text: str, answers: Mapping[str, str]) -> None:
        """Ask for one of the given keys; each comes with what it does."""
        self._about, self._text, self._answers, self._typed = about, text, answers, None
        self.screen.set_focus(self, scroll_visible=False)
        self.redraw()

    def ask_text(self, about: str, text: str, typed: str = "") -> None:
        """Ask for a line of text; ``typed`` stands there already."""
        self._about, self._text, self._answers, self._typed = about, text, {}, inert(typed)
        self.screen.set_focus(self, scroll_visible=False)
        self.redraw()

    def stop(self) -> None:
        """Ask no more."""
        self._about = ""
        self.redraw()

    def on_key(self, event: events.Key) -> None:
        """Every key is an answer or nothing, so that nothing happens by accident."""
        if not self._about:
            return
        event.stop()
        event.prevent_default()
        if event.key == "escape" or (self._typed is None and event.key in self._answers):
            self.post_message(self.Answered(self._about, event.key))
        elif self._typed is not None:
            self._type(event)

    def on_paste(self, event: events.Paste) -> None:
        """Take the first line of what is pasted."""
        if self._about and self._typed is not None:
            event.stop()
            self._typed += "".join(event.text.splitlines()[:1])
            self.redraw()

    def _type(self, event: events.Key) -> None:
        assert self._typed is not None
        if event.key == "enter":
            self.post_message(self.Answered(self._about, self._typed))
            return
        self._typed = typed(self._typed, event)
        self.redraw()

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        if not self._about and self._hint is not None:
            return [self._hint]
        if not self._about:
            return [between(self._left, self._right, width, palette.text)]
        if self._typed is None:
            spans: list[Span] = [(f" {self._text}  ", palette.strong)]
            for key, meaning in {**self._answers, "esc": "stay"}.items():
                spans += [(f" {key}", palette.accent), (f" {meaning} ", palette.dim)]
            return [spans]
        shown = inert(self._typed)[-max(width - len(self._text) - 20, 8) :]
        return [
            between(
                [(f" {self._text} ", palette.dim), (shown, palette.strong), (" ", palette.cursor)],
                [("enter goes  esc stays ", palette.faint)],
                width,
                palette.text,
            )
        ]
