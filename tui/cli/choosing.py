"""Options of every command that explains or scores: the remembered choices, overridden."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from engine.choices import Choices

F = TypeVar("F", bound=Callable[..., Any])

NONE = "none"
_MODEL = "PROVIDER:MODEL, local:CHECKPOINT or URL#MODEL."


def choosing_options(command: F) -> F:
    """Add the options; the function receives those given as the mapping ``chosen``."""
    options = [
        click.option("--explainer", help="Who explains: token-lookup, summary, ..."),
        click.option("--model", "explainer_model", metavar="MODEL", help=f"Of all: {_MODEL}"),
        click.option("--simulator", help="Who predicts: token-lookup, json, all-at-once, ..."),
        click.option("--simulator-model", metavar="MODEL", help="Another one to simulate."),
        click.option(
            "--scorer",
            "scorers",
            multiple=True,
            help="A further scorer: detection, fuzzing, generation, ablation; may be "
            "repeated; none for none.",
        ),
        click.option("--scorer-model", metavar="MODEL", help="Another one for scorers."),
        click.option("--samples", type=int, help="Explanations to choose among."),
        click.option("--revisions", type=int, help="Rounds of counter-examples."),
        click.option(
            "--side", type=click.Choice(("positive", "negative")), help="Side of the neuron."
        ),
        click.option("--calibration", help="none, linear or percentile."),
        click.option(
            "--split",
            type=click.Choice(("valid", "test", "calibration")),
            help="Held-out records to score on; keep test for the end.",
        ),
        click.option(
            "--chance/--no-chance",
            default=None,
            help="Score another neuron's explanation beside it.",
        ),
        click.option(
            "--budget-tokens",
            type=click.IntRange(0),
            help="Stop before so many tokens; 0: no limit.",
        ),
        click.option(
            "--budget", "budget_money", type=click.FloatRange(0), help="The same in money."
        ),
        click.option(
            "--price",
            "prices",
            multiple=True,
            metavar="[MODEL=]IN/OUT",
            help="Money per million input and output tokens; may be repeated.",
        ),
    ]

    @functools.wraps(command)
    def with_choices(*args: Any, **kwargs: Any) -> Any:
        names = _NAMES & set(kwargs)
        chosen = {name: kwargs.pop(name) for name in names}
        return command(*args, chosen=_given(chosen), **kwargs)

    wrapped = with_choices
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


_NAMES = {
    "explainer",
    "explainer_model",
    "simulator",
    "simulator_model",
    "scorers",
    "scorer_model",
    "samples",
    "revisions",
    "side",
    "calibration",
    "split",
    "chance",
    "budget_tokens",
    "budget_money",
    "prices",
}


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, ())}


def apply(choices: Choices, chosen: Mapping[str, Any]) -> Choices:
    """Choices with what was given on the command line.

    Raises:
        UsageError: a price that is none, or choices that can't be carried out.
    """
    from dataclasses import replace

    from engine.choices import Price
    from engine.errors import UsageError

    changes = dict(chosen)
    if "scorers" in changes:
        changes["scorers"] = tuple(name for name in changes["scorers"] if name != NONE)
    for name in ("budget_tokens", "budget_money"):
        if name in changes:
            changes[name] = changes[name] or None
    for name in ("explainer_model", "simulator_model", "scorer_model"):
        if changes.get(name) == NONE:
            changes[name] = ""
    written = changes.pop("prices", ())
    changed = replace(choices, **changes)
    prices = dict(changed.prices)
    for price in written:
        model, _, amounts = price.rpartition("=")
        try:
            read, wrote = (float(amount) for amount in amounts.split("/"))
        except ValueError:
            raise UsageError(
                f"{price!r} is not a price.", "Write IN/OUT per million tokens, such as 0.25/1.25."
            ) from None
        prices[model or changed.explainer_model] = Price(read, wrote)
    changed = replace(changed, prices=prices)
    changed.check()
    return changed


def needs_simulator(choices: Choices) -> Choices:
    """For words that no table goes with: the json simulator, where none can read them."""
    from dataclasses import replace

    if choices.simulator == "token-lookup" and (choices.simulator_model or choices.explainer_model):
        return replace(choices, simulator="json")
    return choices
