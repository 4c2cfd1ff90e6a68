"""``neuroglass report``: a page to send to a colleague."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.place import NeuronArgument, Place, json_option, open_index, place_options
from tui.cli.selecting import selection_options

if TYPE_CHECKING:
    from engine.exports import Exported
    from engine.neuron import NeuronId
    from engine.store import Selection


@click.command("report", short_help="A neuron, or a triage, as one HTML file.")
@click.argument("neuron", type=NeuronArgument(), required=False)
@click.option("--triage", is_flag=True, help="All explained neurons instead of one.")
@click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Default: neuron-5-131.html or triage.html here; - for standard output.",
)
@click.option("--effects", is_flag=True, help="One neuron: also tokens by its weights.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="--triage: neurons told about one by one, from the best down.",
)
@selection_options
@json_option
@place_options
def command(
    place: Place,
    neuron: NeuronId | None,
    triage: bool,
    path: Path | None,
    effects: bool,
    limit: int,
    only: Selection,
    as_json: bool,
) -> None:
    """Write a report as one HTML file.

    NEURON is layer and index, such as 5:131: its explanations with scores, intervals and
    baselines, held-out records real and simulated, excerpts as heatmaps, statistics. With
    --triage: how scores lie over all and by layer, and the neurons one by one; the options of
    choosing (--layer, --min-score, --starred, ...) say which.

    The file has no scripts and asks nothing of the network.
    """

    async def run() -> None:
        from engine.errors import UsageError
        from engine.store import Selection

        if triage == (neuron is not None):
            raise UsageError("Name a neuron, or ask for --triage.", "See: neuroglass report --help")
        async with await place.engine() as engine:
            open_index(engine)
            reports = engine.reports()
            if neuron is not None:
                if only != Selection():
                    raise UsageError("Choosing is for --triage.", "Name the neuron alone.")
                named = path or Path(f"neuron-{neuron.layer}-{neuron.index}.html")
                done = await reports.neuron(named, neuron, effects=effects)
            else:
                named = path or Path("triage.html")
                done = await reports.triage(named, only, limit=limit, described=_words(only))
            _tell(done, as_json)

    asyncio.run(run())


def _words(only: Selection) -> str:
    """What was chosen, as the page says it."""
    parts = []
    if only.layers:
        parts.append("layers " + ", ".join(map(str, only.layers)))
    if only.neurons:
        parts.append(f"{len(only.neurons)} named neurons")
    if only.text:
        parts.append(f"explanations with “{only.text}”")
    if only.score_low is not None:
        parts.append(f"scores from {only.score_low:g}")
    if only.score_high is not None:
        parts.append(f"scores up to {only.score_high:g}")
    if only.explainer:
        parts.append(f"by {only.explainer}")
    if only.starred:
        parts.append("starred")
    if only.tag:
        parts.append(f"tagged {only.tag}")
    return "Chosen: " + ", ".join(parts) if parts else ""


def _tell(done: Exported, as_json: bool) -> None:
    from engine.glyphs import inert

    if str(done.path) == "-":
        return
    if as_json:
        output.print_json({"path": str(done.path), **done.counts})
    else:
        click.echo(inert(str(done.path)))
