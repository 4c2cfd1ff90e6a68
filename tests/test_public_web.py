"""Published datasets over HTTP: one neuron at a time, kept on disk, whatever the server does."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import public_samples as samples
import pytest
from loopback.files import CUT, STALL, Files

from engine.errors import NeuroglassError, UsageError
from engine.neuron import NeuronId
from engine.public_data import web
from engine.public_data.dataset import Identity, PublicDataset
from engine.public_data.kept_files import KeptFiles
from engine.public_data.names import open_dataset
from engine.public_data.web import WebOrigin

NEURON = NeuronId(1, 4)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    root = tmp_path / "served"
    samples.write_dataset(root / "data")
    with Files(root) as server:
        yield server


def dataset_at(files: Files, home: Path, *, timeout: float = 5.0) -> PublicDataset:
    origin = WebOrigin(
        f"{files.url}/data", KeptFiles(home / "cache"), timeout=timeout, waits=(0.01, 0.02)
    )
    return PublicDataset(Identity("made-up", "m", "i", "c", ()), origin, 2, 10)


async def test_a_neuron_is_loaded_when_it_is_wanted_and_kept(files: Files, tmp_path: Path) -> None:
    dataset = dataset_at(files, tmp_path)
    assert len(dataset.present(1)) == 10 and len(dataset.layer(1).maximum) == 10
    assert not files.asked and not dataset.at_hand(NEURON)
    await dataset.prepare(NEURON)
    assert dataset.at_hand(NEURON)
    assert sorted(files.asked.values()) == [1] * 5
    assert dataset.neuron(NEURON).records and dataset.published(NEURON)
    assert dataset.public(NEURON).related_neurons is not None
    await dataset.close()
    again = dataset_at(files, tmp_path)
    await again.prepare(NEURON)
    assert sum(files.asked.values()) == 5 and again.neuron(NEURON).records
    await again.close()


async def test_the_published_names_ask_the_named_copy(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROGLASS_PUBLIC_DATA", files.url)
    dataset = await open_dataset("openai:gpt2-xl", tmp_path)
    assert (dataset.n_layers, dataset.n_neurons) == (48, 6400)
    await dataset.prepare(NEURON)
    assert dataset.model_id == "openai:gpt2-xl"
    assert f"/data/{'collated-activations/1/4.json'}" in files.asked
    await dataset.close()
    small = await open_dataset("openai:gpt2-small", tmp_path)
    assert (small.n_layers, small.n_neurons) == (12, 3072)
    with pytest.raises(UsageError, match=r"openai:gpt2-small has no files of neuron 1:4"):
        await small.prepare(NEURON)
    assert not [path for path in files.asked if "gpt2_small_data/related" in path]
    await small.close()
    other = await open_dataset(f"{files.url}/data#2x10", tmp_path)
    await other.prepare(NEURON)
    assert other.model_id != dataset.model_id
    await other.close()
    with pytest.raises(UsageError, match="doesn't say how many neurons"):
        await open_dataset(f"{files.url}/elsewhere", tmp_path)


async def test_no_such_neuron_is_asked_for_once(files: Files, tmp_path: Path) -> None:
    dataset = dataset_at(files, tmp_path)
    for _ in range(2):
        with pytest.raises(UsageError, match="no files of neuron 1:6"):
            await dataset.prepare(NeuronId(1, 6))
    assert set(files.asked.values()) == {1} and set(files.statuses) == {404}
    await dataset.close()


async def test_a_server_that_stumbles_is_asked_again(files: Files, tmp_path: Path) -> None:
    files.fail("collated-activations/1/4.json", 500, 503)
    files.fail("explanations/1/4.jsonl", CUT)
    files.fail("activation-based/1/4.json", STALL)
    dataset = dataset_at(files, tmp_path, timeout=0.3)
    await dataset.prepare(NEURON)
    assert not dataset.public(NEURON).problems
    assert dataset.neuron(NEURON).records and dataset.published(NEURON)
    assert files.asked["/data/collated-activations/1/4.json"] == 3
    await dataset.close()


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (500, "the server answers 500"),
        (CUT, "the connection broke before the end"),
        (STALL, "nothing came for 0.2 seconds"),
        (403, "the server answers 403"),
        (302, "the server answers 302"),
    ],
)
async def test_a_file_that_cannot_be_had_is_told_and_the_rest_goes_on(
    files: Files, tmp_path: Path, fault: int | str, why: str
) -> None:
    files.fail("collated-activations/1/4.json", *[fault] * 3)
    dataset = dataset_at(files, tmp_path, timeout=0.2)
    await dataset.prepare(NEURON)
    public = dataset.public(NEURON)
    assert public.activations is None and len(public.explanations) == 1
    (problem,) = public.problems
    assert problem.startswith("collated-activations/1/4.json: http://127.0.0.1") and why in problem
    assert files.asked["/data/collated-activations/1/4.json"] == (1 if fault in (302, 403) else 3)
    await dataset.close()


async def test_nobody_there(tmp_path: Path) -> None:
    origin = WebOrigin("http://127.0.0.1:9/data", KeptFiles(tmp_path), waits=())
    dataset = PublicDataset(Identity("x", "m", "i", "c", ()), origin, 2, 10)
    with pytest.raises(NeuroglassError, match="can't be reached") as failure:
        await dataset.prepare(NEURON)
    assert failure.value.remedy
    await dataset.close()


async def test_an_old_copy_is_checked_by_its_etag_and_stands_in(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = dataset_at(files, tmp_path)
    await dataset.prepare(NEURON)
    await dataset.close()
    files.statuses.clear()
    monkeypatch.setattr(web, "FRESH_SECONDS", -1.0)
    dataset = dataset_at(files, tmp_path)
    await dataset.prepare(NEURON)
    assert files.statuses == [304] * 5 and dataset.neuron(NEURON).records
    await dataset.close()
    files.fail(".json", *[500] * 40)
    files.fail(".jsonl", *[500] * 10)
    dataset = dataset_at(files, tmp_path)
    await dataset.prepare(NEURON)
    assert set(files.statuses[5:]) == {500} and not dataset.public(NEURON).problems
    await dataset.close()


def test_kept_files_are_whole_and_not_too_many(tmp_path: Path) -> None:
    kept = KeptFiles(tmp_path / "kept", limit=5000)
    for number in range(8):
        kept.put(f"http://x/{number}", bytes([number]) * 1000, f'"{number}"')
        path = kept._path(f"http://x/{number}")
        os.utime(path, (number, number))
    first = kept.get("http://x/0")
    assert first is not None and first.body == bytes(1000) and first.etag == '"0"'
    kept.trim()
    # What was just read stays; what was used longest ago went.
    found = [number for number in range(8) if kept.get(f"http://x/{number}") is not None]
    assert found == [0, 5, 6, 7]
    path = kept._path("http://x/7")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert kept.get("http://x/7") is None
    path.write_bytes(b"not ours")
    assert kept.get("http://x/7") is None
    kept.put("http://x/none", None)
    missing = kept.get("http://x/none")
    assert missing is not None and missing.body is None


async def test_leaving_a_neuron_stops_its_download(files: Files, tmp_path: Path) -> None:
    files.hold = threading.Event()
    dataset = dataset_at(files, tmp_path)
    shown = asyncio.create_task(dataset.prepare(NEURON))
    ahead = asyncio.create_task(dataset.prepare(NEURON))
    while len(files.asked) < 5:
        await asyncio.sleep(0.01)
    ahead.cancel()
    await asyncio.sleep(0.01)
    assert not shown.done()  # one of two who wait for it left: it goes on
    shown.cancel()
    with pytest.raises(asyncio.CancelledError):
        await shown
    begun = time.monotonic()
    await dataset.close()
    assert time.monotonic() - begun < 3 and not dataset.at_hand(NEURON)
    assert set(files.asked.values()) == {1}
