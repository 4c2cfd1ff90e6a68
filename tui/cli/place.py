"""Which home and index a command works on: options shared by all commands."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from engine.catalogue import Catalogue
    from engine.engine import Engine
    from engine.index import Index

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Place:
    """Where to look, as named on the command line; None: the engine's own choice."""

    home: Path | None = None
    index: Path | None = None
    source: str | None = None

    async def engine(self) -> Engine:
        """The engine of this place, to be used as an asynchronous context."""
        from engine.engine import Engine

        return await Engine.open(self.home, index=self.index, source=self.source)


def place_options(command: F) -> F:
    """Add ``--home``, ``--index`` and ``--source``; the function receives ``place``.

    They may stand before or after the command's name; the one nearest wins.
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
    @click.option(
        "--source",
        metavar="SOURCE",
        help="A published dataset instead of an index; see: neuroglass open --help",
    )
    @click.pass_context
    @functools.wraps(command)
    def with_place(
        ctx: click.Context,
        /,
        *args: Any,
        home: Path | None,
        index: Path | None,
        source: str | None,
        **kwargs: Any,
    ) -> Any:
        place = ctx.ensure_object(Place)
        place.home = home or place.home
        place.index = index or place.index
        place.source = source or place.source
        if place.index is not None and place.source is not None:
            raise click.UsageError("--index and --source are two different things.")
        return ctx.invoke(command, *args, place=place, **kwargs)

    return with_place  # type: ignore[return-value]


def open_index(engine: Engine) -> Index:
    """The engine's index.

    Raises:
        IndexFormatError: nothing has been scanned yet.
        UsageError: a published dataset was named, and the command needs more than one has.
    """
    from engine.catalogue import index_of

    return index_of(engine.catalogue)


def open_catalogue(engine: Engine) -> Catalogue:
    """The engine's index or published dataset. IndexFormatError when there is neither."""
    return engine.catalogue or open_index(engine)


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
