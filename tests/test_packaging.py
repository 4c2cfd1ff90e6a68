"""What is shipped, what it needs, and that the documents tell the truth."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement

from engine import __version__
from tui.cli.root import COMMANDS, cli

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REQUIREMENTS = [
    Requirement(text)
    for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
]


def pins() -> dict[str, str]:
    found = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            name, exact, version = line.partition("==")
            assert exact, f"{line!r} is not an exact version"
            found[re.sub(r"[-_.]+", "-", name).lower()] = version
    return found


# ---------------------------------------------------------------- versions


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: r.name)
def test_every_requirement_is_pinned_within_its_range(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[requirement.name.lower()])


@pytest.mark.parametrize("name", ["textual", "rich", "pytest-textual-snapshot", "syrupy"])
def test_what_draws_the_snapshots_is_what_is_pinned(name: str) -> None:
    assert metadata.version(name) == pins()[name]


def test_one_version_everywhere() -> None:
    assert PROJECT["version"] == __version__
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"^## \[(Unreleased|{re.escape(__version__)})\]", changelog, re.M)


# ---------------------------------------------------------------- wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        check=True,
        capture_output=True,
        cwd=ROOT,
    )
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_all_that_the_program_reads_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("engine", "tui"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert path.relative_to(ROOT).as_posix() in names
    assert "engine/demo/model/model.safetensors" in names
    assert "engine/py.typed" in names
    assert {name.split("/")[0] for name in names} == {
        "engine",
        "tui",
        f"neuroglass-{__version__}.dist-info",
    }


def test_the_wheel_runs_away_from_the_source(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        "import sys, engine, tui\n"
        f"assert engine.__file__.startswith({str(tmp_path)!r}), engine.__file__\n"
        "from engine.subject import SubjectModel\n"
        "print(SubjectModel.load('demo').facts.n_layers)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert result.stdout == "6\n", result.stderr
    entry = zipfile.ZipFile(wheel).read(f"neuroglass-{__version__}.dist-info/entry_points.txt")
    assert b"neuroglass = tui.__main__:main" in entry


# ---------------------------------------------------------------- documents


def examples() -> list[str]:
    """Every ``neuroglass`` line in a code block of the README."""
    text = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("neuroglass")]


def test_the_readme_shows_every_command() -> None:
    shown = {words[1] for line in examples() if len(words := shlex.split(line, comments=True)) > 1}
    assert set(COMMANDS) <= shown


@pytest.mark.parametrize("line", examples())
def test_examples_of_the_readme_are_accepted(line: str) -> None:
    words = shlex.split(line.split("|")[0].split(">")[0], comments=True)
    assert words[0] == "neuroglass"
    with cli.make_context("neuroglass", words[1:]) as context:
        args = [*context._protected_args, *context.args]
        if args:
            command = cli.get_command(context, args[0])
            assert isinstance(command, click.Command), f"there is no command {args[0]}"
            command.make_context(args[0], args[1:], parent=context).close()


def test_the_readme_names_the_make_targets_that_exist() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    named = set(re.findall(r"\bmake ([a-z]+)\b", readme))
    assert {"run", "test"} <= named <= targets


def test_continuous_integration_runs_checks_and_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    text = script.read_text("utf-8")
    assert text.index("make check") < text.index("make test")
    assert "set -euo pipefail" in text
