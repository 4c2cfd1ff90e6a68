"""``neuroglass explain``: explain one neuron, simulate, score, save."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tui.cli.choosing import apply, choosing_options, run_options
from tui.cli.place import Place, json_option, neuron_argument, open_catalogue, place_options

if TYPE_CHECKING:
    from engine.neuron import NeuronId


@click.command("explain", short_help="Explain a neuron and score the explanation.")
@neuron_argument
@choosing_options
@click.option("--remember", is_flag=True, help="Use these choices from now on.")
@run_options
@json_option
@place_options
def command(
    place: Place,
    neuron: NeuronId,
    chosen: Mapping[str, Any],
    remember: bool,
    estimate: bool,
    offline: bool,
    save: bool,
    as_json: bool,
) -> None:
    """Explain a neuron and score the explanation on text it was not written from.

    What is not given is as last remembered (see: neuroglass choices). Every reply of a
    language model is kept, so that a run that stopped goes on when it is started again.
    With --json, prints each event as a line of JSON as it happens.
    """

    async def run() -> None:
        from tui.cli.running import say_caveats, show_estimate, show_run

        async with await place.engine() as engine:
            open_catalogue(engine)
            choices = apply(engine.choices, chosen)
            if remember:
                await engine.remember(choices)
            if estimate:
                show_estimate(await engine.estimate(neuron, choices), as_json=as_json)
                return
            say_caveats(engine)
            events = engine.explain(neuron, choices, offline=offline)
            await show_run(engine, events, save=save, as_json=as_json)

    asyncio.run(run())
