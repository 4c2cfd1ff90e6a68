"""The status line, which at times asks something instead.

Status, question and input share one row and one widget, so that asking repaints that
row and nothing else: showing another widget would lay out the whole screen anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from textual import events
from textual.message import Message

from engine.glyphs import inert
from tui.widgets.pane import Pane, Span, between, squeezed, width_of

#: Gives the lines that a line may become.
Completer = Callable[[str], Sequence[str]]


def _common(lines: Sequence[str]) -> str:
    """What all lines begin with."""
    first, last = min(lines, default=""), max(lines, default="")
    size = next((n for n, char in enumerate(first) if last[n : n + 1] != char), len(first))
    return first[:size]


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
        self._complete: Completer | None = None
        self._offered: Sequence[str] = ()
        self._lines: list[str] = []
        self._line = 0

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

    def ask_text(
        self,
        about: str,
        text: str,
        typed: str = "",
        *,
        complete: Completer | None = None,
        before: Sequence[str] = (),
    ) -> None:
        """Ask for a line of text; ``typed`` stands there already.

        Args:
            complete: Gives what a line may become; tab takes it.
            before: Earlier lines, the last one last; up and down take them.
        """
        self._about, self._text, self._answers, self._typed = about, text, {}, inert(typed)
        self._complete, self._offered = complete, ()
        self._lines = [line for line in before if line]
        self._line = len(self._lines)
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
        answer = self.press(event)
        if answer is not None:
            self.post_message(answer)

    def press(self, event: events.Key) -> Answered | None:
        """Take a key; the answer, if it makes one."""
        if event.key == "escape" or (self._typed is None and event.key in self._answers):
            return self.Answered(self._about, event.key)
        if self._typed is not None and event.key == "enter":
            return self.Answered(self._about, self._typed)
        if self._typed is not None:
            self._type(event)
        return None

    def on_paste(self, event: events.Paste) -> None:
        """Take the first line of what is pasted."""
        if self._about and self._typed is not None:
            event.stop()
            line = "".join(event.text.splitlines()[:1])
            self._typed += "".join(char for char in line if char.isprintable())
            self.redraw()

    def _type(self, event: events.Key) -> None:
        assert self._typed is not None
        key = event.key
        if key in ("tab", "shift+tab"):
            self._take_offer(1 if key == "tab" else -1)
        elif key in ("up", "down", "ctrl+p", "ctrl+n"):
            self._take_line(-1 if key in ("up", "ctrl+p") else 1)
        else:
            self._typed = typed(self._typed, event)
            self._offered = ()
        self.redraw()

    def _take_offer(self, by: int) -> None:
        """Complete as far as it is certain, then by one offer after another."""
        assert self._typed is not None
        if self._complete is None:
            return
        if self._offered:
            here = self._offered.index(self._typed) if self._typed in self._offered else -1
            self._typed = self._offered[(here + by) % len(self._offered)]
            return
        offers = self._complete(self._typed)
        common = _common(offers)
        if len(common) > len(self._typed):
            self._typed = common
        elif offers:
            self._offered = offers
            self._typed = offers[0 if by > 0 else -1]

    def _take_line(self, by: int) -> None:
        self._line = max(0, min(self._line + by, len(self._lines)))
        self._typed = self._lines[self._line] if self._line < len(self._lines) else ""
        self._offered = ()

    def _right_of(self, width: int) -> list[Span]:
        """What the line may become, as much as fits, or how to leave."""
        palette, way = self.palette, "enter goes  esc stays "
        offers = self._offered or (self._complete(self._typed or "") if self._complete else ())
        if not offers or (len(offers) == 1 and offers[0] == self._typed):
            return [(way, palette.faint)]
        spans: list[Span] = [("tab ", palette.dim)]
        room = width - 6
        for offer in offers:
            room -= len(offer) + 2
            if room < 0:
                spans.append(("… ", palette.faint))
                break
            here = offer == self._typed
            spans.append((f"{inert(offer)}  ", palette.accent if here else palette.faint))
        return spans

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        if not self._about and self._hint is not None:
            return [self._hint]
        if not self._about:
            right = self._right
            if width_of(right) > width:  # a remark
                right = [(squeezed(text, width), style) for text, style in right]
            return [between(self._left, right, width, palette.text)]
        if self._typed is None:
            spans: list[Span] = [(f" {self._text}  ", palette.strong)]
            for key, meaning in {**self._answers, "esc": "stay"}.items():
                spans += [(f" {key}", palette.accent), (f" {meaning} ", palette.dim)]
            return [spans]
        shown = inert(self._typed)[-max(width - len(self._text) - 20, 8) :]
        return [
            between(
                [(f" {self._text} ", palette.dim), (shown, palette.strong), (" ", palette.cursor)],
                self._right_of(width - len(self._text) - max(len(shown), 10) - 6),
                width,
                palette.text,
            )
        ]
