"""The keys of all screens, with what the user has changed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from tui.actions import ACTIONS, actions_of
from tui.keys import Keys


class Keymap:
    """Builds the keys of a screen once.

    Args:
        changed: Keys by action id that replace those of the registry.
    """

    def __init__(self, changed: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self.changed = dict(changed or {})
        self.keys = cache(self._keys)

    def _keys(self, screen: str) -> Keys:
        several = actions_of(screen)
        own = [action for action in several if action.screens]
        everywhere = [action for action in several if not action.screens]
        return Keys(own, everywhere, self.changed)


def screens() -> list[str]:
    """Every screen that the registry names."""
    return list(dict.fromkeys(name for action in ACTIONS for name in action.screens))
