"""Showing a run over many neurons, in this process or in the background."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from tui.cli import output
from tui.cli.running import spent_line
from tui.cli.triage_telling import duration, reporter

if TYPE_CHECKING:
    from rich.table import Table

    from engine.engine import Engine
    from engine.triage import (
        Distribution,
        Status,
        TriageEvent,
        TriageRequest,
        Triages,
    )

#: How often a run in the background is looked at, in seconds.
LOOK = 0.5


async def show(engine: Engine, events: AsyncGenerator[TriageEvent, None], *, as_json: bool) -> None:
    """Show a run that this process carries out.

    Raises:
        MethodError: it failed; the exit status says what kind of failure.
    """
    from engine.errors import MethodError
    from engine.triage import TriageFailed, TriageFinished

    teller = reporter(as_json=as_json)
    finished = False
    with teller:
        async with aclosing(events) as stream:
            try:
                async for event in stream:
                    teller.tell(event)
                    if isinstance(event, TriageFailed):
                        failure = MethodError(event.message, event.remedy)
                        failure.exit_code = event.exit_code
                        raise failure
                    finished = isinstance(event, TriageFinished)
            except asyncio.CancelledError:  # ctrl+c
                click.echo("\nStopped; --resume goes on from there.", err=True)
                raise
    if finished and not as_json:
        show_layers(engine)


def show_layers(engine: Engine) -> None:
    """The scores of all explained neurons, layer by layer."""
    board = engine.triages().board()
    board.refresh()
    output.console().print(layer_table(board.by_layer()))


def layer_table(layers: list[Distribution]) -> Table:
    """Numbers and a histogram for each layer with explained neurons."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("layer", "explained", "mean", "median"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("scores 0 to 1", no_wrap=True)
    for layer in layers:
        if layer.neurons:
            table.add_row(
                str(layer.layer),
                f"{layer.neurons:,}",
                output.shown(layer.mean, ".2f"),
                output.shown(layer.median, ".2f"),
                bars(layer),
            )
    return table


