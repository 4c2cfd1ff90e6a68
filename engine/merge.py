"""Putting the parts of a scan together: associative, and the same bit for bit.

Every number in an index is a count, an extreme, a rank or an exact sum
(:mod:`engine.exact`, :mod:`engine.best`), so the parts of a scan may be merged in any
order and in any grouping; what comes out is what one machine would have written.  One
layer at a time is in memory.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.accumulate import LayerState
from engine.errors import IndexFormatError, NeuroglassError, ScanError
from engine.events import ScanEvent, ScanFailed, ScanFinished, ScanPublished, ScanStage
from engine.generation import GenerationWriter, IndexLock, map_arrays
from engine.index import CORPUS, MANIFEST, read_manifest
from engine.index_writer import index_folder
from engine.paths import ensure_home
from engine.state import Layout

#: What a merged manifest takes over from its parts.
_SHARED = ("index_id", "model", "corpus", "settings", "versions")


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One part of a scan on disk, read to its end.

    Attributes:
        ranges: The batches of the plan that it has read, as half-open intervals.
        arrays: By name, memory-mapped.
    """

    folder: Path
    manifest: dict[str, Any]
    ranges: tuple[tuple[int, int], ...]
    arrays: dict[str, NDArray[Any]]

    @classmethod
    def open(cls, folder: Path) -> Part:
        """Open a part.

        Raises:
            IndexFormatError: no index, damaged, or of another version.
            ScanError: it is not a part, or has not been read to its end.
        """
        manifest = read_manifest(folder)
        batches = manifest.get("batches")
        if manifest.get("complete") or not batches:
            raise ScanError(
                f"{folder} is no part of a scan.", "Parts are made with: neuroglass scan --shard"
            )
        if batches["left"]:
            raise ScanError(
                f"{folder} has not been read to its end: {batches['left']} batches are left.",
                "Give the same scan command again; it goes on where it was.",
            )
        ranges = tuple((int(start), int(stop)) for start, stop in batches["ranges"])
        return cls(folder, manifest, ranges, map_arrays(folder, manifest))


def merge(
    folders: Sequence[Path],
    home: Path,
    out: Path | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    *,
    partial: bool = False,
) -> Iterator[ScanEvent]:
    """Merge parts of one scan, yielding events; the last one is terminal.

    With every part of the scan the result is a finished index, and the one that opens by
    default.  With fewer it is a part again.  The parts stay as they are.

    Args:
        out: Folder of the result; None for what the whole scan would be called.
        partial: Make a part even of all parts, to be merged on somewhere else.

    Nothing is raised for an expected failure: it is a :class:`ScanFailed` event.
    """
    try:
        yield from _merge(folders, ensure_home(home), out, cancelled, partial)
    except NeuroglassError as error:
        yield ScanFailed(error.message, error.remedy, error.exit_code)
    except OSError as error:
        yield ScanFailed(
            f"The index can't be written: {error.strerror or error}.",
            "Free some disk space or name another --index; the parts are as they were.",
        )
    except (KeyError, TypeError, ValueError) as error:
        failure = IndexFormatError(f"A part is damaged: {error}.", "Scan that part again.")
        yield ScanFailed(failure.message, failure.remedy, failure.exit_code)


def _merge(
    folders: Sequence[Path],
    home: Path,
    out: Path | None,
    cancelled: Callable[[], bool],
    partial: bool,
) -> Iterator[ScanEvent]:
    yield ScanStage("merging")
    started = time.monotonic()
    parts = [Part.open(folder) for folder in folders]
    if not parts:
        raise ScanError("There is nothing to merge.", "Name the folders of the parts.")
    first = parts[0].manifest
    for part in parts[1:]:
        if part.manifest["index_id"] != first["index_id"]:
            raise ScanError(
                f"{part.folder} is a part of another scan than {parts[0].folder}.",
                "Parts must have the same model, text and settings.",
            )
    ranges = _union(parts)
    total = int(first["batches"]["total"])
    complete = ranges == [[0, total]] and not partial
    name = Path(first["model"]["name"]).name
    tag = "" if complete else f"batches-{'-'.join(str(n) for pair in ranges for n in pair)}"
    folder = out or index_folder(home, name, first["index_id"], tag)
    if any(part.folder.resolve() == folder.resolve() for part in parts):
        raise ScanError(f"{folder} is a part itself.", "Name another --index folder.")
    with IndexLock(folder) as lock:
        if not lock.acquire():
            raise ScanError(f"Another scan writes to {folder}.", "Wait for it to end.")
        if (folder / MANIFEST).exists():
            raise ScanError(f"{folder} holds an index already.", "Name another --index folder.")
        shutil.copytree(parts[0].folder / CORPUS, folder / CORPUS, dirs_exist_ok=True)
        tabled = len(np.load(folder / CORPUS / "token_table.npy", allow_pickle=False))
        layout = Layout.of_manifest(first, tabled)
        writer = GenerationWriter(folder, {key: first[key] for key in _SHARED}, layout)
        counts = sum(torch.from_numpy(np.array(part.arrays["token_counts"])) for part in parts)
        assert isinstance(counts, torch.Tensor)
        done = {
            key: sum(int(part.manifest[key]) for part in parts)
            for key in ("batches_done", "windows_done", "tokens_done")
        }
        progress = {**done, "batches": {"ranges": ranges, "left": 0, "total": total}}
        try:
            writer.write(
                _layers(layout, parts, cancelled), counts, progress, None, complete=complete
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # made here, and of no use half done
            raise
        if complete:
            writer.point(home)
        windows, tokens = done["windows_done"], done["tokens_done"]
        yield ScanPublished(str(folder), windows, int(first["corpus"]["windows"]))
        seconds = time.monotonic() - started
        yield ScanFinished(str(folder), windows, tokens, seconds, writer.size())


def _union(parts: Sequence[Part]) -> list[list[int]]:
    """The batches of all parts, joined. ScanError if two parts share one."""
    joined: list[list[int]] = []
    intervals = ((pair, part.folder) for part in parts for pair in part.ranges)
    for (start, stop), folder in sorted(intervals, key=lambda entry: entry[0]):
        if start == stop:
            continue
        if joined and start < joined[-1][1]:
            raise ScanError(
                f"{folder} holds text that another part holds, too.",
                "Merge the parts of one division, each of them once.",
            )
        if joined and start == joined[-1][1]:
            joined[-1][1] = stop
        else:
            joined.append([start, stop])
    return joined


def _layers(
    layout: Layout, parts: Sequence[Part], cancelled: Callable[[], bool]
) -> Iterator[LayerState]:
    def read(number: int, part: Part) -> LayerState:
        return layout.read(number, part.arrays, int(part.manifest["explain_tokens"]))

    def add(one: LayerState, other: LayerState) -> LayerState:
        one.merge(other)
        return one

    for number in range(layout.layers):
        if cancelled():
            raise ScanError("The merge was stopped.", "The parts are as they were.")
        yield reduce(add, (read(number, part) for part in parts))
