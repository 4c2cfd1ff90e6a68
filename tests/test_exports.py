"""Results on their way out: what is written is what is stored, and hurts no reader."""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from store_samples import carded, explained

from engine.engine import Engine
from engine.exports import TABLES
from engine.exports.tables import COLUMNS, names
from engine.neuron import NeuronId
from engine.records import Group
from tui.cli.root import cli

ROOT = Path(__file__).resolve().parent.parent
ONE, TWO, THREE = NeuronId(0, 3), NeuronId(2, 7), NeuronId(5, 11)
#: What a spreadsheet would run, a terminal obey, or a reader not see.
HOSTILE = (
    "=HYPERLINK(A1)",
    "+1+1",
    "@SUM(A1)",
    "-2+3|cmd",
    "  =1",
    "\t=1",
    "\uff1d1+1",
    "red \x1b[31m\u202eevil",
    'quotes " and, commas\nand lines',
)


def run(*args: str) -> Result:
    result = CliRunner().invoke(cli, list(args), prog_name="neuroglass")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def stored(home: Path) -> Path:
    """Three neurons: a scored one with a star, one with two explanations, hostile texts."""

    async def fill() -> None:
        async with await Engine.open(home) as engine:
            facts, store = engine.index_facts(), engine.store
            await store.save_explanation(facts, explained("names of rivers", ONE), carded(0.75))
            await store.save_explanation(facts, explained("capital letters", TWO), carded(0.25))
            await store.save_explanation(facts, explained("small letters", TWO), carded(0.5))
            for text in HOSTILE:
                await store.save_explanation(facts, explained(text, THREE), None)
            await store.set_star(facts.model_id, ONE, True)
            await store.set_tags(facts.model_id, TWO, ["letters", "=case"])
            await store.set_note(facts.model_id, TWO, "@look")

    asyncio.run(fill())
    return home


