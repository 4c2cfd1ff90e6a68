"""The command line, over a real scan of the demo model."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.index import Index
from engine.neuron import NeuronId
from engine.paths import read_pointer
from tui.cli.heat import tenth
from tui.cli.root import COMMANDS, cli

ROOT = Path(__file__).resolve().parent.parent
MODULE = [sys.executable, "-m", "tui"]


def run(*args: str, **env: str) -> Result:
    """Run in this process; an exception that is not an exit fails the test."""
    result = CliRunner().invoke(cli, list(args), env=env or None, prog_name="neuroglass")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def process(*args: str, **options: Any) -> subprocess.Popen[str]:
    """Run as a person would: a process, with pipes."""
    return subprocess.Popen(
        [*MODULE, *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        **options,
    )


@pytest.fixture
def index(home: Path) -> Index:
    path = read_pointer(home)
    assert path is not None
    return Index.open(path)


@pytest.fixture
def strong(index: Index) -> NeuronId:
    """A neuron of layer 5 that fires in many documents, so that it can be scored."""
    return NeuronId(5, int(index.layer(5).fraction_active.argmax()))


# ---------------------------------------------------------------- show


def test_show_json_is_text_that_stands_in_the_documents(
    home: Path, strong: NeuronId, demo_text: Path
) -> None:
    facts = json.loads(run("show", str(strong), "--json", "--limit", "5").stdout)
    assert facts["neuron"] == str(strong)
    assert len(facts["records"]) == 5
    texts = {path.stem: path.read_text("utf-8") for path in demo_text.iterdir()}
    for record in facts["records"]:
        assert record["peak"] == max(record["activations"])
        assert len(record["tokens"]) == len(record["activations"]) == len(record["token_ids"])
        stem = Path(record["document"]).stem
        # A token may be a part of a character, which JSON can only show as U+FFFD.
        for piece in re.split("\ufffd+", "".join(record["tokens"])):
            assert piece in texts[stem]
    peaks = [record["peak"] for record in facts["records"]]
    assert peaks == sorted(peaks, reverse=True)
    assert facts["statistics"]["maximum"] == pytest.approx(peaks[0], rel=2e-3)


def test_show_without_colour_says_the_same_in_numbers(home: Path, strong: NeuronId) -> None:
    coloured = run("show", str(strong), "--limit", "2", FORCE_COLOR="1").stdout
    plain = run("show", str(strong), "--limit", "2", "--no-color", FORCE_COLOR="1").stdout
    assert "48;2;" in coloured and "48;2;" not in plain
    # The strongest token of the strongest record is ten tenths of the maximum.
    assert re.search(r"\[[^\]\n]+ (?:9|10)\]", plain)
    assert not re.search(r"\[[^\]\n]+ 10\]", coloured)


def test_show_groups_hold_what_their_names_say(home: Path, strong: NeuronId) -> None:
    args = ("show", str(strong), "--group", "all", "--limit", "50", "--json")
    facts = json.loads(run(*args).stdout)
    peaks: dict[str, list[float]] = {}
    for record in facts["records"]:
        peaks.setdefault(record["group"], []).append(record["peak"])
    assert set(peaks) >= {"top", "band-0", "band-1", "band-2", "random", "bottom"}
    assert max(peaks["band-0"]) <= min(peaks["band-2"])
    assert min(peaks["top"]) > min(peaks["random"])


@pytest.mark.parametrize(
    ("value", "maximum", "tenths"),
    [(0.05, 1, 0), (0.1, 1, 1), (0.99, 1, 9), (1, 1, 10), (7, 1, 10), (-0.17, 0.5, -3)],
)
def test_tenths_follow_the_method(value: float, maximum: float, tenths: int) -> None:
    assert tenth(value, maximum) == tenths


def test_tenths_without_a_scale_are_none() -> None:
    assert tenth(1.0, 0.0) == tenth(float("nan"), 1.0) == tenth(1.0, float("nan")) == 0


# ---------------------------------------------------------------- explain


def test_explain_prints_and_saves_what_it_scored(home: Path, strong: NeuronId) -> None:
    events = lines(run("explain", str(strong), "--json"))
    kinds = [event["event"] for event in events]
    assert kinds[0] == "PipelineStarted" and kinds[-2:] == ["Scored", "Saved"]
    words = "".join(event["text"] for event in events if event["event"] == "Word")
    scored = events[-2]
    assert words.strip() == scored["text"].strip() != ""
    assert kinds.count("RecordSimulated") == events[0]["records"] > 0
    facts = json.loads(run("show", str(strong), "--json").stdout)
    (saved,) = facts["explanations"]
    assert saved["id"] == events[-1]["id"]
    assert saved["text"] == scored["text"]
    assert saved["scores"] == scored["scores"]
    assert saved["baselines"] == scored["baselines"]


def test_explain_scores_on_documents_it_was_not_written_from(home: Path, strong: NeuronId) -> None:
    events = lines(run("explain", str(strong), "--json", "--no-save"))
    tested = {event["document"] for event in events if event["event"] == "RecordSimulated"}
    top = json.loads(run("show", str(strong), "--json", "--limit", "100").stdout)["records"]
    written_from = {record["document"] for record in top if record["fold"] == "explain"}
    assert tested and written_from and not tested & written_from


def test_explain_for_people_never_shows_a_score_alone(home: Path, strong: NeuronId) -> None:
    result = run("explain", str(strong))
    line = next(row for row in result.stdout.splitlines() if "top-and-random" in row)
    assert "correlation" in line and "records" in line and "tokens" in line and "[" in line
    assert "Baseline" in result.stdout
    assert "Saved as explanation" in result.stderr and "Saved" not in result.stdout


def test_explain_without_saving_leaves_nothing(home: Path, strong: NeuronId) -> None:
    run("explain", str(strong), "--no-save")
    assert json.loads(run("show", str(strong), "--json").stdout)["explanations"] == []


# ---------------------------------------------------------------- list, search, annotate


def test_list_ranks_all_layers_together(home: Path, index: Index) -> None:
    rows = lines(run("list", "--json", "--limit", "10"))
    maxima = [row["maximum"] for row in rows]
    assert maxima == sorted(maxima, reverse=True) and len(rows) == 10
    best = max(float(index.layer(layer).maximum.max()) for layer in range(index.n_layers))
    assert maxima[0] == pytest.approx(best, rel=1e-5)
    one = lines(run("list", "--json", "--layer", "2", "--sort", "sparsest"))
    assert {row["layer"] for row in one} == {2}
    assert all(row["fraction_active"] > 0 for row in one)
    assert one[0]["fraction_active"] <= one[-1]["fraction_active"]


def test_list_by_score_and_star(home: Path, strong: NeuronId) -> None:
    assert run("list", "--sort", "score").stdout == ""
    run("explain", str(strong))
    run("annotate", "3:7", "--star")
    scored = lines(run("list", "--sort", "score", "--json"))
    assert [row["neuron"] for row in scored] == [str(strong)]
    assert scored[0]["explanation"]
    assert [row["neuron"] for row in lines(run("list", "--sort", "starred", "--json"))] == ["3:7"]


def test_annotate_adds_and_takes_away(home: Path) -> None:
    run("annotate", "0:1", "--star", "--tag", "code", "--tag", "maybe", "--note", "quotation marks")
    facts = json.loads(run("annotate", "0:1", "--untag", "maybe", "--unstar", "--json").stdout)
    assert (facts["starred"], facts["tags"], facts["note"]) == (False, ["code"], "quotation marks")
    hits = lines(run("search", "quotat", "--json"))
    assert [(hit["neuron"], hit["kind"], hit["model"]) for hit in hits] == [("0:1", "note", "demo")]
    run("annotate", "0:1", "--note", "")
    result = run("search", "quotat")
    assert result.exit_code == 0 and result.stdout == "" and "Nothing found" in result.stderr


def test_what_people_wrote_is_shown_inertly(home: Path) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07 [bold]x[/bold] \u202eabc"
    run("annotate", "0:1", "--note", evil, "--tag", "\x1b[31mred")
    outputs = [
        run("annotate", "0:1").stdout,
        run("show", "0:1", FORCE_COLOR="1", NO_COLOR="1").stdout,
        run("search", "owned").stdout,
        run("search", "owned", "--json").stdout,
    ]
    for text in outputs:
        assert "owned" in text
        assert not set(text) & {"\x07", "\u202e"}
        assert "\x1b[2J" not in text and "\x1b]" not in text
    assert "[bold]x[/bold]" in outputs[1]
    assert json.loads(outputs[3])["text"] == evil


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["show", "99:0"], 2),
        (["show", "nonsense"], 2),
        (["list", "--layer", "99"], 2),
        (["explain", "0:0", "--explainer", "nobody"], 2),
        (["frobnicate"], 2),
    ],
)
def test_failures_are_told_without_a_traceback(home: Path, args: list[str], status: int) -> None:
    result = run(*args)
    assert result.exit_code == status
    assert result.stdout == "" and "Traceback" not in result.stderr
    assert 1 <= len(result.stderr.strip().splitlines()) <= 4


def test_before_the_first_scan(tmp_path: Path) -> None:
    result = run("list", "--home", str(tmp_path / "new"))
    assert result.exit_code == 5
    assert result.stderr.splitlines() == [
        "neuroglass: Nothing has been scanned yet.",
        "Start with: neuroglass scan",
    ]


def test_a_damaged_index_is_named(home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_text("{")
    result = run("list", "--index", str(broken))
    assert result.exit_code == 5
    assert str(broken) in result.stderr.splitlines()[0]
    assert "scan again" in result.stderr.splitlines()[1]


def test_home_may_stand_before_or_after_the_command(home: Path, demo_home: Path) -> None:
    run("annotate", "1:1", "--star")
    before = run("--home", str(home), "list", "--sort", "starred", "--json", NEUROGLASS_HOME="")
    after = run("list", "--home", str(home), "--sort", "starred", "--json", NEUROGLASS_HOME="")
    assert before.stdout == after.stdout != ""


def test_the_app_needs_a_terminal(home: Path) -> None:
    result = run()
    assert result.exit_code == 2
    assert "needs a terminal" in result.stderr


def test_a_reader_that_leaves_early_is_no_error(home: Path) -> None:
    child = process("list", "--limit", "6000", "--json", env={**os.environ})
    assert child.stdout is not None and child.stderr is not None
    json.loads(child.stdout.readline())
    child.stdout.close()
    assert child.stderr.read() == ""
    assert child.wait() == 141


# ---------------------------------------------------------------- scan


def test_an_interrupted_scan_keeps_its_work_and_resumes(tmp_path: Path, demo_text: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for path in sorted(demo_text.iterdir())[:30]:
        shutil.copy(path, texts)
    args = ("scan", str(texts), "--batch", "4", "--home", str(tmp_path / "home"))
    child = process(*args, "--json")
    assert child.stdout is not None and child.stderr is not None
    for line in child.stdout:
        event = json.loads(line)
        if event["event"] == "ScanPublished":
            assert event["windows_done"] < event["windows_total"]
            child.send_signal(signal.SIGINT)
            break
    rest = [json.loads(line) for line in child.stdout]
    errors = child.stderr.read()
    assert child.wait() == 130
    assert rest[-1]["event"] == "ScanStopped"
    assert "Traceback" not in errors
    assert f"Go on with: neuroglass scan {texts} --batch 4 --home" in errors

    child = process(*args)
    output, errors = child.communicate()
    assert child.returncode == 0
    assert "resumed at" in errors
    index = Index.open(Path(output.strip()))
    assert index.complete and index.windows_scanned == index.windows_total


def test_scan_failures_have_a_status(tmp_path: Path) -> None:
    result = run("scan", str(tmp_path / "nowhere"), "--home", str(tmp_path / "home"))
    assert result.exit_code == 4 and "nowhere" in result.stderr
    result = run("scan", "--window", "1", "--home", str(tmp_path / "home"))
    assert result.exit_code == 2


# ---------------------------------------------------------------- doctor


def test_doctor_finds_a_healthy_home(home: Path) -> None:
    run("annotate", "1:1", "--star")
    result = run("doctor", "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 0 and report["healthy"]
    findings = {finding["name"]: finding for finding in report["findings"]}
    assert findings["index"]["facts"]["complete"] is True
    assert findings["store"]["facts"]["starred"] == 1
    assert findings["model"]["facts"]["n_layers"] == 6
    assert findings["torch"]["facts"]["threads"] >= 1


def test_doctor_finds_damage_and_changes_nothing(tmp_path: Path) -> None:
    sick = tmp_path / "sick"
    sick.mkdir()
    (sick / "neuroglass.db").write_bytes(b"not a database at all" * 100)
    result = run("doctor", "--home", str(sick), "--model", str(tmp_path))
    assert result.exit_code == 1
    assert re.search(r"^✗ store .*not a database", result.stdout, re.M)
    assert re.search(r"^✗ model ", result.stdout, re.M)
    assert [path.name for path in sick.iterdir()] == ["neuroglass.db"]
    absent = tmp_path / "absent"
    run("doctor", "--home", str(absent), "--model", str(tmp_path))
    assert not absent.exists()


# ---------------------------------------------------------------- start


def _cpu_seconds(*command: str) -> float:
    """The least of several runs: another process may only make a run slower."""
    best = float("inf")
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def test_help_answers_at_once() -> None:
    bare = _cpu_seconds(sys.executable, "-c", "pass")
    assert _cpu_seconds(*MODULE, "--help") - bare < 0.15


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_every_command_has_help(name: str | None) -> None:
    result = run(*([name] if name else []), "-h")
    assert result.exit_code == 0
    options = re.findall(r"^  .*?(--[a-z-]+)", result.stdout, re.M)
    # The config file is not in a home; its command has commands of its own.
    assert "--help" in options and ("--home" in options or name == "config")


def test_version_is_the_packages() -> None:
    from engine import __version__

    assert run("--version").stdout == f"neuroglass {__version__}\n"
