"""UI sessions as pictures: what a user sees from the first start to a scored neuron.

Every session drives the real app over the real engine on the committed small index
(see ``tests/small_index.py`` and ``tests/ui_player.py``).

The pictures lie under ``snapshots/test_sessions/``; ``make snapshots`` redraws them.
Look at each before committing it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ui_player import WIDE, Play

from engine.events import ScanFailed, ScanProgress, ScanPublished, ScanStage
from tests.small_index import FOLDER

PROGRESS = ScanProgress(288, 5000, 18_432, 312_000, 12_345.0, 23.8, 0)


@WIDE
async def test_first_start(play: Play, size: tuple[int, int], tmp_path: Path) -> None:
    stage = [ScanStage("loading the model")]
    async with play(size, scanned=False, scan_events=stage) as (_, shoot):
        await shoot("1 loading")
    published = [PROGRESS, ScanPublished(str(FOLDER), 288, 5000), PROGRESS]
    async with play(size, scanned=False, scan_events=published) as (pilot, shoot):
        await shoot("2 scan running")
        await pilot.press("J", "J")
        await shoot("3 browsing during the scan")


@WIDE
async def test_a_neuron_is_browsed(play: Play, size: tuple[int, int]) -> None:
    async with play(size) as (pilot, shoot):
        await shoot("1 opened")
        await pilot.press("]", "]", "]", "J", "J", "J")
        await shoot("2 another layer")
        await pilot.press("tab", "j", "j", "l", "l", "l")
        await shoot("3 token cursor")
        await pilot.press("7", ".")
        await shoot("4 negative side")
        await pilot.press(":", *"1:7", "enter")
        await shoot("5 went to 1-7")
        await pilot.press("o")
        await shoot("6 sorted by strength")


@WIDE
async def test_explained_scored_and_kept(play: Play, size: tuple[int, int]) -> None:
    async with play(size, words=6) as (pilot, shoot):
        await pilot.press(":", *"1:1", "enter", "e")
        await shoot("1 words streaming")
        await pilot.press("x")
        await shoot("2 cancelled")
    async with play(size) as (pilot, shoot):
        await pilot.press(":", *"1:1", "enter", "e")
        await shoot("3 scored")
        await pilot.press("8", ".")
        await shoot("4 real and simulated")
        await pilot.press("w")
        await shoot("5 the worst record")
        await pilot.press("s", "*")
        await shoot("6 saved and starred")


@WIDE
async def test_help_and_prompts(play: Play, size: tuple[int, int]) -> None:
    async with play(size) as (pilot, shoot):
        await pilot.press("?")
        await shoot("1 keys")
        await pilot.press("escape", ":", *"9:9")
        await shoot("2 go to")
        await pilot.press("enter")
        await shoot("3 no such neuron")


@WIDE
async def test_empty_and_error_states(
    play: Play, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with play(size, scanned=False) as (_, shoot):
        await shoot("1 nothing scanned")
    failed = [ScanFailed("There is no checkpoint directory ./gpt2.", "Name 'demo' or a folder.")]
    async with play(size, scanned=False, scan_events=failed) as (_, shoot):
        await shoot("2 scan failed")
    # The message shows the name as it was given.
    monkeypatch.chdir(tmp_path)
    broken = Path("broken-index")
    shutil.copytree(FOLDER, broken)
    (broken / "manifest.json").write_text("{")
    async with play(size, index=broken) as (_, shoot):
        await shoot("3 damaged index")


async def test_light_colourless_and_small(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async with play((120, 40), theme="neuroglass-light") as (pilot, shoot):
        await pilot.press("e")
        await shoot("light")
    async with play((60, 20)) as (_, shoot):
        await shoot("small")
    async with play((20, 10)) as (_, shoot):
        await shoot("tiny")
    monkeypatch.setenv("NO_COLOR", "1")
    async with play((120, 40)) as (pilot, shoot):
        await pilot.press("e")
        await shoot("no colour")
