"""``neuroglass triage`` and ``neuroglass leaderboard``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.paths import write_pointer
from tests.small_index import FOLDER, NEURONS
from tui.cli.root import cli


@pytest.fixture(autouse=True)
def small_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "small-home"
    home.mkdir()
    write_pointer(home, FOLDER)
    monkeypatch.setenv("NEUROGLASS_HOME", str(home))
    return home


def run(*args: str) -> Result:
    result = CliRunner().invoke(cli, list(args), prog_name="neuroglass")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_layer_is_explained_told_and_ranked() -> None:
    result = run("triage", "1")
    assert result.exit_code == 0, result.output
    assert f"{NEURONS} explained in" in result.stderr
    assert result.stdout.splitlines()[1].split()[:2] == ["1", str(NEURONS)]
    ranked = lines(run("leaderboard", "--json"))
    scores = [row["score"] for row in ranked]
    assert len(ranked) == NEURONS and scores == sorted(scores, reverse=True)
    assert {row["layer"] for row in ranked} == {1}
    best = ranked[0]
    shown = run("leaderboard", "--limit", "1")
    assert best["neuron"] in shown.stdout and f"{best['score']:+.2f}" in shown.stdout
    assert f"{NEURONS} in all" in shown.stderr
    word = next(word for word in best["text"].split() if word.isalpha())
    assert best in lines(run("leaderboard", "--json", "--text", word))
    middle = scores[NEURONS // 2] - 1e-5  # printed with six digits
    few = lines(run("leaderboard", "--json", "--min-score", str(middle), "--sort", "worst"))
    assert [row["score"] for row in few] == sorted(s for s in scores if s >= middle)
    sparse = lines(run("leaderboard", "--json", "--sort", "sparsest", "--max-active", "0.1"))
    shares = [row["fraction_active"] for row in sparse]
    assert shares == sorted(shares) and all(share <= 0.1 for share in shares)
    layers = lines(run("leaderboard", "--layers", "--json"))
    assert [one["neurons"] for one in layers] == [0, NEURONS, 0, 0, 0, 0]
    assert sum(layers[1]["histogram"]) == layers[1]["scored"]
    assert "No explained neuron" in run("leaderboard", "--layer", "5").stderr


def test_events_are_lines_of_json() -> None:
    events = lines(run("triage", "0:1", "0:3", "2:2", "--json"))
    assert [event["event"] for event in (events[0], events[-1])] == [
        "TriageStarted",
        "TriageFinished",
    ]
    done = [event for event in events if event["event"] == "NeuronDone"]
    assert sorted(event["neuron"] for event in done) == ["0:1", "0:3", "2:2"]
    again = lines(run("triage", "0:1", "0:2", "--json"))
    assert again[0]["skipped"] == 1 and again[-1]["done"] == 1
    [estimate] = lines(run("triage", "0", "--estimate", "--json"))
    assert estimate["total"] == NEURONS and estimate["left"] == NEURONS - 3


def test_a_run_in_the_background_is_followed() -> None:
    assert "No triage" in run("triage", "--status").stderr
    [started] = lines(run("triage", "--all", "--background", "--json"))
    followed = lines(run("triage", "--follow", "--json"))
    assert followed[-1]["triage"] == started["triage"]
    assert followed[-1]["standing"] == "finished" and followed[-1]["done"] == 6 * NEURONS
    status = run("triage", "--status")
    assert f"{6 * NEURONS} of {6 * NEURONS} explained" in status.stdout
    stopped = run("triage", "--stop")
    assert "No triage is running" in stopped.stderr
    [again] = lines(run("triage", "--resume", "--background", "--json"))
    assert again["triage"] == started["triage"]
    end = time.monotonic() + 60
    while lines(run("triage", "--status", "--json"))[0]["standing"] == "running":
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "Name a layer"),
        (("x",), "no layer and no neuron"),
        (("9",), "no layer 9"),
        (("0:99",), "no neuron 0:99"),
        (("0", "--all"), "whole model"),
        (("0", "--status"), "name no neurons"),
        (("--stop", "--resume"), "two different things"),
        (("--resume",), "no triage of this index"),
        (("0", "--explainer", "summary", "--simulator", "json"), "needs a language model"),
    ],
)
def test_mistakes_are_told_in_one_line(args: tuple[str, ...], message: str) -> None:
    result = run("triage", *args)
    assert result.exit_code == 2
    assert message in result.stderr
