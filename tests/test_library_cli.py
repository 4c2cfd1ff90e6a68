"""``neuroglass library``, ``delete``, ``restore`` and ``map``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from store_samples import carded

from engine.engine import Engine
from engine.explanation import Explanation
from engine.neuron import NeuronId
from engine.paths import write_pointer
from tests.small_index import FOLDER, NEURONS
from tui.cli.root import cli

TEXTS = {"plural nouns": 0.4, "verbs in capitals": 0.8, "bold \x1b[1m [red]names": None}


@pytest.fixture(autouse=True)
def filled_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "small-home"
    home.mkdir()
    write_pointer(home, FOLDER)
    monkeypatch.setenv("NEUROGLASS_HOME", str(home))

    async def fill() -> None:
        async with await Engine.open(home) as engine:
            for number, (text, score) in enumerate(TEXTS.items()):
                explanation = Explanation(NeuronId(number, 2), text, "human", {}, None, ())
                card = None if score is None else carded(score)
                assert await engine.save(explanation, card) == number + 1
            model = engine.index_facts().model_id
            await engine.store.set_star(model, NeuronId(0, 2), True)
            await engine.store.set_tags(model, NeuronId(1, 2), ["loud"])

    asyncio.run(fill())
    return home


def run(*args: str) -> Result:
    result = CliRunner().invoke(cli, list(args), prog_name="neuroglass")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def lines(*args: str) -> list[dict[str, Any]]:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def ids(*args: str) -> list[int]:
    return [line["id"] for line in lines("library", *args)]


def test_the_library_is_listed_filtered_and_sorted() -> None:
    assert ids() == [2, 1, 3]
    assert ids("--sort", "newest", "--limit", "2") == [3, 2]
    assert ids("--offset", "1", "--sort", "neuron") == [2, 3]
    assert ids("plu", "noun") == [1]
    assert ids("--min-score", "0.5") == ids("--tag", "loud") == ids("--layer", "1") == [2]
    assert ids("--starred") == ids("--neuron", "0:2") == [1]
    assert ids("--unstarred", "--status", "unscored", "--model", "demo") == [3]
    assert ids('" OR *') == ids("--explainer", "nobody") == []
    [first, *_] = lines("library")
    assert (first["neuron"], first["score"], first["tags"]) == ("1:2", 0.8, ["loud"])
    assert first["interval"] == [0.7, 0.9] and first["model"] == "demo"
    result = run("library")
    assert result.exit_code == 0
    assert "#loud verbs in capitals" in result.stdout and "[0.70, 0.90]" in result.stdout
    assert "\x1b" not in result.stdout
    assert run("library", "--limit", "1").stderr.endswith("3 in all.\n")
    assert "No saved explanation is like that" in run("library", "nothing").stderr


def test_what_is_deleted_comes_back() -> None:
    assert lines("delete", "1", "2") == [{"deleted": [1, 2], "for_good": False}]
    assert ids() == [3] and sorted(ids("--deleted")) == [1, 2]
    assert "restore 3" in run("delete", "3").stderr
    assert "No saved explanation" not in run("library").stderr
    assert "Nothing is saved yet" in run("library").stderr
    assert lines("restore") == [{"restored": [3]}]
    assert "Restored 2." in run("restore", "2").stderr
    assert sorted(ids()) == [2, 3]
    missing = run("restore", "1", "77")
    assert missing.exit_code == 2 and "id 77" in missing.stderr
    assert run("restore").exit_code == 2
    assert run("delete", "99").exit_code == 2
    assert lines("delete", "2", "--for-good") == [{"deleted": [2], "for_good": True}]
    assert ids("--deleted") == [] and run("restore", "2").exit_code == 2


def test_the_map_is_printed_and_given_as_numbers() -> None:
    [found] = lines("map")
    assert (found["by"], found["zoom"], found["neurons"]) == ("score", 1, NEURONS)
    assert len(found["values"]) == found["layers"]
    assert found["values"][1] == [None, None, 0.8, *[None] * (NEURONS - 3)]
    [coarse] = lines("map", "--by", "explanations", "--zoom", "4", "--pool", "mean")
    assert coarse["values"][0] == [0.25, 0.0, 0.0]
    result = run("map")
    assert result.exit_code == 0
    rows = result.stdout.splitlines()
    assert rows[1] == "  1 ··▇·········" and len(rows) == found["layers"]
    assert "no value" in result.stderr and "0.75" in result.stderr
    assert "≤0" in run("map", "--by", "maximum").stderr
