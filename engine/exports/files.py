"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from engine.errors import FileError

#: The name that stands for standard output.
STDOUT = Path("-")


@contextmanager
def output(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes its place when the block ends without an error.

    Args:
        path: ``-`` for standard output, which gets everything as it comes.

    Raises:
        FileError: no such folder, no permission, a full disk. An earlier file of that name
            is as it was.
    """
    if path == STDOUT:
        with told(Path("standard output")):
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    path = path.expanduser()
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    if path.is_dir():
        raise FileError(f"{path} is a folder.", "Name a file.")
    with told(path):
        try:
            with beside.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def folder(path: Path, ours: str) -> Iterator[Path]:
    """An empty folder to fill that takes its place when the block ends without an error.

    Args:
        ours: Name of a file by which a folder that this function made is known: such a
            one is replaced, any other that is not empty is refused.

    Raises:
        FileError: as :func:`output`, and a folder with other things in it.
    """
    path = path.expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise FileError(f"{path} is a file.", "Name a folder.")
    if path.is_dir() and any(path.iterdir()) and not (path / ours).is_file():
        raise FileError(f"{path} has other things in it.", "Name a new folder, or an empty one.")
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    with told(path):
        try:
            beside.mkdir()
            yield beside
            if path.exists():
                path.rename(old)
            beside.rename(path)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what the system says about a file into words: FileError for every OSError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FileError(
                f"The disk is full: {path} could not be written; nothing was changed.",
                "Free some space and try again.",
            ) from error
        if error.errno == errno.ENOENT and not path.parent.is_dir():
            raise FileError(
                f"The folder {path.parent} does not exist.", "Create it or choose another."
            ) from error
        raise FileError(
            f"{path} can't be written: {error.strerror or error}.", "Choose another place."
        ) from error
