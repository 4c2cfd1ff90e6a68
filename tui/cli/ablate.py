"""``neuroglass ablate``: what a neuron does to what the model predicts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from tui.cli import output
from tui.cli.place import (
    Place,
    json_option,
    neuron_argument,
    no_color_option,
    open_index,
    place_options,
)
from tui.cli.typed import change_option, text_argument

if TYPE_CHECKING:
    from rich.console import Console

    from engine.change import Change
    from engine.experiments import Ablation
    from engine.neuron import NeuronId

#: Tokens whose loss changes most, as shown.
MOST = 8


@click.command("ablate", short_help="Take a neuron away and see what the model predicts.")
@neuron_argument
@text_argument
@change_option(multiple=False, help_text="What to put in the neuron's place", default="zero")
@click.option(
    "--at",
    "positions",
    type=int,
    multiple=True,
    metavar="N",
    help="Change it at token N alone, counted from 0, or from the end if negative; may be "
    "repeated.  [default: every token]",
)
@click.option(
    "--after",
    type=int,
    default=-1,
    show_default=True,
    metavar="N",
    help="Compare the next tokens after token N.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=8, show_default=True, help="Next tokens."
)
@json_option
@no_color_option
@place_options
def command(
    place: Place,
    neuron: NeuronId,
    text: str,
    change: Change,
    positions: tuple[int, ...],
    after: int,
    limit: int,
    as_json: bool,
    no_color: bool,
) -> None:
    """Read TEXT once as it is and once with NEURON changed; - reads standard input.

    Prints how the loss changes at each token, in nats, and the next tokens before and
    after.
    """
    asyncio.run(_ablate(place, neuron, text, change, positions, after, limit, as_json, no_color))


async def _ablate(
    place: Place,
    neuron: NeuronId,
    text: str,
    change: Change,
    positions: tuple[int, ...],
    after: int,
    limit: int,
    as_json: bool,
    no_color: bool,
) -> None:
    async with await place.engine() as engine:
        index = open_index(engine)
        experiments = await engine.experiments()
        found = await experiments.ablate(
            text, neuron, change, positions=positions or None, position=after, count=limit
        )
        if not as_json:
            _print(output.console(no_color=no_color), found)
            return
        output.print_json(
            {
                **output.neuron_json(neuron),
                "model": index.model_name,
                "model_id": index.model_id,
                "change": str(change),
                "tokens": output.texts(found.tokens),
                "positions": list(found.positions),
                "activations": output.numbers(found.own),
                "put": output.numbers(found.put),
                "loss_before": output.numbers(found.loss_before),
                "loss_after": output.numbers(found.loss_after),
                "kl": output.numbers(found.kl),
                "position": found.position,
                "next": [
                    {
                        "token": one.token.decode("utf-8", "replace"),
                        "before": output.number(one.before),
                        "after": output.number(one.after),
                    }
                    for one in found.next
                ],
            },
            indent=2,
        )


def _print(console: Console, found: Ablation) -> None:
    import numpy as np
    from rich.text import Text

    from engine.glyphs import exact

    change = found.loss_after - found.loss_before
    where = len(found.positions)
    every = (
        "every token" if where == len(found.tokens) else f"{where} of {len(found.tokens)} tokens"
    )
    console.print(Text(f"{found.neuron} to {found.change} at {every}", "bold"), soft_wrap=True)
    before, after = float(np.nanmean(found.loss_before)), float(np.nanmean(found.loss_after))
    if np.isfinite(before):
        console.print(f"  loss {before:.4f} → {after:.4f} nats a token, {after - before:+.4f}")
    console.print(f"  KL {float(found.kl.mean()):.2g} nats a token, at most {found.kl.max():.2g}")
    order = [int(i) for i in np.argsort(-np.abs(np.nan_to_num(change)), kind="stable")[:MOST]]
    console.print(Text(f"\n{'token':>5}  {'loss':>7}  {'change':>8}  {'neuron':>8}", "bold"))
    for place in order:
        if not np.isfinite(change[place]):
            continue
        loss = f"{place:>5}  {found.loss_before[place]:>7.3f}  {change[place]:>+8.4f}"
        line = Text(f"{loss}  {found.own[place]:>8.3f}  {exact(found.tokens[place])}")
        console.print(line, soft_wrap=True)
    title = f"\nNext after token {found.position}, {exact(found.tokens[found.position])}"
    console.print(Text(title, "bold"), soft_wrap=True)
    for one in found.next:
        line = Text(f"  {one.before:>6.1%} → {one.after:>6.1%}  {exact(one.token)}")
        console.print(line, soft_wrap=True)
