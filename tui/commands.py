"""The command palette: every action of the screen below, and the themes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.screens.frame import Frame


class ActionCommands(Provider):
    """Offers every action of the screen below, and the themes."""

    def _commands(self) -> Iterator[tuple[str, str, Callable[[], object]]]:
        frame = self.screen
        if isinstance(frame, Frame):
            for action in frame.help_actions():
                if action.takes:
                    continue
                keys = frame.keys.of(action)
                reason = frame.why_not(action)
                about = f"{keys}   {reason}" if reason else keys
                yield action.description, about, partial(frame.perform, action)
        for name in self.app.available_themes:
            yield f"Theme {name}", "", partial(setattr, self.app, "theme", name)

    async def discover(self) -> Hits:
        for name, keys, run_it in self._commands():
            if keys:
                yield DiscoveryHit(name, run_it, help=keys)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, keys, run_it in self._commands():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), run_it, help=keys)
