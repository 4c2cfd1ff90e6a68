"""One line to type in, of any length; shows the part around the cursor."""

from __future__ import annotations

from rich.cells import cell_len
from textual import events

from engine.glyphs import inert
from tui.widgets.pane import Pane, Span

#: More than any model reads; a pasted book must not make every key slow.
MOST = 20_000


class TextLine(Pane, can_focus=True):
    """Text with a cursor. New lines come by pasting and are shown as a sign."""

    def __init__(self, text: str = "", *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.text = text[:MOST]
        self._cursor = len(self.text)

    def type(self, event: events.Key) -> bool:
        """Take a key. Returns whether the text has changed."""
        before, text, here = self.text, self.text, self._cursor
        match event.key:
            case "backspace" | "ctrl+h":
                self._put(text[: max(here - 1, 0)] + text[here:], here - 1)
            case "delete":
                self._put(text[:here] + text[here + 1 :], here)
            case "ctrl+u":
                self._put(text[here:], 0)
            case "ctrl+k":
                self._put(text[:here], here)
            case "ctrl+w":
                kept = text[:here].rstrip(" ")
                kept = kept[: kept.rfind(" ") + 1]
                self._put(kept + text[here:], len(kept))
            case "left":
                self._put(text, here - 1)
            case "right":
                self._put(text, here + 1)
            case "home" | "ctrl+a":
                self._put(text, 0)
            case "end" | "ctrl+e":
                self._put(text, len(text))
            case _:
                if event.is_printable and event.character:
                    self.insert(event.character)
        self.redraw()
        return self.text != before

    def insert(self, text: str) -> None:
        """Put text in at the cursor."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")[: MOST - len(self.text)]
        here = self._cursor
        self._put(self.text[:here] + text + self.text[here:], here + len(text))
        self.redraw()

    def _put(self, text: str, cursor: int) -> None:
        self.text = text
        self._cursor = max(0, min(cursor, len(text)))

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        mark: Span = (" › ", palette.accent if self.has_focus else palette.faint)
        room = max(width - 4, 4)
        here = self._cursor
        before = inert(self.text[max(here - room, 0) : here])
        # Only what does not fit is scrolled, and then a quarter stays for what follows.
        most = room if here == len(self.text) else room * 3 // 4
        if cell_len(before) + cell_len(inert(self.text[here : here + room])) > room:
            while cell_len(before) > most:
                before = before[1:]
        if not self.has_focus:
            after = inert(self.text[here : here + room])
            return [[mark, (before + after, palette.text)]]
        under = inert(self.text[here : here + 1]) or " "
        after = inert(self.text[here + 1 : here + 1 + room])
        return [[mark, (before, palette.strong), (under, palette.cursor), (after, palette.strong)]]
