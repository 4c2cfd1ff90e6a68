"""UI sessions with language models, which a server on this machine plays."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest
from loopback.server import Loopback, Says, Script, Seen, Status
from ui_player import WIDE, Play

from engine.choices import Choices, Price
from engine.engine import Engine
from engine.models.replies import FILE_NAME

MODEL = "vllm:tester"
#: What explaining and scoring a neuron asks for.
ALL = 43
CHOICES = Choices(
    explainer="summary",
    explainer_model=MODEL,
    simulator="json",
    scorers=("ablation",),
    prices={MODEL: Price(2, 8)},
)


class Brain:
    """Predicts tokens that begin with a space and a t; one record it can't do."""

    def __init__(self) -> None:
        self.bad = ""

    def __call__(self, seen: Seen) -> Script:
        if "Predict how strongly" not in seen.text:
            return Says("words that begin with the letter t, above all articles", pieces=12)
        question = str(seen.body["messages"][-1]["content"])
        self.bad = self.bad or question
        if self.bad in seen.text:
            return "I would rather not."
        pairs = []
        for line in question.splitlines():
            number, tab, token = line.partition("\t")
            if tab and number.isdigit() and token.startswith(" t"):
                pairs.append([int(number), 7])
        return json.dumps({"activations": pairs})


@pytest.fixture(autouse=True)
def served(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> Loopback:
    """The provider ``vllm`` is the server on this machine."""
    monkeypatch.setenv("NEUROGLASS_VLLM_BASE_URL", f"{loopback.url}/v1")
    loopback.brain = Brain()
    return loopback


def replies(app: object) -> int:
    """How many replies are kept."""
    engine = getattr(app, "engine", None)
    assert isinstance(engine, Engine)
    with contextlib.closing(sqlite3.connect(engine.home / FILE_NAME)) as kept:
        [count] = kept.execute("SELECT count(*) FROM replies").fetchone()
    return int(count)


async def remember(app: object, choices: Choices = CHOICES) -> None:
    engine = getattr(app, "engine", None)
    assert isinstance(engine, Engine)
    await engine.remember(choices)


@WIDE
async def test_choosing(play: Play, size: tuple[int, int]) -> None:
    async with play(size) as (pilot, shoot):
        await pilot.press("c")
        await shoot("1 defaults")
        await pilot.press("enter", "enter", "enter", "j", "enter", *MODEL, "enter", "k")
        await shoot("2 not possible")
        await pilot.press("j", "j", "l", "l", "l", "k", "k")
        await shoot("3 estimated")
        await pilot.press("s", "e")
        await shoot("4 asked first")


@WIDE
async def test_explained_by_a_model(play: Play, size: tuple[int, int], served: Loopback) -> None:
    async with play(size, words=5) as (pilot, shoot):
        await remember(pilot.app)
        await pilot.press(":", *"1:1", "enter", "e")
        await shoot("1 asked")
        await pilot.press("enter")
        await shoot("2 words streaming")
        # The run goes on behind the words: how far it is must not depend on the machine.
        while replies(pilot.app) < ALL:
            await pilot.pause(0.05)
        await pilot.press("x")
        await shoot("3 cancelled")
    async with play(size) as (pilot, shoot):
        await pilot.press(":", *"1:1", "enter", "e")
        await pilot.press("enter")
        await shoot("4 scored, a record missing")
        await pilot.press("s", "8", ".")
        await shoot("5 missing values")
        await pilot.press("E", *"the letter t", "enter")
        await shoot("6 own words scored")
        await pilot.press("v")
        await shoot("7 compared")
        await pilot.press("l", "d")
        await shoot("8 deleting")


@WIDE
async def test_a_model_that_fails(
    play: Play,
    size: tuple[int, int],
    served: Loopback,
) -> None:
    served.brain = lambda seen: Status(401, "no", "invalid_api_key")
    async with play(size) as (pilot, shoot):
        await remember(pilot.app)
        await pilot.press(":", *"1:1", "enter", "e")
        await pilot.press("enter")
        await shoot("1 wrong key")
