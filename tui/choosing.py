"""The choices as rows of a form: names, options, and text that is read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from engine.choices import (
    CALIBRATIONS,
    EXPLAINERS,
    SCORERS,
    SIMULATORS,
    SPLITS,
    Choices,
    Price,
)
from engine.errors import UsageError
from engine.glyphs import inert


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the form.

    Attributes:
        name: Key of its value.
        kind: ``cycle`` through ``options``, or free ``text``.
        hint: Shown while a text is empty.
    """

    name: str
    title: str
    kind: Literal["cycle", "text"]
    options: tuple[Any, ...] = ()
    hint: str = ""

    def shown(self, value: Any) -> str:
        """The value for people."""
        if self.kind == "text":
            return inert(str(value)) if value else self.hint
        if isinstance(value, bool):
            return "yes" if value else "no"
        return str(value)


_NO_YES = (False, True)
ROWS: tuple[Row, ...] = (
    Row("explainer", "Explainer", "cycle", tuple(EXPLAINERS)),
    Row("explainer_model", "Its model", "text", hint="PROVIDER:MODEL or URL#MODEL"),
    Row("simulator", "Simulator", "cycle", tuple(SIMULATORS)),
    Row("simulator_model", "Its model", "text", hint="the explainer's"),
    Row("calibration", "Calibration", "cycle", CALIBRATIONS),
    *(Row(f"scorer {name}", f"Scorer {name}", "cycle", _NO_YES) for name in SCORERS),
    Row("scorer_model", "Their model", "text", hint="the explainer's"),
    Row("samples", "Candidates", "cycle", (1, 2, 3, 5, 10)),
    Row("revisions", "Revisions", "cycle", (0, 1, 2, 3)),
    Row("by_sense", "Sense by sense", "cycle", _NO_YES),
    Row("side", "Side of the neuron", "cycle", ("positive", "negative")),
    Row("split", "Scored on", "cycle", SPLITS),
    Row("chance", "Chance baseline", "cycle", _NO_YES),
    Row("budget_tokens", "Budget, tokens", "text", hint="no limit"),
    Row("budget_money", "Budget, money", "text", hint="no limit"),
    Row("price", "Price of the model", "text", hint="IN/OUT per million tokens"),
)
_SAME = (
    "explainer",
    "explainer_model",
    "by_sense",
    "simulator",
    "simulator_model",
    "calibration",
    "scorer_model",
    "samples",
    "revisions",
    "side",
    "split",
    "chance",
)


def values_of(choices: Choices) -> dict[str, Any]:
    """The form's values."""
    values = {name: getattr(choices, name) for name in _SAME}
    values |= {f"scorer {name}": name in choices.scorers for name in SCORERS}
    values["budget_tokens"] = "" if choices.budget_tokens is None else str(choices.budget_tokens)
    values["budget_money"] = "" if choices.budget_money is None else f"{choices.budget_money:g}"
    price = choices.prices.get(choices.explainer_model)
    values["price"] = "" if price is None else f"{price.input:g}/{price.output:g}"
    return values


def choices_of(before: Choices, values: Mapping[str, Any]) -> Choices:
    """The choices that a form says.

    Args:
        before: Keeps what the form has no row for.

    Raises:
        UsageError: a number that is none, or choices that can't be carried out.
    """
    prices = dict(before.prices)
    if values["price"] and values["explainer_model"]:
        prices[values["explainer_model"]] = _price(values["price"])
    choices = replace(
        before,
        **{name: values[name] for name in _SAME},
        scorers=tuple(name for name in SCORERS if values[f"scorer {name}"]),
        budget_tokens=_number(values["budget_tokens"], "tokens", int),
        budget_money=_number(values["budget_money"], "money", float),
        prices=prices,
    )
    choices.check()
    return choices


def _number(text: str, what: str, kind: type[Any]) -> Any:
    if not text:
        return None
    try:
        value = kind(text.replace(",", "").replace(" ", ""))
    except ValueError:
        value = -1
    if not value >= 0:
        raise UsageError(f"{text!r} is not a budget of {what}.", "Write a number, or nothing.")
    return value


def _price(text: str) -> Price:
    try:
        read, written = (float(part) for part in text.split("/"))
        return Price(read, written)
    except ValueError:
        raise UsageError(f"{text!r} is not a price.", "Write IN/OUT, such as 0.25/1.25.") from None
