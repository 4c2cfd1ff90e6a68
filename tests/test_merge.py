"""A scan in parts: whatever the division and the order, the same index bit for bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine.demo import demo_documents
from engine.events import ScanFailed, ScanFinished, ScanStopped
from engine.index import Index, checksum
from engine.keep import Keep
from engine.merge import merge
from engine.neuron import NeuronId
from engine.paths import read_pointer
from engine.scan import run_scan
from engine.scan_request import ScanRequest
from tui.cli.root import cli

#: Entries of a manifest that tell when and how often it was written, not what is in it.
PASSING = ("generation", "folder", "updated")


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> ScanRequest:
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    with path.open("w") as file:
        for document in list(demo_documents())[::14]:
            file.write(json.dumps({"text": document.text[:900]}) + "\n")
    keep = Keep(top=3, band=2, random=3, explain_random=1, bottom=2)
    return ScanRequest(sources=(str(path),), batch=4, keep=keep)


@pytest.fixture(scope="module")
def whole(request_: ScanRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(run_scan(request_, tmp_path_factory.mktemp("whole")))


@pytest.fixture(scope="module")
def thirds(request_: ScanRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return shards(request_, tmp_path_factory.mktemp("thirds"), 3)


def finished(events: Any) -> Path:
    *_, last = events
    assert isinstance(last, ScanFinished), last
    return Path(last.path)


def shards(request: ScanRequest, home: Path, count: int) -> list[Path]:
    parts = range(1, count + 1)
    return [finished(run_scan(replace(request, shard=(i, count)), home)) for i in parts]


def contents(folder: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The manifest but for what passes, and the checksum of every other file."""
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {
        f"{path.parent.name.partition('-')[0]}/{path.name}": checksum(path)
        for path in folder.glob("*/*")
    }
    # How a scan was divided shows in a part, and not in the whole.
    return {key: value for key, value in manifest.items() if key not in PASSING}, files


@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_division_merges_to_the_same_bytes(
    request_: ScanRequest, whole: Path, tmp_path: Path, count: int
) -> None:
    parts = shards(request_, tmp_path, count)
    assert read_pointer(tmp_path) is None, "a part is not to be opened by default"
    merged = finished(merge(parts[::-1], tmp_path))
    assert contents(merged) == contents(whole)
    assert read_pointer(tmp_path) == merged
    index = Index.open(merged)
    index.verify()
    assert index.complete and index.windows_scanned == index.windows_total


def test_merging_is_a_tree(thirds: Sequence[Path], whole: Path, tmp_path: Path) -> None:
    one, two, three = thirds
    # The first and the last: what is in between comes later.
    outer = finished(merge([three, one], tmp_path))
    assert not Index.open(outer).complete
    assert contents(finished(merge([outer, two], tmp_path)))[1] == contents(whole)[1]
    inner = finished(merge([two, three], tmp_path / "other"))
    right = finished(merge([one, inner], tmp_path / "other"))
    assert contents(right) == contents(whole)


def test_a_part_opens_and_a_cut_off_one_goes_on(
    request_: ScanRequest, thirds: Sequence[Path], tmp_path: Path
) -> None:
    part = Index.open(thirds[1])
    assert not part.complete and 0 < part.windows_scanned < part.windows_total
    part.neuron(NeuronId(1, 1))

    asked = 0

    def after_a_few() -> bool:
        nonlocal asked
        asked += 1
        return asked > 6

    request = replace(request_, shard=(2, 3))
    *_, last = run_scan(request, tmp_path, after_a_few)
    assert isinstance(last, ScanStopped)
    again = finished(run_scan(request, tmp_path))
    assert contents(again)[1] == contents(thirds[1])[1]


def test_what_does_not_fit_together_is_refused(
    request_: ScanRequest, thirds: Sequence[Path], whole: Path, tmp_path: Path
) -> None:
    other = shards(replace(request_, batch=5), tmp_path, 2)[0]
    half = shards(request_, tmp_path, 2)[0]
    damaged = tmp_path / "damaged"
    shutil.copytree(thirds[0], damaged)
    next(damaged.glob("generation-*/values.npy")).write_bytes(b"")
    for parts, words in (
        ([thirds[0], thirds[0]], "another part holds"),
        ([thirds[0], half], "another part holds"),
        ([thirds[0], other], "another scan"),
        ([whole, thirds[0]], "no part of a scan"),
        ([tmp_path / "nowhere"], "no index"),
        ([damaged], "damaged"),
    ):
        *_, last = merge(parts, tmp_path / "out")
        assert isinstance(last, ScanFailed) and words in last.message, (words, last)
        assert "\n" not in last.message and last.remedy
    *_, last = merge(list(thirds), tmp_path / "out", thirds[0])
    assert isinstance(last, ScanFailed) and "part itself" in last.message
    *_, last = merge(list(thirds), tmp_path / "out", whole)
    assert isinstance(last, ScanFailed) and "holds an index" in last.message
    assert Index.open(whole).complete


def test_on_the_command_line(request_: ScanRequest, tmp_path: Path) -> None:
    def run(*words: str) -> Any:
        return CliRunner().invoke(cli, [*words, "--home", str(tmp_path)])

    parts = []
    for shard in ("1/2", "2/2"):
        result = run("scan", *request_.sources, "--batch", "16", "--shard", shard)
        assert result.exit_code == 0, result.output
        parts.append(result.stdout.strip().splitlines()[-1])
    result = run("merge", *parts)
    assert result.exit_code == 0, result.output
    assert Index.open(Path(result.stdout.strip().splitlines()[-1])).complete
    assert run("merge", parts[0], parts[0]).exit_code == 7
    for wrong in ("3/2", "0/2", "1", "a/b"):
        assert run("scan", *request_.sources, "--shard", wrong).exit_code == 2
