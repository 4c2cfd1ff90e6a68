"""``neuroglass`` and ``python -m tui``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exits with its status."""
    from tui.cli.root import cli

    for stream in (sys.stdout, sys.stderr):
        # A terminal of an old encoding shows a stand-in instead of ending the program.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    cli.main(prog_name="neuroglass")


if __name__ == "__main__":
    main()