def cells(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize("table", TABLES)
def test_the_same_rows_in_every_format(stored: Path, tmp_path: Path, table: str) -> None:
    import pyarrow.parquet as pq

    common = ["export", "--what", table, "--layer", "2", "--neuron", str(TWO)]
    plain = lines(run(*common).stdout)
    assert plain and all(list(row) == names(COLUMNS[table]) for row in plain)
    assert {(row["layer"], row["neuron"]) for row in plain} == {(2, 7)}
    sheet = cells(run(*common, "--format", "csv").stdout)
    path = tmp_path / "rows.parquet"
    assert run(*common, "-o", str(path)).stdout.startswith(f"{len(plain):,} {table}")
    parquet = pq.read_table(path).to_pylist()
    assert len(sheet) == len(parquet) == len(plain)
    structures = {column.name for column in COLUMNS[table] if column.kind == "json"}
    for row, cell, other in zip(plain, sheet, parquet, strict=True):
        for name, value in row.items():
            again = json.loads(other[name]) if name in structures else other[name]
            if isinstance(value, list) and name == "activations":
                assert again == pytest.approx(value, rel=1e-6)
            elif name == "expected":
                assert [v is None for v in again] == [v is None for v in value]
            else:
                assert again == value, name
            if isinstance(value, float):
                assert float(cell[name]) == value
            elif isinstance(value, list):
                assert json.loads(cell[name]) == value
            elif value is None:
                assert cell[name] == ""


def test_an_explanation_is_told_with_all_that_its_score_rests_on(stored: Path) -> None:
    [row] = lines(run("export", "--neuron", str(ONE)).stdout)
    assert row["explanation"] == "names of rivers"
    assert (row["score"], row["status"], row["split"], row["simulator"]) == (
        0.75,
        "ok",
        "valid",
        "look-up",
    )
    assert (row["interval_low"], row["interval_high"]) == (pytest.approx(0.65), 0.85)
    assert (row["records"], row["tokens"], row["coverage"]) == (2, 8, 1.0)
    assert row["random_score"] is None
    assert {(b["name"], b["scope"], b["score"]) for b in row["baselines"]} == {
        ("mean", "top-and-random", 0.75),
        ("mean", "random-only", None),
    }
    assert row["starred"] is True


def test_what_was_never_simulated_is_null_and_never_zero(stored: Path) -> None:
    whole, failed = lines(run("export", "--what", "records", "--neuron", str(ONE)).stdout)
    assert whole["expected"][1] is None and whole["status"] == "partial"
    assert failed["expected"] == [None, None] and failed["status"] == "failed"


def test_statistics_of_neurons_are_the_index_s(stored: Path) -> None:
    async def layer() -> Any:
        async with await Engine.open(stored) as engine:
            assert engine.index is not None
            return engine.index.layer(3)

    columns = asyncio.run(layer())
    rows = lines(run("export", "--what", "neurons", "--layer", "3").stdout)
    assert [row["neuron"] for row in rows] == list(range(len(columns.maximum)))
    for name in ("maximum", "minimum", "mean", "variance", "skewness", "fraction_active"):
        expected = [None if math.isnan(v) else v for v in getattr(columns, name).tolist()]
        assert [row[name] for row in rows] == expected


def test_a_spreadsheet_gets_no_formula_and_no_control_character(stored: Path) -> None:
    text = run("export", "--what", "explanations", "--format", "csv").stdout
    text += run("export", "--what", "neurons", "--tag", "letters", "--format", "csv").stdout
    for row in csv.reader(io.StringIO(text, newline="")):
        for cell in row:
            assert not any(ord(char) < 32 or 0x202A <= ord(char) <= 0x202E for char in cell)
            if cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d")):
                float(cell)
    [noted] = cells(
        run("export", "--what", "neurons", "--tag", "letters", "--format", "csv").stdout
    )
    assert noted["note"] == "'@look" and json.loads(noted["tags"]) == ["letters", "=case"]


def test_json_lines_keep_every_text_and_are_printable(stored: Path) -> None:
    text = run("export", "--neuron", str(THREE)).stdout
    assert text.isascii() and all(line.isprintable() for line in text.splitlines())
    assert {row["explanation"] for row in lines(text)} == set(HOSTILE)


# ---------------------------------------------------------------- selection


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--layer", "2"), {"capital letters", "small letters"}),
        (("--layer", "2", "--best"), {"small letters"}),
        (("--layer", "0", "--layer", "2", "--best"), {"names of rivers", "small letters"}),
        (("--text", "letter"), {"capital letters", "small letters"}),
        (("--text", "capital letter"), {"capital letters"}),
        (("--text", "..."), set()),
        (("--min-score", "0.5"), {"names of rivers", "small letters"}),
        (("--min-score", "0.3", "--max-score", "0.6"), {"small letters"}),
        (("--max-score", "0.3", "--best"), {"capital letters"}),
        (("--starred",), {"names of rivers"}),
        (("--tag", "letters"), {"capital letters", "small letters"}),
        (("--tag", "none"), set()),
        (("--explainer", "nobody"), set()),
        (("--explainer", "token-lookup", "--starred"), {"names of rivers"}),
    ],
)
def test_choosing(stored: Path, options: tuple[str, ...], expected: set[str]) -> None:
    rows = lines(run("export", *options).stdout)
    assert {row["explanation"] for row in rows} == expected
    assert len(rows) == len(expected)
    about = {(row["layer"], row["neuron"]) for row in rows}
    if not set(options) <= {"--layer", "2", "0", "--best"}:
        table = lines(run("export", "--what", "neurons", *options).stdout)
        assert {(row["layer"], row["neuron"]) for row in table} == about


def test_what_can_t_be_chosen_is_told(stored: Path) -> None:
    assert run("export", "--layer", "77").exit_code == 2
    assert run("export", "--neuron", "0:99999").exit_code == 2
    failed = run("export", "--format", "neuronpedia")
    assert failed.exit_code == 2 and "-o DIR" in failed.stderr


# ---------------------------------------------------------------- files


