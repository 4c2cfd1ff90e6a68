"""``neuroglass scan``: one pass of a model over a set of texts."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from tui.cli import output
from tui.cli.place import Place, json_option, place_options

if TYPE_CHECKING:
    from engine.events import ScanEvent
    from engine.scan_request import ScanRequest

    Events = Iterator[ScanEvent]
    Scan = Callable[[ScanRequest, Path, Callable[[], bool]], Events]

#: Where there is no terminal to draw on, progress is told in steps of this share.
STEP = 0.1


@click.command("scan", short_help="Scan texts with a model.")
@click.argument("sources", nargs=-1)
@click.option(
    "--model",
    default="demo",
    show_default=True,
    help="'demo', a checkpoint folder, or the id of a decoder-only model on Hugging Face.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option(
    "--dtype",
    type=click.Choice(("float32", "bfloat16", "float16")),
    default="float32",
    show_default=True,
    help="Of the model's weights and arithmetic.",
)
@click.option(
    "--window", type=int, default=64, show_default=True, help="Tokens per window of text."
)
@click.option("--batch", type=int, default=64, show_default=True, help="Windows per forward pass.")
@click.option(
    "--top", type=int, default=20, show_default=True, help="Strongest windows kept per fold."
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Read only part I of N, counted from 1; put parts together with: neuroglass merge.",
)
@click.option(
    "--ray",
    is_flag=False,
    flag_value="",
    metavar="[ADDRESS]",
    help="Scan on a Ray cluster; without an address, on one started here.",
)
@click.option("--workers", type=int, default=0, help="Of Ray. Default: what processors allow.")
@click.option("--threads", type=int, default=1, show_default=True, help="Of each Ray worker.")
@click.option("--dry-run", is_flag=True, help="Say what it would take, and scan nothing.")
@json_option
@place_options
def command(
    place: Place,
    sources: tuple[str, ...],
    model: str,
    device: str,
    dtype: str,
    window: int,
    batch: int,
    top: int,
    shard: str | None,
    ray: str | None,
    workers: int,
    threads: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Scan texts with a model and keep what each neuron fires on.

    SOURCES are files, folders, JSON Lines, or - for standard input; by default the
    demo text. Prints the folder of the index. Ctrl+c stops and keeps what was done: the
    same command goes on from there. With --json, prints each event as a line of JSON.
    """
    from engine.keep import Keep
    from engine.scan_request import ScanRequest

    request = ScanRequest(
        model=model,
        sources=sources or ("demo",),
        window=window,
        device=device,
        dtype=dtype,
        batch=batch,
        keep=Keep(top=top),
        index=str(place.index) if place.index else None,
        shard=_shard(shard),
    )
    request.check()
    scan = None
    if ray is not None:
        from engine.ray_scan import RayRequest, scan_on_ray

        where = RayRequest(ray or None, max(workers, 0), max(threads, 1))

        def scan(request: ScanRequest, home: Path, stop: Callable[[], bool]) -> Events:
            return scan_on_ray(request, home, where, stop)

    _run(place, request, reporter_for(as_json), scan, dry_run=dry_run)


def _shard(text: str | None) -> tuple[int, int] | None:
    from engine.errors import UsageError

    if text is None:
        return None
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal()):
        raise UsageError(f"{text!r} is no shard.", "Write it as 1/4: the first of four.")
    return int(number), int(of)


def reporter_for(as_json: bool) -> Reporter:
    """What tells a scan's events: JSON, a bar on a terminal, or lines in a log."""
    if as_json:
        return _Json()
    return _Bar() if sys.stderr.isatty() else _Lines()


def _run(
    place: Place,
    request: ScanRequest,
    reporter: Reporter,
    scan: Scan | None = None,
    *,
    dry_run: bool,
) -> None:
    from engine.errors import ScanError
    from engine.events import (
        ScanFailed,
        ScanFinished,
        ScanPlanned,
        ScanProgress,
        ScanPublished,
        ScanStopped,
    )
    from engine.paths import default_home
    from engine.scan import run_scan

    stop = _Stop()
    last: ScanEvent | None = None
    kept = 0
    with stop.listening(), reporter:
        for last in (scan or run_scan)(request, place.home or default_home(), stop.asked):
            # From here on there is something to keep; before, a signal just ends it.
            stop.gently = stop.gently or isinstance(last, ScanProgress)
            if isinstance(last, ScanPublished):
                kept = last.windows_done
            reporter.tell(last)
            if dry_run and isinstance(last, ScanPlanned):
                return
    match last:
        case ScanFinished():
            reporter.finished(last)
        case ScanStopped(_, total):
            click.echo(
                f"Stopped; {kept:,} of {total:,} windows are scanned and kept."
                if kept
                else "Stopped before there was anything to keep.",
                err=True,
            )
            click.echo(f"Go on with: {_again(place, request)}", err=True)
            raise click.exceptions.Exit(128 + (stop.signal or signal.SIGINT))
        case ScanFailed(message, remedy, exit_code):
            failure = ScanError(message, remedy)
            failure.exit_code = exit_code
            raise failure


