"""Every example of the documents is run, the reference is current, the library is light."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from loopback.server import Loopback

import engine
from engine import Engine, NeuronId
from engine.paths import write_pointer
from tests.conftest import ROOT
from tests.small_index import FOLDER

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loopback: Loopback) -> Path:
    """A home with a scan, a key, and a folder with a text: what the documents ask for."""
    home = tmp_path / "home"
    home.mkdir()
    write_pointer(home, FOLDER)
    monkeypatch.setenv("NEUROGLASS_HOME", str(home))
    monkeypatch.setenv("NEUROGLASS_ANTHROPIC_BASE_URL", loopback.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
    loopback.brain = lambda seen: (
        '{"activations": [[0, 5], [3, 9]]}' if "Responds to:" in seen.text else "weather"
    )
    work = tmp_path / "work"
    work.mkdir()
    (work / "notes.txt").write_text("The river rose in the night. By noon it was calm.\n" * 40)
    monkeypatch.chdir(work)
    return home


async def executed(source: str, name: str, names: dict[str, Any]) -> str:
    """Run code in which ``await`` may stand anywhere, as in a notebook; what it prints."""
    code = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(code, CodeType)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        found = eval(code, names)
        if inspect.isawaitable(found):
            await found
    return printed.getvalue()


async def test_the_guide_runs_from_top_to_bottom(reader: Path) -> None:
    names: dict[str, Any] = {}
    blocks = _BLOCK.findall((ROOT / "docs" / "guide.md").read_text("utf-8"))
    assert len(blocks) >= 8
    printed = [
        await executed(block, f"guide.md, block {number}", names)
        for number, block in enumerate(blocks, 1)
    ]
    told = "".join(printed)
    assert re.search(r"^(\d+) of \1 passages predicted$", told, re.M)
    assert "explained, 0 could not be" in told
    assert "1 batch at anthropic: 0 of" in told
    assert "There is no layer 99" in told or "Layers are 0 to" in told
    assert printed[-1].strip() and "windows at" in printed[-1]
    assert all(printed[place] for place in (0, 1, 2, 3, 4, 6, 7, 8))


async def test_the_notebook_runs(reader: Path) -> None:
    source = (ROOT / "docs" / "example.py").read_text("utf-8")
    assert source.count("# %%") > 8
    told = await executed(source, "example.py", {})
    assert "8 neurons, median score" in told
    assert "[" in told.split("median score")[1]


def test_the_readmes_python_runs(reader: Path) -> None:
    blocks = _BLOCK.findall((ROOT / "README.md").read_text("utf-8"))
    assert blocks
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-c", block],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert re.search(r"0\.\d+", done.stdout)


def test_the_reference_is_current() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import build_reference
    finally:
        sys.path.pop(0)
    built = build_reference.build()
    assert not re.search(r":(class|meth|func|data|attr|mod):", built)
    for name in engine.__all__:
        assert inspect.getdoc(getattr(engine, name)), f"{name} does not say what it is"
    kept = (ROOT / "docs" / "reference.md").read_text("utf-8")
    assert kept == built, "docs/reference.md is out of date: run `make docs`"


def test_importing_the_library_loads_next_to_nothing() -> None:
    code = (
        "import sys, engine; assert 'Engine' in dir(engine)\n"
        "print([name for name in ('torch', 'numpy', 'scipy', 'sqlite3', 'asyncio') "
        "if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'Motor'"):
        _ = engine.Motor  # type: ignore[attr-defined]


def test_the_public_names_are_what_they_say() -> None:
    tree = ast.parse((ROOT / "engine" / "__init__.py").read_text("utf-8"))
    typed = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert typed == set(engine.__all__)
    for name in engine.__all__:
        assert getattr(engine, name).__name__ == name


async def test_an_engine_is_entered_or_awaited(reader: Path) -> None:
    async with Engine.open() as entered:
        assert entered.index is not None and entered.index.neuron(NeuronId(1, 3))
    async with await Engine.open() as again:
        assert again.index is not None
    awaited = await Engine.open(reader, index=FOLDER)
    await awaited.close()
    for used in (entered, again, awaited):
        with pytest.raises(engine.NeuroglassError, match="closed"):
            await used.store.remember("x", 1)
