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
from engine.accumulate import BestWindows, LayerState, histogram_edges
from engine.errors import IndexFormatError, ScanError
from engine.index import CORPUS, FORMAT, MANIFEST, VERSION, checksum, read_manifest
from engine.keep import BOUNDARY_QUANTILES
from engine.paths import write_atomically, write_pointer
from engine.plan import Plan
from engine.scan_request import ScanRequest
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


class ScanState:
    """Where the pass stands: one :class:`LayerState` per layer and the counters."""

    def __init__(self, facts: SubjectFacts, request: ScanRequest, plan: Plan) -> None:
        dtype = getattr(torch, request.store_dtype)
        self.layers = [
            LayerState(
                layer,
                facts.n_neurons,
                request.window,
                request.keep,
                len(plan.table),
                plan.pilot_windows,
                dtype,
            )
            for layer in range(facts.n_layers)
        ]
        self.token_counts = torch.zeros(len(plan.table) + 1, dtype=torch.int64)
        self.batches_done = 0
        self.windows_done = 0
        self.tokens_done = 0


def index_identity(request: ScanRequest, facts: SubjectFacts, windows: WindowSet) -> str:
    """The same weights, text and settings give the same identity, 32 hex digits."""
    settings = {name: getattr(request, name) for name in ScanRequest.IDENTITY}
    settings["keep"] = asdict(request.keep)
    text = json.dumps([facts.model_id, windows.corpus_id, settings, VERSION], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def default_folder(home: Path, request: ScanRequest, identity: str) -> Path:
    """``home/indexes/<model>-<start of the identity>``."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", Path(request.model).name).strip("-.")[:40]
    return home / "indexes" / f"{name or 'model'}-{identity[:10]}"


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
        self.generation = 0
        self.complete = False

    def resume(self) -> ScanState:
        """The last checkpoint's state, or a fresh one.

        Raises:
            ScanError: if the folder holds another index, or the disk is too small.
        """
        state = ScanState(self.facts, self.request, self.plan)
        try:
            manifest = read_manifest(self.folder)
        except IndexFormatError:
            if (self.folder / MANIFEST).exists():
                raise
            self._check_space()
            self._write_corpus()
            return state
        if manifest["index_id"] != self.identity:
            raise ScanError(
                f"{self.folder} holds an index of another model, text or setting.",
                "Name another --index folder, or remove that one.",
            )
        self.generation = manifest["generation"]
        self.complete = manifest["complete"]
        if not self.complete:
            self._restore(state, manifest)
        return state

    def publish(self, state: ScanState, *, complete: bool) -> None:
        """Write a new generation and make it the current one."""
        name = f"generation-{self.generation + 1:06d}"
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)  # left by a kill in the middle of this
        folder.mkdir()
        arrays: dict[str, dict[str, Any]] = {}
        for array, shape, dtype in self._arrays(state, complete):
            out = open_memmap(folder / f"{array}.npy", "w+", dtype=np.dtype(dtype), shape=shape)
            self._fill(array, out, state)
            out.flush()
            del out
            arrays[array] = self._entry(folder / f"{array}.npy", shape, dtype, complete)
        manifest = self._manifest(state, complete, name, arrays)
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

    def _arrays(self, state: ScanState, complete: bool) -> list[tuple[str, tuple[int, ...], str]]:
        layers, neurons = self.facts.n_layers, self.facts.n_neurons
        n, slots, width = layers * neurons, self.request.keep.total, self.request.window
        first = state.layers[0]
        tabled = len(self.plan.table)
        pilot: list[tuple[str, tuple[int, ...], str]] = []
        if not first.pilot_over:
            pilot = [("pilot_maxima", (layers, first.pilot_filled, neurons), "float32")]
        return [
            *pilot,
            ("values", (n, slots, width), self.request.store_dtype),
            ("keys", (n, slots), "float32"),
            ("windows", (n, slots), "int32"),
            ("powers", (n, first.powers.shape[1]), "float64"),
            ("active", (n,), "int64"),
            ("extremes", (n, 2), "float32"),
            ("histogram", (n, first.histogram.shape[1]), "int32"),
            ("boundaries", (n, len(BOUNDARY_QUANTILES)), "float32"),
            ("in_band", (n, len(BOUNDARY_QUANTILES) + 1), "int64"),
            ("explain_sum", (n,), "float64"),
            ("token_counts", (tabled + 1,), "int64"),
            # While the scan runs the sums stay as they are added up, token by token;
            # a finished index has them by neuron, so that one is read in one piece.
            ("token_means", (n, tabled), "float16")
            if complete
            else ("token_sums", (layers, tabled + 1, neurons), "float32"),
        ]

    def _fill(self, array: str, out: np.ndarray[Any, Any], state: ScanState) -> None:
        if array == "token_counts":
            out[:] = state.token_counts.numpy()
            return
        for number, layer in enumerate(state.layers):
            rows = slice(number * layer.neurons, (number + 1) * layer.neurons)
            if array in ("values", "keys", "windows"):
                for key, part in self.request.keep.slots().items():
                    best = layer.best[key]
                    order = best.ordered()
                    kept: torch.Tensor = getattr(best, array)
                    if array == "values":
                        order = order[:, :, None].expand(-1, -1, kept.shape[2])
                    out[rows, part] = kept.gather(1, order).numpy()
            elif array == "extremes":
                out[rows, 0] = layer.minimum.numpy()
                out[rows, 1] = layer.maximum.numpy()
            elif array == "pilot_maxima":
                out[number] = layer.pilot_maxima[: layer.pilot_filled].numpy()
            elif array == "token_sums":
                out[number] = layer.token_sums.numpy()
            elif array == "token_means":
                counts = state.token_counts[:-1].clamp(min=1)[:, None]
                out[rows] = (layer.token_sums[:-1] / counts).T.numpy()
            else:
                out[rows] = getattr(layer, array).numpy()

    def _entry(
        self, path: Path, shape: tuple[int, ...], dtype: str, complete: bool
    ) -> dict[str, Any]:
        entry: dict[str, Any] = {"shape": list(shape), "dtype": dtype, "bytes": path.stat().st_size}
        if complete:
            entry["crc32"] = checksum(path)
        return entry

    def _manifest(
        self, state: ScanState, complete: bool, generation: str, arrays: dict[str, dict[str, Any]]
    ) -> dict[str, Any]:
        windows = self.windows
        return {
            "format": FORMAT,
            "version": VERSION,
            "index_id": self.identity,
            "complete": complete,
            "generation": self.generation + 1,
            "folder": generation,
            "batches_done": state.batches_done,
            "windows_done": state.windows_done,
            "tokens_done": state.tokens_done,
            "explain_tokens": state.layers[0].explain_tokens,
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
        state.batches_done = manifest["batches_done"]
        state.windows_done = manifest["windows_done"]
        state.tokens_done = manifest["tokens_done"]
        state.token_counts = torch.from_numpy(np.array(arrays["token_counts"]))
        for number, layer in enumerate(state.layers):
            rows = slice(number * layer.neurons, (number + 1) * layer.neurons)
            for key, part in self.request.keep.slots().items():
                best: BestWindows = layer.best[key]
                for name in ("values", "keys", "windows"):
                    setattr(best, name, torch.from_numpy(np.array(arrays[name][rows, part])))
            for name in ("powers", "active", "histogram", "boundaries", "in_band", "explain_sum"):
                kind = getattr(layer, name).dtype
                setattr(layer, name, torch.from_numpy(np.array(arrays[name][rows])).to(kind))
            layer.minimum = torch.from_numpy(np.array(arrays["extremes"][rows, 0]))
            layer.maximum = torch.from_numpy(np.array(arrays["extremes"][rows, 1]))
            layer.token_sums = torch.from_numpy(np.array(arrays["token_sums"][number]))
            layer.explain_tokens = manifest["explain_tokens"]
            if "pilot_maxima" in arrays:
                seen = torch.from_numpy(np.array(arrays["pilot_maxima"][number]))
                layer.pilot_filled = len(seen)
                layer.pilot_maxima[: len(seen)] = seen
            else:
                layer.forget_pilot()
