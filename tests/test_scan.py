"""The scan against the plain definition: a hook on the model, numpy, and patience."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import IndexFormatError, UsageError
from engine.events import (
    ScanEvent,
    ScanFailed,
    ScanFinished,
    ScanProgress,
    ScanPublished,
    ScanStopped,
)
from engine.index import Index
from engine.keep import BANDS, Keep
from engine.neuron import NeuronId
from engine.records import Fold, Group
from engine.scan import run_scan
from engine.scan_process import decode, encode
from engine.scan_request import ScanRequest

KEEP = Keep(top=6, band=3, random=5, explain_random=2, bottom=3)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty documents of ordinary prose and code, some shorter than a window."""
    import pydoc_data.topics

    folder = tmp_path_factory.mktemp("texts")
    for number, name in enumerate(sorted(pydoc_data.topics.topics)[:40]):
        text = pydoc_data.topics.topics[name][: 300 + 60 * number]
        (folder / f"{number:02d}-{name.replace('/', '_')}.txt").write_text(text, "utf-8")
    return folder


@pytest.fixture(scope="module")
def request_(texts: Path) -> ScanRequest:
    return ScanRequest(sources=(str(texts),), batch=8, keep=KEEP, store_dtype="float32")


@pytest.fixture(scope="module")
def scanned(
    tmp_path_factory: pytest.TempPathFactory, request_: ScanRequest
) -> tuple[Index, list[ScanEvent]]:
    home = tmp_path_factory.mktemp("home")
    events = list(run_scan(request_, home))
    assert isinstance(events[-1], ScanFinished), events[-1]
    return Index.open(Path(events[-1].path)), events


@pytest.fixture(scope="module")
def direct(scanned: tuple[Index, list[ScanEvent]]) -> list[np.ndarray]:
    """Every window's activations [T, layers, neurons], by transformers and a plain hook."""
    import torch
    from transformers import GPT2LMHeadModel

    from engine.demo import MODEL_DIR

    model = GPT2LMHeadModel.from_pretrained(MODEL_DIR, dtype=torch.float32).eval()
    seen: dict[int, torch.Tensor] = {}
    for layer, block in enumerate(model.transformer.h):
        block.mlp.act.register_forward_hook(
            lambda _m, _i, out, layer=layer: seen.__setitem__(layer, out)
        )
    index = scanned[0]
    windows = []
    with torch.no_grad():
        for number in range(index.windows_total):
            ids = [0, *index.excerpt(number).token_ids.tolist()]
            model(torch.tensor([ids]))
            stacked = torch.stack([seen[layer][0, 1:] for layer in sorted(seen)], dim=1)
            windows.append(stacked.numpy())
    return windows


def some_neurons(index: Index, count: int = 25) -> Iterator[NeuronId]:
    rng = np.random.default_rng(7)
    for _ in range(count):
        yield NeuronId(int(rng.integers(index.n_layers)), int(rng.integers(index.n_neurons)))


def test_kept_activations_equal_a_plain_hook(scanned, direct) -> None:
    index, _ = scanned
    worst = 0.0
    for neuron in some_neurons(index):
        for records in index.neuron(neuron).records.values():
            for record in records:
                true = direct[record.excerpt.window][:, neuron.layer, neuron.index]
                assert len(true) == len(record.activations) == len(record.excerpt)
                worst = max(worst, float(np.abs(true - record.activations).max()))
    assert worst < 1e-4


def test_top_and_bottom_are_the_extreme_windows_of_each_fold(scanned, direct) -> None:
    index, _ = scanned
    folds = [index.excerpt(w).fold for w in range(index.windows_total)]
    for neuron in some_neurons(index):
        record = index.neuron(neuron)
        peaks = np.array([w[:, neuron.layer, neuron.index].max() for w in direct])
        troughs = np.array([w[:, neuron.layer, neuron.index].min() for w in direct])
        for fold in Fold:
            mine = np.array([f is fold for f in folds])
            top = [r.peak for r in record.records[fold, Group.TOP]]
            assert np.allclose(top, np.sort(peaks[mine])[::-1][: KEEP.top], atol=1e-4)
            bottom = [r.trough for r in record.records[fold, Group.BOTTOM]]
            assert np.allclose(bottom, np.sort(troughs[mine])[: KEEP.bottom], atol=1e-4)


