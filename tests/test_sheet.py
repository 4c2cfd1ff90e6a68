"""A neuron's view as a file, from the command line and from the app; and the clipboard."""

from __future__ import annotations

import base64
import json
import os
import resource
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.ui_player import Play, settled
from tui import clipboard
from tui.cli.root import cli

ROOT = Path(__file__).resolve().parent.parent


def _run(*args: str) -> str:
    result = CliRunner().invoke(cli, args)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_neuron_is_written_in_every_format(home: Path, tmp_path: Path) -> None:
    for ending in ("txt", "md", "svg", "json"):
        path = tmp_path / f"neuron.{ending}"
        said = _run("show", "2:7", "--limit", "2", "--group", "top", "--output", str(path))
        assert said == f"Wrote {path}, {path.stat().st_size:,} bytes.\n"
        assert "\x1b" not in path.read_text("utf-8")
    assert (tmp_path / "neuron.txt").read_text("utf-8").startswith("2:7  demo")
    markdown = (tmp_path / "neuron.md").read_text("utf-8")
    assert markdown.startswith("# Neuron 2:7\n")
    assert markdown.count("```text") == 2
    picture = ET.fromstring((tmp_path / "neuron.svg").read_text("utf-8"))
    assert picture.tag.endswith("svg")
    written = json.loads((tmp_path / "neuron.json").read_text("utf-8"))
    assert written == json.loads(_run("show", "2:7", "--limit", "2", "--json"))
    assert [record["group"] for record in written["records"]] == ["top", "top"]
    assert sorted(one.name for one in tmp_path.glob("neuron*")) == [
        "neuron.json",
        "neuron.md",
        "neuron.svg",
        "neuron.txt",
    ]


def test_the_held_out_group_has_real_and_simulated_values(home: Path) -> None:
    _run("explain", "2:7")
    written = json.loads(_run("show", "2:7", "--group", "held-out", "--format", "json"))
    [first, *_] = written["records"]
    assert len(first["simulated"]) == len(first["activations"]) == len(first["tokens"])
    assert first["role"] in ("top", "random")
    assert "simulated:" in _run("show", "2:7", "--group", "held-out", "--limit", "1")


def test_markdown_leaves_foreign_mark_up_without_effect(home: Path) -> None:
    _run("annotate", "2:7", "--note", "<b>*bold*</b> [x](http://y) | `code`")
    markdown = _run("show", "2:7", "--format", "markdown", "--limit", "1")
    assert r"\<b\>\*bold\*\</b\> \[x\]\(http://y\) \| \`code\`" in markdown


def test_a_file_that_cannot_be_written_gives_one_clear_line(home: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "there.md"
    earlier.write_text("earlier")
    for path, why in (
        (tmp_path / "nowhere" / "a.md", "does not exist"),
        (tmp_path / "a.docx", "does not say which format"),
        (tmp_path, "does not say which format"),
        (earlier / "a.md", "can't be written"),
    ):
        result = CliRunner().invoke(cli, ["show", "2:7", "--output", str(path)])
        assert result.exit_code in (2, 10)
        assert why in result.output
        assert "Traceback" not in result.output
    assert earlier.read_text() == "earlier"


def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("earlier")
    code = (
        "import sys; from pathlib import Path; from tui.sheet import write; "
        "from engine.errors import FileError\n"
        "try: write(Path(sys.argv[1]), 'x' * 100_000)\n"
        "except FileError as error: print(error.message, error.remedy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert "can't be written" in done.stdout
    assert path.read_text() == "earlier"
    assert list(tmp_path.glob(".*")) == []


async def test_the_app_writes_what_it_shows(play: Play, tmp_path: Path) -> None:
    async with play((120, 40)) as (pilot, _):
        app = pilot.app
        await pilot.press("X", "ctrl+u", *str(tmp_path / "a.json"), "enter")
        await settled(pilot)
        await pilot.pause(0.2)
        written = json.loads((tmp_path / "a.json").read_text("utf-8"))
        assert {record["group"] for record in written["records"]} == {"top"}
        assert len(written["records"]) == len(app.explorer._heatmap.passages)
        await pilot.press("X", "ctrl+u", *str(tmp_path / "a.json"), "enter")
        await pilot.pause(0.3)
        line = app.screen._compositor.render_strips()[-2].text
        assert "exists" in line, "nothing is written over by accident"


async def test_what_is_copied_is_sent_and_counted() -> None:
    sent: list[str] = []
    said = await clipboard.send("héllo", sent.append, {})
    assert said == "Sent 6 bytes to the terminal's clipboard."
    assert sent == [f"\x1b]52;c;{base64.b64encode('héllo'.encode()).decode()}\x07"]
    said = await clipboard.send("x" * 60_000, sent.append, {})
    assert "more than terminals take" in said
    assert len(sent) == 1


async def test_screen_gets_it_in_pieces() -> None:
    sent: list[str] = []
    await clipboard.send("x" * 2000, sent.append, {"STY": "1.host"})
    pieces = sent[0].split("\x1b\\")[:-1]
    assert all(piece.startswith("\x1bP") and len(piece) < 768 for piece in pieces)
    whole = "".join(piece.removeprefix("\x1bP") for piece in pieces)
    assert base64.b64decode(whole[len("\x1b]52;c;") : -1]) == b"x" * 2000


async def test_tmux_takes_it_as_a_buffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for tmux's command, which need not be there, keeps what it is handed."""
    command = tmp_path / "tmux"
    command.write_text(f'#!/bin/sh\n[ "$*" = "load-buffer -w -" ] && cat > {tmp_path}/buffer\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    sent: list[str] = []
    said = await clipboard.send("hello", sent.append, {"TMUX": "/tmp/x,1,0"})
    assert said == "Sent 5 bytes to tmux and its terminal's clipboard."
    assert (tmp_path / "buffer").read_text() == "hello"
    assert not sent
    command.write_text("#!/bin/sh\nexit 1\n")  # an old one: the terminal is asked itself
    assert "the terminal's" in await clipboard.send("hello", sent.append, {"TMUX": "x"})
    assert len(sent) == 1
