"""UI sessions with effects and the prompt lab, over the demo model in float64.

So many digits that no picture depends on the last bit of a matrix product.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.events import Paste
from textual.pilot import Pilot
from ui_player import WIDE, Play, settled

from tests.small_index import in_float64

TEXT = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was "
    "the age of foolishness, it was the epoch of belief."
)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """The small index, as if it had been scanned in float64."""
    return in_float64(tmp_path / "index")


async def paste(pilot: Pilot[object], text: str) -> None:
    pilot.app.screen.post_message(Paste(text))
    await settled(pilot)


@WIDE
async def test_effects(play: Play, size: tuple[int, int], index: Path, tmp_path: Path) -> None:
    async with play(size, index=index, loading=True) as (pilot, shoot):
        await pilot.press(":", *"2:7", "enter", "f")
        await shoot("1 loading")
    async with play(size, index=index) as (pilot, shoot):
        await pilot.press(":", *"2:7", "enter", "f")
        await shoot("2 tokens")
        await pilot.press("tab", "j", "l")
        await shoot("3 connections")
        await pilot.press("tab", "j")
        await shoot("4 similar neurons")
        await pilot.press("enter")
        await shoot("5 opened")
    gone = in_float64(tmp_path / "gone", "./gpt2")
    async with play(size, index=gone) as (pilot, shoot):
        await pilot.press("f")
        await shoot("6 no model")


@WIDE
async def test_prompt_lab(play: Play, size: tuple[int, int], index: Path, tmp_path: Path) -> None:
    async with play(size, index=index) as (pilot, shoot):
        await pilot.press(":", *"0:7", "enter", "i")
        await shoot("1 empty")
        await paste(pilot, TEXT)
        await shoot("2 read")
        await pilot.press("tab", "home", "l", "l", "l", "tab")
        await shoot("3 neurons at a token")
        await pilot.press("enter")
        await settled(pilot)
        await pilot.press("a")
        await shoot("4 ablated")
        await pilot.press("shift+tab", "c", "c", "w")
        await shoot("5 held at one token")
        await pilot.press("s")
        await shoot("6 steered")
        await pilot.press("V", "j")
        await shoot("6 steered, in figures")
        await pilot.press("V", "i", "ctrl+u")
        await paste(pilot, "and on and on " * 200)
        await shoot("7 too long")
        await pilot.press("tab", "s")
        await shoot("8 no room to steer")
    gone = in_float64(tmp_path / "gone", "./gpt2")
    async with play(size, index=gone) as (pilot, shoot):
        await pilot.press("i")
        await paste(pilot, "Hello")
        await shoot("9 no model")


async def test_small_and_colourless(
    play: Play, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with play((60, 20), index=index) as (pilot, shoot):
        await pilot.press(":", *"0:7", "enter", "i")
        await paste(pilot, TEXT)
        await shoot("small")
        await pilot.press("tab", "a")
        await shoot("small, ablated")
        await pilot.press("escape", "f")
        await shoot("small, effects")
    monkeypatch.setenv("NO_COLOR", "1")
    async with play((120, 40), index=index) as (pilot, shoot):
        await pilot.press(":", *"0:7", "enter", "i")
        await paste(pilot, TEXT)
        await pilot.press("tab", "a")
        await shoot("no colour")