def test_statistics_are_those_of_every_scanned_token(scanned, direct) -> None:
    from scipy import stats

    index, events = scanned
    everything = np.concatenate(direct).astype(np.float64)
    assert index.tokens_scanned == len(everything) == events[-1].tokens
    for neuron in some_neurons(index):
        values = everything[:, neuron.layer, neuron.index]
        mine = index.statistics(neuron)
        assert mine.tokens == len(values)
        assert mine.mean == pytest.approx(values.mean(), abs=1e-5)
        assert mine.variance == pytest.approx(values.var(), rel=1e-3, abs=1e-7)
        assert mine.skewness == pytest.approx(stats.skew(values), rel=1e-2, abs=1e-2)
        assert mine.kurtosis == pytest.approx(stats.kurtosis(values, fisher=False), rel=2e-2)
        assert mine.fraction_active == pytest.approx((values > 0).mean(), abs=1e-3)
        assert mine.maximum == pytest.approx(values.max(), abs=1e-4)
        assert mine.minimum == pytest.approx(values.min(), abs=1e-4)
        column = index.layer(neuron.layer)
        assert column.maximum[neuron.index] == pytest.approx(mine.maximum)
        assert column.kurtosis[neuron.index] == pytest.approx(mine.kurtosis, nan_ok=True)


def test_token_means_cover_the_explain_fold_alone(scanned, direct) -> None:
    index, _ = scanned
    excerpts = [index.excerpt(w) for w in range(index.windows_total)]
    mine = [w for w, e in enumerate(excerpts) if e.fold is Fold.EXPLAIN]
    ids = np.concatenate([excerpts[w].token_ids for w in mine])
    for neuron in some_neurons(index, 5):
        values = np.concatenate([direct[w][:, neuron.layer, neuron.index] for w in mine])
        means = index.token_means(neuron)
        assert means.mean == pytest.approx(values.mean(), abs=1e-4)
        assert len(means.token_ids) > 100
        for row in range(0, len(means.token_ids), 37):
            here = ids == means.token_ids[row]
            assert means.counts[row] == here.sum() >= 3
            assert means.means[row] == pytest.approx(values[here].mean(), abs=2e-3)
            assert means.texts[row] == index.vocabulary.token(int(means.token_ids[row]))


def test_band_records_lie_in_their_band_and_counts_add_up(scanned, direct) -> None:
    index, _ = scanned
    for neuron in some_neurons(index):
        record = index.neuron(neuron)
        edges = [-np.inf, *record.statistics.quantile_boundaries.tolist(), np.inf]
        assert edges == sorted(edges)
        for number, band in enumerate(BANDS):
            for fold in Fold:
                for kept in record.records[fold, band]:
                    assert edges[number] - 1e-4 <= kept.peak < edges[number + 1] + 1e-4
        peaks = np.array([w[:, neuron.layer, neuron.index].max() for w in direct])
        counts = np.histogram(peaks, edges)[0]
        assert record.statistics.windows_in_band.sum() == len(peaks)
        # Windows that begin alike have equal peaks; one on an edge may fall either way.
        on_edge = sum(int(np.isclose(peaks, edge, atol=1e-4).sum()) for edge in edges[1:-1])
        assert np.abs(counts - record.statistics.windows_in_band).max() <= on_edge


def test_folds_share_no_document_and_are_even(scanned) -> None:
    index, _ = scanned
    excerpts = [index.excerpt(w) for w in range(index.windows_total)]
    documents = {fold: {e.document for e in excerpts if e.fold is fold} for fold in Fold}
    assert not documents[Fold.EXPLAIN] & documents[Fold.SCORE]
    tokens = {fold: sum(len(e) for e in excerpts if e.fold is fold) for fold in Fold}
    assert 0.8 < tokens[Fold.EXPLAIN] / tokens[Fold.SCORE] < 1.25


