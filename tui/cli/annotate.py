"""``neuroglass annotate``: star, tag and note a neuron."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.place import Place, json_option, neuron_argument, open_catalogue, place_options

if TYPE_CHECKING:
    from engine.neuron import NeuronId


@click.command("annotate", short_help="Star, tag or note a neuron.")
@neuron_argument
@click.option("--star/--unstar", default=None, help="Star the neuron, or take the star away.")
@click.option("--note", help="Replace the note; an empty text removes it.")
@click.option("--tag", "tags", multiple=True, help="Add a tag; may be repeated.")
@click.option("--untag", "untags", multiple=True, help="Remove a tag; may be repeated.")
@json_option
@place_options
def command(
    place: Place,
    neuron: NeuronId,
    star: bool | None,
    note: str | None,
    tags: tuple[str, ...],
    untags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Star, tag or note a neuron, and print what is noted about it."""
    asyncio.run(_annotate(place, neuron, star, note, tags, untags, as_json))


async def _annotate(
    place: Place,
    neuron: NeuronId,
    star: bool | None,
    note: str | None,
    tags: tuple[str, ...],
    untags: tuple[str, ...],
    as_json: bool,
) -> None:
    from engine.store import Annotation

    async with await place.engine() as engine:
        index, store = open_catalogue(engine), engine.store
        index.check(neuron)

        def current() -> Annotation:
            return store.annotations(index.model_id, neuron.layer).get(neuron.index, Annotation())

        if (star, note, tags, untags) != (None, None, (), ()):
            # So that the store knows the model by its name when it is searched.
            await store.save_index(engine.index_facts())
        if star is not None:
            await store.set_star(index.model_id, neuron, star)
        if note is not None:
            await store.set_note(index.model_id, neuron, note)
        if tags or untags:
            kept = [tag for tag in (*current().tags, *tags) if tag not in untags]
            await store.set_tags(index.model_id, neuron, kept)
        annotation = current()
        if as_json:
            output.print_json({**output.neuron_json(neuron), **output.annotation_json(annotation)})
        else:
            _print(neuron, annotation)


def _print(neuron: NeuronId, annotation: object) -> None:
    from engine.glyphs import inert
    from engine.store import Annotation

    assert isinstance(annotation, Annotation)
    marks = ["★" if annotation.starred else "no star"]
    marks += [f"#{inert(tag)}" for tag in annotation.tags]
    click.echo(f"{neuron}  {' '.join(marks)}")
    if annotation.note:
        click.echo(f"note: {inert(annotation.note)}")
