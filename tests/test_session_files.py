"""Every session under ``tests/sessions/``, played over the small index, picture by picture.

A session is what a user could have recorded (``neuroglass record``) and anybody can play
(``neuroglass replay``).  Its pictures lie under ``snapshots/test_session_files/``;
``make snapshots`` redraws them. Look at each before committing it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion

from tests.small_index import in_float64
from tui.replay.player import fresh_home, play
from tui.replay.script import NO_INDEX, Size, read_script

SESSIONS = Path(__file__).parent / "sessions"
CASES = [
    pytest.param(path, size, id=f"{path.stem}-{size}")
    for path in sorted(SESSIONS.glob("*.toml"))
    for size in read_script(path).sizes
]


@pytest.mark.parametrize(("path", "size"), CASES)
def test_session(path: Path, size: Size, snapshot: SnapshotAssertion, tmp_path: Path) -> None:
    script = read_script(path)
    pictures = snapshot.use_extension(SVGImageExtension)
    taken = []

    async def camera(name: str, svg: str) -> None:
        taken.append(name)
        assert pictures(name=name) == svg

    index = None if script.index == NO_INDEX else in_float64(tmp_path / "index")
    with fresh_home(index, script.prepare) as home:
        asyncio.run(play(script, home, size, camera))
    assert taken == [step.picture for step in script.steps if step.picture]
