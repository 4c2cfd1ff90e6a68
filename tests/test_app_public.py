"""Published neurons and one's own in one app: gone to from the library, and back."""

from __future__ import annotations

import shutil
from pathlib import Path

import public_samples as samples
from store_samples import carded
from test_app import running, screen_text, until

from engine.engine import Engine
from engine.neuron import NeuronId
from engine.paths import write_pointer
from tests.small_index import FOLDER
from tui.screens.library import LibraryScreen
from tui.widgets.library_pane import LibraryPane


async def test_from_ones_own_index_to_a_dataset_and_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    write_pointer(home, FOLDER)
    source = samples.write_dataset(tmp_path / "made-up")
    async with Engine.open(home) as engine:
        await engine.save(engine.written(NeuronId(2, 3), "of the index"), carded(0.4))
    async with Engine.open(home, source=str(source)) as engine:
        await engine.save(engine.written(NeuronId(1, 4), "of the files"), carded(0.9))
    async with running(home) as (app, pilot):
        engine = app.engine
        assert engine is not None

        async def opened(text: str) -> None:
            await pilot.press("g", "l")
            await until(pilot, lambda: isinstance(app.screen, LibraryScreen))
            pane = app.screen.query_one(LibraryPane)
            await until(pilot, lambda: len(pane.shelf.ids) == 2)
            await pilot.press(*("gg" if text == "of the files" else "G"))
            await until(pilot, lambda: pane.current is not None and pane.current.text == text)
            await pilot.press("enter")

        await opened("of the files")
        await until(pilot, lambda: "published neurons · no model" in screen_text(app))
        await until(pilot, lambda: "Neuron 1:4" in screen_text(app))
        assert engine.dataset is not None and engine.index is None
        assert "The river" in screen_text(app)
        shutil.move(source, tmp_path / "elsewhere")
        await opened("of the index")
        await until(pilot, lambda: "index complete" in screen_text(app))
        assert engine.dataset is None and engine.index is not None
        await opened("of the files")
        await until(pilot, lambda: f"There is no {source}"[:40] in screen_text(app))
        assert engine.index is not None and isinstance(app.screen, LibraryScreen)


async def test_a_part_of_a_dataset_is_walked_by_what_is_there(tmp_path: Path) -> None:
    source = samples.write_dataset(tmp_path / "made-up")

    async def factory() -> Engine:
        return await Engine.open(tmp_path / "home", source=str(source))

    from tui.app import make_app

    app = make_app(factory, scan=False)
    async with app.run_test(size=(60, 20)) as pilot:
        await until(pilot, lambda: app.explorer.neuron_view is not None)
        seen = [app.explorer.session.neuron]
        for key in ("j", "right_square_bracket", "end", "left_square_bracket", *"o5G", *"1G"):
            await pilot.press(key)
            seen.append(app.explorer.session.neuron)
        assert seen[:5] == [NeuronId(*one) for one in ((0, 2), (0, 7), (1, 5), (1, 9), (0, 7))]
        assert seen[-1] == NeuronId(0, 2)
        written = tmp_path / "seen.md"
        await pilot.press("colon", *f"export {written}", "enter")
        await until(pilot, written.exists)
        assert "# Neuron 0:2" in written.read_text() and "The river" in written.read_text()
        await pilot.press("colon", *"1:6", "enter")
        await until(pilot, lambda: "no files of neur" in screen_text(app))
        assert "neurons here, such as 1:4." in screen_text(app)
        await app.jobs.close()
        assert app.engine is not None
        await app.engine.close()
