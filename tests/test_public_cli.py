"""Published datasets on the command line: shown, scored again, compared, refused."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import public_samples as samples
import pytest
from click.testing import CliRunner, Result
from loopback.files import Files
from loopback.server import Loopback, Script, Seen
from store_samples import carded

from engine.engine import Engine
from engine.explanation import Explanation
from engine.known import explanations_of, scored_records_of
from engine.neuron import NeuronId
from engine.store import IndexFacts
from tui.cli.root import cli


def run(*args: str) -> Result:
    result = CliRunner().invoke(cli, list(args))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def source(tmp_path: Path) -> str:
    return str(samples.write_dataset(tmp_path / "made-up"))


def brain(seen: Seen) -> Script:
    """Says 9 at the names of rivers and 2 at each full stop."""
    pairs = []
    for line in seen.body["messages"][-1]["content"].splitlines():
        number, tab, token = line.partition("\t")
        if tab and number.isdigit() and (token in samples.RIVERS or token == "."):
            pairs.append([int(number), 9 if token in samples.RIVERS else 2])
    return json.dumps({"activations": pairs})


def shown(source: str, neuron: str = "1:4", *more: str) -> dict[str, Any]:
    result = run("show", source, neuron, "--json", *more)
    assert result.exit_code == 0, result.output
    facts: dict[str, Any] = json.loads(result.stdout)
    return facts


def test_show_has_all_that_the_files_have(source: str) -> None:
    facts = shown(source, "1:4", "--group", "all", "--limit", "100")
    given = samples.activations()
    assert facts["statistics"]["mean"] == 0.0425 and facts["statistics"]["maximum"] == 5.16
    top = [record for record in facts["records"] if record["group"] == "top"]
    listed = given["most_positive_activation_records"]
    listed.sort(key=lambda record: -max(record["activations"]))
    assert [record["tokens"] for record in top] == [record["tokens"] for record in listed]
    assert [record["activations"] for record in top] == [r["activations"] for r in listed]
    assert len(facts["records"]) == 20 + 15 + 12
    assert facts["tokens"][0] == {"token": " Rhine", "mean": 2.6}
    assert facts["tokens"][3]["mean"] is None
    assert facts["related_neurons"]["upstream"][0] == {"neuron": "0:7", "weight": 3.5}
    assert facts["related_neurons"]["downstream"] is None
    (one,) = facts["explanations"]
    assert one["published"] and one["text"] == "names of rivers"
    assert one["scores"][0]["ev_correlation"] == 0.92
    assert facts["caveats"] and not facts["problems"]

    text = run("show", source, "1:4").stdout
    assert "“names of rivers”" in text and "scored by its authors" in text
    assert "\x1b" not in text and "\\x1b[31m" in text
    assert "0:7 +3.50" in text
    # The same by --source, wherever it stands.
    assert run("--source", source, "show", "1:4").stdout == text


@pytest.mark.parametrize("ending", ["txt", "md", "json", "svg"])
def test_a_published_neuron_is_written_to_a_file(source: str, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"sheet.{ending}"
    result = run("show", source, "1:4", "--output", str(path))
    assert result.exit_code == 0, result.output
    text = path.read_text()
    if ending == "json":
        assert json.loads(text) == shown(source)
    else:
        text = text.replace("&#160;", " ").replace("\xa0", " ")
        assert "names of rivers" in text and "Neurons that feed it" in text
        assert "kurtosis 31.2" in text and "published; scored by its authors" in text
        assert "of 0 tokens" not in text and "seen often" not in text and "explain fold" not in text
        assert "\x1b" not in text
    broken = tmp_path / f"broken.{ending}"
    assert run("show", source, "1:9", "--output", str(broken)).exit_code == 0
    assert "it ends in the middle" in broken.read_text().replace("&#160;", " ")
    held_out = run("show", source, "1:4", "--group", "held-out").stdout
    assert "simulated" in held_out


def test_broken_files_are_told_and_the_rest_is_shown(source: str) -> None:
    result = run("show", source, "1:9")
    assert result.exit_code == 0 and "names of rivers" in result.stdout
    assert result.stderr == (
        "neuroglass: collated-activations/1/9.json: it ends in the middle: it was not written or "
        "loaded whole\n"
    )
    assert shown(source, "1:9")["statistics"]["maximum"] is None
    missing = run("show", source, "1:6")
    assert missing.exit_code == 2
    assert missing.stderr == (
        "neuroglass: made-up has no files of neuron 1:6.\n"
        "Layer 1 has 3 neurons here, such as 1:4.\n"
    )


def test_a_published_explanation_is_scored_again_by_a_simulator_of_ones_own(
    source: str, home: Path, loopback: Loopback
) -> None:
    loopback.brain = brain
    args = ("score", "1:4", "--source", source, "--published", "--json")
    result = run(*args, "--simulator", "json", "--model", loopback.name)
    assert result.exit_code == 0, result.output
    assert "both explained from and scored on" in result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    scored = next(event for event in events if event["event"] == "Scored")
    # The valid split of the method: ranks 2, 6, 10, 14, 18 and random 1, 4, 7, 10, 13.
    prompts = [seen.body["messages"][-1]["content"] for seen in loopback.requests if seen.body]
    own = [text for text in prompts if "Responds to: names of rivers" in text]
    numbers = {int(line.split("\t")[1]) for text in own for line in text.splitlines()
               if line.startswith("13\t")}  # fmt: skip
    assert numbers == {2, 6, 10, 14, 18, 101, 104, 107, 110, 113}
    assert scored["scores"][0]["ev_correlation"] > 0.7 and scored["scores"][0]["coverage"] == 1

    found = [one for one in shown(source)["explanations"] if not one["published"]]
    assert [one["explainer"] for one in found] == ["published"]
    assert found[0]["simulator"] == "json"
    with sqlite3.connect(home / "neuroglass.db") as db:
        model, settings, path = db.execute(
            "SELECT models.name, indexes.settings, indexes.path FROM indexes "
            "JOIN models ON models.id = indexes.model_id"
        ).fetchone()
    assert model == "made-up" and path == source and "document" in settings
    table = run("compare", "1:4", "--source", source).stdout
    assert "its authors" in table and "json by" in table

    again = run(*args, "--simulator", "json", "--model", loopback.name)
    assert again.exit_code == 0 and len(shown(source)["explanations"]) == 2


def test_ones_own_words_are_scored_and_explained_without_a_model(source: str, home: Path) -> None:
    result = run("explain", "1:4", "--source", source)
    assert result.exit_code == 0, result.output
    assert "Rhine" in result.stdout and "valid split" in result.stdout


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("effects", "1:4"), "there is no model behind it"),
        (("list",), "there is no model behind it"),
        (("triage", "1"), "there is no model behind it"),
        (("score", "1:4", "--published", "2"), "has 1 explanations of neuron 1:4"),
        (("score", "1:4", "words", "--published"), "--published is about"),
        (("explain", "1:4", "--explainer", "patterns", "--simulator", "patterns"), "no model"),
    ],
)
def test_what_a_dataset_cannot_do_is_refused(
    args: tuple[str, ...], why: str, source: str, home: Path
) -> None:
    result = run(*args, "--source", source)
    assert result.exit_code == 2 and why in result.stderr, result.output


async def test_ones_own_scan_of_the_same_model_stands_beside(home: Path, tmp_path: Path) -> None:
    xl = IndexFacts("m", "openai-community/gpt2-xl", 48, 6400, "i", "c", "/x", 1, 1)
    other = IndexFacts("n", "gpt2-xl", 2, 10, "j", "c", "/y", 1, 1)
    neuron = NeuronId(1, 4)
    samples.write_dataset(tmp_path / "served" / "data")
    with Files(tmp_path / "served") as files, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROGLASS_PUBLIC_DATA", files.url)
        async with await Engine.open(home, source="openai:gpt2-xl") as engine:
            assert engine.dataset is not None
            mine = Explanation(neuron, "my own words", "human")
            await engine.store.save_explanation(xl, mine, carded(0.95))
            theirs = Explanation(neuron, "of another size", "human")
            await engine.store.save_explanation(other, theirs, carded(0.5))
            await engine.dataset.prepare(neuron)
            found = explanations_of(engine.dataset, engine.store, neuron)
            assert [one.text for one in found] == ["my own words", "names of rivers"]
            assert len(scored_records_of(engine.dataset, engine.store, found[0])) == 2
            assert len(scored_records_of(engine.dataset, engine.store, found[1])) == 10


def test_published_neurons_are_starred(source: str, home: Path) -> None:
    result = run("annotate", "1:4", "--star", "--tag", "rivers", "--source", source)
    assert result.exit_code == 0, result.output
    facts = shown(source)
    assert facts["starred"] and facts["tags"] == ["rivers"]


def test_open_in_a_script_says_what_to_do(source: str) -> None:
    result = run("open", source)
    assert result.exit_code == 2 and "neuroglass show" in result.stderr
    both = run("show", "1:4", "--source", source, "--index", "x")
    assert both.exit_code == 2 and "two different things" in both.stderr


def test_the_published_data_by_its_name(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.write_dataset(tmp_path / "served" / "data")
    with Files(tmp_path / "served") as files:
        monkeypatch.setenv("NEUROGLASS_PUBLIC_DATA", files.url)
        facts = shown("openai:gpt2-xl")
        assert "approximate GELU" in facts["notes"][0]
        assert facts["model_id"] == "openai:gpt2-xl" and facts["source"] == f"{files.url}/data"
        asked = sum(files.asked.values())
        files.fail(".json", *[500] * 9)
        assert shown("openai:gpt2-xl") == facts and sum(files.asked.values()) == asked
        assert (home / "public-data").is_dir()
