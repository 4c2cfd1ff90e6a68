"""The library and the map in the app: found, compared, annotated, deleted, opened."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from store_samples import carded
from test_app import running, screen_text, until
from textual.pilot import Pilot

from engine.engine import Engine
from engine.errors import IndexFormatError, UsageError
from engine.explanation import Explanation
from engine.index import Index
from engine.neuron import NeuronId
from engine.neuron_map import Quantity
from engine.paths import write_pointer
from engine.store import LibraryFilter
from tests.small_index import FOLDER, NEURONS
from tui.app import NeuroglassApp
from tui.library_filter import limit_of, limited, parse
from tui.screens.compare import CompareScreen
from tui.screens.library import LibraryScreen
from tui.screens.neuron_map import MapScreen
from tui.widgets.library_pane import LibraryPane
from tui.widgets.map_pane import MapPane

WORDS = ("plural nouns", "verbs in capitals", "dates", "[bold]names\x1b[31m of places", "nouns")


@pytest.fixture
def small_home(tmp_path: Path) -> Path:
    home = tmp_path / "small-home"
    home.mkdir()
    write_pointer(home, FOLDER)

    async def fill() -> None:
        async with await Engine.open(home) as engine:
            for number, text in enumerate(WORDS):
                explanation = Explanation(NeuronId(number, 3), text, "human", {}, None, ())
                await engine.save(explanation, carded(round(0.9 - number / 10, 1)))

    asyncio.run(fill())
    return home


@asynccontextmanager
async def at(
    home: Path, key: str, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[NeuroglassApp, Pilot[object], LibraryPane]]:
    async with running(home, size) as (app, pilot):
        await pilot.press(*key)
        await until(pilot, lambda: isinstance(app.screen, LibraryScreen))
        pane = app.screen.query_one(LibraryPane)
        await until(pilot, lambda: pane.preview is not None)
        yield app, pilot, pane


def texts(pane: LibraryPane) -> list[str]:
    return [pane.shelf.rows[one].text for one in pane.shelf.ids if one in pane.shelf.rows]


def store_of(app: NeuroglassApp) -> Engine:
    assert isinstance(app.engine, Engine)
    return app.engine


async def test_searched_as_one_types_and_limited(small_home: Path) -> None:
    async with at(small_home, "gl") as (app, pilot, pane):
        assert texts(pane) == list(WORDS)
        assert "\x1b" not in screen_text(app) and "[bold]names" in screen_text(app)
        await pilot.press("slash", *"nou")
        await until(pilot, lambda: texts(pane) == ["plural nouns", "nouns"])
        assert "2 of 5" in screen_text(app)
        for key in '" OR (':
            await pilot.press("space" if key == " " else key)
        await until(pilot, lambda: not pane.shelf.ids)
        assert "No saved explanation is like that" in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: len(pane.shelf.ids) == 5)
        await pilot.press("slash", *"score>.x")
        await until(pilot, lambda: "limits nothing" in screen_text(app))
        await pilot.press("ctrl+u", *"score>.6 layer=1", "enter")
        await until(pilot, lambda: texts(pane) == ["verbs in capitals"])
        await pilot.press("escape")
        await until(pilot, lambda: len(pane.shelf.ids) == 5)
        # The same by choosing.
        await pilot.press("f")
        await until(pilot, lambda: "Show only" in screen_text(app))
        await pilot.press("j", "l", "l")
        await until(pilot, lambda: texts(pane) == ["verbs in capitals"])
        assert "/ layer=1" in screen_text(app)
        await pilot.press("x", "enter")
        await until(pilot, lambda: len(pane.shelf.ids) == 5)
        await pilot.press("o", "o")
        await until(pilot, lambda: "newest first" in screen_text(app))
        await until(pilot, lambda: texts(pane) == list(reversed(WORDS)))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, LibraryScreen))


async def test_deleted_and_brought_back_also_after_a_restart(small_home: Path) -> None:
    async with at(small_home, "gl") as (app, pilot, pane):
        await pilot.press("space", "space")
        await until(pilot, lambda: len(pane.marked) == 2)
        await pilot.press("d")
        await until(pilot, lambda: texts(pane) == list(WORDS[2:]))
        assert "u brings back" in screen_text(app)
        await pilot.press("u")
        await until(pilot, lambda: texts(pane) == list(WORDS))
        await pilot.press("G", "d")
        await until(pilot, lambda: texts(pane) == list(WORDS[:4]))
    async with at(small_home, "gl") as (app, pilot, pane):
        assert texts(pane) == list(WORDS[:4])
        await pilot.press("slash", *"deleted=yes", "enter")
        await until(pilot, lambda: texts(pane) == [WORDS[4]])
        assert "deleted 2" in screen_text(app)
        await pilot.press("d")
        await until(pilot, lambda: "deleted already" in screen_text(app))
        await pilot.press("u")
        await until(pilot, lambda: not pane.shelf.ids)
        assert store_of(app).store.counts().scorings == 5
        await pilot.press("escape", "u")
        await until(pilot, lambda: "Nothing deleted is left" in screen_text(app))


async def test_neurons_are_annotated_where_they_stand(small_home: Path) -> None:
    async with at(small_home, "gl") as (app, pilot, pane):
        model = store_of(app).index_facts().model_id
        await pilot.press("j", "asterisk")
        await until(pilot, lambda: pane.current is not None and pane.current.starred)
        await pilot.press("number_sign", *"odd one, later", "enter")
        await until(pilot, lambda: "#odd one #later" in screen_text(app))
        await pilot.press("a", *"look [red]again", "escape")
        await until(pilot, lambda: "look [red]again" in screen_text(app))
        found = store_of(app).store.annotations(model, 1)[3]
        assert (found.starred, found.tags, found.note) == (
            True,
            ("odd one", "later"),
            "look [red]again",
        )
        await pilot.press("slash", *'tag="odd one"', "enter")
        await until(pilot, lambda: texts(pane) == [WORDS[1]])
        await pilot.press("asterisk")
        await until(pilot, lambda: pane.current is not None and not pane.current.starred)


async def test_two_are_compared_and_one_deleted_there(small_home: Path) -> None:
    async with at(small_home, "gl") as (app, pilot, pane):
        await pilot.press("v")
        await until(pilot, lambda: "Mark another one" in screen_text(app))
        await pilot.press("space", "j", "v")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await until(pilot, lambda: "2:3  demo" in screen_text(app))
        assert WORDS[0] in screen_text(app) and WORDS[2] in screen_text(app)
        await pilot.press("l", "d")
        await until(pilot, lambda: "Deleted #3" in screen_text(app))
        assert WORDS[2] not in screen_text(app)
        await pilot.press("u")
        await until(pilot, lambda: WORDS[2] in screen_text(app))
        await pilot.press("d", "escape")
        await until(pilot, lambda: isinstance(app.screen, LibraryScreen))
        await until(pilot, lambda: len(pane.shelf.ids) == 4)


async def test_what_is_opened_is_this_explanation_of_this_index(
    small_home: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(FOLDER, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["index_id"], manifest["model"]["name"] = "another", "twin"
    manifest["model"]["model_id"] = "another-model"
    (other / "manifest.json").write_text(json.dumps(manifest))
    async with await Engine.open(small_home) as engine:
        worse = Explanation(NeuronId(0, 3), "the worse one", "human", {}, None, ())
        await engine.save(worse, carded(0.05))
        engine.open_index(other)
        await engine.save(replace(worse, text="of the twin"), carded(0.95))
        facts = replace(engine.index_facts(), index_id="gone", path=str(tmp_path / "nowhere"))
        gone = replace(worse, text="of nothing")
        await engine.store.save_explanation(facts, gone, carded(0.01))
        with pytest.raises(IndexFormatError, match="gone"):
            Index.find("gone", tmp_path / "nowhere", engine.home)
    async with at(small_home, "gl") as (app, pilot, pane):
        await pilot.press("slash", *"worse", "enter")
        await until(pilot, lambda: texts(pane) == ["the worse one"])
        await pilot.press("enter")
        await until(pilot, lambda: "Neuron 0:3" in screen_text(app))
        await until(pilot, lambda: "Explanation" in screen_text(app))
        shown = app.explorer.neuron_view
        assert shown is not None and shown.saved[0].text == "the worse one"
        await pilot.press("g", "l")
        pane = app.screen.query_one(LibraryPane)
        await until(pilot, lambda: texts(pane) == ["the worse one"])
        await pilot.press("escape")
        await until(pilot, lambda: len(pane.shelf.ids) == 8)
        await pilot.press("G")
        await until(pilot, lambda: pane.current is not None and pane.current.text == "of nothing")
        await pilot.press("enter")
        await until(pilot, lambda: "is gone" in screen_text(app))
        assert isinstance(app.screen, LibraryScreen)
        await pilot.press("g", "g")
        await until(pilot, lambda: pane.current is not None and pane.current.text == "of the twin")
        await pilot.press("enter")
        await until(pilot, lambda: "twin · 6 layers" in screen_text(app))
        await until(pilot, lambda: "of the twin" in screen_text(app))
        assert store_of(app).index_facts().index_id == "another"


async def test_an_empty_library_says_what_to_do(tmp_path: Path) -> None:
    write_pointer(tmp_path, FOLDER)
    async with running(tmp_path) as (app, pilot):
        await pilot.press("g", "l")
        await until(pilot, lambda: "Nothing is saved yet" in screen_text(app))
        await pilot.press("d", "v", "enter", "asterisk", "a", "space")
        assert isinstance(app.screen, LibraryScreen)
        await until(pilot, lambda: "There is no explanation here" in screen_text(app))


async def test_a_store_that_fails_is_told_and_can_be_left(small_home: Path) -> None:
    async with running(small_home) as (app, pilot):
        connection = sqlite3.connect(store_of(app).store.path)
        connection.execute("ALTER TABLE scores RENAME TO lost")
        connection.close()
        await pilot.press("g", "l")
        await until(pilot, lambda: "failed" in screen_text(app) and "scores" in screen_text(app))
        await pilot.press("d", "j", "M")
        await until(pilot, lambda: isinstance(app.screen, MapScreen))
        await until(pilot, lambda: "failed" in screen_text(app) and "scores" in screen_text(app))
        await pilot.press("j", "plus", "enter", "u", "escape")
        await until(pilot, lambda: not isinstance(app.screen, MapScreen))


async def test_only_what_is_in_sight_is_read(small_home: Path) -> None:
    async with await Engine.open(small_home) as engine:
        for number in range(400):
            neuron = NeuronId(5, number % NEURONS)
            words = Explanation(neuron, f"filler {number}", "human", {}, None, ())
            await engine.save(words, None)
    async with at(small_home, "gl") as (app, pilot, pane):
        assert len(pane.shelf.ids) == 405
        assert len(pane.shelf.rows) <= 200
        await pilot.press("G")
        last = pane.shelf.ids[-1]
        await until(pilot, lambda: last in pane.shelf.rows)
        assert len(pane.shelf.rows) <= 200
        await until(pilot, lambda: "405 of 405" in screen_text(app))
        await pilot.press(*"100", "k")
        assert pane.cursor == 304
        await until(pilot, lambda: pane.current is not None)


def test_a_filter_is_read_and_written() -> None:
    assert parse("") == LibraryFilter()
    assert parse('plural "nouns" a=b') == LibraryFilter(text='plural "nouns" a=b')
    assert parse("a score>=.5 score < .9 b").text.split() == ["a", "b"]
    assert parse("score>=.5 score < .9") == LibraryFilter(score_low=0.5, score_high=0.9)
    assert parse('layer=3 by=summary sim=json tag="odd one" side=negative status=ok') == (
        LibraryFilter(
            layer=3,
            explainer="summary",
            simulator="json",
            tag="odd one",
            side="negative",
            status="ok",
        )
    )
    assert parse("neuron=5:131 starred=no deleted=yes model=demo") == LibraryFilter(
        neuron=NeuronId(5, 131), starred=False, deleted=True, model="demo"
    )
    # A limit that is still being typed limits nothing yet.
    for text in ("score", "score>", "layer=", 'tag="'):
        assert parse(f"words {text}").text in ("words", "words score")
    for text in ("score>x", "layer>3", "layer=a", "side=up", "starred=maybe", "neuron=x"):
        with pytest.raises(UsageError, match="limits nothing"):
            parse(text)
    line = limited("two words", "tag", "=odd one")
    assert line == 'two words tag="odd one"' and limit_of(line, "tag") == "=odd one"
    line = limited(limited(line, "score", ">=.5"), "tag", "")
    assert line == "two words score>=.5" and limit_of(line, "tag") == ""
    assert limited(line, "score", "<.2") == "two words score<.2"


# ---------------------------------------------------------------- the map


async def test_the_map_is_walked_zoomed_and_opened(home: Path) -> None:
    async with await Engine.open(home) as engine:
        explanation = Explanation(NeuronId(0, 1), "a word on it", "human", {}, None, ())
        await engine.save(explanation, carded(0.7))
    async with running(home) as (app, pilot):
        await pilot.press("M")
        await until(pilot, lambda: isinstance(app.screen, MapScreen))
        pane = app.screen.query_one(MapPane)
        await until(pilot, lambda: "1 of 6,144 explained" in screen_text(app))
        assert pane.factor == 1
        await until(pilot, lambda: "0:0  no value" in screen_text(app))
        await pilot.press("l")
        await until(pilot, lambda: "0:1  0.70  a word on it" in screen_text(app))
        await pilot.press("u")
        assert pane.neuron == NeuronId(0, 2)
        await pilot.press(*"3", "right_square_bracket")
        assert pane.neuron == NeuronId(3, 2)
        await pilot.press("minus")
        await until(pilot, lambda: "whole model is in sight" in screen_text(app))
        for quantity in list(Quantity)[1:]:
            await pilot.press("full_stop")
            await until(
                pilot,
                lambda quantity=quantity: pane.shown.quantity is quantity,  # type: ignore[misc,union-attr]
            )
            assert pane.value is not None
        await pilot.press("2", "full_stop")
        await until(pilot, lambda: "Largest activation" in screen_text(app))
        index = store_of(app).index
        assert index is not None
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "max of 4 neurons a cell" in screen_text(app))
        await pilot.press("plus")
        await until(pilot, lambda: "max of 2 neurons a cell" in screen_text(app))
        await pilot.press("z")
        await until(pilot, lambda: "max of 4 neurons a cell" in screen_text(app))
        assert pane.under is not None
        first, last, strongest = pane.under
        part = index.layer(first.layer).maximum[first.index : last.index + 1]
        assert strongest.index == first.index + int(part.argmax())
        assert pane.value == pytest.approx(part.max(), rel=1e-6)
        await pilot.press("p")
        assert pane.value == pytest.approx(part.mean(), rel=1e-6)
        await pilot.press("G", "home", "pagedown", "ctrl+u", "c", "plus")
        assert pane.under is not None
        opened = pane.under[2]
        await pilot.press("enter")
        await until(pilot, lambda: app.session.neuron == opened)
        await until(pilot, lambda: not isinstance(app.screen, MapScreen))
