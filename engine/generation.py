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
import io
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import torch
from numpy.lib.format import header_data_from_array_1_0, write_array_header_1_0
from numpy.typing import NDArray

from engine.accumulate import LayerState
from engine.errors import IndexFormatError
from engine.index import FORMAT, MANIFEST, VERSION
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
        explain_tokens = 0
        with ExitStack() as stack:
            out = {
                array: stack.enter_context(ArrayFile(folder, array, shape, dtype))
                for array, shape, dtype in shapes
            }
            for layer in layers:
                for array, rows in self.layout.written(layer, counts, complete=complete).items():
                    out[array].append(rows)
                explain_tokens = layer.explain_tokens
            out["token_counts"].append(counts.numpy())
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
            "arrays": {array: file.entry(checked=complete) for array, file in out.items()},
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


class ArrayFile:
    """One ``.npy`` file, written from front to back and checked on the way.

    A memory map would do, too, but its pages would count as the process's own until
    all layers are through, and the checksum would read the file once more.
    """

    def __init__(self, folder: Path, name: str, shape: tuple[int, ...], dtype: str) -> None:
        self._path = folder / f"{name}.npy"
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._file: IO[bytes] | None = None
        self._bytes = self._crc = 0

    def __enter__(self) -> ArrayFile:
        self._file = self._path.open("wb")
        header = io.BytesIO()
        described = header_data_from_array_1_0(np.empty(0, self._dtype))
        write_array_header_1_0(header, {**described, "shape": self._shape})
        self._put(header.getbuffer())
        return self

    def append(self, rows: NDArray[Any]) -> None:
        """Write the next rows."""
        assert rows.dtype == self._dtype, (self._path.name, rows.dtype)
        self._put(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)

    def _put(self, data: memoryview) -> None:
        assert self._file is not None
        self._crc = zlib.crc32(data, self._crc)
        self._bytes += data.nbytes
        self._file.write(data)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._file is not None
        with self._file:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())

    def entry(self, *, checked: bool) -> dict[str, Any]:
        """What the manifest says of it."""
        crc = {"crc32": self._crc} if checked else {}
        facts = {"shape": list(self._shape), "dtype": self._dtype.name, "bytes": self._bytes}
        return {**facts, **crc}
