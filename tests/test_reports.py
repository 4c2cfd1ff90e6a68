"""Reports: whole, true to the index and the store, and harmless to whoever opens them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from store_samples import carded, explained
from test_app import running, screen_text, until

from engine.engine import Engine
from engine.index import Index
from engine.neuron import NeuronId
from engine.paths import read_pointer
from engine.records import Group
from engine.reports.passages import level
from tui.cli.root import cli

NEURON, OTHER, LOW = NeuronId(5, 131), NeuronId(2, 7), NeuronId(0, 3)
EVIL = '"><script>alert(1)</script><img src=http://x.invalid/p onerror=run()> \x1b[31m\u202e&amp;'
VOID = {"meta", "wbr"}
#: Attributes by which a page asks for something else.
CALLING = {"src", "href", "srcset", "action", "data", "poster", "background", "style"}


def run(*args: str) -> Result:
    result = CliRunner().invoke(cli, list(args), prog_name="neuroglass")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class Page(HTMLParser):
    """What a page holds; fails on mark-up that is not nested."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.style = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text += data

    def classes(self, name: str) -> list[dict[str, str | None]]:
        return [a for _, a in self.tags if name in (a.get("class") or "").split()]


@pytest.fixture
def stored(home: Path) -> Path:
    async def fill() -> None:
        async with await Engine.open(home) as engine:
            facts, store = engine.index_facts(), engine.store
            await store.save_explanation(facts, explained("commas", NEURON), carded(0.75))
            await store.save_explanation(facts, explained(EVIL, NEURON), carded(0.25))
            await store.save_explanation(facts, explained("rivers", OTHER), carded(0.5))
            await store.save_explanation(facts, explained("hills", LOW), carded(None))
            await store.set_note(facts.model_id, NEURON, EVIL)
            await store.set_tags(facts.model_id, NEURON, [EVIL])

    asyncio.run(fill())
    return home


@pytest.fixture
def index(home: Path) -> Index:
    path = read_pointer(home)
    assert path is not None
    return Index.open(path)


def of_neuron(*args: str) -> Page:
    return Page(run("report", str(NEURON), "-o", "-", *args).stdout)


def of_triage(*args: str) -> Page:
    return Page(run("report", "--triage", "-o", "-", *args).stdout)


@pytest.mark.parametrize("make", [of_neuron, of_triage])
def test_a_page_runs_nothing_and_asks_for_nothing(stored: Path, make: type) -> None:
    page: Page = make()
    assert not {"script", "img", "link", "iframe", "object", "embed", "form", "base"} & {
        tag for tag, _ in page.tags
    }
    for tag, attributes in page.tags:
        assert not CALLING & set(attributes), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in page.style and "@import" not in page.style
    [policy] = [a["content"] for tag, a in page.tags if a.get("http-equiv") is not None]
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'; ") and f"'sha256-{digest}'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("make", [of_neuron, of_triage])
def test_untrusted_text_is_text_and_hides_nothing(stored: Path, make: type) -> None:
    page: Page = make()
    if make is of_neuron:
        assert page.text.count('"><script>alert(1)</script>') == 3  # explanation, note, tag
        assert "␛[31m⇄&amp;" in page.text
    for char in page.html:
        assert char == "\n" or (ord(char) >= 32 and not 0x202A <= ord(char) <= 0x202E)


def test_a_neuron_s_page_has_its_scores_with_what_they_rest_on(stored: Path) -> None:
    page = of_neuron()
    for said in ("commas", "0.750", "0.65 to 0.85 at 95%", "look-up", "valid split", "100%"):
        assert said in page.text, said
    quoted = page.text[page.text.index("Explanations") :]
    assert quoted.index("commas") < quoted.index("<script>alert(1)</script>")
    assert "the mean everywhere" in page.text
    assert {a.get("title") for a in page.classes("no")} >= {"not simulated"}
    images = [a for tag, a in page.tags if tag == "svg"]
    assert len(images) == 3 and all(a["role"] == "img" and a["aria-label"] for a in images)
    assert [tag for tag, _ in page.tags].count("h1") == 1


def test_excerpts_show_every_token_with_its_value_and_level(stored: Path, index: Index) -> None:
    page = of_neuron()
    kept = index.neuron(NEURON)
    maximum = kept.statistics.maximum
    titled = [a for tag, a in page.tags if tag == "span" and "title" in a]
    values = [a["title"] for a in titled]
    for record in kept.group(Group.TOP)[:5]:
        expected = [f"{v:.3f}".replace("-", "−") for v in record.activations.tolist()]
        start = next(
            place
            for place in range(len(values))
            if values[place : place + len(expected)] == expected
        )
        for value, span in zip(
            record.activations.tolist(), titled[start : start + len(expected)], strict=True
        ):
            classes = (span.get("class") or "").split()
            tenth = level(value, maximum)
            assert ("neg" in classes) == (tenth < 0)
            assert (f"h{tenth}" in classes) == (tenth > 0)
        assert f"{record.peak:.3f} at " in page.text
    assert f"{kept.statistics.fraction_active:.2%} of the tokens" in page.text


