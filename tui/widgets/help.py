"""The keys of a screen, from the one table of actions, in a panel over it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from textual import events
from textual.message import Message

from tui.actions import Action
from tui.keys import Keys
from tui.widgets.pane import Pane, Span, width_of

_KEYS = 14
_COLUMN = 58


class Help(Pane, can_focus=True):
    """As many columns as fit; what does not fit below is turned to by pages."""

    # Off the screen rather than undisplayed: a widget that comes and goes shifts the
    # drawing order of all others, and Textual then repaints them.
    DEFAULT_CSS = "Help { offset: 0 -200; } Help.open { offset: 0 0; }"

    class Closed(Message):
        """The help was left."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._top = 0
        self._overflow = False
        self._actions: list[Action] = []
        self._bound = Keys(())

    def open(self, actions: Iterable[Action], keys: Keys) -> None:
        """Show these actions with their keys, and take the focus."""
        self._actions, self._bound, self._top = list(actions), keys, 0
        self.add_class("open")
        self.screen.set_focus(self, scroll_visible=False)
        self.redraw()

    def close(self) -> None:
        """Show nothing."""
        self.remove_class("open")

    def on_key(self, event: events.Key) -> None:
        """Turn pages; every other key closes."""
        event.stop()
        event.prevent_default()
        page = max(1, self.size.height - 3)
        step = {"j": 1, "down": 1, "k": -1, "up": -1, "pagedown": page, "space": page}
        step["pageup"] = -page
        if self._overflow and event.key in step:
            self._top = max(0, self._top + step[event.key])
            self.redraw()
        else:
            self._top = 0
            self.post_message(self.Closed())

    def build(self, width: int, height: int) -> list[list[Span]]:
        if not self._actions:
            return []
        palette = self.palette
        items = self._items()
        columns = 2 if width >= 2 * _COLUMN else 1
        room = height - 1
        if columns == 2:
            # Part at a heading, so that no section is torn.
            heads = [i for i, row in enumerate(items) if len(row) == 1]
            cut = min(heads, key=lambda i: abs(i - len(items) / 2))
            left, right = items[: max(cut - 1, 0)], items[cut:]
        else:
            left, right = items, []
        # A blank row stands above where it costs nothing.
        tall = max(len(left), len(right))
        above = 0 if tall == room else 1
        room -= above
        self._overflow = tall > room
        self._top = max(0, min(self._top, tall - room))
        rows: list[list[Span]] = [[] for _ in range(above)]
        for y in range(self._top, min(self._top + room, tall)):
            row = list(left[y]) if y < len(left) else []
            if y < len(right):
                row += [(" " * (_COLUMN - width_of(row)), palette.text), *right[y]]
            rows.append(row)
        end = "j k turn, any other key closes" if self._overflow else "any key closes"
        rows += [[]] * (height - 1 - len(rows))
        marks = "★ starred  ● not saved  … note"
        rows.append([(f"  {marks}    {end}", palette.faint)])
        return rows

    def _items(self) -> list[list[Span]]:
        palette = self.palette
        rows: list[list[Span]] = []
        order = list(dict.fromkeys(action.group for action in self._actions))
        actions = sorted(self._actions, key=lambda action: order.index(action.group))
        for name, group in groupby(actions, key=lambda action: action.group):
            if rows:
                rows.append([("", palette.text), ("", palette.text)])
            rows.append([(f"  {name}", palette.accent)])
            for action in group:
                keys = _some(self._bound.of(action).split(), _KEYS - 1)
                rows.append(
                    [
                        (f"  {keys:<{_KEYS}}", palette.strong),
                        (action.description, palette.text),
                    ]
                )
        return rows


def _some(keys: Sequence[str], room: int) -> str:
    """As many keys as stand in a column, the first of them in any case."""
    text = " ".join(keys)
    for count in range(len(keys) - 1, 0, -1):
        if len(text) <= room:
            break
        text = " ".join((*keys[:count], "…"))
    return text
