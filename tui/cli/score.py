"""``neuroglass score``: score words of one's own, or a saved explanation again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tui.cli.choosing import apply, choosing_options, needs_simulator, run_options
from tui.cli.place import Place, json_option, neuron_argument, open_catalogue, place_options

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.explanation import Explanation
    from engine.neuron import NeuronId


@click.command("score", short_help="Score an explanation of your own, or a saved one again.")
@neuron_argument
@click.argument("text", required=False)
@click.option("--id", "number", type=int, help="Of a saved explanation, instead of a text.")
@click.option(
    "--published",
    type=click.IntRange(1),
    metavar="N",
    is_flag=False,
    flag_value=1,
    help="With --source: the dataset's own explanation, the first or the Nth.",
)
@choosing_options
@run_options
@json_option
@place_options
def command(
    place: Place,
    neuron: NeuronId,
    text: str | None,
    number: int | None,
    published: int | None,
    chosen: Mapping[str, Any],
    estimate: bool,
    offline: bool,
    save: bool,
    as_json: bool,
) -> None:
    """Score TEXT as an explanation of a neuron, by the simulator that scores all others.

    With --id, scores a saved explanation again, perhaps by another simulator. With --source
    and --published, scores a published explanation on the published excerpts, split as its
    authors split them.
    """

    async def run() -> None:
        from dataclasses import replace

        from engine.choices import RULES
        from tui.cli.running import say_caveats, show_estimate, show_run

        async with await place.engine() as engine:
            await open_catalogue(engine).prepare(neuron)
            if published is not None:
                explanation = _published(engine, neuron, published, text, number)
            else:
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
            say_caveats(engine)
            events = engine.score(explanation, choices, offline=offline)
            await show_run(engine, events, save=save, as_json=as_json)

    asyncio.run(run())


def _published(
    engine: Engine, neuron: NeuronId, place: int, text: str | None, number: int | None
) -> Explanation:
    from engine.errors import UsageError

    if engine.dataset is None or text is not None or number is not None:
        raise UsageError(
            "--published is about an explanation of a dataset.",
            "Name the dataset with --source, and neither a text nor --id.",
        )
    found = engine.dataset.published(neuron)
    if place > len(found):
        raise UsageError(
            f"{engine.dataset.model_name} has {len(found)} explanations of neuron {neuron}.",
            f"Score words of your own: neuroglass score {neuron} TEXT --source SOURCE",
        )
    return found[place - 1].explanation


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
