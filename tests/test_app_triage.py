"""The triage in the app: a run is started, followed, stopped, and outlives the app."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from loopback.server import Loopback
from test_app import running, screen_text, until
from textual.events import Key

from engine.choices import Choices
from engine.engine import Engine
from engine.errors import UsageError
from engine.neuron import NeuronId
from engine.paths import write_pointer
from engine.triage import Filter, Standing, Triages
from tests.small_index import FOLDER, NEURONS
from tui.app import NeuroglassApp
from tui.screens.triage import TriageScreen
from tui.screens.triage_start import RECKONING
from tui.triage_filter import parse, where


@pytest.fixture
def small_home(tmp_path: Path) -> Path:
    home = tmp_path / "small-home"
    home.mkdir()
    write_pointer(home, FOLDER)
    return home


def triages(app: NeuroglassApp) -> Triages:
    assert isinstance(app.engine, Engine)
    return app.engine.triages()


def waits(note: str, app: NeuroglassApp) -> bool:
    """Whether the run waits for its batch, with no process at it that p would stop."""
    text = screen_text(app)
    return note in text and "waiting" in text and "p collect" in text


async def test_a_layer_is_explained_and_a_neuron_opened(small_home: Path) -> None:
    async with running(small_home) as (app, pilot):
        await pilot.press("T")
        await until(pilot, lambda: "No run yet." in screen_text(app))
        await pilot.press("N")
        await until(pilot, lambda: f"{NEURONS} of {NEURONS} neurons are left" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: "finished" in screen_text(app), 60)
        await until(pilot, lambda: f"Leaderboard {NEURONS}" in screen_text(app))
        board = triages(app).board()
        board.refresh()
        [*_, third], total = board.page(limit=3)
        assert total == NEURONS
        await pilot.press("j", "j")
        assert isinstance(app.screen, TriageScreen)
        await pilot.press("enter")
        await until(pilot, lambda: f"Neuron {third.neuron}" in screen_text(app))
        # The list beside it knows the new scores.
        score = f"{third.score:.2f}"
        await until(pilot, lambda: score in screen_text(app))


async def test_what_a_row_would_do_never_arrives_on_another(small_home: Path) -> None:
    async with running(small_home) as (app, pilot):
        await pilot.press("T", "N")
        await until(pilot, lambda: "neurons are left" in screen_text(app))
        for _ in range(3):
            app.post_message(Key("j", "j"))  # faster than anything can be reckoned
        await until(pilot, lambda: "neurons are left" not in screen_text(app))
        await pilot.app.workers.wait_for_complete(
            [one for one in app.workers if one.name == RECKONING]
        )
        await pilot.press("enter", *"1:3")
        assert "neurons are left" not in screen_text(app) and "1:3" in screen_text(app)
        assert triages(app).status() is None


async def test_a_batch_is_sent_and_collected(
    small_home: Path, loopback: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROGLASS_ANTHROPIC_BASE_URL", loopback.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
    loopback.brain = lambda seen: (
        '{"activations": [[0, 5], [2, 9]]}' if "Responds" in seen.text else "rain"
    )
    chosen = Choices(
        explainer="summary", explainer_model="anthropic:tester", simulator="json", chance=False
    )
    async with running(small_home) as (app, pilot):
        assert isinstance(app.engine, Engine)
        await app.engine.remember(chosen)
        await pilot.press("T", "N", "j", "j", "j", "enter", *"1:3", "enter")
        await until(pilot, lambda: "1 of 1 neurons are left" in screen_text(app))
        await until(pilot, lambda: "b asks through a batch" in screen_text(app))
        await pilot.press("b")
        await until(pilot, lambda: "at half the price" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: waits("0 of 1", app))
    async with running(small_home) as (app, pilot):
        await pilot.press("T")
        await until(pilot, lambda: waits("0 of 1", app))
        loopback.batches.work()
        await pilot.press("p")
        await until(pilot, lambda: waits("0 of 10", app))
        loopback.batches.work()
        await pilot.press("p")
        await until(pilot, lambda: "finished" in screen_text(app))
        await until(pilot, lambda: "Leaderboard 1" in screen_text(app))
    assert len(loopback.batches.asked) == 11 and not loopback.requests


async def test_a_run_outlives_the_app_and_is_stopped_in_the_next(home: Path) -> None:
    async with running(home) as (app, pilot):
        await pilot.press("T", "N", "j")
        await until(pilot, lambda: "6,144 of 6,144 neurons are left" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: "running" in screen_text(app))
    async with running(home) as (app, pilot):
        await pilot.press("T")
        await until(pilot, lambda: "running" in screen_text(app) and "/s" in screen_text(app), 60)
        await pilot.press("N")
        assert "A run is under way" in screen_text(app)
        await pilot.press("p")
        await until(pilot, lambda: "stopped" in screen_text(app), 60)
        assert "p resume" in screen_text(app)
        status = triages(app).status()
        assert status is not None and status.standing is Standing.STOPPED
        assert 0 < status.stored.done < 6144
        # The board is sorted and filtered where it stands.
        await pilot.press("slash", *"score>.99", "enter")
        await until(pilot, lambda: "/ score>.99" in screen_text(app))
        board = triages(app).board()
        board.refresh()
        _, total = board.page(Filter(score_low=0.99))
        await until(pilot, lambda: f"Leaderboard {total}" in screen_text(app))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: not isinstance(app.screen, TriageScreen))


def test_a_filter_is_read() -> None:
    assert parse("") == Filter()
    assert parse("plural nouns") == Filter(text="plural nouns")
    assert parse("a score>=.5 score < .9 b") == Filter(text="a b", score_low=0.5, score_high=0.9)
    assert parse("active<1% layer=3 by=summary") == Filter(
        layer=3, active_high=0.01, explainer="summary"
    )
    assert parse("score=1") == Filter(score_low=1, score_high=1)
    assert parse("2>1") == Filter(text="2>1")
    for text in ("score>x", "layer>3", "layer=a", "by<me", "score>nan"):
        with pytest.raises(UsageError, match="limits nothing") as told:
            parse(text)
        name = re.split(r"\W", text)[0]
        assert re.search(rf" as in {name}\W\S+\.$", str(told.value))
        assert len(str(told.value)) < 80, "one line of any terminal has it all"


def test_where_a_run_goes_is_read() -> None:
    assert where("3 1, 3") == ((1, 3), (), None, 0)
    assert where("5:131 L2N4") == ((), (NeuronId(2, 4), NeuronId(5, 131)), None, 0)
    assert where("all") == ((), (), None, 0)
    assert where("2 random 200 seed 7") == ((2,), (), 200, 7)
    for text in ("", "random", "seed x", "nowhere"):
        with pytest.raises(UsageError):
            where(text)
