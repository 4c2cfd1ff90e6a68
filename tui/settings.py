"""The config file: a few options and the user's keys, each checked and documented here."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from tui.actions import ACTIONS
from tui.keymap import Keymap, screens
from tui.keys import named
from tui.look import Look
from tui.ramps import EMBER, RAMPS

#: Names another config file.
VARIABLE = "NEUROGLASS_CONFIG"


@dataclass(frozen=True, slots=True)
class Option:
    """What may stand in the file under a name.

    Attributes:
        about: One line for people.
        allowed: Told when a value is wrong.
        fits: Whether a value is right.
    """

    about: str
    allowed: str
    fits: Callable[[Any], bool]


def _among(*values: object) -> Callable[[Any], bool]:
    return lambda value: value in values and type(value) in {type(one) for one in values}


_GROUPS = ("top", "band-3", "band-2", "band-1", "band-0", "random", "bottom", "held-out")
_SORTS = ("index", "strongest", "sparsest", "explained", "starred")

OPTIONS: dict[str, Option] = {
    "theme": Option(
        "Colours: auto, dark, light, plain, or the name of one of Textual's themes.",
        "a name such as dark, light or nord",
        lambda value: isinstance(value, str) and bool(value),
    ),
    "mouse": Option(
        "Whether the mouse is taken from the terminal; auto: not over SSH.",
        "auto, true or false",
        _among("auto", True, False),
    ),
    "fps": Option(
        "Most frames in a second; fewer spare a slow line.",
        "a number from 1 to 120",
        lambda value: type(value) is int and 1 <= value <= 120,
    ),
    "confirm_quit": Option(
        "Whether quitting asks about explanations that are not saved.",
        "true or false",
        _among(True, False),
    ),
    "restore": Option(
        "Whether the app opens where it was left; --fresh does without it once.",
        "true or false",
        _among(True, False),
    ),
    "group": Option(
        f"Group of excerpts to begin with: {', '.join(_GROUPS)}.",
        f"one of {', '.join(_GROUPS)}",
        _among(*_GROUPS),
    ),
    "sort": Option(
        f"Order of the list to begin with: {', '.join(_SORTS)}.",
        f"one of {', '.join(_SORTS)}",
        _among(*_SORTS),
    ),
    "colours": Option(
        f"Colours of activations: {', '.join(RAMPS)}.",
        f"one of {', '.join(RAMPS)}",
        _among(*RAMPS),
    ),
    "scale": Option(
        "What the strongest colour stands for: the maximum of the neuron, or of each excerpt.",
        "neuron or excerpt",
        _among("neuron", "excerpt"),
    ),
    "figures": Option(
        "Whether values stand in figures below the tokens.",
        "true or false",
        _among(True, False),
    ),
    "difference": Option(
        "Whether held-out excerpts show real minus simulated instead of both.",
        "true or false",
        _among(True, False),
    ),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Values of :data:`OPTIONS`, and keys by action id that replace the usual ones."""

    theme: str = "auto"
    mouse: str | bool = "auto"
    fps: int = 120
    confirm_quit: bool = True
    restore: bool = True
    group: str = "top"
    sort: str = "index"
    colours: str = EMBER
    scale: str = "neuron"
    figures: bool = False
    difference: bool = False
    keymap: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def look(self) -> Look:
        """How heatmaps are drawn."""
        return Look(self.figures, self.scale == "excerpt", self.difference)


def config_path() -> Path:
    """Where the config file is, or would be."""
    named_by_user = os.environ.get(VARIABLE)
    if named_by_user:
        return Path(named_by_user).expanduser()
    from platformdirs import user_config_path

    return user_config_path("neuroglass", appauthor=False) / "config.toml"


def load(path: Path | None = None) -> tuple[Settings, list[str]]:
    """Read the config file; what is wrong in it is told, and the rest is used.

    Returns:
        The settings, and a line for each problem, which names the file and the key.
    """
    path = path or config_path()
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Settings(), []
    except (OSError, UnicodeDecodeError) as error:
        return Settings(), [f"{path} can't be read: {error}"]
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return Settings(), [f"{path} is no TOML: {error}"]
    values: dict[str, Any] = {}
    problems = []
    for name, value in table.items():
        option = OPTIONS.get(name)
        if name == "keymap":
            values["keymap"], wrong = _keymap(value)
            problems += [f"{path}: {line}" for line in wrong]
        elif option is None:
            known = ", ".join([*OPTIONS, "keymap"])
            problems.append(f"{path}: there is no option {name!r}; there are {known}.")
        elif not option.fits(value):
            problems.append(f"{path}: {name} must be {option.allowed}, not {value!r}.")
        else:
            values[name] = value
    return Settings(**values), problems


def _keymap(table: Any) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The keys that can be used, and what is wrong with the others."""
    if not isinstance(table, dict):
        return {}, ["keymap must be a table of action ids."]
    changed: dict[str, tuple[str, ...]] = {}
    problems = []
    ids = {action.id for action in ACTIONS}
    for identity, value in _flat(table).items():
        several = [value] if isinstance(value, str) else value
        if identity not in ids:
            problems.append(f"keymap.{identity}: there is no such action; :help lists them.")
            continue
        if not isinstance(several, list) or not all(isinstance(one, str) for one in several):
            problems.append(f"keymap.{identity} must be a key or a list of keys.")
            continue
        try:
            changed[identity] = tuple(named(one) for one in several)
        except UsageError as error:
            problems.append(f"keymap.{identity}: {error}")
    told = set()
    for screen in screens():
        for key, first, second in Keymap(changed).keys(screen).conflicts:
            line = f"keymap: {key} is taken by {first}; {second} goes without it."
            if line not in told:
                told.add(line)
                problems.append(line)
    return changed, problems


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """``{"neuron": {"next": …}}``, as TOML reads an id without quotes, by whole ids."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{before}{name}.")
        else:
            found[before + name] = value
    return found


def documented(settings: Settings | None = None) -> str:
    """A config file with every option, explained; the defaults unless others are given."""
    chosen = settings or Settings()
    lines = ["# neuroglass: every option, with its value.", ""]
    for one in fields(Settings):
        if one.name == "keymap":
            continue
        value = getattr(chosen, one.name)
        shown = str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
        mark = "# " if settings is None else ""
        lines += [f"# {OPTIONS[one.name].about}", f"{mark}{one.name} = {shown}", ""]
    lines += [
        "# Keys by action id; what is named here replaces the usual keys. Keys that follow",
        '# one another are parted by a space, such as "g t". The ids: neuroglass config keys',
        "[keymap]",
    ]
    if settings is None:
        lines.append('# "neuron.next" = ["J", "ctrl+n"]')
    for identity, keys in chosen.keymap.items():
        several = ", ".join(f'"{key}"' for key in keys)
        lines.append(f'"{identity}" = [{several}]')
    return "\n".join(lines) + "\n"
