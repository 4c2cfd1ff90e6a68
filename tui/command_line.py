"""The command line: a neuron, a command with its words, or any action by its name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import UsageError
from engine.glyphs import inert
from engine.neuron import NeuronId
from tui.actions import Action
from tui.ramps import RAMPS
from tui.screens.frame import Frame
from tui.screens.reporting import Reporter
from tui.session import GROUPS, Sort
from tui.theme import SHORT

if TYPE_CHECKING:
    from tui.app import NeuroglassApp

#: Lines that are remembered.
MOST = 50


@dataclass(frozen=True, slots=True)
class Command:
    """Something typed with a word behind it.

    Attributes:
        words: What may follow, for completion; empty for anything, or nothing.
        run: Does it. May be a coroutine.
    """

    run: Callable[[NeuroglassApp, Frame, str], Awaitable[None] | None]
    words: Callable[[NeuroglassApp], Sequence[str]] = lambda app: ()


def _group(app: NeuroglassApp, frame: Frame, word: str) -> None:
    names = _group_names(app)
    if word.isdecimal() and 1 <= int(word) <= len(GROUPS):
        word = GROUPS[int(word) - 1].key
    if word not in names:
        app.say(f"There is no group {inert(word)}: {', '.join(names)}.", error=True)
        return
    app.go(app.explorer.NAME)
    app.explorer.show_group(word)


def _group_names(app: NeuroglassApp) -> list[str]:
    return [group.key for group in GROUPS]


def _sort_names(app: NeuroglassApp) -> list[str]:
    return [order.name.lower() for order in Sort]


def _sort(app: NeuroglassApp, frame: Frame, word: str) -> None:
    words = {"score": "explained", "max": "strongest", "sparsity": "sparsest", "star": "starred"}
    name = words.get(word, word)
    if name not in _sort_names(app):
        app.say(f"There is no order {inert(word)}: {', '.join(_sort_names(app))}.", error=True)
        return
    app.go(app.explorer.NAME)
    app.explorer.sort_by(Sort[name.upper()])


def _theme(app: NeuroglassApp, frame: Frame, word: str) -> None:
    if not app.take_theme(word):
        app.say(f"There is no theme {inert(word)}: dark, light, plain and others.", error=True)


def _themes(app: NeuroglassApp) -> list[str]:
    return [*SHORT, *sorted(set(app.available_themes) - set(SHORT.values()))]


def _colours(app: NeuroglassApp, frame: Frame, word: str) -> None:
    if word in RAMPS:
        app.take_ramp(word)
        frame.say(f"Colours: {word}.")
    elif word:
        app.say(f"There are no colours {inert(word)}: {', '.join(RAMPS)}.", error=True)
    else:
        app.next_ramp()
        frame.say(f"Colours: {app.ramp}.")


async def _model(app: NeuroglassApp, frame: Frame, word: str) -> None:
    if not word:
        shown = app.engine.catalogue if app.engine is not None else None
        app.say("Nothing is scanned yet." if shown is None else inert(shown.model_name))
        return
    app.go(app.explorer.NAME)
    app.explorer.ask_model(word)


async def _save(app: NeuroglassApp, frame: Frame, word: str) -> None:
    await app.explorer.action_save()


async def _quit(app: NeuroglassApp, frame: Frame, word: str) -> None:
    await app.action_quit()


def _leave(app: NeuroglassApp, frame: Frame, word: str) -> None:
    app.leave()


def _help(app: NeuroglassApp, frame: Frame, word: str) -> None:
    action = _find(frame, word)
    if action is None:
        frame.action_help()
    else:
        frame.say(f"{action.id}: {action.description}. Keys: {frame.keys.of(action) or 'none'}")


async def _export(app: NeuroglassApp, frame: Frame, word: str) -> None:
    export = getattr(frame, "export", None)
    if export is None:
        frame.say("There is nothing to export on this screen.", error=True)
    elif word:
        await export(word)
    else:
        action = _find(frame, "view.write")
        if action is not None:
            await frame.perform(action)


async def _report(app: NeuroglassApp, frame: Frame, word: str) -> None:
    if not isinstance(frame, Reporter):
        frame.say("There is no report of this screen: explorer and triage have one.", error=True)
        return
    action = _find(frame, "report")
    reason = frame.why_not(action) if action is not None else ""
    if reason or not word:
        if action is not None:
            await frame.perform(action)
    else:
        frame.report(word)


#: By what is typed. Actions need no entry: they are found by id and title.
COMMANDS: dict[str, Command] = {
    "model": Command(_model),
    "group": Command(_group, _group_names),
    "sort": Command(_sort, _sort_names),
    "theme": Command(_theme, _themes),
    "colours": Command(_colours, lambda app: list(RAMPS)),
    "export": Command(_export),
    "report": Command(_report),
    "w": Command(_save),
    "q": Command(_quit),
    "q!": Command(_leave),
    "help": Command(_help),
}


def _is_neuron(text: str) -> bool:
    try:
        NeuronId.parse(text)
    except UsageError:
        return False
    return True


def _find(frame: Frame, text: str) -> Action | None:
    """An action by its id, its title, or the only id that begins so."""
    actions = [action for action in frame.help_actions() if not action.takes]
    for action in actions:
        if text in (action.id, action.title, action.description):
            return action
    begun = [action for action in actions if text and action.id.startswith(text)]
    return begun[0] if len(begun) == 1 else None


def completer(app: NeuroglassApp, frame: Frame) -> Callable[[str], list[str]]:
    """What a line may become: commands and ids of actions, or a command's words."""

    def complete(line: str) -> list[str]:
        name, space, word = line.lstrip().partition(" ")
        if space:
            command = COMMANDS.get(name)
            several = command.words(app) if command is not None else ()
            return [f"{name} {one}" for one in several if one.startswith(word.lstrip())]
        if not name:
            return []
        ids = [action.id for action in frame.help_actions() if not action.takes]
        return sorted(one for one in {*COMMANDS, *ids} if one.startswith(name))

    return complete


async def run(app: NeuroglassApp, frame: Frame, line: str) -> None:
    """Do what was typed, or say in one line what is wrong with it."""
    line = line.strip().lstrip(":").strip()
    if not line:
        return
    before = app.session.commands
    app.session.commands = [*(one for one in before if one != line), line][-MOST:]
    name, _, word = line.partition(" ")
    command = COMMANDS.get(name)
    if command is not None:
        done = command.run(app, frame, word.strip())
        if done is not None:
            await done
        return
    if line[0].isdecimal() or _is_neuron(line):
        app.explorer.go_to(line)
        return
    action = _find(frame, line)
    if action is not None:
        await frame.perform(action)
    else:
        app.say(f"There is no command {inert(line)}: tab completes, ? lists keys.", error=True)
