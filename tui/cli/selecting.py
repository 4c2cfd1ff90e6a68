"""Options that choose explanations and neurons, for commands that write files."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from tui.cli.place import NeuronArgument

F = TypeVar("F", bound=Callable[..., Any])


def selection_options(command: F) -> F:
    """Add the options; the function receives ``only``, an ``engine.store.Selection``."""

    @click.option(
        "--layer", "layers", type=click.IntRange(0), multiple=True, help="These layers only."
    )
    @click.option(
        "--neuron",
        "neurons",
        type=NeuronArgument(),
        multiple=True,
        metavar="NEURON",
        help="These neurons only, such as 5:131; may be repeated.",
    )
    @click.option("--text", default="", help="Explanations with these words, or their beginnings.")
    @click.option("--min-score", type=float, help="Scores from here.")
    @click.option("--max-score", type=float, help="Scores up to here.")
    @click.option("--explainer", default="", metavar="NAME", help="By this explainer only.")
    @click.option("--starred", is_flag=True, help="Starred neurons only.")
    @click.option("--tag", default="", help="Neurons with this tag only.")
    @click.option("--best", is_flag=True, help="Of each neuron the best explanation only.")
    @functools.wraps(command)
    def with_selection(
        *args: Any,
        layers: tuple[int, ...],
        neurons: tuple[Any, ...],
        text: str,
        min_score: float | None,
        max_score: float | None,
        explainer: str,
        starred: bool,
        tag: str,
        best: bool,
        **kwargs: Any,
    ) -> Any:
        from engine.store import Selection

        only = Selection(layers, neurons, text, min_score, max_score, starred, tag, explainer, best)
        return command(*args, only=only, **kwargs)

    return with_selection  # type: ignore[return-value]
