"""UI sessions as pictures: the ways of drawing excerpts, on dark and on light."""

from __future__ import annotations

import pytest
from ui_player import WIDE, Play


@WIDE
async def test_values_scales_and_differences(play: Play, size: tuple[int, int]) -> None:
    async with play(size) as (pilot, shoot):
        await pilot.press("]", "tab", "V")
        await shoot("1 in figures")
        await pilot.press("V", "6", ".", "z")
        await shoot("2 each excerpt on its own scale")
        await pilot.press("z", "e", "8", ".")
        await pilot.press("V")
        await shoot("3 real above simulated in figures")
        await pilot.press("V", "d")
        await shoot("4 real minus simulated")
        await pilot.press("X")
        await shoot("5 where to write it")


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_colours(play: Play, theme: str) -> None:
    async with play((120, 40), theme=f"neuroglass-{theme}") as (pilot, shoot):
        await pilot.press("]", "e", "8", ".", "d")
        for _ in range(3):
            await pilot.press("C")
            name = pilot.app.ramp  # type: ignore[attr-defined]
            await shoot(f"{name} difference")
        await pilot.press("d", "7", ".")
        await shoot("grey below zero")
