"""The small index under ``tests/small``: a few real neurons, for pictures that never change.

A snapshot must not depend on the last bit of a matrix product, so snapshot sessions
read this committed index instead of scanning. It is cut out of a real scan of the demo
model over the project's own passages: twelve neurons of each layer, renumbered from
zero, with every array row as the scan wrote it. Make it again with

    python -m tests.small_index
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from engine.demo import PASSAGES_DIR
from engine.events import ScanFinished
from engine.index import Index
from engine.keep import Keep
from engine.scan import run_scan
from engine.scan_request import ScanRequest

FOLDER = Path(__file__).parent / "small"
NEURONS = 12
KEEP = Keep(top=15, band=2, random=15, explain_random=2, bottom=2)


def make(folder: Path) -> None:
    """Scan the passages and write the cut-out index into ``folder``."""
    from engine.demo import passages

    with tempfile.TemporaryDirectory() as home:
        text = Path(home) / "passages.jsonl"
        rows = [json.dumps({"name": d.name, "text": d.text}) for d in passages()]
        text.write_text("\n".join(rows), "utf-8")
        request = ScanRequest(sources=(str(text),), keep=KEEP)
        *_, last = run_scan(request, Path(home))
        assert isinstance(last, ScanFinished), last
        _cut(Path(last.path), folder)
    Index.open(folder).verify()


def _cut(source: Path, folder: Path) -> None:
    index = Index.open(source)
    manifest = json.loads((source / "manifest.json").read_text())
    rng = np.random.default_rng(5)
    rows = np.concatenate(
        [
            layer * index.n_neurons + np.sort(rng.choice(index.n_neurons, NEURONS, replace=False))
            for layer in range(index.n_layers)
        ]
    )
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source / "corpus", folder / "corpus")
    inner = folder / manifest["folder"]
    inner.mkdir()
    for name, entry in manifest["arrays"].items():
        array = np.load(source / manifest["folder"] / f"{name}.npy")
        if name != "token_counts":
            array = array[rows]
        np.save(inner / f"{name}.npy", array)
        path = inner / f"{name}.npy"
        from engine.index import checksum

        entry.update(shape=list(array.shape), bytes=path.stat().st_size, crc32=checksum(path))
    manifest["model"]["n_neurons"] = NEURONS
    manifest["model"]["name"] = "demo"
    manifest["corpus"]["sources"] = [PASSAGES_DIR.name]
    manifest["updated"] = "2026-01-01T00:00:00+00:00"
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def in_float64(folder: Path, model: str = "demo") -> Path:
    """A copy as if it had been scanned in float64.

    What is then computed with the model has so many digits that no picture depends on the
    last bit of a matrix product.
    """
    shutil.copytree(FOLDER, folder)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["settings"]["dtype"] = "float64"
    manifest["model"]["name"] = model
    path.write_text(json.dumps(manifest))
    return folder


if __name__ == "__main__":
    make(FOLDER)
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    print(f"{FOLDER.name}: {size / 1e3:.0f} kB")