def test_random_windows_differ_between_neurons_and_repeat_between_runs(
    scanned, request_: ScanRequest, tmp_path: Path
) -> None:
    index, _ = scanned
    *_, last = run_scan(request_, tmp_path)
    again = Index.open(Path(last.path))
    chosen = set()
    for neuron in some_neurons(index):
        first, second = index.neuron(neuron), again.neuron(neuron)
        for key, records in first.records.items():
            other = [r.excerpt.window for r in second.records[key]]
            assert [r.excerpt.window for r in records] == other
        ids = tuple(r.excerpt.window for r in first.records[Fold.SCORE, Group.RANDOM])
        assert len(set(ids)) == KEEP.random
        chosen.add(ids)
    assert len(chosen) > 20


@pytest.mark.parametrize("pilot", [True, False])
def test_cancel_keeps_and_the_next_scan_resumes_to_the_same_index(
    scanned, request_: ScanRequest, tmp_path: Path, pilot: bool
) -> None:
    index, _ = scanned
    events: list[ScanEvent] = []

    def cancelled() -> bool:
        done = [e.windows_done for e in events if isinstance(e, ScanProgress)]
        return bool(done) and (pilot or done[-1] > 60)

    for event in run_scan(request_, tmp_path, cancelled):
        events.append(event)
    assert isinstance(events[-1], ScanStopped)
    partial = Index.open(Path(next(e for e in events if isinstance(e, ScanPublished)).path))
    assert pilot == bool(np.isnan(partial.statistics(NeuronId(0, 0)).quantile_boundaries).any())
    assert not partial.complete and 0 < partial.windows_scanned < partial.windows_total
    assert partial.neuron(NeuronId(0, 0)).windows_scanned == partial.windows_scanned
    rest = list(run_scan(request_, tmp_path))
    assert isinstance(rest[-1], ScanFinished)
    resumed = [e for e in rest if isinstance(e, ScanProgress)]
    assert resumed[0].resumed_from == partial.windows_scanned
    whole = Index.open(Path(rest[-1].path))
    assert whole.index_id == index.index_id
    for neuron in some_neurons(index):
        for key, records in index.neuron(neuron).records.items():
            others = whole.neuron(neuron).records[key]
            assert [r.excerpt.window for r in records] == [r.excerpt.window for r in others]
        assert whole.statistics(neuron).mean == pytest.approx(index.statistics(neuron).mean)
    *_, done = run_scan(request_, tmp_path)
    assert isinstance(done, ScanFinished) and done.seconds < 1


def test_kill_9_at_any_moment_leaves_an_index_that_opens_and_resumes(
    request_: ScanRequest, tmp_path: Path
) -> None:
    rng = np.random.default_rng(int(os.environ.get("NEUROGLASS_SEED", "3")))
    rounds = int(os.environ.get("NEUROGLASS_KILLS", "2"))
    killed = 0
    best = 0
    for _ in range(rounds):
        child = subprocess.Popen(
            [sys.executable, "-m", "engine.scan_process", str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(request_.to_json().encode() + b"\n")
        child.stdin.flush()
        for line in child.stdout:
            if isinstance(decode(line.decode()), ScanProgress):
                break
        time.sleep(float(rng.uniform(0.0, 1.5)))
        killed += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.communicate()
        for folder in (tmp_path / "indexes").iterdir():
            if (folder / "manifest.json").exists():
                index = Index.open(folder)
                assert index.windows_scanned >= best
                best = index.windows_scanned
                index.neuron(NeuronId(1, 1))
    assert killed
    *_, last = run_scan(request_, tmp_path)
    assert isinstance(last, ScanFinished)
    index = Index.open(Path(last.path))
    index.verify()
    assert index.complete and index.windows_scanned == index.windows_total
    assert len(list(index.path.glob("generation-*"))) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "/nowhere/at/all"}, "no checkpoint directory"),
        ({"sources": ("/nowhere.txt",)}, "nowhere.txt"),
        ({"window": 1}, "windows of 1"),
        ({"window": 300}, "at most 256"),
        ({"dtype": "int3"}, "dtype"),
        ({"device": "toaster"}, "toaster"),
        ({"batch": 0}, "batches of 0"),
    ],
)
def test_a_bad_request_is_one_line_with_a_remedy(
    request_: ScanRequest, tmp_path: Path, change: dict, words: str
) -> None:
    *_, last = run_scan(replace(request_, **change), tmp_path)
    assert isinstance(last, ScanFailed)
    assert words in last.message and "\n" not in last.message
    assert last.remedy


