"""The config file, and where the user was: read, checked, told, taken up again."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_app import press, screen_text, until
from test_terminal import Terminal
from textual.pilot import Pilot

from engine.engine import Engine
from engine.neuron import NeuronId
from tui.app import NeuroglassApp, make_app
from tui.cli.root import cli
from tui.look import Look
from tui.remembering import NAME
from tui.settings import OPTIONS, Settings, documented, load


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "a folder" / "config.toml"
    monkeypatch.setenv("NEUROGLASS_CONFIG", str(path))
    return path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")


@asynccontextmanager
async def started(home: Path) -> AsyncIterator[tuple[NeuroglassApp, Pilot[object]]]:
    """The app as a user starts it: with the config file, and where it was left."""

    async def factory() -> Engine:
        return await Engine.open(home)

    settings, problems = load()
    app = make_app(
        factory, scan=False, settings=settings, problems=problems, restore=settings.restore
    )
    async with app.run_test(size=(120, 40)) as pilot:
        pilot.press = partial(press, pilot)  # type: ignore[method-assign]
        await until(pilot, lambda: app.explorer.neuron_view is not None)
        yield app, pilot
        if not app.leaving:
            app.leave()
            await until(pilot, lambda: not app.is_running or app.engine is None or app._exit)


# ------------------------------------------------------------------ the file


def test_without_a_file_the_defaults_hold_and_the_documented_file_says_them(config: Path) -> None:
    assert load() == (Settings(), [])
    write(config, documented())
    assert load() == (Settings(), [])
    write(config, "\n".join(line.removeprefix("# ") for line in documented().splitlines()[3:12:3]))
    assert load() == (Settings(), [])
    chosen = Settings(
        theme="light",
        mouse=False,
        fps=20,
        colours="viridis",
        scale="excerpt",
        figures=True,
        difference=True,
        keymap={"explain": ("x", "g x")},
    )
    write(config, documented(chosen))
    settings, problems = load()
    assert settings == chosen
    assert problems == [f"{config}: keymap: x is taken by explain; cancel goes without it."]
    assert {option.about for option in OPTIONS.values()} <= {
        line.removeprefix("# ") for line in documented().splitlines()
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("colour = 1", "there is no option 'colour'"),
        ("fps = 0", "fps must be a number from 1 to 120, not 0."),
        ("fps = true", "fps must be a number"),
        ("mouse = 'no'", "mouse must be auto, true or false, not 'no'."),
        ("group = 'best'", "group must be one of top,"),
        ("theme = 3", "theme must be a name"),
        ("colours = 'red'", "colours must be one of ember, viridis, purple-green, grey, not"),
        ("scale = 'layer'", "scale must be neuron or excerpt, not 'layer'."),
        ("figures = 1", "figures must be true or false, not 1."),
        ("difference = 'no'", "difference must be true or false"),
        ("theme =", "is no TOML"),
        ("keymap = 1", "keymap must be a table"),
        ("[keymap]\nnothing = 'x'", "keymap.nothing: there is no such action"),
        ("[keymap]\nexplain = 3", "keymap.explain must be a key"),
        ("[keymap]\nexplain = 'hyper+x'", "keymap.explain: There is no key 'hyper+x'."),
        ("[keymap]\nexplain = '7'", "digits begin a count"),
        ("[keymap]\nneuron.next = 's'", "s is taken by neuron.next; save goes without it."),
        ("[keymap]\nexplain = 'g'", "gg is taken by explain; move.home goes without it."),
    ],
)
def test_what_is_wrong_names_file_and_key_and_the_rest_holds(
    config: Path, text: str, told: str
) -> None:
    write(config, f"confirm_quit = false\n{text}" if "no TOML" not in told else text)
    settings, problems = load()
    assert any(str(config) in line and told in line for line in problems), problems
    assert settings.confirm_quit is ("no TOML" in told)


def test_the_command_shows_and_writes_it(config: Path) -> None:
    run = CliRunner()
    assert run.invoke(cli, ["config", "path"]).stdout == f"{config}\n"
    assert run.invoke(cli, ["config", "init"]).exit_code == 0
    assert config.read_text() == documented()
    again = run.invoke(cli, ["config", "init"])
    assert again.exit_code == 2 and "is there already" in again.stderr
    write(config, "fps = 20\nnonsense = 1")
    shown = run.invoke(cli, ["config", "show"])
    assert shown.exit_code == 1
    assert "\nfps = 20\n" in shown.stdout and "nonsense" in shown.stderr
    facts = json.loads(run.invoke(cli, ["config", "show", "--json"]).stdout)
    assert facts["fps"] == 20 and len(facts["problems"]) == 1
    assert (facts["colours"], facts["scale"], facts["figures"]) == ("ember", "neuron", False)
    doctor = json.loads(run.invoke(cli, ["doctor", "--json"]).stdout)["findings"]
    [finding] = [one for one in doctor if one["name"] == "config"]
    assert finding["status"] == "fail" and "nonsense" in finding["text"]
    keys = json.loads(run.invoke(cli, ["config", "keys", "--json"]).stdout)["actions"]
    assert {"id": "explain", "keys": ["e"], "does": "Explain the neuron and score it"} in keys


async def test_own_keys_and_choices_hold_and_a_problem_is_told(home: Path, config: Path) -> None:
    write(config, "theme = 'light'\nsort = 'strongest'\nnonsense = 1\n[keymap]\nhelp = ['g h']")
    async with started(home) as (app, pilot):
        await until(pilot, lambda: "there is no option 'nonsense'" in screen_text(app))
        assert app.theme == "neuroglass-light"
        assert "strongest first" in screen_text(app)
        assert "gh keys" in screen_text(app)
        await pilot.press("question_mark")
        await pilot.press("g", "h")
        await until(pilot, lambda: "Keys of this screen" in screen_text(app))


async def test_how_heatmaps_are_drawn_is_configured_switched_and_comes_back(
    home: Path, config: Path
) -> None:
    write(config, "colours = 'viridis'\nscale = 'excerpt'\nfigures = true\ndifference = true")
    async with started(home) as (app, pilot):
        configured = app.palette
        assert app.session.look == Look(numbers=True, per_excerpt=True, difference=True)
        below = re.compile(r" slow;.*\n.*│▌ +\.\d +\d\.\d ")
        await until(pilot, lambda: below.search(screen_text(app)) is not None)
        await pilot.press("z")
        await until(pilot, lambda: "One scale per neuron." in screen_text(app))
        await pilot.press("d")
        await until(pilot, lambda: "Real above simulated" in screen_text(app))
        await pilot.press("colon", *"colours red", "enter")
        await until(pilot, lambda: "There are no colours red: ember, viri" in screen_text(app))
        await pilot.press("colon", *"colours grey", "enter")
        await until(pilot, lambda: "Colours: grey." in screen_text(app))
    async with started(home) as (app, pilot):
        assert app.ramp == "grey" and app.palette.heat != configured.heat
        assert app.session.look == Look(numbers=True), "what was switched holds"
    write(config, "colours = 'grey'\nfigures = false")
    async with started(home) as (app, pilot):
        assert app.session.look == Look(), "what was not switched is as configured"
        await pilot.press("C")
        await until(pilot, lambda: "Colours: ember." in screen_text(app))


# ------------------------------------------------------------------ where the user was


async def test_the_app_opens_where_it_was_left(home: Path, config: Path) -> None:
    async with started(home) as (app, pilot):
        await pilot.press("colon", *"5:131", "enter", "m", "k", "colon", *"2:7", "enter")
        await pilot.press("o", "7", "full_stop", "t", "g", "t")
        await until(pilot, lambda: app.frame.NAME == "triage")
    async with started(home) as (app, pilot):
        await until(pilot, lambda: app.frame.NAME == "triage")
        await pilot.press("escape")
        await until(pilot, lambda: "Neuron 2:7" in screen_text(app))
        assert "strongest first" in screen_text(app)
        assert (app.session.group, app.theme) == ("bottom", "neuroglass-light")
        await pilot.press("colon", "up", "enter", "H")
        await until(pilot, lambda: "Neuron 5:131" in screen_text(app))
        await pilot.press("colon", *"0:0", "enter", "apostrophe", "k")
        await until(pilot, lambda: "Neuron 5:131" in screen_text(app))


@pytest.mark.parametrize(
    "kept",
    [
        3,
        {"sort": 4, "group": "x", "commands": 1, "screen": "gone", "view": 5},
        {"view": {"colours": "red", "figures": 1, "scale": ["neuron"], "more": True}},
    ],
)
async def test_what_was_kept_and_makes_no_sense_is_passed_over(
    home: Path, config: Path, kept: object
) -> None:
    async with await Engine.open(home) as engine:
        assert engine.index is not None
        await engine.store.remember(NAME, kept)
        place = {"neuron": "99:1", "visited": [1, "x", "1:1"], "marks": {"a": "b"}}
        await engine.store.remember(f"{NAME}:{engine.index.model_id}", place)
    async with started(home) as (app, _):
        assert "Neuron 0:0" in screen_text(app)
        assert app.session.visited.places == [NeuronId(1, 1), NeuronId(0, 0)]
        assert (app.ramp, app.session.look) == ("ember", Look())


async def test_a_hang_up_keeps_where_one_was(home: Path, config: Path) -> None:
    terminal = Terminal(home)
    try:
        terminal.wait_for("Statistics")
        os.write(terminal.fd, b":3:33\r")
        terminal.wait_for("Neuron 3:33")
        os.kill(terminal.pid, signal.SIGHUP)
        assert terminal.exit_status() == 0
    finally:
        terminal.kill()
    async with started(home) as (app, pilot):
        await until(pilot, lambda: "Neuron 3:33" in screen_text(app))