def bars(layer: Distribution) -> str:
    """A layer's histogram, one sign for each tenth of the score."""
    most = max(layer.histogram)
    signs = "▁▂▃▄▅▆▇█"
    return "".join(
        signs[min(7, (8 * count - 1) // most)] if count else "·" for count in layer.histogram
    )


def show_started(triage: int, *, as_json: bool) -> None:
    """A run was started in the background."""
    if as_json:
        output.print_json({"triage": triage})
        return
    click.echo(f"Triage {triage} runs in the background.", err=True)
    click.echo("See it with --status or --follow, in the app with T; --stop stops it.", err=True)


def status_json(status: Status) -> dict[str, Any]:
    """Where a run stands."""
    stored = status.stored
    return {
        "triage": stored.id,
        "standing": str(status.standing),
        "scope": status.request.scope,
        "explainer": status.request.choices.explainer,
        "simulator": status.request.choices.simulator,
        "total": stored.total,
        "skipped": stored.skipped,
        "done": stored.done,
        "failed": stored.failed,
        "left": stored.left,
        "rate": output.number(stored.rate if status.running else None),
        "seconds": output.number(stored.seconds),
        "seconds_left": output.number(status.seconds_left),
        "usage": output.usage_json(stored.usage),
        "replayed": stored.replayed,
        "money": output.number(stored.money),
        "note": stored.note,
        "message": stored.message,
        "remedy": stored.remedy,
        "pid": stored.pid,
        "created_at": stored.created_at,
        "updated_at": stored.updated_at,
    }


def show_status(status: Status | None, *, as_json: bool) -> None:
    """Where the last run stands."""
    if status is None:
        if as_json:
            output.print_json({"triage": None})
        else:
            click.echo("No triage has been run over this index.", err=True)
        return
    if as_json:
        output.print_json(status_json(status))
        return
    click.echo("\n".join(status_lines(status)))


def status_lines(status: Status) -> list[str]:
    """The same for people; inert."""
    from engine.glyphs import inert

    stored, choices = status.stored, status.request.choices
    parts = [f"{stored.skipped + stored.done:,} of {stored.total:,} explained"]
    if stored.skipped:
        parts[0] += f" ({stored.skipped:,} before)"
    if stored.failed:
        parts.append(f"{stored.failed:,} failed")
    if status.running and stored.rate:
        parts.append(f"{stored.rate:.3g} per second")
    if status.seconds_left is not None:
        parts.append(f"{duration(status.seconds_left)} left")
    lines = [
        f"Triage {stored.id}, {status.request.scope}, {choices.explainer} scored by "
        f"{choices.simulator}: {status.standing}",
        ", ".join(parts),
        f"running for {duration(stored.seconds)} in all, since {stored.created_at}",
    ]
    if stored.usage.requests or stored.replayed:
        from engine.events import Spent

        lines.append(spent_line(Spent(stored.usage, stored.money, stored.replayed)))
    if stored.note and (status.running or status.request.batch):
        lines.append(f"{'' if status.request.batch else 'waiting: '}{stored.note}")
    if stored.message:
        lines += [f"{stored.message} {stored.remedy}".strip()]
    if status.last_words:
        lines.append(f"its process ended: {status.last_words}")
    if status.standing == "waiting":
        lines.append("Collect with: neuroglass triage --resume; give it up with --cancel.")
    elif status.resumable:
        lines.append("It goes on with: neuroglass triage --resume")
    return [inert(line) for line in lines]


async def follow(triages: Triages, *, as_json: bool) -> None:
    """Show a run in the background until it ends; ctrl+c leaves it running.

    Raises:
        MethodError: it failed or its process died.
    """
    from engine.errors import MethodError
    from engine.triage import Standing, TriageProgress

    teller = reporter(as_json=False)
    last: dict[str, Any] = {}
    with teller:
        while (status := triages.status()) is not None:
            stored = status.stored
            if as_json:
                facts = status_json(status)
                if facts != last:
                    output.print_json(facts)
                    sys.stdout.flush()
                last = facts
            else:
                teller.tell(
                    TriageProgress(
                        stored.total,
                        stored.skipped,
                        stored.done,
                        stored.failed,
                        stored.rate,
                        status.seconds_left,
                        stored.usage,
                        stored.replayed,
                        stored.money,
                        stored.note,
                    )
                )
            if not status.running:
                break
            await asyncio.sleep(LOOK)
    if not as_json:
        show_status(status, as_json=False)
    if status is not None and status.standing in (Standing.FAILED, Standing.INTERRUPTED):
        text = status.stored.message or "The run's process ended unexpectedly."
        failure = MethodError(text, status.stored.remedy or "Resume it: neuroglass triage --resume")
        failure.exit_code = status.stored.exit_code or 1
        raise failure


async def stop(triages: Triages, *, as_json: bool) -> None:
    """Stop the run under way, and wait until what it did is on disk."""
    stopped = await triages.stop()
    if stopped is None:
        click.echo("No triage is running.", err=True)
    else:
        await triages.stopped()
    show_status(triages.status(), as_json=as_json)


async def cancel(triages: Triages, *, as_json: bool) -> None:
    """Cancel the batches that the last run waits for."""
    if not await triages.cancel():
        click.echo("No batch is under way.", err=True)
    show_status(triages.status(), as_json=as_json)


async def show_estimate(engine: Engine, request: TriageRequest, *, as_json: bool) -> None:
    """How many neurons are left to do, and what one of them asks of language models."""
    from tui.cli.running import show_estimate as one

    total, left = await engine.triages().to_do(request)
    first = (await asyncio.to_thread(request.chosen, engine.triages().index))[0]
    estimate = await engine.estimate(first, request.priced)
    if request.batch:
        request.check()
    if as_json:
        output.print_json(
            {
                "total": total,
                "left": left,
                "tokens": left * estimate.tokens,
                "requests": left * estimate.requests,
                "money": None if estimate.money is None else output.number(left * estimate.money),
            }
        )
        return
    click.echo(f"{request.scope}: {total:,} neurons, {left:,} of them left to explain.")
    if not estimate.steps:
        click.echo("No language model is needed: nothing is sent, nothing is spent.")
        return
    half = ", at the price of a batch" if request.batch else ""
    click.echo(f"One neuron ({first}){half}:")
    one(estimate, as_json=False)
    money = output.shown(None if estimate.money is None else left * estimate.money, ".4f")
    if request.batch:
        click.echo("It goes in rounds, each answered within a day; the first is for the words.")
    click.echo(
        f"All {left:,}: about {left * estimate.requests:,} requests, "
        f"{left * estimate.tokens:,} tokens, money {money}."
    )
