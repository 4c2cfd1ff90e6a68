"""The scan on Ray: a local cluster, a worker killed in the middle, the same bytes."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.demo import demo_documents
from engine.events import ScanFailed, ScanFinished, ScanProgress, ScanStage
from engine.index import Index, checksum
from engine.keep import Keep
from engine.ray_scan import RayRequest, scan_on_ray
from engine.scan import run_scan
from engine.scan_request import ScanRequest
from tui.cli.root import cli

pytest.importorskip("ray")
PROGRAM = "ray::Worker"


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> ScanRequest:
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    with path.open("w") as file:
        for document in list(demo_documents())[::12]:
            file.write(json.dumps({"text": document.text[:900]}) + "\n")
    keep = Keep(top=3, band=2, random=3, explain_random=1, bottom=2)
    return ScanRequest(sources=(str(path),), batch=4, keep=keep)


def workers() -> list[int]:
    """Process ids of Ray's workers of this scan, from the processes' own titles."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if (folder / "cmdline").read_bytes().startswith(PROGRAM.encode()):
                found.append(int(folder.name))
        except (OSError, ValueError):
            continue
    return found


def files(folder: Path) -> dict[str, int]:
    return {
        f"{path.parent.name.partition('-')[0]}/{path.name}": checksum(path)
        for path in folder.glob("*/*")
    }


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_a_killed_worker_changes_nothing(request_: ScanRequest, tmp_path: Path) -> None:
    *_, last = run_scan(request_, tmp_path / "plain")
    assert isinstance(last, ScanFinished)
    plain = Path(last.path)

    killed: list[int] = []
    stages: list[str] = []
    for event in scan_on_ray(request_, tmp_path / "ray", RayRequest(workers=2, shards=6)):
        if isinstance(event, ScanStage):
            stages.append(event.text)
        if isinstance(event, ScanProgress) and not killed:
            assert 0 < event.windows_done < event.windows_total
            killed = workers()[:1]
            os.kill(killed[0], signal.SIGKILL)
    assert isinstance(event, ScanFinished), event
    assert killed and any("worker was lost" in stage for stage in stages), stages
    merged = Path(event.path)
    assert files(merged) == files(plain)
    index = Index.open(merged)
    index.verify()
    assert index.complete and not workers()


def test_what_goes_wrong_is_one_line(request_: ScanRequest, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli, ["scan", "--ray", "--shard", "1/2", "--home", str(tmp_path)], catch_exceptions=False
    )
    assert result.exit_code == 2 and "its own shards" in result.output
    nobody = RayRequest(address="127.0.0.1:1")
    *_, last = scan_on_ray(request_, tmp_path, nobody)
    assert isinstance(last, ScanFailed) and "no Ray cluster" in last.message
    assert "\n" not in last.message and last.remedy
