"""UI sessions of the triage as pictures: every state of a run, the board, the dialog.

Only the process is taken out: a run's row is written with fixed numbers, and its lock is
held by the test, so that nothing moves while a picture is taken.
"""

from __future__ import annotations

from typing import Any

from ui_player import WIDE, Play

from engine.choices import Choices
from engine.engine import Engine
from engine.triage import TriageRequest
from engine.triage import lock as locks
from tui.replay.player import appears

MODEL = "openai:gpt-4o-mini"


async def explained(app: object, layers: tuple[int, ...] = (1, 3)) -> Engine:
    """Explain some layers for real, and make what depends on the clock the same for ever."""
    engine = getattr(app, "engine", None)
    assert isinstance(engine, Engine)
    triages = engine.triages()
    async for _ in triages.run(TriageRequest(layers=layers), processes=0):
        pass
    status = triages.status()
    assert status is not None
    await engine.store.update_triage(status.stored.id, seconds=21.4, rate=2.5)
    return engine


async def stands(
    engine: Engine, choices: Choices | None = None, *, batch: bool = False, **columns: Any
) -> None:
    """A further run that is at some point."""
    request = TriageRequest(layers=(0, 2), choices=choices or Choices(), batch=batch)
    number = await engine.store.begin_triage(engine.index_facts(), "m", request.to_json(), 24)
    facts: dict[str, Any] = {"state": "running", "skipped": 2, "done": 9, "seconds": 75.0}
    await engine.store.update_triage(number, **facts | columns)


@WIDE
async def test_triage_is_started(play: Play, size: tuple[int, int]) -> None:
    async with play(size) as (pilot, shoot):
        await pilot.press("T")
        await shoot("1 nothing explained yet")
        await pilot.press("N")
        await shoot("2 what to run over")
        await pilot.press("j", "j", "j", "enter", *"1 9:3")
        await shoot("3 typing")
        await pilot.press("enter")
        await shoot("4 no such layer")


@WIDE
async def test_the_leaderboard(play: Play, size: tuple[int, int]) -> None:
    async with play(size) as (pilot, shoot):
        await explained(pilot.app)
        await pilot.press("T")
        await shoot("1 finished")
        await pilot.press("j", "j", "o", "/", *"score>.6 wor")
        await shoot("2 filter typed")
        await pilot.press("enter", "j")
        await shoot("3 filtered")
        await pilot.press("/", *" score>x", "enter")
        await shoot("4 no such limit")


@WIDE
async def test_the_states_of_a_run(play: Play, size: tuple[int, int]) -> None:
    choices = Choices(explainer="summary", explainer_model=MODEL, simulator="json")
    used = {"input_tokens": 152_331, "output_tokens": 4_012, "requests": 61, "money": 0.0253}
    async with play(size) as (pilot, shoot):
        engine = await explained(pilot.app, (3,))
        held = locks.take(engine.home)
        assert held is not None
        waits = "rate limit, again in 8 s (try 2)"
        await stands(engine, choices, rate=0.12, failed=1, note=waits, **used)
        await pilot.press("T")
        await shoot("1 running")
        await pilot.press("p")
        await shoot("2 stopping")
        held.close()
        await appears(pilot, "interrupted")
        await shoot("3 interrupted")
        await stands(engine, state="stopped")
        await appears(pilot, "stopped")
        await shoot("4 stopped")
        await stands(
            engine,
            choices,
            state="failed",
            message="The budget of 200,000 tokens would be passed: 199,876 are spent.",
            remedy="Raise the budget to carry on; what was answered is kept.",
            **used,
        )
        await appears(pilot, "failed")
        await shoot("5 failed")
        waits = "9 replies collected; 1 batch at openai: 120 of 420 requests answered"
        await stands(engine, choices, batch=True, state="waiting", note=waits, **used)
        await appears(pilot, "waiting")
        await shoot("6 waiting for a batch")


async def test_triage_small_light_and_colourless(play: Play, monkeypatch: Any) -> None:
    async with play((60, 20)) as (pilot, shoot):
        await explained(pilot.app)
        await pilot.press("T")
        await shoot("small")
    async with play((120, 40), theme="neuroglass-light") as (pilot, shoot):
        await pilot.press("T")
        await shoot("light")
    monkeypatch.setenv("NO_COLOR", "1")
    async with play((120, 40)) as (pilot, shoot):
        await pilot.press("T")
        await shoot("no colour")
