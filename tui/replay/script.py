"""The session file: what is pressed, in TOML, one step on a line.

    title = "A neuron is browsed"
    sizes = ["120x40", "80x24"]
    index = "6d52366ad3ee6691c0e3970440715429"
    theme = "dark"
    prepare = ["annotate 1:1 --star"]
    steps = [
      { picture = "opened" },
      { keys = "] ] j", picture = "another layer" },
      { keys = ":", text = "5:7", picture = "typing" },
      { keys = "enter", wait = "5:7" },
      { size = "60x20", picture = "smaller" },
    ]

``keys`` are Textual's key names with spaces between; ``text`` is typed after them,
character by character.  ``wait`` is text that must appear on the screen, for what a
process outside the app does; everything inside the app is waited for anyway.  An ``index`` of
``"none"`` is that of a user who has scanned nothing yet.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import UsageError

#: Longest side of a terminal that a session may ask for.
LARGEST = 500
#: The index of a session that begins with nothing scanned.
NO_INDEX = "none"


@dataclass(frozen=True, slots=True)
class Size:
    """A terminal's width and height in cells, written ``120x40``."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read ``120x40``. UsageError for anything else."""
        found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
        if found is None or not all(1 <= int(side) <= LARGEST for side in found.groups()):
            raise UsageError(f"{text!r} is no size.", "Write columns x rows, such as 120x40.")
        return cls(*map(int, found.groups()))


@dataclass(frozen=True, slots=True)
class Step:
    """Some keys, and what to do when all they caused has been drawn.

    Attributes:
        keys: Textual's key names.
        text: Typed after the keys.
        size: Resize the terminal first.
        wait: Go on only when this is on the screen.
        picture: Name of the picture to take; empty: none.
    """

    keys: tuple[str, ...] = ()
    text: str = ""
    size: Size | None = None
    wait: str = ""
    picture: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """A whole session.

    Attributes:
        title: A sentence about it.
        sizes: Terminal sizes it is made for; the first is the one it was recorded at.
        index: Identity of the index it was recorded on; empty: any; ``none``: nothing scanned.
        theme: Name of the theme, long or short; empty: the dark one.
        prepare: Command lines of neuroglass, without the program's name, that are run on
            the session's empty home before the app opens.
        seed: Of what is random in the app.
    """

    title: str
    steps: tuple[Step, ...]
    sizes: tuple[Size, ...] = (Size(120, 40),)
    index: str = ""
    theme: str = ""
    prepare: tuple[str, ...] = ()
    seed: int = 0


def read_script(path: Path) -> Script:
    """Read a session file.

    Raises:
        UsageError: it can't be read, or is not a session; names the file and the place.
    """
    try:
        facts = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path} can't be read: {error.strerror}.", "Name a session file; see: record --help"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no session: {error}.", "It must be TOML.") from error
    try:
        return _script(facts)
    except _Wrong as error:
        raise UsageError(
            f"{path} is no session: {error}.", "See: neuroglass replay --help"
        ) from error


class _Wrong(Exception):
    """Something in the file is not what it must be."""


def _script(facts: Mapping[str, Any]) -> Script:
    _known(facts, {"title", "sizes", "index", "theme", "prepare", "seed", "steps"}, "it")
    steps = _get(facts, "steps", list, [])
    if not steps:
        raise _Wrong("it has no steps")
    sizes = tuple(_size(text, "sizes") for text in _texts(facts, "sizes")) or (Size(120, 40),)
    script = Script(
        title=_get(facts, "title", str, ""),
        steps=tuple(_step(step, number) for number, step in enumerate(steps, start=1)),
        sizes=sizes,
        index=_get(facts, "index", str, ""),
        theme=_get(facts, "theme", str, ""),
        prepare=_texts(facts, "prepare"),
        seed=_get(facts, "seed", int, 0),
    )
    names = [step.picture for step in script.steps if step.picture]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _Wrong(f"two pictures are named {twice!r}")
    return script


def _step(facts: object, number: int) -> Step:
    where = f"step {number}"
    if not isinstance(facts, dict):
        raise _Wrong(f"{where} is no table")
    _known(facts, {"keys", "text", "size", "wait", "picture"}, where)
    size = _get(facts, "size", str, "")
    picture = _get(facts, "picture", str, "")
    if picture and not re.fullmatch(r"[\w ,.+-]+", picture):
        raise _Wrong(f"the picture of {where} can't be a file's name: {picture!r}")
    return Step(
        keys=tuple(_get(facts, "keys", str, "").split()),
        text=_get(facts, "text", str, ""),
        size=_size(size, where) if size else None,
        wait=_get(facts, "wait", str, ""),
        picture=picture,
    )


def _size(text: str, where: str) -> Size:
    try:
        return Size.parse(text)
    except UsageError as error:
        raise _Wrong(f"{where}: {error.message.removesuffix('.')}") from error


def _known(facts: Mapping[str, Any], names: set[str], where: str) -> None:
    strange = sorted(set(facts) - names)
    if strange:
        raise _Wrong(f"{where} has an unknown {strange[0]!r}")


def _get(facts: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = facts.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _Wrong(f"{name!r} is not of the right type")
    return value


def _texts(facts: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = _get(facts, name, list, [])
    if not all(isinstance(value, str) for value in values):
        raise _Wrong(f"{name!r} is no list of texts")
    return tuple(values)


def to_toml(script: Script) -> str:
    """The session as :func:`read_script` reads it."""
    # A JSON string is a TOML string, but for one control character.
    quoted = lambda text: json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # noqa: E731
    lines = [f"title = {quoted(script.title)}"]
    lines.append(f"sizes = [{', '.join(quoted(str(size)) for size in script.sizes)}]")
    if script.index:
        lines.append(f"index = {quoted(script.index)}")
    if script.theme:
        lines.append(f"theme = {quoted(script.theme)}")
    if script.prepare:
        lines.append(f"prepare = [{', '.join(map(quoted, script.prepare))}]")
    if script.seed:
        lines.append(f"seed = {script.seed}")
    lines.append("steps = [")
    for step in script.steps:
        parts = {
            "size": str(step.size) if step.size is not None else "",
            "keys": " ".join(step.keys),
            "text": step.text,
            "wait": step.wait,
            "picture": step.picture,
        }
        inner = ", ".join(f"{name} = {quoted(value)}" for name, value in parts.items() if value)
        lines.append(f"  {{ {inner} }},")
    return "\n".join([*lines, "]", ""])
