"""``neuroglass merge``: the parts of a scan, put together."""

from __future__ import annotations

from pathlib import Path

import click

from tui.cli.place import Place, json_option, place_options


@click.command("merge", short_help="Put the parts of a scan together.")
@click.argument("parts", nargs=-1, required=True, type=click.Path(path_type=Path, file_okay=False))
@json_option
@place_options
def command(place: Place, parts: tuple[Path, ...], as_json: bool) -> None:
    """Put the parts of a scan together.

    PARTS are the folders that `neuroglass scan --shard` printed, from this machine or
    others. All parts of a scan make the index that one machine would have written, bit
    for bit, and it opens by default; fewer make a larger part, so that merging can be a
    tree. --index names the new folder. The parts stay as they are.
    """
    from engine.errors import ScanError
    from engine.events import ScanFailed, ScanFinished
    from engine.merge import merge
    from engine.paths import default_home
    from tui.cli.scan import reporter_for

    reporter = reporter_for(as_json)
    with reporter:
        for event in merge(parts, place.home or default_home(), place.index):
            reporter.tell(event)
            last = event
    if isinstance(last, ScanFailed):
        failure = ScanError(last.message, last.remedy)
        failure.exit_code = last.exit_code
        raise failure
    if isinstance(last, ScanFinished):
        reporter.finished(last)