def test_a_triage_s_page(stored: Path) -> None:
    page = of_triage()
    assert "3 of 6,144 neurons" in page.text and "2 have a score" in page.text
    assert "Mean 0.62, median 0.62" in page.text
    order = [page.text.index(word) for word in ("commas", "rivers", "hills")]
    assert order == sorted(order)
    best = of_triage("--limit", "1")
    assert "the best 1 of 3" in best.text and "The lowest" in best.text
    assert "hills" in best.text and "rivers" not in best.text
    some = of_triage("--min-score", ".3", "--layer", "2")
    assert "rivers" in some.text and "commas" not in some.text
    assert "scores from 0.3" in some.text and "layers 2" in some.text
    assert "Nothing that was saved is like that" in of_triage("--tag", "none").text


def test_effects_are_read_from_the_weights(stored: Path) -> None:
    plain, more = of_neuron(), of_neuron("--effects")
    assert "makes likelier" in more.text and "makes likelier" not in plain.text
    told = json.loads(run("effects", str(NEURON), "--json").stdout)
    token = told["output"]["promoted"][0]["token"] if "output" in told else None
    assert token is None or token.strip() in more.text


def test_files_and_mistakes(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("report", str(NEURON)).stdout == "neuron-5-131.html\n"
    assert (tmp_path / "neuron-5-131.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    told = json.loads(run("report", "--triage", "--json").stdout)
    assert told == {"path": "triage.html", "neurons": 3}
    assert run("report").exit_code == 2
    assert run("report", str(NEURON), "--triage").exit_code == 2
    assert run("report", str(NEURON), "--starred").exit_code == 2
    assert run("report", "77:0").exit_code == 2
    assert run("report", str(NEURON), "-o", str(tmp_path / "no" / "x.html")).exit_code == 10
    assert not list(tmp_path.glob(".*.tmp"))


def test_both_schemes_are_readable(stored: Path) -> None:
    """Text on every level of the heatmaps has a contrast of at least 4.5 (WCAG 2, AA)."""
    style = of_neuron().style
    light, dark = style.split("@media (prefers-color-scheme:dark)")
    for rules in (light, dark):
        pairs = re.findall(r"\.(?:h\d+|neg)\{background:(#\w+);color:(#\w+)", rules)
        assert len(pairs) == 11
        for background, colour in pairs:
            assert _contrast(background, colour) >= 4.5, (background, colour)


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
        channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# ------------------------------------------------------------------ from the app


def undated(path: Path) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d( \d\d:\d\d UTC)?", "then", path.read_text("utf-8"))


async def test_the_app_writes_the_report_that_the_command_writes(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine, theirs = tmp_path / "mine.html", tmp_path / "theirs.html"
    async with running(stored) as (app, pilot):
        await pilot.press(":", *str(NEURON), "enter")
        await until(pilot, lambda: f"Neuron {NEURON}" in screen_text(app))
        await pilot.press("W")
        await until(pilot, lambda: "Report to (.html): neuron-5-131.html" in screen_text(app))
        await pilot.press("ctrl+u", *mine.name, "enter")
        await until(pilot, lambda: "Wrote " in screen_text(app))
        await asyncio.to_thread(run, "report", str(NEURON), "-o", str(theirs))
        assert undated(mine) == undated(theirs)

        written = mine.read_bytes()
        await pilot.press("e")
        await until(pilot, lambda: app.session.unsaved() != [], 60)
        for name, told in (
            (mine.name, "mine.html exists. Choose another name."),
            ("neuron.svg", "End the name in .html."),
            ("-", "End the name in .html."),
            ("gone/a.html", "The folder gone does not exist."),
            ("other.html", "without what is not saved."),
        ):
            await pilot.press(":", *f"report {name}", "enter")
            await until(pilot, lambda: told in screen_text(app))  # noqa: B023
        assert mine.read_bytes() == written
        await pilot.press("g", "m", ":", *"report", "enter")
        await until(pilot, lambda: "There is no report of this screen" in screen_text(app))


async def test_the_triage_writes_a_report_of_what_its_filter_leaves(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole, some = tmp_path / "whole.html", tmp_path / "some.html"
    async with running(stored) as (app, pilot):
        await pilot.press("g", "t")
        await until(pilot, lambda: "Leaderboard 3" in screen_text(app))
        await pilot.press("W")
        await until(pilot, lambda: "Report to (.html): triage.html" in screen_text(app))
        await pilot.press("ctrl+u", *whole.name, "enter")
        await until(pilot, lambda: "bytes, 3 neurons." in screen_text(app))
        theirs = tmp_path / "theirs.html"
        await asyncio.to_thread(run, "report", "--triage", "-o", str(theirs))
        assert undated(whole) == undated(theirs)
        await pilot.press("f", *"score>.4 layer=2", "enter")
        await until(pilot, lambda: "Leaderboard 1" in screen_text(app))
        await pilot.press(":", *f"report {some.name}", "enter")
        await until(pilot, lambda: "bytes, 1 neurons." in screen_text(app))
        page = Page(some.read_text("utf-8"))
        assert "Chosen: score>.4 layer=2." in page.text
        assert "rivers" in page.text and "commas" not in page.text
        await pilot.press("escape", "f", *"layer=4", "enter")
        await until(pilot, lambda: "Leaderboard 0" in screen_text(app))
        await pilot.press(":", *"report none.html", "enter")
        await until(pilot, lambda: "No neuron is within the filter." in screen_text(app))
    assert sorted(one.name for one in tmp_path.glob("*.html")) == [
        "some.html", "theirs.html", "whole.html",
    ]  # fmt: skip
