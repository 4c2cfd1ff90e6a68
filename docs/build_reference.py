"""Writes ``docs/reference.md`` from the docstrings of the public names: ``make docs``."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import sys
from pathlib import Path

import engine

PLACE = Path(__file__).resolve().parent / "reference.md"
_HEAD = """# Reference

Made by `make docs` from the docstrings of the names that `import engine` offers. The
[guide](guide.md) shows how they go together.

"""
_ROLE = re.compile(r":(?:\w+:)?(?:class|meth|func|data|mod|attr):`~?([^`]+)`")
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):\s*(.*)$")


def build() -> str:
    """The whole text."""
    parts = [_HEAD]
    names = engine.__all__
    parts.append(" · ".join(f"[{name}](#{name.lower()})" for name in names) + "\n")
    parts += [_class(name, getattr(engine, name)) for name in names]
    return "\n".join(parts).rstrip() + "\n"


def _class(name: str, kind: type) -> str:
    lines = [f"## {name}\n", f"`from engine import {name}`\n"]
    if issubclass(kind, enum.Enum):
        lines += [_text(inspect.getdoc(kind)), ""]
        lines += [f"- `{one.name}` = {one.value!r}" for one in kind]
        return "\n".join(lines) + "\n"
    if dataclasses.is_dataclass(kind) or issubclass(kind, Exception):
        lines.append(_code(name, kind.__init__, first=True))
    lines.append(_text(inspect.getdoc(kind)) + "\n")
    for member, value in kind.__dict__.items():
        if member.startswith("_"):
            continue
        if isinstance(value, property):
            lines.append(f"### {name}.{member}\n\nA property. {_text(inspect.getdoc(value))}\n")
            continue
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if not inspect.isfunction(function):
            continue
        lines.append(f"### {name}.{member}\n")
        lines.append(_code(member, function, first=not isinstance(value, staticmethod)))
        lines.append(_text(inspect.getdoc(function)) + "\n")
    return "\n".join(lines)


def _code(name: str, function: object, *, first: bool) -> str:
    """A signature as it is written in the source, without ``self``."""
    assert inspect.isfunction(function)
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[1 if first else 0 :]
    written, star = [], False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not star:
            written.append("*")
            star = True
        text = f"*{one.name}" if one.kind is one.VAR_POSITIONAL else one.name
        star = star or one.kind is one.VAR_POSITIONAL
        if one.annotation is not one.empty:
            text += f": {one.annotation}"
        if one.default is not one.empty:
            made = type(one.default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS"
            shown = "..." if made else repr(one.default)
            text += f" = {shown}" if ":" in text else f"={shown}"
        written.append(text)
    waits = "async " if inspect.iscoroutinefunction(function) else ""
    result = (
        ""
        if signature.return_annotation in (signature.empty, None, "None")
        else (f" -> {signature.return_annotation}")
    )
    head = f"{waits}{name}"
    line = f"{head}({', '.join(written)}){result}"
    if len(line) > 88:
        line = f"{head}(\n    " + ",\n    ".join(written) + f",\n){result}"
    return f"```\n{line}\n```\n"


def _text(doc: str | None) -> str:
    """A docstring as Markdown: roles become code, sections lists."""
    out: list[str] = []
    listing = False
    for line in (doc or "").splitlines():
        line = _ROLE.sub(lambda match: f"`{match[1].rpartition('.')[2]}`", line)
        line = line.replace("``", "`")
        section = _SECTION.match(line)
        if section:
            listing = section[1] != "Returns"
            out += [f"**{section[1]}**", ""]
            if section[2]:
                out.append(section[2])
        elif listing and re.match(r"^    \S", line):
            names, colon, rest = line.strip().partition(": ")
            named = ", ".join(f"`{one.strip()}`" for one in names.split(","))
            out.append(f"- {named}: {rest}" if colon else f"  {line.strip()}")
        elif listing and line.startswith("     "):
            out.append(f"  {line.strip()}")
        else:
            listing = listing and (not line or line.startswith(" "))
            out.append(line.strip() if listing else line)
    return "\n".join(out).strip()


def main() -> None:
    """Write it."""
    PLACE.write_text(build(), "utf-8")
    print(f"{PLACE.name}: {len(engine.__all__)} names", file=sys.stderr)


if __name__ == "__main__":
    main()
