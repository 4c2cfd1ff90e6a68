"""Which home and index a command works on: options shared by all commands."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.index import Index

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Place:
    """Where to look, as named on the command line; None: the engine's own choice."""

    home: Path | None = None
    index: Path | None = None

    async def engine(self) -> Engine:
        """The engine of this place, to be used as an asynchronous context."""
        from engine.engine import Engine

        return await Engine.open(self.home, index=self.index)


def place_options(command: F) -> F:
    """Add ``--home`` and ``--index``; the function receives ``place``.

    Both may stand before or after the command's name; the one nearest wins.
    """

    @click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of everything neuroglass keeps. Default: $NEUROGLASS_HOME.",
    )
    @click.option(
        "--index",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Index folder. Default: the one scanned last.",
    )
    @click.pass_context
    @functools.wraps(command)
    def with_place(
        ctx: click.Context, /, *args: Any, home: Path | None, index: Path | None, **kwargs: Any
    ) -> Any:
        place = ctx.ensure_object(Place)
        place.home = home or place.home
        place.index = index or place.index
        return ctx.invoke(command, *args, place=place, **kwargs)

    return with_place  # type: ignore[return-value]


def open_index(engine: Engine) -> Index:
    """The engine's index. IndexFormatError when nothing has been scanned yet."""
    from engine.errors import IndexFormatError

    if engine.index is None:
        raise IndexFormatError("Nothing has been scanned yet.", "Start with: neuroglass scan")
    return engine.index


class NeuronArgument(click.ParamType):
    """A neuron written as ``5:131`` or ``L5N131``."""

    name = "neuron"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A :class:`engine.neuron.NeuronId`; click's usage error for anything else."""
        from engine.errors import UsageError
        from engine.neuron import NeuronId

        try:
            return NeuronId.parse(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
no_color_option = click.option("--no-color", is_flag=True, help="Print no colours.")
neuron_argument = click.argument("neuron", type=NeuronArgument())
