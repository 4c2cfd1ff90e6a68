"""The root command: opens the app, or finds the module of a subcommand."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import Any

import click

from engine import __version__
from engine.errors import NeuroglassError, UsageError
from tui.cli.place import Place, place_options

#: Command name to the module that holds its ``command``.
COMMANDS = {
    "open": "tui.cli.open",
    "scan": "tui.cli.scan",
    "merge": "tui.cli.merge",
    "show": "tui.cli.show",
    "explain": "tui.cli.explain",
    "score": "tui.cli.score",
    "triage": "tui.cli.triage",
    "leaderboard": "tui.cli.leaderboard",
    "compare": "tui.cli.compare",
    "choices": "tui.cli.choices",
    "models": "tui.cli.models",
    "effects": "tui.cli.effects",
    "similar": "tui.cli.similar",
    "senses": "tui.cli.senses",
    "prompt": "tui.cli.prompt",
    "ablate": "tui.cli.ablate",
    "steer": "tui.cli.steer",
    "list": "tui.cli.listing",
    "search": "tui.cli.search",
    "library": "tui.cli.library",
    "delete": "tui.cli.delete",
    "restore": "tui.cli.restore",
    "map": "tui.cli.map",
    "annotate": "tui.cli.annotate",
    "record": "tui.cli.record",
    "replay": "tui.cli.replay",
    "report": "tui.cli.report",
    "export": "tui.cli.export",
    "import": "tui.cli.import_",
    "config": "tui.cli.config",
    "doctor": "tui.cli.doctor",
}
#: What shells report for a program that a signal ended.
INTERRUPTED = 130
BROKEN_PIPE = 141


class ExpectedFailure(click.ClickException):
    """An engine's expected error as click shows it: what is wrong, then what to do."""

    def __init__(self, error: NeuroglassError) -> None:
        super().__init__(error.message)
        self.remedy = error.remedy
        self.exit_code = error.exit_code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        """Two lines on standard error, inert: a message may quote a file's name."""
        from engine.glyphs import inert

        click.echo(f"neuroglass: {inert(self.message)}", file=file, err=True)
        if self.remedy:
            click.echo(inert(self.remedy), file=file, err=True)


class Commands(click.Group):
    """A group whose commands are imported when used, and whose failures are told plainly."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of a session, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name]).command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run, turning expected failures and a closed pipe into exit statuses."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except NeuroglassError as error:
            raise ExpectedFailure(error) from error
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            _forget_output()
            raise click.exceptions.Exit(BROKEN_PIPE) from None


def _forget_output() -> None:
    """Nobody reads on: let the interpreter's last flush go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, package_name="neuroglass", message="neuroglass %(version)s")
@place_options
@click.option("--model", help="Model to scan if need be. Default: the index's, or the demo.")
@click.option(
    "--text",
    "sources",
    multiple=True,
    metavar="SOURCE",
    help="Text to scan if need be; may be repeated. Default: the index's, or the demo text.",
)
@click.option("--fresh", is_flag=True, help="Don't open where the app was left.")
@click.pass_context
def cli(
    ctx: click.Context, place: Place, model: str | None, sources: tuple[str, ...], fresh: bool
) -> None:
    """Find out what the neurons of a language model do.

    Without a command, opens the app. On the first start it scans the demo model over
    the demo text, which needs no download.
    """
    if ctx.invoked_subcommand is not None:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "The app needs a terminal.", "In a script use a command; see: neuroglass --help"
        )
    from tui.launch import run_app

    status = run_app(
        home=place.home,
        index=place.index,
        model=model,
        sources=sources or None,
        source=place.source,
        fresh=fresh,
    )
    if isinstance(status, int):
        ctx.exit(status)
