"""``neuroglass export``: results for spreadsheets, notebooks and other programs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.export_openai import write_openai
from tui.cli.place import Place, json_option, open_index, place_options
from tui.cli.selecting import selection_options

if TYPE_CHECKING:
    from engine.exports import Exported, Exports
    from engine.store import Selection

FORMATS = ("csv", "jsonl", "parquet", "openai", "neuronpedia")
TABLES = ("explanations", "neurons", "records", "excerpts")


@click.command("export", short_help="Write results for other programs.")
@click.option(
    "--format",
    "how",
    type=click.Choice(FORMATS),
    help="Default: as the file's name ends, or jsonl.",
)
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(path_type=Path),
    metavar="PATH",
    default=Path("-"),
    help="File, or folder for openai and neuronpedia. Default: standard output.",
)
@click.option(
    "--dataset",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a dataset to publish into this folder instead.",
)
@click.option(
    "--licence",
    "--license",
    metavar="ID",
    default="",
    help="--dataset: under which licence, such as cc-by-4.0.",
)
@click.option("--title", default="", help="--dataset: what its card is headed.")
@click.option(
    "--no-records", is_flag=True, help="--dataset: leave out simulated records and their text."
)
@click.option("--notes", is_flag=True, help="--dataset: your stars, tags and notes, too.")
@click.option(
    "--what",
    type=click.Choice(TABLES),
    default="explanations",
    show_default=True,
    help="explanations with their scores, neurons with their statistics, simulated records, "
    "or the excerpts that the scan kept.",
)
@click.option("--weights", is_flag=True, help="openai: related tokens and neurons by weights, too.")
@click.option(
    "--model-id", default="", metavar="ID", help="neuronpedia: its id of the model, as gpt2-small."
)
@click.option(
    "--set-id",
    default="neuroglass",
    show_default=True,
    metavar="ID",
    help="neuronpedia: name of the source set.",
)
@click.option("--creator-id", default="", metavar="ID", help="neuronpedia: id of your account.")
@selection_options
@json_option
@place_options
def command(
    place: Place,
    how: str | None,
    path: Path,
    dataset: Path | None,
    licence: str,
    title: str,
    no_records: bool,
    notes: bool,
    what: str,
    weights: bool,
    model_id: str,
    set_id: str,
    creator_id: str,
    only: Selection,
    as_json: bool,
) -> None:
    """Write explanations with their scores, neurons, or records.

    One row per explanation has its score with interval, coverage, simulator, split, status and
    baselines. csv is for spreadsheets: text is made inert, and what a spreadsheet would run as
    a formula begins with an apostrophe. jsonl and parquet (pip install 'neuroglass[parquet]')
    keep every text as it is.

    openai writes a folder in the formats of OpenAI's public neuron data, which their viewer
    and code read: one file of excerpts for each neuron, one of its explanations with their
    simulations, and one of its tokens by mean activation; with --weights, which loads the
    model, related tokens and neurons. It takes --layer and --neuron alone.

    --dataset writes a folder to publish: lines of JSON with a card, for the datasets library and
    the Hugging Face hub, checksums, and a database for Datasette; `neuroglass import` reads it.

    neuronpedia writes a folder in the form of its bulk data, which has no place for scores.
    """

    async def run() -> None:
        async with await place.engine() as engine:
            open_index(engine)
            if how == "openai":
                _check_openai(path, only)
                await write_openai(
                    engine, path, only.layers, only.neurons, weights=weights, as_json=as_json
                )
                return
            exports = engine.exports()
            if dataset is not None:
                done = await exports.dataset(
                    dataset, licence, only, title=title, records=not no_records, notes=notes
                )
                _tell(done, as_json)
                return
            done = await _write(exports, how, path, what, only, model_id, set_id, creator_id)
            _tell(done, as_json)

    asyncio.run(run())


def _check_openai(path: Path, only: Selection) -> None:
    """UsageError for what that format has no use for."""
    from engine.errors import UsageError
    from engine.store import Selection

    if path == Path("-"):
        raise UsageError("openai is a folder of files.", "Name it with -o DIR.")
    if only != Selection(only.layers, only.neurons):
        raise UsageError(
            "openai writes whole neurons, with all their explanations.",
            "Choose with --layer and --neuron.",
        )


async def _write(
    exports: Exports,
    how: str | None,
    path: Path,
    what: str,
    only: Selection,
    model_id: str,
    set_id: str,
    creator_id: str,
) -> Exported:
    from engine.errors import UsageError

    how = how or (path.suffix[1:] if path.suffix[1:] in FORMATS else "jsonl")
    if how == "neuronpedia":
        if path == Path("-"):
            raise UsageError("neuronpedia is a folder of files.", "Name it with -o DIR.")
        return await exports.neuronpedia(
            path, only, model=model_id, name=set_id, creator=creator_id
        )
    return await exports.table(path, how, what, only)  # type: ignore[arg-type]


def _tell(done: Exported, as_json: bool) -> None:
    """What was written, on standard error where the data went to standard output."""
    from engine.glyphs import inert

    counts = ", ".join(f"{count:,} {name}" for name, count in done.counts.items())
    if str(done.path) == "-":
        click.echo(f"{counts}.", err=True)
    elif as_json:
        output.print_json({"path": str(done.path), **done.counts})
    else:
        click.echo(f"{counts} in {inert(str(done.path))}")
