"""``neuroglass export --format openai``: writing, and telling how far it is."""

from __future__ import annotations

import sys
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.place import open_index

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.neuron import NeuronId
    from engine.public_data.export import Exported

#: Lists of a neuron's effects are as long as the longest that is written.
EFFECTS = 20


async def write_openai(
    engine: Engine,
    folder: Path,
    layers: tuple[int, ...],
    neurons: tuple[NeuronId, ...],
    *,
    weights: bool,
    as_json: bool,
) -> None:
    """Write layers, neurons, or without any all of them."""
    from engine.public_data.export import export_neurons
    from engine.triage import TriageRequest

    index = open_index(engine)
    chosen = TriageRequest(layers=layers, neurons=neurons).chosen(index)
    effects = (lambda neuron: engine.effects(neuron, EFFECTS)) if weights else None
    done: Exported | None = None
    shows = sys.stderr.isatty()
    async with aclosing(export_neurons(index, engine.store, folder, chosen, effects)) as steps:
        async for done in steps:
            if shows:
                click.echo(
                    f"\r\x1b[K{done.neurons:,} of {done.total:,} neurons", nl=False, err=True
                )
    if shows:
        click.echo("\r\x1b[K", nl=False, err=True)
    assert done is not None
    if as_json:
        output.print_json({"path": str(folder), **asdict(done)})
        return
    _tell(done, folder)


def _tell(done: Exported, folder: Path) -> None:
    from engine.glyphs import inert

    click.echo(
        f"{done.neurons:,} neurons with {done.explanations:,} explanations, {done.files:,} files, "
        f"{done.bytes / 1e6:,.1f} MB in {inert(str(folder))}"
    )
    for count, what in (
        (done.negative, "explanations of the negative side, for which the format has no place"),
        (done.unsimulated, "scored excerpts without a single simulated value"),
    ):
        if count:
            click.echo(f"Left out: {count:,} {what}.", err=True)