def test_a_file_is_replaced_whole_or_not_at_all(stored: Path, tmp_path: Path) -> None:
    path = tmp_path / "kept.csv"
    path.write_text("before")
    assert run("export", "-o", str(path), "--layer", "77").exit_code == 2
    assert path.read_text() == "before"
    assert run("export", "-o", str(path)).exit_code == 0
    assert len(cells(path.read_text("utf-8"))) == 3 + len(HOSTILE)
    assert not [name for name in os.listdir(path.parent) if name.endswith(".tmp")]


def test_no_folder_no_permission_no_space(stored: Path, tmp_path: Path) -> None:
    missing = run("export", "-o", str(tmp_path / "none" / "x.csv"))
    assert missing.exit_code == 10 and "does not exist" in missing.stderr
    assert run("export", "-o", str(tmp_path)).exit_code == 10
    with open("/dev/full", "w") as device:
        full = subprocess.run(
            [sys.executable, "-m", "tui", "export", "--home", str(stored)],
            stdout=device,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
    assert full.returncode == 10
    assert full.stderr.splitlines()[0].startswith("neuroglass: The disk is full")
    assert "Traceback" not in full.stderr


def test_parquet_without_pyarrow_says_what_to_install(stored: Path) -> None:
    code = (
        "import sys\nsys.modules['pyarrow'] = None\n"
        "from tui.__main__ import main\nsys.argv[0] = 'neuroglass'\nmain()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "export", "--home", str(stored), "-o", "x.parquet"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.returncode == 2
    assert "pip install 'neuroglass[parquet]'" in result.stderr
    assert "Traceback" not in result.stderr and not (ROOT / "x.parquet").exists()


# ---------------------------------------------------------------- Neuronpedia


def test_neuronpedia_s_form(stored: Path, tmp_path: Path) -> None:
    place = tmp_path / "upload"
    args = ("export", "--format", "neuronpedia", "-o", str(place), "--model-id", "gpt2-tiny")
    assert run(*args, "--neuron", str(ONE), "--neuron", str(TWO)).exit_code == 0

    def rows(path: str) -> list[dict[str, Any]]:
        with gzip.open(place / "gpt2-tiny" / path, "rt") as file:
            return lines(file.read())

    async def read() -> Any:
        async with await Engine.open(stored) as engine:
            assert engine.index is not None
            return engine.index.neuron(TWO)

    kept = asyncio.run(read())
    [feature] = rows("2-neuroglass/features/batch-0.jsonl.gz")
    assert (feature["layer"], feature["index"]) == ("2-neuroglass", "7")
    assert feature["maxActApprox"] == kept.statistics.maximum
    assert sum(feature["freq_hist_data_bar_heights"]) > 0
    told = rows("2-neuroglass/explanations/batch-0.jsonl.gz")
    assert {row["description"] for row in told} == {"capital letters", "small letters"}
    activations = rows("2-neuroglass/activations/batch-0.jsonl.gz")
    top = kept.group(Group.TOP)
    assert [row["maxValue"] for row in activations[: len(top)]] == [one.peak for one in top]
    for row in activations:
        assert len(row["tokens"]) == len(row["values"])
        assert row["values"][row["maxValueTokenIndex"]] == row["maxValue"] == max(row["values"])
        if row["binMin"] is not None:
            assert row["binMin"] - 1e-6 <= row["maxValue"] <= row["binMax"] + 1e-2
    assert len({row["id"] for row in activations}) == len(activations)
    for kind in ("model", "release", "source", "sourceset"):
        assert len(lines((place / f"gpt2-tiny/0-neuroglass/{kind}.jsonl").read_text())) == 1

    assert run(*args, "--neuron", str(ONE)).exit_code == 0  # our own folder is replaced
    assert not (place / "gpt2-tiny/2-neuroglass").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("dear")
    refused = run(*args[:4], str(tmp_path / "full"))
    assert refused.exit_code == 10 and (tmp_path / "full" / "thesis.tex").exists()
    assert run(*args[:4], str(place), "--model-id", "../up").exit_code == 2
