"""A short run of random keys; ``python -m tests.random_keys`` presses ten thousand."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.random_keys import PREPARE, hammer
from tests.small_index import FOLDER
from tui.replay.player import fresh_home


def test_random_keys_break_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh_home(FOLDER, PREPARE) as home:
        monkeypatch.chdir(tmp_path)
        report = asyncio.run(hammer(home, keys=400, seed=1))
    assert report.pressed == 400 and report.saved >= 4
