"""UI sessions of the library and the map as pictures: every state, two sizes, both themes."""

from __future__ import annotations

import sqlite3
from typing import Any

from test_sessions_triage import explained
from ui_player import WIDE, Play

from engine.engine import Engine
from engine.neuron import NeuronId


async def filled(app: object) -> Engine:
    """Explain two layers for real; star, tag and note; make the clock the same for ever."""
    engine = await explained(app)
    model = engine.index_facts().model_id
    for neuron in (NeuronId(1, 4), NeuronId(3, 7)):
        await engine.store.set_star(model, neuron, True)
        await engine.store.set_tags(model, neuron, ["odd", "look again"])
    await engine.store.set_note(model, NeuronId(3, 7), "Fires more in [code] than in prose.")
    connection = sqlite3.connect(engine.store.path)
    with connection:
        connection.execute("UPDATE explanations SET created_at = '2026-01-02T03:04:05.000Z'")
    connection.close()
    return engine


@WIDE
async def test_the_library(play: Play, size: tuple[int, int]) -> None:
    async with play(size) as (pilot, shoot):
        await pilot.press("g", "l")
        await shoot("1 nothing saved yet")
        await filled(pilot.app)
        await pilot.press("escape", "g", "l", "j", "space")
        await shoot("2 one marked")
        await pilot.press("v")
        await shoot("3 compared")
        await pilot.press("escape", "slash", *"wor tag=odd")
        await shoot("4 typing")
        await pilot.press(*" score>x")
        await shoot("5 no such limit")
        await pilot.press("escape", "escape", "f", *"jjl")
        await shoot("6 limits")
        await pilot.press("escape", *"ooooo")
        await shoot("6 sorted by explainer")
        await pilot.press("o", "f")
        await pilot.press("x", "escape", "j", "d")
        await shoot("7 deleted")
        await pilot.press("slash", *"nowhere", "enter")
        await shoot("8 nothing like it")


@WIDE
async def test_the_map(play: Play, size: tuple[int, int]) -> None:
    async with play(size) as (pilot, shoot):
        await filled(pilot.app)
        await pilot.press("M", "right_square_bracket", *"llll")
        await shoot("1 by score")
        await pilot.press("full_stop", "j")
        await shoot("2 by maximum")
        await pilot.press("c")
        await shoot("3 signs")
        await pilot.press(*"4", "full_stop", "u")
        await shoot("4 by explanations")


async def test_library_and_map_small_light_and_colourless(play: Play, monkeypatch: Any) -> None:
    async with play((60, 20)) as (pilot, shoot):
        await filled(pilot.app)
        await pilot.press("g", "l", "j")
        await shoot("library small")
        await pilot.press("M", "full_stop")
        await shoot("map small")
    async with play((120, 40), theme="neuroglass-light") as (pilot, shoot):
        await pilot.press("g", "l", "j")
        await shoot("library light")
        await pilot.press("M", "full_stop")
        await shoot("map light")
    monkeypatch.setenv("NO_COLOR", "1")
    async with play((120, 40)) as (pilot, shoot):
        await pilot.press("g", "l", "j")
        await shoot("library no colour")
        await pilot.press("M", "full_stop", "j")
        await shoot("map no colour")