def _again(place: Place, request: ScanRequest) -> str:
    """The command that resumes this scan."""
    from engine.scan_request import ScanRequest

    words = ["neuroglass", "scan", *request.sources]
    for field in fields(ScanRequest):
        value = getattr(request, field.name)
        if field.name in ("model", "window", "device", "dtype", "batch") and value != field.default:
            words += [f"--{field.name}", str(value)]
    if request.keep.top != 20:
        words += ["--top", str(request.keep.top)]
    if request.shard:
        words += ["--shard", "{}/{}".format(*request.shard)]
    if place.home:
        words += ["--home", str(place.home)]
    if request.index:
        words += ["--index", request.index]
    return shlex.join(words)


class _Stop:
    """Signals, as a question that the scan asks between batches."""

    def __init__(self) -> None:
        self.gently = False
        self.signal: int | None = None

    def asked(self) -> bool:
        """Whether to stop."""
        return self.signal is not None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals that end a program; give them back afterwards."""
        names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        try:
            before = {name: signal.signal(name, self._on_signal) for name in names}
        except ValueError:  # not the main thread: whoever runs us handles signals
            yield
            return
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    def _on_signal(self, number: int, frame: Any) -> None:
        if not self.gently or self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number


class Reporter(Protocol):
    """Tells a scan's events to somebody."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *details: object) -> None: ...

    def tell(self, event: ScanEvent) -> None:
        """One event, as it happens."""

    def finished(self, event: Any) -> None:
        """The scan is complete."""


class _Json:
    """Every event as one line of JSON on standard output."""

    def __enter__(self) -> None:
        return

    def __exit__(self, *details: object) -> None:
        return

    def tell(self, event: ScanEvent) -> None:
        from engine.scan_process import encode

        click.echo(encode(event))
        sys.stdout.flush()

    def finished(self, event: Any) -> None:
        return


class _Lines:
    """A line now and then on standard error, for logs."""

    def __init__(self) -> None:
        self._told = -1.0

    def __enter__(self) -> None:
        return

    def __exit__(self, *details: object) -> None:
        return

    def tell(self, event: ScanEvent) -> None:
        from engine.events import ScanPlanned, ScanProgress, ScanStage

        match event:
            case ScanStage(text):
                click.echo(f"{text} …", err=True)
            case ScanPlanned():
                _print_planned(event)
            case ScanProgress(done, total):
                share = done / total
                if share - self._told >= STEP or (done == total and self._told < 1):
                    self._told = share
                    click.echo(_progress_line(event), err=True)

    def finished(self, event: Any) -> None:
        _print_finished(event)


class _Bar:
    """A progress bar on standard error."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
            console=output.console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("starting …", total=None, facts="")

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *details: object) -> None:
        self._progress.stop()

    def tell(self, event: ScanEvent) -> None:
        from engine.events import ScanPlanned, ScanProgress, ScanStage

        match event:
            case ScanPlanned():
                _print_planned(event)
            case ScanStage(text):
                self._progress.update(self._task, description=f"{text} …")
            case ScanProgress(done, total):
                self._progress.update(
                    self._task,
                    description="scanning",
                    completed=done,
                    total=total,
                    facts=_progress_line(event),
                )

    def finished(self, event: Any) -> None:
        _print_finished(event)


def _progress_line(event: Any) -> str:
    parts = [f"{event.windows_done:,} of {event.windows_total:,} windows"]
    if event.tokens_per_second:
        parts.append(f"{event.tokens_per_second:,.0f} tokens/s")
    if event.seconds_left is not None:
        parts.append(f"{_duration(event.seconds_left)} left")
    if event.resumed_from:
        parts.append(f"resumed at {event.resumed_from:,}")
    return ", ".join(parts)


def _print_planned(event: Any) -> None:
    parts = ", ".join(
        f"{name} {_size(size)}"
        for name, size in (
            ("model", event.model_bytes),
            ("records and sums", event.record_bytes),
            ("buffers", event.buffer_bytes),
            ("text", event.text_bytes),
        )
    )
    click.echo(
        f"{event.neurons:,} neurons, {event.windows:,} windows, {event.tokens:,} tokens.\n"
        f"Memory {_size(event.memory_bytes)}: {parts}. Disk {_size(event.disk_bytes)}, "
        f"{_size(event.peak_disk_bytes)} while it is written.",
        err=True,
    )


def _size(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _print_finished(event: Any) -> None:
    size = f"{event.bytes_on_disk / 1e6:,.0f} MB"
    click.echo(
        f"Scanned {event.windows:,} windows, {event.tokens:,} tokens, "
        f"in {_duration(event.seconds)}; the index takes {size}.",
        err=True,
    )
    click.echo(event.path)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
