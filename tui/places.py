"""The screens one can go to, each built when it is first wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tui.actions import EFFECTS, LAB, LIBRARY, MAP, SENSES, TRIAGE

if TYPE_CHECKING:
    from tui.app import NeuroglassApp
    from tui.screens.frame import Frame


def _triage(app: NeuroglassApp) -> Frame:
    from tui.screens.triage import TriageScreen

    assert app.engine is not None
    return TriageScreen(app.engine, app.session.neuron)


def _lab(app: NeuroglassApp) -> Frame:
    from tui.screens.prompt_lab import PromptScreen

    assert app.engine is not None
    return PromptScreen(app.engine, app.session.neuron, app.session.prompt)


def _effects(app: NeuroglassApp) -> Frame:
    from tui.screens.effects import EffectsScreen

    assert app.engine is not None
    return EffectsScreen(app.engine, app.session.neuron)


def _senses(app: NeuroglassApp) -> Frame:
    from tui.screens.senses import SensesScreen

    assert app.engine is not None
    return SensesScreen(app.engine, app.session.neuron)


def _library(app: NeuroglassApp) -> Frame:
    from tui.screens.library import LibraryScreen

    assert app.engine is not None
    return LibraryScreen(app.engine)


def _map(app: NeuroglassApp) -> Frame:
    from tui.screens.neuron_map import MapScreen

    assert app.engine is not None
    return MapScreen(app.engine, app.session.neuron)


#: By the screen's name in the registry of actions; the explorer is always there.
PLACES: dict[str, Callable[[NeuroglassApp], Frame]] = {
    LIBRARY: _library,
    MAP: _map,
    TRIAGE: _triage,
    LAB: _lab,
    EFFECTS: _effects,
    SENSES: _senses,
}
