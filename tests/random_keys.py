"""Random keys over the whole app, at random sizes: nothing may break, nothing saved be lost.

    python -m tests.random_keys [--keys 10000] [--seed 0]

The app runs without a terminal on the committed small index, in a home of its own with a
few saved explanations.  When a key ends it, it is opened again on the same home, as a user
would.  After each run the store must be sound and hold every explanation it ever held.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import sqlite3
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.small_index import FOLDER
from tui.actions import ACTIONS
from tui.app import NeuroglassApp
from tui.replay.player import fresh_home, press, session_app

SIZES = [(120, 40), (80, 24), (100, 30), (60, 20), (60, 16), (40, 12), (20, 10), (200, 60)]
#: Keys that end the app or start a scan of text that is not there: now and then.
RARE = {"q", "ctrl+q", "ctrl+c", "S"}
TEXT = [*"abcdefghijklmnopqrstuvwxyzGHJKLNE0123456789", "space", "full_stop", "colon", "slash"]
STRANGE = ["é", "漢", "backspace", "delete", "insert", "f5", "ctrl+l", "alt+j", "shift+f3"]
PREPARE = (
    *(f"explain {layer}:{index}" for layer, index in ((0, 1), (1, 1), (3, 3), (5, 2))),
    "annotate 1:1 --star --tag html --note closing",
)


@dataclass
class Report:
    """What happened.

    Attributes:
        pressed: How many keys.
        opened: How often the app was opened.
        screens: On which screens the keys fell.
        saved: Explanations in the store at the end, deleted ones that can come back included.
    """

    pressed: int = 0
    opened: int = 0
    screens: Counter[str] = field(default_factory=Counter)
    saved: int = 0


async def hammer(home: Path, keys: int, seed: int) -> Report:
    """Press so many random keys.

    Raises:
        AssertionError: an explanation is gone, or the store is damaged.
        Exception: whatever the app raised.
    """
    rng = random.Random(seed)
    report = Report()
    usual = sorted(
        {key for action in ACTIONS for keys in action.keys for key in keys.split()} - RARE
    )
    before = kept(home)
    while report.pressed < keys:
        report.opened += 1
        app = session_app(home, "", NeuroglassApp)
        async with app.run_test(size=rng.choice(SIZES)) as pilot:
            while report.pressed < keys and not app.leaving:
                report.screens[type(app.screen).__name__] += 1
                await press(pilot, _key(rng, usual))
                report.pressed += 1
                if rng.random() < 0.02:
                    await pilot.resize_terminal(*rng.choice(SIZES))
                if rng.random() < 0.02:
                    await pilot.pause(0.2)  # let what was started get somewhere
            await app.jobs.close()
            if app.engine is not None:
                await app.engine.close()
        now = kept(home)
        assert before <= now, f"lost: {sorted(before - now)}"
        before = now
    report.saved = len(before)
    return report


def _key(rng: random.Random, usual: list[str]) -> str:
    draw = rng.random()
    if draw < 0.08:
        return "escape"  # else every text box would be a trap
    if draw < 0.65:
        return rng.choice(usual)
    if draw < 0.93:
        return rng.choice(TEXT)
    return rng.choice(STRANGE) if draw < 0.995 else rng.choice(sorted(RARE))


def kept(home: Path) -> set[int]:
    """Ids of all explanations in the store, which must be sound."""
    with contextlib.closing(sqlite3.connect(home / "neuroglass.db")) as store:
        [sound] = store.execute("PRAGMA integrity_check").fetchone()
        assert sound == "ok", sound
        assert not store.execute("PRAGMA foreign_key_check").fetchall()
        return {row for (row,) in store.execute("SELECT id FROM explanations")}


def main() -> None:
    """Parse, press, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    with fresh_home(FOLDER, PREPARE) as home, tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # what is exported goes there
        report = asyncio.run(hammer(home, options.keys, options.seed))
        os.chdir("/")
    print(f"{report.pressed:,} keys in {time.perf_counter() - started:.0f} s, no exception;")
    print(f"the app was opened {report.opened} times; {report.saved} explanations kept.")
    print(", ".join(f"{name} {count:,}" for name, count in report.screens.most_common()))


if __name__ == "__main__":
    main()
