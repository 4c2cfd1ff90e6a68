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
import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import torch
from numpy.lib.format import open_memmap

from engine import __version__
from engine.accumulate import LayerState, histogram_edges
from engine.errors import IndexFormatError, ScanError
from engine.index import CORPUS, FORMAT, MANIFEST, VERSION, checksum, read_manifest
from engine.keep import BOUNDARY_QUANTILES
from engine.paths import write_atomically, write_pointer
from engine.plan import Plan
from engine.scan_request import ScanRequest
from engine.state import Layout, ScanState
from engine.subject import SubjectFacts
from engine.vocabulary import Vocabulary
from engine.windows import WindowSet


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


def index_identity(request: ScanRequest, facts: SubjectFacts, windows: WindowSet) -> str:
    """The same weights, text and settings give the same identity, 32 hex digits."""
    settings = {name: getattr(request, name) for name in ScanRequest.IDENTITY}
    settings["keep"] = asdict(request.keep)
    text = json.dumps([facts.model_id, windows.corpus_id, settings, VERSION], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def default_folder(home: Path, request: ScanRequest, identity: str) -> Path:
    """``home/indexes/<model>-<start of the identity>``, and which shard."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", Path(request.model).name).strip("-.")[:40]
    shard = "-shard-{}-of-{}".format(*request.shard) if request.shard else ""
    return home / "indexes" / f"{name or 'model'}-{identity[:10]}{shard}"


class IndexWriter:
    """Writes one index folder; the caller holds its lock."""

    def __init__(
        self,
        folder: Path,
        identity: str,
        request: ScanRequest,
        facts: SubjectFacts,
        windows: WindowSet,
        vocabulary: Vocabulary,
        plan: Plan,
    ) -> None:
        self.folder = folder
        self.identity = identity
        self.request = request
        self.facts = facts
        self.windows = windows
        self.vocabulary = vocabulary
        self.plan = plan
        self.layout = Layout.of(facts, request, plan)
        self.generation = 0
        self.complete = False

    def resume(self, batches: range) -> ScanState | None:
        """The last checkpoint's state, or a fresh one; None if the index is complete.

        Args:
            batches: Those this pass is to read.

        Raises:
            ScanError: if the folder holds another index or shard, or the disk is too
                small.
        """
        try:
            manifest = read_manifest(self.folder)
        except IndexFormatError:
            if (self.folder / MANIFEST).exists():
                raise
            self._check_space()
            self._write_corpus()
            return ScanState(self.layout, self.plan, batches)
        if manifest["index_id"] != self.identity:
            raise ScanError(
                f"{self.folder} holds an index of another model, text or setting.",
                "Name another --index folder, or remove that one.",
            )
        self.generation = manifest["generation"]
        self.complete = manifest["complete"]
        if self.complete:
            return None
        if "batches" not in manifest:  # begun by a version that summed otherwise: start again
            self._write_corpus()
            return ScanState(self.layout, self.plan, batches)
        if manifest["batches"]["ranges"] != [[batches.start, batches.stop]]:
            raise ScanError(
                f"{self.folder} holds another part of this scan.", "Name another --index folder."
            )
        state = ScanState(self.layout, self.plan, batches)
        self._restore(state, manifest)
        return state

    def publish(self, state: ScanState, *, complete: bool) -> None:
        """Write a new generation and make it the current one."""
        progress = {
            "batches_done": state.next_batch - state.batches.start,
            "windows_done": state.windows_done,
            "tokens_done": state.tokens_done,
            "batches": {
                "ranges": [[state.batches.start, state.batches.stop]],
                "left": state.batches.stop - state.next_batch,
                "total": len(self.plan.batches),
            },
        }
        self.write(state.layers, state.token_counts, progress, state.pilot, complete=complete)

    def write(
        self,
        layers: Iterable[LayerState],
        counts: torch.Tensor,
        progress: dict[str, Any],
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
        facts = self.layout.arrays(complete, pilot)
        out = {
            array: open_memmap(folder / f"{array}.npy", "w+", dtype=np.dtype(dtype), shape=shape)
            for array, shape, dtype in facts
        }
        explain_tokens = 0
        for number, layer in enumerate(layers):
            self.layout.write(number, layer, counts, out)
            explain_tokens = layer.explain_tokens
        out["token_counts"][:] = counts.numpy()
        for array in list(out):
            out.pop(array).flush()
        arrays = {
            array: self._entry(folder / f"{array}.npy", shape, dtype, complete)
            for array, shape, dtype in facts
        }
        progress = {**progress, "explain_tokens": explain_tokens}
        manifest = self._manifest(progress, complete, name, arrays)
        write_atomically(self.folder / MANIFEST, json.dumps(manifest, indent=1))
        self.generation += 1
        self.complete = complete
        for old in self.folder.glob("generation-*"):
            if old.name != name:
                shutil.rmtree(old, ignore_errors=True)

    def point(self, home: Path) -> None:
        """Make this the index that opens by default."""
        write_pointer(home, self.folder)

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    # -- inside

    def _check_space(self) -> None:
        keep, facts = self.request.keep, self.facts
        item = 2 if self.request.store_dtype == "float16" else 4
        row = keep.total * (self.request.window * item + 8) + 4 * len(self.plan.table) + 600
        needed = 2 * facts.n_layers * facts.n_neurons * row  # two generations at once
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise ScanError(
                f"The index needs {needed / 1e6:,.0f} MB and {free / 1e6:,.0f} MB are free.",
                "Free some space or name an --index folder on another disk.",
            )

    def _write_corpus(self) -> None:
        folder = self.folder / CORPUS
        folder.mkdir(exist_ok=True)
        self.windows.save(folder)
        self.vocabulary.save(folder / "vocabulary.npz")
        np.save(folder / "token_table.npy", self.plan.table)
        np.save(folder / "histogram_edges.npy", histogram_edges())

    def _entry(
        self, path: Path, shape: tuple[int, ...], dtype: str, complete: bool
    ) -> dict[str, Any]:
        entry: dict[str, Any] = {"shape": list(shape), "dtype": dtype, "bytes": path.stat().st_size}
        if complete:
            entry["crc32"] = checksum(path)
        return entry

    def _manifest(
        self,
        progress: dict[str, Any],
        complete: bool,
        generation: str,
        arrays: dict[str, dict[str, Any]],
    ) -> dict[str, Any]:
        windows = self.windows
        return {
            "format": FORMAT,
            "version": VERSION,
            "index_id": self.identity,
            "complete": complete,
            "generation": self.generation + 1,
            "folder": generation,
            **progress,
            "updated": datetime.now(UTC).isoformat(timespec="seconds"),
            "model": asdict(self.facts),
            "corpus": {
                "id": windows.corpus_id,
                "sources": list(self.request.sources),
                "documents": len(windows.documents),
                "windows": len(windows),
                "tokens": windows.tokens,
                "duplicates": windows.duplicates,
                "dropped_tokens": windows.dropped_tokens,
            },
            "settings": {
                **{name: getattr(self.request, name) for name in ScanRequest.IDENTITY},
                "keep": asdict(self.request.keep),
                "boundary_quantiles": list(BOUNDARY_QUANTILES),
            },
            "versions": {
                "neuroglass": __version__,
                "torch": torch.__version__,
                "transformers": metadata.version("transformers"),
            },
            "arrays": arrays,
        }

    def _restore(self, state: ScanState, manifest: dict[str, Any]) -> None:
        folder = self.folder / manifest["folder"]
        try:
            arrays = {
                name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in manifest["arrays"]
            }
        except (OSError, ValueError) as error:
            raise IndexFormatError(
                f"The checkpoint in {folder} is damaged.",
                f"Remove {self.folder} and scan again.",
            ) from error
        state.next_batch = state.batches.start + manifest["batches_done"]
        state.windows_done = manifest["windows_done"]
        state.tokens_done = manifest["tokens_done"]
        state.token_counts = torch.from_numpy(np.array(arrays["token_counts"]))
        explain_tokens: int = manifest["explain_tokens"]
        for number in range(self.layout.layers):
            state.layers[number] = self.layout.read(number, arrays, explain_tokens)
