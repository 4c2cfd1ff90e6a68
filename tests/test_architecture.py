"""Who may import whom, and what may be loaded when: proved by running it.

Static contracts stand in ``pyproject.toml`` and are checked by ``make check``. They
can't tell an import at the top from one inside a function, so the lazy ones are
measured here, each in a fresh interpreter.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Packages that cost a noticeable part of a second, or talk to the network.
HEAVY = {
    "anthropic",
    "httpx2",
    "openai",
    "pyarrow",
    "safetensors",
    "scipy",
    "textual",
    "tokenizers",
    "torch",
    "transformers",
}
#: Longest module, in lines.
CEILING = 400


def loaded_after(code: str, *args: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after running ``code``."""
    report = (
        "\nimport sys, json\n"
        "print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code + report, *args],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


def modules() -> Iterator[Path]:
    for package in ("engine", "tui"):
        yield from sorted((ROOT / package).rglob("*.py"))


def test_the_measure_itself_sees_a_heavy_import() -> None:
    assert "torch" in loaded_after("import torch")
    assert "torch" not in loaded_after("def later():\n    import torch")


@pytest.mark.parametrize(
    "module",
    [
        "engine.catalogue",
        "engine.effects",
        "engine.engine",
        "engine.errors",
        "engine.events",
        "engine.experiments",
        "engine.exports",
        "engine.explanation",
        "engine.glyphs",
        "engine.imports",
        "engine.index",
        "engine.lab",
        "engine.lookup",
        "engine.models.connect",
        "engine.models.local",
        "engine.models.metered",
        "engine.models.replies",
        "engine.neuron",
        "engine.pipeline",
        "engine.public_data.export",
        "engine.public_data.names",
        "engine.records",
        "engine.reports",
        "engine.scan",
        "engine.scan_process",
        "engine.score",
        "engine.scoring",
        "engine.similarity",
        "engine.simulation",
        "engine.splits",
        "engine.store",
        "engine.workbench",
    ],
)
def test_importing_an_engine_module_is_light(module: str) -> None:
    assert not loaded_after(f"import {module}") & HEAVY


def test_an_index_is_browsed_without_torch(demo_home: Path) -> None:
    code = """
import asyncio, sys
from pathlib import Path
from engine.engine import Engine
from engine.neuron import NeuronId

async def browse():
    async with await Engine.open(Path(sys.argv[1])) as engine:
        neuron = NeuronId(5, 131)
        assert engine.index.neuron(neuron).records
        assert len(engine.index.token_means(neuron).means)
        engine.index.layer(3)
        engine.store.explanations(engine.index.model_id, neuron)

asyncio.run(browse())
"""
    assert not loaded_after(code, str(demo_home)) & HEAVY


RUN = """
import contextlib, io, sys
from tui.__main__ import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main()
"""


@pytest.mark.parametrize("args", [("--help",), ("--version",), ("show", "--help"), ("list", "-x")])
def test_help_and_mistakes_load_no_more_than_click(args: tuple[str, ...]) -> None:
    loaded = loaded_after(RUN, *args)
    assert "click" in loaded
    assert not loaded & (HEAVY | {"numpy", "rich", "sqlite_utils", "wcwidth"})


def test_listing_neurons_loads_no_model(demo_home: Path) -> None:
    loaded = loaded_after(RUN, "list", "--home", str(demo_home))
    assert "numpy" in loaded and not loaded & HEAVY


def test_the_engine_knows_no_front_end() -> None:
    forbidden = {"click", "rich", "textual", "tui"}
    for path in sorted((ROOT / "engine").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                assert name.partition(".")[0] not in forbidden, f"{path.name} imports {name}"


def test_modules_stay_small_and_finished() -> None:
    for path in modules():
        text = path.read_text("utf-8")
        assert len(text.splitlines()) <= CEILING, f"{path} has grown too long"
        assert path.stem not in {"utils", "helpers", "common", "misc"}
        assert not re.search(r"\b(TODO|FIXME|XXX)\b", text), path
        if path.stat().st_size:
            assert ast.get_docstring(ast.parse(text)), f"{path} does not say what it is for"


def test_test_modules_have_names_of_their_own() -> None:
    """Snapshots are filed under the test module's name alone."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))
