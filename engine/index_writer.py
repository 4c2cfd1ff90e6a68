"""The index of one scan: what is in its folder, how it starts, and how it resumes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine import __version__
from engine.accumulate import histogram_edges
from engine.errors import IndexFormatError, ScanError
from engine.generation import GenerationWriter, map_arrays
from engine.index import CORPUS, MANIFEST, VERSION, read_manifest
from engine.keep import BOUNDARY_QUANTILES
from engine.plan import Plan
from engine.scan_request import ScanRequest
from engine.state import Layout, ScanState
from engine.subject import SubjectFacts
from engine.vocabulary import Vocabulary
from engine.windows import WindowSet


def index_identity(request: ScanRequest, facts: SubjectFacts, windows: WindowSet) -> str:
    """The same weights, text and settings give the same identity, 32 hex digits."""
    settings = {name: getattr(request, name) for name in ScanRequest.IDENTITY}
    settings["keep"] = asdict(request.keep)
    text = json.dumps([facts.model_id, windows.corpus_id, settings, VERSION], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def index_folder(home: Path, model: str, identity: str, part: str = "") -> Path:
    """``home/indexes/<model>-<start of the identity>``, and which part it is."""
    name = re.sub(r"[^A-Za-z0-9.]+", "-", Path(model).name).strip("-.")[:40]
    return home / "indexes" / f"{name or 'model'}-{identity[:10]}{part and '-'}{part}"


def default_folder(home: Path, request: ScanRequest, identity: str) -> Path:
    """Where a scan's index is when nobody names a folder."""
    part = "shard-{}-of-{}".format(*request.shard) if request.shard else ""
    return index_folder(home, request.model, identity, part)


class IndexWriter(GenerationWriter):
    """Writes one index folder; the caller holds its lock."""

    def __init__(
        self,
        folder: Path,
        identity: str,
        request: ScanRequest,
        subject: SubjectFacts,
        windows: WindowSet,
        vocabulary: Vocabulary,
        plan: Plan,
    ) -> None:
        facts = _facts(identity, request, subject, windows)
        super().__init__(folder, facts, Layout.of(subject, request, plan))
        self.identity = identity
        self.windows = windows
        self.vocabulary = vocabulary
        self.plan = plan

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
        if manifest["complete"]:
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

    # -- inside

    def _check_space(self) -> None:
        # A new generation is whole before the old one goes, and an unfinished one is
        # the larger.
        needed = 2 * self.layout.bytes(complete=False)
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

    def _restore(self, state: ScanState, manifest: dict[str, Any]) -> None:
        arrays = map_arrays(self.folder, manifest)
        state.next_batch = state.batches.start + manifest["batches_done"]
        state.windows_done = manifest["windows_done"]
        state.tokens_done = manifest["tokens_done"]
        state.token_counts = torch.from_numpy(np.array(arrays["token_counts"]))
        explain_tokens: int = manifest["explain_tokens"]
        for number in range(self.layout.layers):
            state.layers[number] = self.layout.read(number, arrays, explain_tokens)


def _facts(
    identity: str, request: ScanRequest, subject: SubjectFacts, windows: WindowSet
) -> dict[str, Any]:
    return {
        "index_id": identity,
        "model": asdict(subject),
        "corpus": {
            "id": windows.corpus_id,
            "sources": list(request.sources),
            "documents": len(windows.documents),
            "windows": len(windows),
            "tokens": windows.tokens,
            "duplicates": windows.duplicates,
            "dropped_tokens": windows.dropped_tokens,
        },
        "settings": {
            **{name: getattr(request, name) for name in ScanRequest.IDENTITY},
            "keep": asdict(request.keep),
            "boundary_quantiles": list(BOUNDARY_QUANTILES),
        },
        "versions": {
            "neuroglass": __version__,
            "torch": torch.__version__,
            "transformers": metadata.version("transformers"),
        },
    }
