"""``neuroglass score``: score words of one's own, or a saved explanation again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tui.cli.choosing import apply, choosing_options, needs_simulator, run_options
from tui.cli.place import Place, json_option, neuron_argument, open_index, place_options

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.explanation import Explanation
    from engine.neuron import NeuronId


@click.command("score", short_help="Score an explanation of your own, or a saved one again.")
@neuron_argument
@click.argument("text", required=False)
@click.option("--id", "number", type=int, help="Of a saved explanation, instead of a text.")
@choosing_options
@run_options
@json_option
@place_options
def command(
    place: Place,
    neuron: NeuronId,
    text: str | None,
    number: int | None,
    chosen: Mapping[str, Any],
    estimate: bool,
    offline: bool,
    save: bool,
    as_json: bool,
) -> None:
    """Score TEXT as an explanation of a neuron, by the simulator that scores all others.

    With --id, scores a saved explanation again, perhaps by another simulator.
    """

    async def run() -> None:
        from dataclasses import replace

        from engine.choices import RULES
        from tui.cli.running import show_estimate, show_run

        async with await place.engine() as engine:
            open_index(engine)
            explanation = _explanation(engine, neuron, text, number, chosen.get("side"))
            choices = engine.choices
            if explanation.rules is None and "simulator" not in chosen:
                models = {k: v for k, v in chosen.items() if k.endswith("_model")}
                choices = needs_simulator(replace(choices, **models))
            kind = str((explanation.rules or {}).get("kind", ""))
            simulator = chosen.get("simulator", choices.simulator)
            if kind in RULES and simulator in RULES and "simulator" not in chosen:
                simulator = kind  # rules are read by the simulator they were written for
            # Who explains doesn't matter any more, but must agree with the simulator.
            explainer = simulator if simulator in RULES else "token-lookup"
            agreed = {"explainer": explainer, "simulator": simulator}
            choices = apply(choices, {**agreed, **chosen})
            if estimate:
                needed = await engine.estimate(neuron, choices.for_scoring(explanation))
                show_estimate(needed, as_json=as_json)
                return
            events = engine.score(explanation, choices, offline=offline)
            await show_run(engine, events, save=save, as_json=as_json)

    asyncio.run(run())


def _explanation(
    engine: Engine, neuron: NeuronId, text: str | None, number: int | None, side: str | None
) -> Explanation:
    from engine.errors import UsageError

    if (text is None) is (number is None):
        raise UsageError("Give a text or --id, one of the two.", "See: neuroglass score --help")
    if text is not None:
        return engine.written(neuron, text, side="negative" if side == "negative" else "positive")
    assert number is not None
    stored = engine.store.explanation(number)
    if stored is None or stored.neuron != neuron:
        raise UsageError(
            f"There is no explanation {number} of neuron {neuron}.",
            f"List them with: neuroglass compare {neuron}",
        )
    return stored.explanation
