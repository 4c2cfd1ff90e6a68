"""Where the files of a dataset come from: a folder, one file, or a server (:mod:`.web`)."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from engine.neuron import NeuronId
from engine.public_data.decode import MAX_BYTES
from engine.public_data.problems import PublicDataError
from engine.public_data.shapes import Kind

#: Folders that hold a dataset's root, as the published ones are laid out.
ROOTS = ("", "data", "gpt2_small_data")
#: What :mod:`.export` says of itself, beside the files.
ABOUT = "neuroglass.json"


class Origin(Protocol):
    """A place to get files from.

    Attributes:
        name: For people: the folder, or the address. Untrusted.
        kinds: The kinds of files that there can be.
        immediate: Whether a file is at hand at once, so that waiting needs no word.
    """

    name: str
    kinds: frozenset[Kind]
    immediate: bool

    async def fetch(self, kind: Kind, neuron: NeuronId) -> bytes | None:
        """The file of a neuron; None where there is none.

        Raises:
            PublicDataError: it can't be had.
        """
        ...

    def neurons(self) -> dict[int, Sequence[int]] | None:
        """Layer to indices of the neurons that have a file; None: all there can be."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class FolderOrigin:
    """A folder laid out as the published data is, or a part of it.

    Args:
        root: A folder that holds ``collated-activations``, ``explanations`` or both.
        only: A single neuron; None for all.
    """

    immediate = True

    def __init__(self, root: Path, only: NeuronId | None = None) -> None:
        self.root = root
        self.name = str(root)
        self._only = only
        self.kinds = frozenset(kind for kind in Kind if self._base(kind).is_dir())

    def _base(self, kind: Kind) -> Path:
        return self.root / kind.value.partition("/{")[0]

    def _path(self, kind: Kind, neuron: NeuronId) -> Path:
        path = self.root / kind.path(neuron)
        if path.exists():
            return path
        # Some copies have a level more.
        inner = path.parent.parent / "neurons" / path.parent.name / path.name
        return inner if inner.exists() else path

    async def fetch(self, kind: Kind, neuron: NeuronId) -> bytes | None:
        """See :class:`Origin`."""
        return await asyncio.to_thread(read_bounded, self._path(kind, neuron))

    def neurons(self) -> dict[int, Sequence[int]]:
        """See :class:`Origin`; lists names, and opens no file."""
        if self._only is not None:
            return {self._only.layer: (self._only.index,)}
        found: dict[int, set[int]] = {}
        for kind in (Kind.ACTIVATIONS, Kind.EXPLANATIONS):
            base = self._base(kind)
            for folder in (base, base / "neurons"):
                for layer in _numbered(folder):
                    names = _numbered(folder / str(layer), Path(kind.value).suffix)
                    found.setdefault(layer, set()).update(names)
        return {layer: tuple(sorted(names)) for layer, names in sorted(found.items()) if names}

    async def close(self) -> None:
        """See :class:`Origin`."""


class FileOrigin:
    """One file by itself; what it is shows when it is read."""

    immediate = True

    def __init__(self, path: Path, kind: Kind, neuron: NeuronId) -> None:
        self.path, self._kind, self._neuron = path, kind, neuron
        self.name = str(path)
        self.kinds = frozenset({kind})

    async def fetch(self, kind: Kind, neuron: NeuronId) -> bytes | None:
        """See :class:`Origin`."""
        if (kind, neuron) != (self._kind, self._neuron):
            return None
        return await asyncio.to_thread(read_bounded, self.path)

    def neurons(self) -> dict[int, Sequence[int]]:
        """See :class:`Origin`."""
        return {self._neuron.layer: (self._neuron.index,)}

    async def close(self) -> None:
        """See :class:`Origin`."""


def read_bounded(path: Path) -> bytes | None:
    """A file's bytes, one more than are allowed at most; None if there is no such file.

    Raises:
        PublicDataError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise PublicDataError(
            f"{path} can't be read: {error.strerror}.", "Check the file's permissions."
        ) from error


def find_root(folder: Path) -> Path | None:
    """The dataset's root in, at or above a folder that somebody named; None without one."""
    tops = {kind.value.partition("/")[0] for kind in Kind}
    if folder.name in tops:
        folder = folder.parent
    for name in ROOTS:
        root = folder / name
        if any((root / top).is_dir() for top in tops):
            return root
    return None


def placed(path: Path) -> tuple[Path, Kind, NeuronId] | None:
    """Root, kind and neuron of a file that lies where a dataset has it; else None."""
    text = path.resolve().as_posix()
    for kind in Kind:
        pattern = re.escape(kind.value)
        for name in ("layer", "index"):
            pattern = pattern.replace(re.escape("{" + name + "}"), rf"(?P<{name}>\d{{1,7}})")
        match = re.fullmatch(f"(?P<root>.*)/{pattern}", text)
        if match is not None:
            return Path(match["root"]), kind, NeuronId(int(match["layer"]), int(match["index"]))
    return None


def _numbered(folder: Path, suffix: str = "") -> list[int]:
    """Numbers that name entries of a folder; none where there is no folder."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                stem = entry.name.removesuffix(suffix)
                if entry.name.endswith(suffix) and stem.isdecimal() and len(stem) < 8:
                    found.append(int(stem))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise PublicDataError(
            f"{folder} can't be read: {error.strerror}.", "Check the folder's permissions."
        ) from error
    return found
