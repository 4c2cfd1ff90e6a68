"""UI sessions with the senses of neurons, over the demo model in float64."""

from __future__ import annotations

from pathlib import Path

from textual.pilot import Pilot
from ui_player import SIZES, Play, Shoot, settled

from tests.small_index import in_float64


async def shoot_all(pilot: Pilot[object], shoot: Shoot, name: str, *more: tuple[int, int]) -> None:
    """A picture at each size; finding senses again for each would take long."""
    for size in (*more, *reversed(SIZES)):
        await pilot.resize_terminal(*size)
        await settled(pilot)
        await shoot(f"{size[0]}x{size[1]} {name}")


async def test_senses(play: Play, tmp_path: Path) -> None:
    index = in_float64(tmp_path / "index")
    async with play(SIZES[0], index=index, loading=True) as (pilot, shoot):
        await pilot.press(":", *"3:5", "enter", "g", "s")
        await shoot_all(pilot, shoot, "1 loading")
    async with play(SIZES[0], index=index) as (pilot, shoot):
        await pilot.press(":", *"3:5", "enter", "g", "s")
        await settled(pilot)
        await shoot_all(pilot, shoot, "2 found", (60, 20))
        await pilot.press("j", "tab", "j")
        await shoot_all(pilot, shoot, "3 excerpts of the second")
        await pilot.press("escape", ":", *"0:3", "enter", "g", "s")
        await settled(pilot)
        await shoot_all(pilot, shoot, "4 several", (60, 20))
    gone = in_float64(tmp_path / "gone", "./gpt2")
    async with play(SIZES[0], index=gone) as (pilot, shoot):
        await pilot.press("g", "s")
        await settled(pilot)
        await shoot_all(pilot, shoot, "5 no model")
