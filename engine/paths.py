"""Where things live, and replacing a file in one step."""

from __future__ import annotations

import json
import os
from pathlib import Path

from engine.errors import NeuroglassError

_POINTER = "current.json"


def default_home() -> Path:
    """``$NEUROGLASS_HOME``, else the platform's folder for user data."""
    named = os.environ.get("NEUROGLASS_HOME")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_data_path

    return user_data_path("neuroglass")


def ensure_home(home: Path) -> Path:
    """Create the folder if need be.

    Raises:
        NeuroglassError: if it can't be made or written to.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NeuroglassError(
            f"{home} can't be created: {error.strerror}.",
            "Name another folder with --home or NEUROGLASS_HOME.",
        ) from error
    if not os.access(home, os.W_OK | os.X_OK):
        raise NeuroglassError(
            f"{home} can't be written to.", "Name another folder with --home or NEUROGLASS_HOME."
        )
    return home


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a reader, or a kill, finds the old one or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_pointer(home: Path, index: Path) -> None:
    """Remember the index that opens when none is named."""
    write_atomically(home / _POINTER, json.dumps({"index": str(index.resolve())}))


def read_pointer(home: Path) -> Path | None:
    """The index to open, or None if there is none (or its folder is gone)."""
    try:
        path = Path(json.loads((home / _POINTER).read_text("utf-8"))["index"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return path if path.is_dir() else None