def test_damaged_and_foreign_indexes_are_refused(
    scanned, request_: ScanRequest, tmp_path: Path
) -> None:
    import shutil

    index, _ = scanned
    with pytest.raises(UsageError, match="no neuron 6:0"):
        index.neuron(NeuronId(6, 0))
    copy = tmp_path / "copy"
    shutil.copytree(index.path, copy)
    values = next(copy.glob("generation-*")) / "values.npy"
    raw = bytearray(values.read_bytes())
    raw[-100] ^= 0xFF
    values.write_bytes(raw)
    with pytest.raises(IndexFormatError, match="checksum"):
        Index.open(copy).verify()
    values.write_bytes(raw[:-1])
    with pytest.raises(IndexFormatError, match="damaged"):
        Index.open(copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    for change, words in [({"version": 99}, "version 99"), ({"format": "other"}, "not a neuro")]:
        (copy / "manifest.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(IndexFormatError, match=words):
            Index.open(copy)
    (copy / "manifest.json").write_text("{")
    with pytest.raises(IndexFormatError, match="damaged"):
        Index.open(copy)
    with pytest.raises(IndexFormatError, match="no index"):
        Index.open(tmp_path / "none")
    *_, last = run_scan(replace(request_, index=str(index.path), window=32), tmp_path)
    assert isinstance(last, ScanFailed) and "another" in last.message


def test_events_survive_the_pipe() -> None:
    for event in (
        ScanProgress(1, 2, 3, 4, 5.5, None, 1),
        ScanFailed("naïve ✂", "do this"),
        ScanFinished("/x", 1, 2, 3.0, 4),
    ):
        assert decode(encode(event)) == event
    request = ScanRequest(sources=("a b", "-"), keep=Keep(top=3))
    assert ScanRequest.from_json(request.to_json()) == request


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_what_a_scan_will_take_is_told_before_and_true(
    request_: ScanRequest, tmp_path: Path
) -> None:
    """In a process of its own, whose largest resident size is the scan's."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from engine.events import ScanPlanned\n"
        "from engine.scan import run_scan\n"
        "from engine.scan_request import ScanRequest\n"
        "request = ScanRequest.from_json(sys.argv[1])\n"
        "events = list(run_scan(request, Path(sys.argv[2])))\n"
        "plan = next(e for e in events if isinstance(e, ScanPlanned))\n"
        # Not getrusage: that one remembers the process that this one was forked from.
        "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "used = int(status['VmHWM'].split()[0]) * 1024\n"
        "print(plan.memory_bytes, used, plan.disk_bytes, plan.path)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, request_.to_json(), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    planned, used, disk, path = result.stdout.split()
    assert int(planned) / 2 < int(used) < int(planned) + 500e6
    (generation,) = Path(path).glob("generation-*")
    arrays = sum(file.stat().st_size for file in generation.iterdir())
    assert 0 <= arrays - int(disk) < 200 * 20  # a header each


def test_every_tensor_of_the_state_is_in_the_plan(scanned) -> None:
    from engine.memory import state_bytes, tensor_bytes
    from engine.state import Layout

    layout = replace(Layout.of_manifest(scanned[0].manifest, tabled=50), pilot=30)
    assert state_bytes(layout) == tensor_bytes(layout.layer(0))
