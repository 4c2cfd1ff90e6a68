"""Options of every command that explains or scores: the remembered choices, overridden."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from engine.choices import Choices, Price

F = TypeVar("F", bound=Callable[..., Any])

NONE = "none"
_MODEL = "PROVIDER:MODEL, local:CHECKPOINT or URL#MODEL."


def choosing_options(command: F) -> F:
    """Add the options; the function receives those given as the mapping ``chosen``."""
    options = [
        click.option(
            "--explainer",
            metavar="NAME",
            help="Who explains: token-lookup, patterns, senses, token-activation-pairs, summary "
            "or output-aware.",
        ),
        click.option(
            "--model",
            "explainer_model",
            metavar="MODEL",
            help=f"Language model of all parts that need one: {_MODEL}",
        ),
        click.option(
            "--by-sense/--as-one",
            "by_sense",
            default=None,
            help="Ask the language model to explain each sense of the neuron by itself.",
        ),
        click.option(
            "--simulator",
            metavar="NAME",
            help="Who predicts: token-lookup, patterns, senses, all-at-once, one-token or json.",
        ),
        click.option("--simulator-model", metavar="MODEL", help="Another model to simulate with."),
        click.option(
            "--scorer",
            "scorers",
            multiple=True,
            metavar="NAME",
            help="A further scorer: detection, fuzzing, generation or ablation; may be "
            "repeated; none takes them all away.",
        ),
        click.option("--scorer-model", metavar="MODEL", help="Another model for further scorers."),
        click.option(
            "--samples", type=int, help="Explanations to draw, of which the best is kept."
        ),
        click.option("--revisions", type=int, help="Rounds of counter-examples after that."),
        click.option(
            "--side",
            type=click.Choice(("positive", "negative")),
            help="Values above zero, or below.",
        ),
        click.option(
            "--calibration",
            type=click.Choice(("none", "linear", "percentile")),
            help="Fit predictions to the neuron's scale first.",
        ),
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
            help="Stop before more tokens are used; 0 for no limit.",
        ),
        click.option(
            "--budget",
            "budget_money",
            type=click.FloatRange(0),
            help="Stop before more money is spent, by --price; 0 for no limit.",
        ),
        click.option(
            "--price",
            "prices",
            multiple=True,
            metavar="[MODEL=]IN/OUT",
            help="Money per million input and output tokens; of --model where none is named; "
            "may be repeated.",
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


def run_options(command: F) -> F:
    """Add what every command has that asks language models."""
    options = [
        click.option("--estimate", is_flag=True, help="Say what it would ask for, and stop."),
        click.option(
            "--offline", is_flag=True, help="Send nothing: replies kept from before only."
        ),
        click.option("--save/--no-save", default=True, show_default=True, help="Keep the result."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


_NAMES = {
    "explainer",
    "explainer_model",
    "by_sense",
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
        UsageError: a price that is none, a model that nothing would ask, or choices that
            can't be carried out.
    """
    from dataclasses import replace

    from engine.choices import RULES
    from engine.errors import UsageError

    changes = dict(chosen)
    # What an explainer writes by rule only its own simulator reads.
    explainer = changes.get("explainer")
    if explainer in RULES and "simulator" not in changes and choices.simulator in RULES:
        changes["simulator"] = explainer
    if "scorers" in changes:
        changes["scorers"] = tuple(name for name in changes["scorers"] if name != NONE)
    budget = changes.get("budget_money")
    if budget is not None and not budget < float("inf"):
        raise UsageError(f"{budget} is not a budget.", "Write an amount, or 0 for no limit.")
    for name in ("budget_tokens", "budget_money"):
        if name in changes:
            changes[name] = changes[name] or None
    for name in ("explainer_model", "simulator_model", "scorer_model"):
        if changes.get(name) == NONE:
            changes[name] = ""
    written = changes.pop("prices", ())
    changed = replace(choices, **changes)
    changed.check()
    _all_asked(changed, chosen)
    prices = dict(changed.prices)
    for price in written:
        prices.update(_priced(price, changed))
    return replace(changed, prices=prices)


def _all_asked(choices: Choices, chosen: Mapping[str, Any]) -> None:
    """UsageError for a model given on this command line that no part would ask."""
    from engine.errors import UsageError

    needed = choices.models_needed()
    if chosen.get("by_sense") and not choices.needs_senses:
        raise UsageError(
            f"The explainer {choices.explainer} asks no language model sense by sense.",
            "Choose summary, output-aware or token-activation-pairs; senses needs no model.",
        )
    parts = {"explainer": needed.values(), "simulator": (needed.get("simulator"),)}
    parts["scorer"] = (needed.get("scorer"),)
    for part, asked in parts.items():
        model = chosen.get(f"{part}_model")
        if model not in (None, NONE, "") and model not in asked:
            raise UsageError(
                f"Nothing would ask {model}: the explainer is {choices.explainer}, "
                f"the simulator {named(choices.simulator, needed.get('simulator'))}.",
                "Give --simulator-model, or --explainer summary --simulator json with it.",
            )


def named(part: str, model: str | None) -> str:
    """An explainer, simulator or scorer with the model that it asks, if any."""
    return f"{part} by {model}" if model else part


def _priced(price: str, choices: Choices) -> dict[str, Price]:
    """The price of the model named, or of the one that ``--model`` stands for."""
    import math

    from engine.choices import Price
    from engine.errors import UsageError

    model, _, amounts = price.rpartition("=")
    try:
        read, wrote = (float(amount) for amount in amounts.split("/"))
    except ValueError:
        read = wrote = math.nan
    if not (0 <= read < math.inf and 0 <= wrote < math.inf):
        raise UsageError(
            f"{price!r} is not a price.", "Write IN/OUT per million tokens, such as 0.25/1.25."
        )
    asked = set(choices.models_needed().values())
    model = model or choices.explainer_model
    if not model and len(asked) == 1:
        [model] = asked
    if not model:
        raise UsageError(
            f"The price {price} is of no model.", f"Write the model before it: MODEL={price}."
        )
    return {model: Price(read, wrote)}


def needs_simulator(choices: Choices) -> Choices:
    """For words that no table goes with: the json simulator, where none can read them."""
    from dataclasses import replace

    from engine.choices import RULES

    if choices.simulator in RULES and (choices.simulator_model or choices.explainer_model):
        return replace(choices, simulator="json")
    return choices
