"""The command line with language models, against a server on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from loopback.server import Loopback, Says, Script, Seen, Status

from tui.cli.root import cli

NEURON = "2:7"


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, list(args))


def asked(server: Loopback) -> list[Seen]:
    """Requests for a reply, without the question what the server can do."""
    return [seen for seen in server.requests if seen.path.endswith("/chat/completions")]


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def brain(seen: Seen) -> Script:
    """Fires on every token that starts with a space and a t; gaps in one record."""
    if "Predict how strongly" in seen.text:
        question = seen.body["messages"][-1]["content"]
        pairs = []
        for line in question.splitlines():
            number, tab, token = line.partition("\t")
            if tab and number.isdigit() and token.startswith(" t"):
                pairs.append([int(number), 7])
        return json.dumps({"activations": pairs})
    return Says("words that begin with the letter t.", pieces=5)


@pytest.fixture
def server(loopback: Loopback, home: Path) -> Loopback:
    loopback.brain = brain
    return loopback


def summary(server: Loopback) -> tuple[str, ...]:
    return ("--explainer", "summary", "--simulator", "json", "--model", server.name)


def test_explain_with_a_language_model(server: Loopback) -> None:
    result = run("explain", NEURON, *summary(server))
    assert result.exit_code == 0, result.output
    assert "words that begin with the letter t" in result.stdout
    assert "another-neuron" in result.stdout and "simulated by json" in result.stdout
    assert "21 requests" in result.stderr and "Saved as explanation 1" in result.stderr
    assert len(asked(server)) == 21
    compared = run("compare", NEURON)
    assert "letter t" in compared.stdout and "summary" in compared.stdout


def test_a_replay_sends_nothing_and_says_the_same(server: Loopback) -> None:
    args = ("explain", NEURON, *summary(server), "--no-save", "--json")
    first = lines(run(*args))
    sent = len(asked(server))
    again = lines(run(*args, "--offline"))
    assert len(asked(server)) == sent

    def result(events: list[dict[str, Any]]) -> Any:
        scored = events[-1]
        return scored["text"], scored["scores"], scored["baselines"]

    assert result(first) == result(again)
    assert again[-1]["usage"]["requests"] == 0
    spent = [event for event in again if event["event"] == "Spent"]
    assert spent[-1]["replayed"] == sent and spent[-1]["requests"] == 0
    missing = run("explain", "2:8", *summary(server), "--offline")
    assert missing.exit_code == 9 and len(asked(server)) == sent


def test_an_estimate_is_near_what_is_spent(server: Loopback) -> None:
    args = ("explain", NEURON, *summary(server), "--price", "2/8", "--json")
    [estimate] = lines(run(*args, "--estimate"))
    assert asked(server) == []
    assert [step["step"] for step in estimate["steps"]] == ["explain", "simulate", "another neuron"]
    events = lines(run(*args))
    usage = events[-2]["usage"]
    read = sum(step["input_tokens"] for step in estimate["steps"])
    assert 0.8 < read / usage["input_tokens"] < 1.25
    money = [event for event in events if event["event"] == "Spent"][-1]["money"]
    assert money == pytest.approx(
        (usage["input_tokens"] * 2 + usage["output_tokens"] * 8) / 1e6, rel=1e-4
    )


def test_a_budget_stops_before_it_is_passed(server: Loopback) -> None:
    result = run("explain", NEURON, *summary(server), "--budget-tokens", "9000")
    assert result.exit_code == 9
    assert "9,000" in result.stderr and "Traceback" not in result.stderr
    used = sum(len(seen.text) // 4 for seen in asked(server))  # what the server counted, about
    assert 0 < used < 9000
    sent = len(asked(server))
    assert run("explain", NEURON, *summary(server)).exit_code == 0
    assert len(asked(server)) == 21 and sent < 21  # went on where it stopped


def test_one_line_for_a_wrong_key(server: Loopback) -> None:
    server.brain = lambda seen: Status(401, "no", "invalid_api_key")
    result = run("explain", NEURON, *summary(server))
    assert result.exit_code == 9
    told = [line for line in result.stderr.splitlines() if "requests" not in line]
    assert len(told) == 2 and "does not accept the key" in told[0]


def test_no_key_names_the_variable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    result = run(
        "explain", NEURON, "--explainer", "summary", "--simulator", "json", "--model", "anthropic:x"
    )
    assert result.exit_code == 9 and "ANTHROPIC_API_KEY" in result.stderr


def test_missing_values_lower_the_coverage_everywhere(server: Loopback) -> None:
    bad: list[str] = []

    def gaps(seen: Seen) -> Script:
        if "Predict how strongly" not in seen.text:
            return brain(seen)
        if len(bad) < 2 and not any(one in seen.text for one in bad):
            bad.append(seen.body["messages"][-1]["content"])
        return "no idea" if any(one in seen.text for one in bad) else brain(seen)

    server.brain = gaps
    result = run("explain", NEURON, *summary(server), "--no-chance")
    assert result.exit_code == 0, result.output
    assert "% covered" in result.stdout and "left out" in result.stdout
    stored = lines(run("compare", NEURON, "--json"))[0]
    assert stored["scores"][0]["coverage"] < 1 and stored["scores"][0]["status"] == "partial"


def test_own_words_and_saved_ones_are_scored(server: Loopback) -> None:
    result = run("score", NEURON, "the letter t", "--model", server.name)
    assert result.exit_code == 0, result.output
    assert "simulated by json" in result.stdout
    before = len(asked(server))
    again = run("score", NEURON, "--id", "1", "--model", server.name, "--no-chance", "--no-save")
    assert again.exit_code == 0 and len(asked(server)) == before  # all from the cache
    assert run("score", NEURON).exit_code == 2
    assert run("score", "2:8", "--id", "1", "--model", server.name).exit_code == 2
    [stored] = lines(run("compare", NEURON, "--json"))
    assert stored["explainer"] == "human" and stored["text"] == "the letter t"


def test_samples_are_told_apart_and_test_reports(server: Loopback) -> None:
    texts = iter(["the letter t", "words that begin with the letter t", "boats"])
    server.brain = lambda seen: brain(seen) if "Predict how" in seen.text else next(texts)
    events = lines(run("explain", NEURON, *summary(server), "--samples", "3", "--json"))
    scored = [event for event in events if event["event"] == "CandidateScored"]
    assert [one["text"] for one in scored][-1] == "boats" and len(scored) == 3
    assert events[-2]["split"] == "test"


def test_choices_are_remembered_in_another_process(server: Loopback) -> None:
    assert run("choices", *summary(server), "--scorer", "ablation").exit_code == 0
    code = "from tui.__main__ import main; main()"
    shown = subprocess.run(
        [sys.executable, "-c", code, "choices", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    facts = json.loads(shown.stdout)
    assert facts["explainer"] == "summary" and facts["explainer_model"] == server.name
    assert facts["scorers"] == ["ablation"]
    result = run("explain", NEURON)
    assert result.exit_code == 0 and "effect kept" in result.stdout
    assert "ablation" in run("compare", NEURON).stdout
    assert run("choices", "--reset").exit_code == 0
    assert "token-lookup" in run("choices").stdout
    wrong = run("choices", "--explainer", "summary")
    assert wrong.exit_code == 2 and "token-lookup" in run("choices").stdout


def test_providers_and_what_a_model_can_do(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-not-shown-anywhere")
    listed = run("models")
    assert "key from DEEPSEEK_API_KEY" in listed.stdout and "sk-not" not in listed.stdout
    server.models = [{"id": "tester", "max_model_len": 4096}, {"id": "\x1b[31mred"}]
    checked = run("models", "check", server.name)
    assert checked.exit_code == 0, checked.output
    assert "4096" in checked.stdout and "\x1b" not in checked.stdout
    assert run("models", "check", "nobody:x").exit_code == 2
