"""What the commands that read a typed text have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class TextArgument(click.ParamType):
    """A text, or ``-`` for what comes on standard input."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text; bytes of standard input that are no UTF-8 are replaced."""
        if value == "-":
            return sys.stdin.buffer.read().decode("utf-8", "replace").removesuffix("\n")
        return str(value)


class ChangeOption(click.ParamType):
    """A change of a neuron, such as ``zero``, ``x2`` or ``=3.5``."""

    name = "change"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A :class:`engine.change.Change`; click's usage error for anything else."""
        from engine.change import Change
        from engine.errors import UsageError

        if isinstance(value, Change):
            return value
        try:
            return Change.parse(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


text_argument = click.argument("text", type=TextArgument())
CHANGES = "zero, mean, a factor such as x2, or a value such as =3.5"


def change_option(
    *, multiple: bool, help_text: str, default: str | None = None
) -> Callable[[F], F]:
    """``--to``; ``changes`` where it may be repeated, else ``change``."""
    return click.option(
        "--to",
        "changes" if multiple else "change",
        type=ChangeOption(),
        metavar="CHANGE",
        multiple=multiple,
        default=default,
        show_default=default is not None,
        help=f"{help_text}: {CHANGES}.",
    )
