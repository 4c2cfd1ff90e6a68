"""``neuroglass triage``: explain a layer, a list of neurons or the whole model."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tui.cli.choosing import apply, choosing_options
from tui.cli.place import Place, json_option, open_index, place_options

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.neuron import NeuronId
    from engine.triage import TriageRequest


class WhereArgument(click.ParamType):
    """A layer written as ``3`` or a neuron written as ``5:131``."""

    name = "where"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A layer's number or a neuron; click's usage error for anything else."""
        from engine.errors import UsageError
        from engine.neuron import NeuronId

        text = str(value)
        if text.isdecimal() and text.isascii() and len(text) < 7:
            return int(text)
        try:
            return NeuronId.parse(text)
        except UsageError:
            self.fail(
                f"{text!r} is no layer and no neuron. Write a layer, such as 3, or a neuron, "
                "such as 5:131.",
                param,
                ctx,
            )


@click.command("triage", short_help="Explain a layer or the whole model, resumable.")
@click.argument("where", nargs=-1, type=WhereArgument(), metavar="[LAYER|NEURON]...")
@click.option("--all", "whole", is_flag=True, help="The whole model.")
@click.option(
    "--random", type=click.IntRange(1), metavar="N", help="So many of them, drawn at random."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw.")
@choosing_options
@click.option("--offline", is_flag=True, help="Send nothing: replies kept from before only.")
@click.option("--estimate", is_flag=True, help="Say what it would do and ask for, and stop.")
@click.option(
    "--batch",
    is_flag=True,
    help="Ask through the vendor's batch API: half the price, an answer within a day. Leave, "
    "and collect with --resume.",
)
@click.option(
    "--background", is_flag=True, help="Run on after this command, the app or the session ends."
)
@click.option("--resume", is_flag=True, help="Go on with the last run, as it was chosen.")
@click.option("--status", is_flag=True, help="How far the run is.")
@click.option("--follow", is_flag=True, help="The same, until it ends; ctrl+c leaves it running.")
@click.option("--stop", is_flag=True, help="Stop the run; what is done is kept.")
@click.option(
    "--cancel", is_flag=True, help="Cancel its batches; what is answered can be collected."
)
@json_option
@place_options
def command(
    place: Place,
    where: tuple[int | NeuronId, ...],
    whole: bool,
    random: int | None,
    seed: int,
    chosen: Mapping[str, Any],
    offline: bool,
    estimate: bool,
    batch: bool,
    background: bool,
    resume: bool,
    status: bool,
    follow: bool,
    stop: bool,
    cancel: bool,
    as_json: bool,
) -> None:
    """Explain and score many neurons: layers (3), neurons (5:131), or the whole model (--all).

    Neurons that are explained in the same way already are left out, so the same command, or
    --resume, goes on where a run was stopped or killed. Every result is saved as it comes. A
    neuron that can't be explained is recorded and the run goes on; what would hit every
    neuron stops it. A budget is of the whole run. One run at a time; see the ranking with
    `neuroglass leaderboard`.

    With --batch (models of openai and anthropic) it goes in rounds: what is to be asked is
    submitted and the command ends; --resume, hours or days later, collects the answers and
    submits the next round, until all is explained. A round may take a day; the first asks for
    the explanations, the second simulates them. Killed at any moment, it sends nothing twice.

    With --json, prints each event, or the status, as a line of JSON.
    """
    asked = [name for name, on in (("--status", status), ("--follow", follow), ("--stop", stop),
                                   ("--cancel", cancel), ("--resume", resume)) if on]  # fmt: skip
    _check(where, whole, random, chosen, asked)
    if batch and asked:
        raise click.UsageError(f"--batch is for a new run: {asked[0]} knows what the run is.")

    async def run() -> None:
        from tui.cli import triage_running as showing

        async with await place.engine() as engine:
            open_index(engine)
            triages = engine.triages()
            if status:
                showing.show_status(triages.status(), as_json=as_json)
            elif follow:
                await showing.follow(triages, as_json=as_json)
            elif stop:
                await showing.stop(triages, as_json=as_json)
            elif cancel:
                await showing.cancel(triages, as_json=as_json)
            elif resume and background:
                showing.show_started(await triages.start_again(), as_json=as_json)
            elif resume:
                await showing.show(engine, triages.run_again(), as_json=as_json)
            else:
                await _new(engine, _request(engine, where, random, seed, chosen, offline, batch))

    async def _new(engine: Engine, request: TriageRequest) -> None:
        from tui.cli import triage_running as showing

        triages = engine.triages()
        if estimate:
            await showing.show_estimate(engine, request, as_json=as_json)
        elif background:
            showing.show_started(await triages.start(request), as_json=as_json)
        else:
            await showing.show(engine, triages.run(request), as_json=as_json)

    asyncio.run(run())


def _check(
    where: tuple[int | NeuronId, ...],
    whole: bool,
    random: int | None,
    chosen: Mapping[str, Any],
    asked: list[str],
) -> None:
    """Click's usage error for options that contradict each other."""
    named = bool(where) or whole or random is not None
    if len(asked) > 1:
        raise click.UsageError(f"{asked[0]} and {asked[1]} are two different things.")
    if asked and (named or chosen):
        raise click.UsageError(
            f"{asked[0]} is about the run that was started: name no neurons and no choices."
        )
    if where and whole:
        raise click.UsageError("--all is the whole model: name no layer and no neuron with it.")
    if not asked and not named:
        raise click.UsageError(
            "Name a layer (triage 3), neurons (triage 5:131 5:140), --all or --random N."
        )


def _request(
    engine: Engine,
    where: tuple[int | NeuronId, ...],
    random: int | None,
    seed: int,
    chosen: Mapping[str, Any],
    offline: bool,
    batch: bool,
) -> TriageRequest:
    from engine.triage import TriageRequest

    return TriageRequest(
        layers=tuple(sorted({one for one in where if isinstance(one, int)})),
        neurons=tuple(sorted({one for one in where if not isinstance(one, int)})),
        random=random,
        seed=seed,
        choices=apply(engine.choices, chosen),
        offline=offline,
        batch=batch,
    )
