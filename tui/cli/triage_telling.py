"""Telling the events of a run: a bar with facts, lines for a log, or JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

import click

from tui.cli import output

if TYPE_CHECKING:
    from engine.triage import TriageEvent, TriageProgress

#: Where there is no terminal: a line after each such share.
STEP = 0.05


class Reporter(Protocol):
    """Tells a run's events to somebody."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *details: object) -> None: ...

    def tell(self, event: TriageEvent) -> None:
        """One event, as it happens."""


def reporter(*, as_json: bool) -> Reporter:
    """Who tells: JSON, a bar where somebody looks, else lines."""
    if as_json:
        return _Json()
    return _Bar() if sys.stderr.isatty() else _Lines()


class _Json:
    """Every event as one line of JSON on standard output."""

    def __enter__(self) -> None:
        return

    def __exit__(self, *details: object) -> None:
        return

    def tell(self, event: TriageEvent) -> None:
        from engine.triage import event_json

        output.print_json(event_json(event))
        sys.stdout.flush()


class _Lines:
    """A line now and then on standard error, for logs."""

    def __init__(self) -> None:
        self._told = -1.0

    def __enter__(self) -> None:
        return

    def __exit__(self, *details: object) -> None:
        return

    def tell(self, event: TriageEvent) -> None:
        from engine.triage import TriageProgress

        if isinstance(event, TriageProgress):
            share = _share(event)
            if share - self._told >= STEP or (share >= 1 > self._told):
                self._told = share
                click.echo(progress_line(event), err=True)
        else:
            tell_one(event)


class _Bar:
    """A progress bar on standard error; failures are lines above it."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("triage"),
            BarColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
            console=output.console(stderr=True),
            transient=True,
            refresh_per_second=2,
        )
        self._task = self._progress.add_task("", total=None, facts="starting …")

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *details: object) -> None:
        self._progress.stop()

    def tell(self, event: TriageEvent) -> None:
        from engine.triage import TriageProgress

        if isinstance(event, TriageProgress):
            self._progress.update(
                self._task,
                total=event.total,
                completed=event.skipped + event.done + event.failed,
                facts=progress_line(event),
            )
        else:
            tell_one(event)


def tell_one(event: TriageEvent) -> None:
    """An event that is no progress, for people, on standard error."""
    from engine import triage
    from engine.glyphs import inert

    match event:
        case triage.TriageStarted():
            parts = [f"Triage {event.triage}: {event.scope}, {event.total:,} neurons"]
            if event.skipped:
                parts.append(f"{event.skipped:,} explained alike before")
            if event.done:
                parts.append(f"{event.done:,} done by this run")
            click.echo(inert(", ".join(parts) + "."), err=True)
        case triage.NeuronFailed(neuron, message):
            click.echo(f"{neuron}: {inert(message)}", err=True)
        case triage.TriageFinished(done, failed, skipped, seconds):
            text = f"{done:,} explained in {duration(seconds)}"
            if failed:
                text += f", {failed:,} could not be"
            if skipped:
                text += f", {skipped:,} had been before"
            click.echo(f"{text}.", err=True)
        case triage.TriageStopped(done, _, left):
            click.echo(f"Stopped: {done:,} explained, {left:,} left; --resume goes on.", err=True)
        case triage.TriageWaiting(done, _, left):
            click.echo(inert(f"{event.note}."), err=True)
            text = f"{done:,} explained, {left:,} wait; collect with: neuroglass triage --resume"
            click.echo(text, err=True)


def _share(event: TriageProgress) -> float:
    return (event.skipped + event.done + event.failed) / max(event.total, 1)


def progress_line(event: TriageProgress) -> str:
    """``310 of 1,024, 2 failed, 48 per second, 15 s left``; inert."""
    from engine.glyphs import inert

    parts = [f"{event.skipped + event.done + event.failed:,} of {event.total:,}"]
    if event.failed:
        parts.append(f"{event.failed:,} failed")
    if event.rate:
        parts.append(f"{event.rate:.3g} per second")
    if event.seconds_left:
        parts.append(f"{duration(event.seconds_left)} left")
    if event.usage.tokens:
        parts.append(f"{event.usage.tokens:,} tokens")
    if event.note:
        parts.append(inert(event.note))
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """``12 s``, ``3 min 05 s``, ``7 h 20 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
