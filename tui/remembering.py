"""Where the user was, kept in the store and taken up again at the next start.

It is written a little after it has changed, and when the app is left or hung up; what was
kept by another version, or for another model, is passed over where it doesn't fit.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.errors import NeuroglassError
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui.places import PLACES
from tui.session import GROUPS, Session, Sort
from tui.settings import OPTIONS, Settings, config_path

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.store import Store
    from tui.app import NeuroglassApp

#: Name in the store; the neurons of each model have names of their own.
NAME = "app"
#: How often a change is looked for, in seconds.
LOOK = 2.0
#: Visits that are kept.
VISITS = 100
_TEXTS = ("group", "prompt", "sought", "quantity", "library", "library_order")
#: How heatmaps are drawn, by the names of the options.
_VIEW = ("colours", "scale", "figures", "difference")


def state_of(session: Session, screen: str, theme: str, view: dict[str, Any]) -> dict[str, Any]:
    """What is the same for every model.

    Args:
        theme: The one the user has switched to; empty for the configured one.
        view: How heatmaps are drawn where that is not as configured.
    """
    return {
        "screen": screen,
        "theme": theme,
        "view": view,
        "sort": session.sort.name.lower(),
        "commands": list(session.commands),
        **{name: getattr(session, name) for name in _TEXTS},
    }


def view_of(session: Session, ramp: str, settings: Settings) -> dict[str, Any]:
    """How heatmaps are drawn, where the user has switched from what is configured."""
    look = session.look
    scale = "excerpt" if look.per_excerpt else "neuron"
    now = dict(zip(_VIEW, (ramp, scale, look.numbers, look.difference), strict=True))
    return {name: value for name, value in now.items() if value != getattr(settings, name)}


def viewed(settings: Settings, kept: object) -> Settings:
    """The settings with what :func:`view_of` has kept, as far as it makes sense."""
    found = kept if isinstance(kept, dict) else {}
    there = [name for name in _VIEW if name in found and OPTIONS[name].fits(found[name])]
    return replace(settings, **{name: found[name] for name in there})


def place_of(session: Session) -> dict[str, Any]:
    """Where one is in a model: the neuron, the way there, the marks."""
    visited = session.visited
    first = max(visited.at + 1 - VISITS, 0)
    return {
        "neuron": str(session.neuron),
        "visited": [str(one) for one in visited.places[first : visited.at + 1]],
        "marks": {letter: str(neuron) for letter, neuron in session.marks.items()},
    }


def place_name(model: str) -> str:
    """Name in the store of a model's place."""
    return f"{NAME}:{model}"


def recall(store: Store, model: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was kept: for every model, and for this one."""
    common = store.recall(NAME)
    place = store.recall(place_name(model)) if model is not None else None
    return (
        common if isinstance(common, dict) else {},
        place if isinstance(place, dict) else {},
    )


def restore(session: Session, common: dict[str, Any], place: dict[str, Any]) -> None:
    """Take up what was kept, as far as it makes sense."""
    for name in _TEXTS:
        value = common.get(name)
        if isinstance(value, str):
            setattr(session, name, value)
    if session.group not in {group.key for group in GROUPS}:
        session.group = "top"
    sort = str(common.get("sort", "")).upper()
    if sort in Sort.__members__:
        session.sort = Sort[sort]
    commands = common.get("commands")
    if isinstance(commands, list):
        session.commands = [one for one in commands if isinstance(one, str)]
    visited = place.get("visited")
    session.visited.restore(
        filter(None, map(_neuron, visited if isinstance(visited, list) else ()))
    )
    marks = place.get("marks")
    for letter, text in (marks if isinstance(marks, dict) else {}).items():
        neuron = _neuron(text)
        if neuron is not None:
            session.marks[str(letter)] = neuron
    session.neuron = _neuron(place.get("neuron")) or session.neuron


def _neuron(text: object) -> NeuronId | None:
    try:
        return NeuronId.parse(str(text))
    except NeuroglassError:
        return None


class Keeper:
    """Takes up where the user was, and keeps it.

    Attributes:
        screen: Where the user was; empty once gone to.
        theme: The one that was begun with.
        problems: What is wrong in the config file, until it has been told.
        theme_named: Whether that was asked for, so that no other is taken up.
    """

    def __init__(self, app: NeuroglassApp, problems: Sequence[str] = ()) -> None:
        self._app = app
        self.problems = list(problems)
        self._engine: Engine | None = None
        self._kept: dict[str, Any] = {}
        self.screen = ""
        self.theme = ""
        self.theme_named = False

    async def come_back(self, engine: Engine) -> None:
        """Take up what was kept of the session before; keep from now on."""
        app, catalogue = self._app, engine.catalogue
        model = catalogue.model_id if catalogue is not None else None
        try:
            common, place = await asyncio.to_thread(recall, engine.store, model)
        except NeuroglassError:
            return  # the store says what is wrong with it when it is asked for more
        self._engine = engine
        restore(app.session, common, place)
        self.screen = str(common.get("screen", ""))
        view = viewed(app.settings, common.get("view"))
        app.session.look = view.look
        app.take_ramp(view.colours)
        theme = str(common.get("theme", ""))
        if theme in app.available_themes and not self.theme_named:
            app.theme = theme
        self._kept = self._places()
        app.set_interval(LOOK, self._keep_soon)

    def _places(self) -> dict[str, Any]:
        """What is to be kept, by its name in the store."""
        app = self._app
        theme = "" if app.theme == self.theme else app.theme
        view = view_of(app.session, app.ramp, app.settings)
        found = {NAME: state_of(app.session, self.screen or app.frame.NAME, theme, view)}
        catalogue = self._engine.catalogue if self._engine is not None else None
        if catalogue is not None:
            found[place_name(catalogue.model_id)] = place_of(app.session)
        return found

    def _keep_soon(self) -> None:
        if not self._app.leaving and self._places() != self._kept:
            self._app.run_worker(self.keep(), name="keep", group="keep", exclusive=True)

    async def keep(self) -> None:
        """Write what has changed since it was written last."""
        if self._engine is None:
            return
        now = self._places()
        with suppress(NeuroglassError):  # a store that can't be written to says so elsewhere
            for name, value in now.items():
                if self._kept.get(name) != value:
                    await self._engine.store.remember(name, value)
            self._kept = now

    def settled_in(self) -> None:
        """The first neuron is shown: go to the screen of before, tell what is wrong."""
        place, self.screen = self.screen, ""
        if place in PLACES and self._engine is not None and self._engine.dataset is None:
            self._app.go(place)
        self.tell_problems()

    def tell_problems(self) -> None:
        """Say in one line what is wrong in the config file."""
        if self.problems:
            rest = len(self.problems) - 1
            more = f"  ({rest} more: neuroglass config show)" if rest else ""
            # One line has no room for the folder; neuroglass config path tells it.
            line = self.problems[0].replace(f"{config_path().parent}{os.sep}", "")
            self._app.say(inert(line) + more, error=True)
            self.problems = []
