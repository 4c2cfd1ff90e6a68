"""The one family of errors a user may see.

Every error that can be caused from outside (a missing model, a damaged index, a
full disk) is a :class:`NeuroglassError`: one line that says what is wrong and one
that says what to do.  The command line prints both and exits with ``exit_code``;
the app shows the same two lines.  Anything else that escapes is a bug.
"""

from __future__ import annotations


class NeuroglassError(Exception):
    """An expected failure, told in one line, with its remedy.

    Args:
        message: What is wrong, one sentence, no trailing newline.
        remedy: What the user can do about it, one sentence; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class UsageError(NeuroglassError):
    """The request itself makes no sense (a neuron that the model does not have)."""

    exit_code = 2


class ModelError(NeuroglassError):
    """The subject model is missing, unreachable, or not one we can read."""

    exit_code = 3


class TextError(NeuroglassError):
    """The text source is missing, empty or unreadable."""

    exit_code = 4


class IndexFormatError(NeuroglassError):
    """The index on disk is missing, damaged, foreign or of another version."""

    exit_code = 5


class StoreError(NeuroglassError):
    """The database can't be opened, read or written."""

    exit_code = 6


class ScanError(NeuroglassError):
    """The scan could not start or had to stop."""

    exit_code = 7


class MethodError(NeuroglassError):
    """A step of the method can't be done on this neuron (too few records, ...)."""

    exit_code = 8


class FileError(NeuroglassError):
    """A file to export to, or to import from, can't be written, read or believed."""

    exit_code = 10
