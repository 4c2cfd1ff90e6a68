"""``neuroglass show``: one neuron's passages, facts and explanations."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.place import (
    NeuronArgument,
    Place,
    json_option,
    no_color_option,
    open_index,
    place_options,
)

if TYPE_CHECKING:
    from engine.catalogue import Catalogue
    from engine.neuron import NeuronId

HELD_OUT = "held-out"
GROUPS = ("top", "band-3", "band-2", "band-1", "band-0", "random", "bottom", HELD_OUT)


@click.command("show", short_help="Show what a neuron fires on.")
@click.argument("names", nargs=-1, required=True, metavar="[SOURCE] NEURON")
@click.option(
    "--group",
    "groups",
    type=click.Choice((*GROUPS, "all")),
    multiple=True,
    help="Which records; may be repeated. Bands are quantiles of the window maximum; held-out "
    "are the ones that the best saved explanation was scored on.  [default: top]",
)
@click.option(
    "--limit", type=click.IntRange(1), default=8, show_default=True, help="Records per group."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "markdown", "json", "svg")),
    help="How to write it.  [default: text, or what the name after --output ends in]",
)
@click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write to a file (.txt, .md, .json, .svg) instead of the terminal.",
)
@json_option
@no_color_option
@place_options
def command(
    place: Place,
    names: tuple[str, ...],
    groups: tuple[str, ...],
    limit: int,
    form: str | None,
    path: Path | None,
    as_json: bool,
    no_color: bool,
) -> None:
    """Show what a neuron fires on: passages, tokens, statistics, explanations.

    NEURON is layer and index, such as 5:131. SOURCE, such as openai:gpt2-xl, is a published
    dataset that it is of; see: neuroglass open --help
    """
    if len(names) > 2 or (len(names) == 2 and place.source is not None):
        raise click.UsageError("Name one neuron, such as 5:131, and at most one source.")
    place.source = names[0] if len(names) == 2 else place.source
    neuron: NeuronId = NeuronArgument().convert(names[-1], None, None)
    chosen = GROUPS if "all" in groups else groups or ("top",)
    if as_json:
        form = "json"
    asyncio.run(_show(place, neuron, chosen, limit, form, path, no_color))


async def _show(
    place: Place,
    neuron: NeuronId,
    groups: tuple[str, ...],
    limit: int,
    form: str | None,
    path: Path | None,
    no_color: bool,
) -> None:
    from engine.glyphs import inert
    from tui import sheet as sheets
    from tui import sheet_json

    if path is not None and form is None:
        form = sheets.format_of(path)
    async with await place.engine() as engine:
        dataset = engine.dataset
        index: Catalogue = open_index(engine) if dataset is None else dataset
        await index.prepare(neuron)
        from tui.passages import passages_of
        from tui.session import read_neuron

        view = read_neuron(index, engine.store, neuron)
        kept = {name: passages_of(view, name, None, index)[:limit] for name in groups}
        if len(groups) > 1 and not kept.get(HELD_OUT):  # of all groups, one that isn't there
            kept.pop(HELD_OUT, None)
        if dataset is not None and len(groups) > 1:
            kept.pop(HELD_OUT, None)  # those are among the others
        sheet = sheets.Sheet(index, view, kept)
        if path is not None:
            assert form is not None
            size = sheets.write(path, sheets.render(sheet, form))
            click.echo(f"Wrote {path}, {size:,} bytes.", err=True)
        elif form == "json":
            output.print_json(sheet_json.as_json(sheet), indent=2)
        elif form in ("markdown", "svg"):
            click.echo(sheets.render(sheet, form), nl=False)
        else:
            sheets.print_sheet(output.console(no_color=no_color), sheet)
        if dataset is not None and form != "json":
            for note in dataset.notes:
                click.echo(f"Note: {inert(note)}.", err=True)
            for problem in dataset.public(neuron).problems:
                click.echo(f"neuroglass: {inert(problem)}", err=True)
