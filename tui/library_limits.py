"""The dialog that limits the library: names, what can be chosen, and what is chosen now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.library_filter import FIELDS, limit_of, limited

if TYPE_CHECKING:
    from engine.store import Facets

_TITLES = {"by": "explainer", "sim": "simulator"}
_PLAIN: dict[str, tuple[str, ...]] = {
    "score": (">=.9", ">=.75", ">=.5", "<.5", "<.25"),
    "starred": ("=yes", "=no"),
    "side": ("=positive", "=negative"),
    "status": ("=ok", "=partial", "=undefined", "=failed", "=unscored"),
    "deleted": ("=yes",),
}


@dataclass(slots=True)
class Limit:
    """A line of the dialog.

    Attributes:
        choices: Limits as they are typed, such as ``=3``, with what is shown; the first one
            is no limit.
    """

    name: str
    title: str
    choices: list[tuple[str, str]]
    at: int = 0


class Limits:
    """The dialog; every change is a change of the typed line."""

    def __init__(self, facets: Facets, text: str) -> None:
        self.text = text
        self.row = 0
        counted: dict[str, Sequence[tuple[str | int, int]]] = {
            "layer": facets.layers,
            "by": facets.explainers,
            "sim": facets.simulators,
            "tag": facets.tags,
            "model": facets.models,
        }
        self.lines = [
            _line(name, counted.get(name, ()), text)
            for name in ("score", *(name for name in FIELDS if name != "neuron"))
        ]

    def press(self, key: str) -> bool:
        """Take a key; whether the dialog stays open."""
        line = self.lines[self.row]
        if key in ("escape", "q", "enter", "f", "ctrl+c"):
            return False
        if key in ("j", "down", "tab", "k", "up", "shift+tab"):
            by = -1 if key in ("k", "up", "shift+tab") else 1
            self.row = (self.row + by) % len(self.lines)
        elif key in ("l", "right", "space", "h", "left"):
            by = -1 if key in ("h", "left") else 1
            line.at = (line.at + by) % len(line.choices)
            self.text = limited(self.text, line.name, line.choices[line.at][0])
        elif key == "x":
            for one in self.lines:
                one.at = 0
                self.text = limited(self.text, one.name, "")
        return True


def _line(name: str, counted: Sequence[tuple[str | int, int]], text: str) -> Limit:
    choices = [("", "no" if name == "deleted" else "any")]
    choices += [(f"={value}", f"{value}   {count:,}") for value, count in counted]
    choices += [(limit, limit.removeprefix("=")) for limit in _PLAIN.get(name, ())]
    now = limit_of(text, name)
    if now and now not in [limit for limit, _ in choices]:
        choices.append((now, now.removeprefix("=")))
    at = next((number for number, (limit, _) in enumerate(choices) if limit == now), 0)
    return Limit(name, _TITLES.get(name, name), choices, at)
