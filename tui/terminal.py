"""A driver that survives its terminal.

When an SSH connection drops, writing to the terminal fails.  Textual's writer thread
dies of that, its queue fills up, and the event loop blocks for good: nothing would be
left to stop the scan and close the store.
"""

from __future__ import annotations

from typing import Any, TextIO

from textual.drivers.linux_driver import LinuxDriver


class _Forgiving:
    """A file that throws away what can't be written any more."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.gone = False

    def write(self, text: str) -> None:
        """Write, or don't."""
        if not self.gone:
            try:
                self._file.write(text)
            except (OSError, ValueError):
                self.gone = True

    def flush(self) -> None:
        """Flush, or don't."""
        if not self.gone:
            try:
                self._file.flush()
            except (OSError, ValueError):
                self.gone = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class SurvivingDriver(LinuxDriver):
    """The usual driver over a file that never fails."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        assert self._file is not None
        self._forgiving = _Forgiving(self._file)
        self._file = self._forgiving  # type: ignore[assignment]

    def hang_up(self) -> None:
        """The terminal is gone: write nothing more."""
        self._forgiving.gone = True
