"""What every test shares: a world of its own, and one real scan of the demo model.

The environment is fixed before anything of Textual or torch is imported.
"""

from __future__ import annotations

import os

os.environ.update(
    TERM="xterm-256color",
    COLORTERM="truecolor",
    TEXTUAL_ANIMATIONS="none",
    COLUMNS="120",
    LINES="40",
    TZ="UTC",
    LC_ALL="C.UTF-8",
    HF_HUB_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
)
for _name in ("NO_COLOR", "FORCE_COLOR", "NEUROGLASS_HOME", "TEXTUAL", "TEXTUAL_DEBUG"):
    os.environ.pop(_name, None)
if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread per worker: more of them only fight over the same cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import fcntl
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.location import PyTestLocation

pytest_plugins = ["tests.ui_player"]

if TYPE_CHECKING:
    from loopback.server import Loopback

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

#: Documents of the demo text that the shared scan reads, and how much of each.
DOCUMENTS = 120
CHARACTERS = 1000


def _snapshot_folder(cls: type, *, test_location: PyTestLocation) -> str:
    """Beside the tests, in ``snapshots/<test module>``: they are the app's picture book."""
    return str(ROOT / "snapshots" / test_location.basename)


SVGImageExtension.dirname = classmethod(_snapshot_folder)  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def _world_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes what belongs to the person who runs it."""
    user = tmp_path / "user"
    user.mkdir()
    monkeypatch.setenv("HOME", str(user))
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(user / name.lower()))
    monkeypatch.setenv("NEUROGLASS_HOME", str(user / "neuroglass"))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all processes of this test session."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def demo_text(shared_folder: Path) -> Path:
    """A folder with a small part of the demo text, one file per document."""
    folder = shared_folder / "demo-text"
    with _locked(shared_folder / "demo-text.lock"):
        if not folder.exists():
            _write_demo_text(folder)
    return folder


def _write_demo_text(folder: Path) -> None:
    from engine.text import read_documents

    documents = list(read_documents(("demo",)))
    step = max(1, len(documents) // DOCUMENTS)
    beside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    for number, document in enumerate(documents[::step][:DOCUMENTS]):
        text = document.text[:CHARACTERS]
        (beside / f"{number:03d}.txt").write_text(text, "utf-8")
    beside.rename(folder)


@pytest.fixture(scope="session")
def demo_home(shared_folder: Path, demo_text: Path) -> Path:
    """A home with a complete scan of the demo model over :func:`demo_text`.

    Made once per session by the engine's own scan, with the embedded model. It is
    shared: a test that writes asks for :func:`home` instead.
    """
    home = shared_folder / "demo-home"
    with _locked(shared_folder / "demo-home.lock"):
        if not (home / "done").exists():
            _scan(home, demo_text)
            (home / "done").touch()
    return home


def _scan(home: Path, text: Path) -> None:
    from engine.events import ScanFinished
    from engine.scan import run_scan
    from engine.scan_request import ScanRequest

    *_, last = run_scan(ScanRequest(sources=(str(text),)), home)
    assert isinstance(last, ScanFinished), last


@pytest.fixture
def home(demo_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home of the test's own: an empty store, and the shared scan as its index.

    ``NEUROGLASS_HOME`` names it. The index is read, never written.
    """
    from engine.paths import read_pointer, write_pointer

    index = read_pointer(demo_home)
    assert index is not None
    own = tmp_path / "home"
    own.mkdir()
    write_pointer(own, index)
    monkeypatch.setenv("NEUROGLASS_HOME", str(own))
    return own


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    """A server that speaks the vendors' wire formats, for one test."""
    from loopback.server import Loopback

    with Loopback() as server:
        yield server
