"""Recording and playing sessions, through the command line and a real pseudo-terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from tests.bench.terminal import Terminal
from tests.small_index import FOLDER
from tui.cli.root import cli
from tui.replay.recorder import Recorder
from tui.replay.script import Script, Size, Step, read_script, to_toml
from tui.theme import DARK, LIGHT
from tui.theme import THEMES as ALL

THEMES = {theme.name: theme for theme in ALL}
SESSION = """
title = "two pictures"
sizes = ["80x24"]
prepare = ["annotate 0:1 --star --note seen"]
steps = [
  { keys = "j", picture = "second neuron" },
  { size = "60x20", picture = "smaller" },
  { keys = "q" },
  { keys = "j", picture = "never, the app has ended" },
]
"""


def run(*args: str) -> tuple[int, str]:
    """A command's status and all it printed."""
    result = CliRunner().invoke(cli, ["--index", str(FOLDER), *args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_pictures_are_written_and_compared(tmp_path: Path) -> None:
    file, out = tmp_path / "one.toml", tmp_path / "pictures"
    file.write_text(SESSION)
    code, text = run("replay", str(file), "--out", str(out))
    assert code == 0, text
    assert sorted(path.name for path in out.iterdir()) == [
        "80x24 second neuron.svg",
        "80x24 smaller.svg",
    ]
    svg = (out / "80x24 second neuron.svg").read_text()
    assert "0:1" in svg.replace("&#160;", " ") and "seen" in svg  # what was prepared is there
    assert run("replay", str(file), "--out", str(out), "--check")[0] == 0
    (out / "80x24 smaller.svg").write_text(svg)
    code, text = run("replay", str(file), "--out", str(out), "--check")
    assert code == 1 and "80x24 smaller.svg" in text


def test_another_index_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text('index = "another"\nsteps = [{ keys = "j" }]')
    code, text = run("replay", str(file))
    assert code == 2 and "another index" in text and "--any-index" in text
    assert run("replay", str(file), "--any-index")[0] == 0


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("steps = []", "no steps"),
        ("steps = [1]", "step 1 is no table"),
        ("steps = [{ key = 'j' }]", "unknown 'key'"),
        ("steps = [{ size = '80' }]", "'80' is no size"),
        ("steps = [{ picture = '../x' }]", "can't be a file's name"),
        ("steps = [{ picture = 'a' }, { picture = 'a' }]", "two pictures are named 'a'"),
        ("sizes = [80]\nsteps = [{ keys = 'j' }]", "'sizes' is no list of texts"),
        ("title = 3\nsteps = [{ keys = 'j' }]", "'title' is not of the right type"),
        ("steps = [", "is no session"),
    ],
)
def test_what_is_no_session_is_told_in_a_line(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"bad\.toml") as caught:
        read_script(file)
    assert what in caught.value.message


def test_a_theme_is_the_files_or_that_of_the_command_line(tmp_path: Path) -> None:
    file, out = tmp_path / "one.toml", tmp_path / "pictures"
    file.write_text(f'theme = "light"\n{SESSION}')
    run("replay", str(file), "--out", str(out))
    light = (out / "80x24 smaller.svg").read_text()
    assert THEMES[LIGHT].background in light and THEMES[DARK].background not in light
    run("replay", str(file), "--out", str(out), "--theme", "dark")
    dark = (out / "80x24 smaller.svg").read_text()
    assert THEMES[DARK].background in dark and THEMES[LIGHT].background not in dark
    code, text = run("replay", str(file), "--theme", "mauve")
    assert code == 2 and "no theme 'mauve'" in text and "light" in text


def test_a_session_may_begin_with_nothing_scanned(tmp_path: Path) -> None:
    file, out = tmp_path / "one.toml", tmp_path / "pictures"
    file.write_text('index = "none"\nsteps = [{ keys = "e", picture = "opened" }]')
    assert run("replay", str(file), "--out", str(out))[0] == 0
    text = (out / "120x40 opened.svg").read_text().replace("&#160;", " ")
    assert "Nothing has been scanned yet." in text


def test_what_a_session_writes_is_of_the_same_day_always(tmp_path: Path) -> None:
    file, out = tmp_path / "one.toml", tmp_path / "pictures"
    file.write_text('steps = [{ keys = "e s g l", picture = "saved" }]')
    assert run("replay", str(file), "--out", str(out))[0] == 0
    text = (out / "120x40 saved.svg").read_text().replace("&#160;", " ")
    assert "by token-lookup, 2026-01-02" in text


def test_a_failing_command_is_told(tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text('prepare = ["show 99:1"]\nsteps = [{ keys = "j" }]')
    code, text = run("replay", str(file))
    assert code == 1 and "show 99:1" in text and "Traceback" not in text


names = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
sizes = st.builds(Size, st.integers(1, 500), st.integers(1, 500))
steps = st.builds(
    Step, st.lists(names, max_size=4).map(tuple), st.text(max_size=8), st.none() | sizes, st.text()
)


@given(st.text(max_size=20), st.lists(steps, min_size=1, max_size=5), st.lists(sizes, min_size=1))
def test_a_written_session_is_read_back(title: str, some: list[Step], places: list[Size]) -> None:
    import tempfile

    script = Script(title, tuple(some), tuple(places), "abc", "dark", ("show 1:1",), 3)
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        Path(file.name).write_text(to_toml(script), "utf-8")
        assert read_script(Path(file.name)) == script


def test_a_step_ends_where_the_user_pauses() -> None:
    now = [0.0]
    recorder = Recorder(lambda: now[0])
    recorder.resized(Size(100, 30))
    for key, wait in (("j", 0.1), ("j", 0.1), ("enter", 3.0), ("question_mark", 0.1)):
        now[0] += wait
        recorder.key(key)
    recorder.resized(Size(80, 24))
    recorder.key("q")
    script = recorder.script("title", "abc", "dark")
    assert script.sizes == (Size(100, 30),)
    assert [step.keys for step in script.steps] == [
        (),
        ("j", "j"),
        ("enter", "question_mark"),
        (),
        ("q",),
    ]
    assert script.steps[3].size == Size(80, 24)
    assert len({step.picture for step in script.steps[:-1]}) == 4 and not script.steps[-1].picture


def test_recorded_in_a_terminal_and_played_again(tmp_path: Path) -> None:
    file = tmp_path / "recorded.toml"
    command = [sys.executable, "-m", "tui", "--index", str(FOLDER), "record", str(file)]
    with Terminal(command) as terminal:
        terminal.wait(lambda text: "Neuron 0:0" in text)
        terminal.send(b"jj")
        terminal.wait(lambda text: "Neuron 0:2" in text)
        terminal.send(b"q")
        terminal.wait(lambda _: file.exists())
    script = read_script(file)
    assert [key for step in script.steps for key in step.keys] == ["j", "j", "q"]
    out = tmp_path / "pictures"
    code, text = run("replay", str(file), "--out", str(out))
    assert code == 0, text
    last = max(out.iterdir()).read_text().replace("&#160;", " ")
    assert "0:2" in last
