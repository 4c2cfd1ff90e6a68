"""Writing an index: generations, checkpoints, the lock.

An index folder holds the corpus once and one *generation* of the neurons' arrays.  A
new generation is written beside the old one, the manifest is replaced in one rename,
and only then is the old one removed: at every moment the manifest names a generation
that is whole, whatever was killed.  Readers that mapped the old files keep them.

    manifest.json           what it is, how far it is, and each array's shape and size
    corpus/                 windows, documents, vocabulary
    generation-000007/      *.npy, neuron-major, one row per neuron (layer * n + index)
    lock                    held by the process that scans
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from engine.accumulate import LayerState
from engine.errors import IndexFormatError
from engine.index import FORMAT, MANIFEST, VERSION, checksum
from engine.paths import write_atomically, write_pointer
from engine.state import Layout


class IndexLock:
    """An advisory lock on an index folder, freed by the kernel when its holder dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: IO[str] | None = None

    def __enter__(self) -> IndexLock:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = (self.folder / "lock").open("a")
        return self

    def acquire(self) -> bool:
        """True if the lock is ours now."""
        assert self._file is not None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()


class GenerationWriter:
    """Writes the generations of one index folder; the caller holds its lock.

    Args:
        facts: The manifest's entries that stay the same from generation to generation.
        layout: Of the arrays.
        generation: Number of the last one, 0 if there is none.
    """

    def __init__(
        self, folder: Path, facts: Mapping[str, Any], layout: Layout, generation: int = 0
    ) -> None:
        self.folder = folder
        self.layout = layout
        self.generation = generation
        self._facts = facts

    def write(
        self,
        layers: Iterable[LayerState],
        counts: torch.Tensor,
        progress: Mapping[str, Any],
        pilot: int | None,
        *,
        complete: bool,
    ) -> None:
        """Write a generation layer by layer, so that one layer at a time is enough.

        Args:
            counts: int64 [tabled + 1], how often each tabled token was seen.
            progress: The manifest's entries about what has been read.
            pilot: Maxima that the pilot has so far; None when it is over.
        """
        name = f"generation-{self.generation + 1:06d}"
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)  # left by a kill in the middle of this
        folder.mkdir()
        shapes = self.layout.arrays(complete, pilot)
        out = {
            array: open_memmap(folder / f"{array}.npy", "w+", dtype=np.dtype(dtype), shape=shape)
            for array, shape, dtype in shapes
        }
        explain_tokens = 0
        for number, layer in enumerate(layers):
            self.layout.write(number, layer, counts, out)
            explain_tokens = layer.explain_tokens
        out["token_counts"][:] = counts.numpy()
        for array in list(out):
            out.pop(array).flush()
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            **self._facts,
            "complete": complete,
            "generation": self.generation + 1,
            "folder": name,
            **progress,
            "explain_tokens": explain_tokens,
            "updated": datetime.now(UTC).isoformat(timespec="seconds"),
            "arrays": {
                array: _entry(folder / f"{array}.npy", shape, dtype, complete)
                for array, shape, dtype in shapes
            },
        }
        write_atomically(self.folder / MANIFEST, json.dumps(manifest, indent=1))
        self.generation += 1
        for old in self.folder.glob("generation-*"):
            if old.name != name:
                shutil.rmtree(old, ignore_errors=True)

    def point(self, home: Path) -> None:
        """Make this the index that opens by default."""
        write_pointer(home, self.folder)

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def map_arrays(folder: Path, manifest: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays of an index's present generation, memory-mapped.

    Raises:
        IndexFormatError: one is missing or damaged.
    """
    generation = folder / manifest["folder"]
    try:
        return {
            name: np.load(generation / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in manifest["arrays"]
        }
    except (OSError, ValueError, EOFError) as error:
        raise IndexFormatError(
            f"The checkpoint in {generation} is damaged.", f"Remove {folder} and scan again."
        ) from error


def _entry(path: Path, shape: tuple[int, ...], dtype: str, complete: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"shape": list(shape), "dtype": dtype, "bytes": path.stat().st_size}
    if complete:
        entry["crc32"] = checksum(path)
    return entry
