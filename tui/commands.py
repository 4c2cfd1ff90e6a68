"""The command palette: every action, and the themes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.actions import ACTIONS


class ActionCommands(Provider):
    """Offers the table of actions."""

    def _commands(self) -> Iterator[tuple[str, str, Callable[[], object]]]:
        for action in ACTIONS:
            if action.palette:
                run = partial(self.app.run_action, action.name, self.screen)
                yield action.description, action.shown_keys, run
        for name in self.app.available_themes:
            yield f"Theme {name}", "", partial(setattr, self.app, "theme", name)

    async def discover(self) -> Hits:
        for name, keys, run in self._commands():
            if keys:
                yield DiscoveryHit(name, run, help=keys)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, keys, run in self._commands():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), run, help=keys)
