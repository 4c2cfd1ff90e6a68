"""Published datasets: written, read by others, taken in again, and not believed."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from store_samples import carded, excerpt, explained, rows

from engine.engine import Engine
from engine.errors import FileError
from engine.exports.dataset import public_name
from engine.judgement import JudgedItem, Judgement, Measure, Measured
from engine.neuron import NeuronId
from engine.score import Interval, ScoreCard
from engine.store import Store, identity
from tui.cli.root import cli

ONE, TWO, THREE = NeuronId(0, 3), NeuronId(2, 7), NeuronId(5, 11)
JUDGED = Judgement(
    "detection",
    "openai:some",
    {"seed": 1},
    "valid",
    (Measure(Measured.BALANCED_ACCURACY, "all", 0.75, Interval(0.5, 1.0), 0.5, 8, 1.0),),
    (Measure(Measured.BALANCED_ACCURACY, "all", 0.5, None, 0.5, 8, 1.0),),
    "another one",
    (JudgedItem(3, "tale", "once \u202eupon", ".99-.999", 1.0, None, None, "no answer"),),
)
#: Everything that two databases have to agree on, without row ids and times of one of them.
SAID = {
    "explanations": "SELECT m.hash, i.hash, n.layer, n.neuron_index, e.content_hash, e.text, "
    "explainer, e.settings, rules, seconds, side, versions, e.created_at FROM explanations AS e "
    "JOIN neurons AS n ON n.id = e.neuron_id JOIN models AS m ON m.id = n.model_id "
    "JOIN indexes AS i ON i.id = e.index_id ORDER BY e.content_hash",
    "sources": "SELECT e.content_hash, position, window, document_name, document_offset "
    "FROM explanation_records AS r JOIN explanations AS e ON e.id = r.explanation_id ORDER BY 1, 2",
    "scorings": "SELECT e.content_hash, s.content_hash, records_hash, simulator, s.settings, "
    "split, s.seconds, s.versions, s.created_at FROM scorings AS s "
    "JOIN explanations AS e ON e.id = s.explanation_id ORDER BY 1, 2",
    "simulations": "SELECT s.content_hash, position, role, window, document_name, "
    "document_offset, status, message, coverage, ev_correlation, scale, r.text, token_ids, tokens, "
    "expected, activations FROM simulations AS r JOIN scorings AS s ON s.id = r.scoring_id "
    "JOIN explanations AS e ON e.id = s.explanation_id ORDER BY e.content_hash, 1, 2",
    "scores": "SELECT e.content_hash, c.scope, status, ev_correlation, interval_low, "
    "interval_high, interval_level, interval_resamples, rsquared, absolute_dev_explained, "
    "records, tokens, coverage, message FROM scores AS c JOIN scorings AS s ON s.id = c.scoring_id "
    "JOIN explanations AS e ON e.id = s.explanation_id ORDER BY 1, s.content_hash, 2",
    "baselines": "SELECT e.content_hash, name, description, c.scope, status, ev_correlation, "
    "records, coverage FROM baselines AS c JOIN scorings AS s ON s.id = c.scoring_id "
    "JOIN explanations AS e ON e.id = s.explanation_id ORDER BY 1, s.content_hash, 2, 4",
    "judgements": "SELECT e.content_hash, j.content_hash, scorer, model, chance_text "
    "FROM judgements AS j JOIN explanations AS e ON e.id = j.explanation_id ORDER BY 1, 2",
    "judged_items": "SELECT position, window, text, truth, prediction FROM judged_items ORDER BY 1",
    "measures": "SELECT explanation_of, measured, value, interval_low FROM measures ORDER BY 1",
}


def run(*args: str) -> Result:
    result = CliRunner().invoke(cli, list(args), prog_name="neuroglass")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def said(home: Path, *tables: str) -> dict[str, list[Any]]:
    return {name: rows(home / "neuroglass.db", SAID[name]) for name in tables or SAID}


def finite(card: ScoreCard) -> ScoreCard:
    """Without the infinity that the sample has: JSON Lines can't tell Arrow of one."""
    whole, *others = card.records
    expected = np.nan_to_num(whole.simulation.expected, nan=np.nan, posinf=2.0)
    simulation = replace(whole.simulation, expected=expected)
    return replace(card, records=(replace(whole, simulation=simulation), *others))


@pytest.fixture
def stored(home: Path) -> Path:
    async def fill() -> None:
        async with await Engine.open(home) as engine:
            facts, store = engine.index_facts(), engine.store
            seen = (excerpt(9, (b"z",)),)
            save = store.save_explanation
            await save(
                facts, explained("names of rivers", ONE), finite(carded(0.75)), seen, [JUDGED]
            )
            other = finite(carded(0.5, simulator="other"))
            await save(facts, explained("names of rivers", ONE), other)
            await save(facts, explained('=evil "\x1b[2J', TWO), carded(0.25))
            await save(facts, explained("nobody scored this", THREE), None)
            await store.set_star(facts.model_id, ONE, True)
            await store.set_tags(facts.model_id, ONE, ["water", "places"])
            await store.set_note(facts.model_id, ONE, "mine alone")

    asyncio.run(fill())
    return home


@pytest.fixture
def published(stored: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    done = run("export", "--dataset", str(folder), "--licence", "CC-BY-4.0", "--title", "Rivers")
    assert done.exit_code == 0, done.stderr
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def take_in(home: Path, path: Path) -> dict[str, Any]:
    result = run("import", str(path), "--home", str(home), "--json")
    assert result.exit_code == 0, result.stderr
    told: dict[str, Any] = json.loads(result.stdout)
    return told


# ---------------------------------------------------------------- there and back


def test_everything_arrives_and_a_second_time_nothing(
    stored: Path, published: Path, elsewhere: Path
) -> None:
    told = take_in(elsewhere, published)
    assert told["added"] == {
        "models": 1,
        "indexes": 1,
        "explanations": 3,
        "scorings": 3,
        "records": 6,
        "judgements": 1,
        "stars": 0,
        "tags": 0,
        "notes": 0,
    }
    assert said(elsewhere) == said(stored)
    assert not any(take_in(elsewhere, published)["added"].values())
    assert not any(take_in(stored, published)["added"].values())
    assert said(elsewhere) == said(stored)
    [known] = [json.loads(x) for x in run("import", "--list", "--json").stdout.splitlines()] or [{}]
    assert known == {}
    listed = run("import", "--list", "--json", "--home", str(elsewhere)).stdout
    source = json.loads(listed)["source"]
    assert (source["title"], source["licence"]) == ("Rivers", "cc-by-4.0")
    assert rows(elsewhere / "neuroglass.db", "SELECT DISTINCT import_id FROM scorings") == [(1,)]
    assert rows(elsewhere / "neuroglass.db", "PRAGMA foreign_key_check") == []
    found = run("search", "rivers", "--json", "--home", str(elsewhere)).stdout
    assert "names of rivers" in found


def test_what_is_found_here_and_there_is_one(
    stored: Path, published: Path, elsewhere: Path
) -> None:
    """The same sentence, scored alike on two machines, at other times and row ids."""

    async def fill() -> None:
        async with await Engine.open(stored) as engine:
            facts = engine.index_facts()
        other = Store.open(elsewhere / "neuroglass.db")
        await other.save_explanation(facts, explained("one of ours", TWO), carded(0.1))
        card = finite(carded(0.75))
        await other.save_explanation(facts, explained("names of rivers", ONE), card)
        await other.close()

    asyncio.run(fill())
    added = take_in(elsewhere, published)["added"]
    assert (added["explanations"], added["scorings"], added["judgements"]) == (2, 2, 1)
    assert added["models"] == added["indexes"] == 0
    assert len(said(elsewhere)["explanations"]) == 4


def test_another_database_is_taken_in_with_its_marks(stored: Path, elsewhere: Path) -> None:
    before = (stored / "neuroglass.db").read_bytes()
    added = take_in(elsewhere, stored)["added"]
    assert (added["explanations"], added["stars"], added["tags"], added["notes"]) == (3, 1, 2, 1)
    assert said(elsewhere) == said(stored)
    assert not any(take_in(elsewhere, stored / "neuroglass.db")["added"].values())
    assert (stored / "neuroglass.db").read_bytes() == before


def test_marks_are_added_and_one_s_own_note_stays(
    stored: Path, elsewhere: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "with-notes"
    args = ("export", "--dataset", str(folder), "--licence", "mit")
    assert run(*args, "--notes").exit_code == 0
    take_in(elsewhere, folder)
    model = rows(elsewhere / "neuroglass.db", "SELECT hash FROM models")[0][0]

    async def change() -> None:
        store = Store.open(elsewhere / "neuroglass.db")
        assert store.annotations(str(model), 0)[3].note == "mine alone"
        await store.set_note(str(model), ONE, "another thought")
        await store.set_tags(str(model), ONE, ["own"])
        await store.close()

    asyncio.run(change())
    take_in(elsewhere, folder)

    async def look() -> None:
        store = Store.open(elsewhere / "neuroglass.db")
        mark = store.annotations(str(model), 0)[3]
        assert mark.note == "another thought" and mark.starred
        assert set(mark.tags) == {"own", "water", "places"}
        await store.close()

    asyncio.run(look())
    assert run(*args).exit_code == 0  # without --notes nothing of them is published
    everything = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert b"mine alone" not in everything and b"water" not in everything


def test_records_may_be_left_out_and_come_later(
    stored: Path, published: Path, elsewhere: Path, tmp_path: Path
) -> None:
    light = tmp_path / "light"
    args = ("export", "--dataset", str(light), "--licence", "mit", "--no-records")
    assert run(*args).exit_code == 0
    assert not (light / "data" / "records.jsonl.gz").exists()
    assert take_in(elsewhere, light)["added"]["records"] == 0
    added = take_in(elsewhere, published)["added"]
    assert (added["explanations"], added["scorings"], added["records"]) == (0, 0, 6)
    assert said(elsewhere) == said(stored)
    assert not any(take_in(elsewhere, light)["added"].values())


def test_a_selection_is_published_alone(stored: Path, elsewhere: Path, tmp_path: Path) -> None:
    folder = tmp_path / "best"
    args = ("export", "--dataset", str(folder), "--licence", "mit")
    assert run(*args, "--best", "--min-score", "0.4").exit_code == 0
    assert take_in(elsewhere, folder)["added"]["explanations"] == 1
    nothing = run("export", "--dataset", str(folder), "--licence", "mit", "--tag", "none")
    assert nothing.exit_code == 2 and "no explanation" in nothing.stderr
    assert (folder / "README.md").exists()


# ---------------------------------------------------------------- read by others


def test_the_datasets_library_and_datasette_read_it(stored: Path, tmp_path: Path) -> None:
    import datasets
    from datasette.app import Datasette

    published = tmp_path / "published"
    args = ("export", "--dataset", str(published), "--licence", "mit", "--layer", "0")
    assert run(*args, "--layer", "5").exit_code == 0

    def load(name: str) -> Any:
        cache = str(tmp_path / "cache")
        return datasets.load_dataset(str(published), name, split="train", cache_dir=cache)

    told = load("explanations")
    texts = {row["explanation"]: row for row in told}
    assert set(texts) == {"names of rivers", "nobody scored this"}
    best = texts["names of rivers"]
    assert (best["score"], best["status"], best["coverage"]) == (0.5, "ok", 1.0)
    assert best["sources"][1] == {"window": 9, "document": "tale 9", "offset": 36}
    assert texts["nobody scored this"]["score"] is None
    whole = load("records").filter(lambda row: row["status"] == "partial")
    assert len(whole) == 2 and whole[0]["expected"][1] is None
    assert {row["name"] for one in load("scorings")["baselines"] for row in one} == {"mean"}
    assert len(load("neurons")) == 2048 and load("judgements")[0]["items"][0]["truth"] == 1.0

    async def browse() -> None:
        metadata = json.loads((published / "metadata.json").read_text())
        served = Datasette([str(published / "explanations.db")], metadata=metadata)
        path = "/explanations/explanations.json?_search=rivers&_shape=array"
        [row] = (await served.client.get(path)).json()
        assert row["explanation"] == "names of rivers" and row["score"] == 0.5
        page = await served.client.get("/explanations/neurons")
        assert page.status_code == 200 and "Largest activation" in page.text

    asyncio.run(browse())


def test_checksums_hold_for_the_usual_program(published: Path) -> None:
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=published, check=True)
    listed = {line[66:] for line in (published / "SHA256SUMS").read_text().splitlines()}
    there = {str(p.relative_to(published)) for p in published.rglob("*") if p.is_file()}
    assert there == listed | {"SHA256SUMS"}


def test_the_card(published: Path, stored: Path, tmp_path: Path) -> None:
    import yaml

    text = (published / "README.md").read_text("utf-8")
    _, front, body = text.split("---\n", 2)
    facts = yaml.safe_load(front)
    assert (facts["license"], facts["pretty_name"]) == ("cc-by-4.0", "Rivers")
    manifest = json.loads((published / "neuroglass.json").read_text())
    assert manifest["models"][0]["hash"] in body and manifest["indexes"][0]["hash"] in body
    assert "| 0 | 1 | 1 | 0.500 | 0.500 |" in body and "| 5 | 1 | 0 | — | — |" in body
    assert str(stored) not in text and "path" not in manifest["indexes"][0]
    evil = "x\n---\nlicense: mit\n<script> [a](http://x.invalid)"
    other = tmp_path / "evil"
    run("export", "--dataset", str(other), "--licence", "other", "--title", evil)
    text = (other / "README.md").read_text("utf-8")
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "other"
    assert yaml.safe_load(front)["pretty_name"] == evil
    assert "<script>" not in body and "](http" not in body


def test_a_licence_is_asked_for_and_folders_are_not_overwritten(
    stored: Path, published: Path, tmp_path: Path
) -> None:
    missing = run("export", "--dataset", str(tmp_path / "new"))
    assert missing.exit_code == 2 and "licence" in missing.stderr
    assert not (tmp_path / "new").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.tex").write_text("dear")
    refused = run("export", "--dataset", str(tmp_path / "thesis"), "--licence", "mit")
    assert refused.exit_code == 10 and (tmp_path / "thesis" / "text.tex").exists()
    again = run("export", "--dataset", str(published), "--licence", "mit")
    assert again.exit_code == 0
    assert json.loads((published / "neuroglass.json").read_text())["licence"] == "mit"


def test_names_of_models_lose_the_folders_of_this_machine(tmp_path: Path) -> None:
    assert public_name("openai-community/gpt2") == "openai-community/gpt2"
    assert public_name(str(tmp_path / "secret" / "mine")) == "mine"
    assert public_name("~/models/mine") == "mine"
    assert public_name("./mine") == "mine"


# ---------------------------------------------------------------- not believed


def rewrite(folder: Path, part: str, change: Callable[[list[Any]], object]) -> None:
    """Change the lines of a part and make the checksums right again."""
    path = folder / "data" / part
    packed = path.suffix == ".gz"
    data = path.read_bytes()
    lines = [json.loads(x) for x in (gzip.decompress(data) if packed else data).splitlines()]
    change(lines)
    texts = [x if isinstance(x, str) else json.dumps(x) for x in lines]
    text = "\n".join([*texts, ""]).replace("Infinity", "9e999").encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    resum(folder)


def resum(folder: Path) -> None:
    sums = folder / "SHA256SUMS"
    names = [line[66:] for line in sums.read_text().splitlines()]
    sums.write_text(
        "".join(
            f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n"
            for n in names
            if (folder / n).is_file()
        )
    )


def manifest(folder: Path, **changes: Any) -> None:
    path = folder / "neuroglass.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    resum(folder)


def flip(folder: Path) -> None:
    path = folder / "data" / "records.jsonl.gz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def torn(folder: Path) -> None:
    path = folder / "data" / "records.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-40])
    resum(folder)


def bomb(folder: Path) -> None:
    path = folder / "data" / "rules.jsonl.gz"
    path.write_bytes(gzip.compress(b"a" * (64 << 20)))
    resum(folder)


def to_a_device(folder: Path) -> None:
    path = folder / "data" / "explanations.jsonl"
    path.unlink()
    path.symlink_to("/dev/zero")


def unlisted(folder: Path) -> None:
    sums = folder / "SHA256SUMS"
    lines = [x for x in sums.read_text().splitlines() if "scorings" not in x]
    sums.write_text("\n".join(lines) + "\n")


def outside(folder: Path) -> None:
    with (folder / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  ../../etc/passwd\n")


def first(part: str, **changes: Any) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, part, lambda lines: lines[0].update(changes))


def line(part: str, text: str) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, part, lambda lines: lines.insert(1, text))


def score(**changes: Any) -> Callable[[Path], None]:
    def change(lines: list[Any]) -> None:
        lines[0]["scores"][0].update(changes)

    return lambda folder: rewrite(folder, "scorings.jsonl", change)


HARM: dict[str, tuple[Callable[[Path], None], str]] = {
    "a bit": (flip, "checksum differs"),
    "a torn file": (torn, "is damaged"),
    "a bomb": (bomb, "longer than any line"),
    "a device": (to_a_device, "is missing"),
    "a file without checksum": (unlisted, "in no list of checksums"),
    "a file outside": (outside, "outside"),
    "a changed sentence": (first("explanations.jsonl", explanation="lies"), "not what its id"),
    "changed rules": (first("rules.jsonl.gz", rules='{"a": 9}'), "not what its id"),
    "a changed score": (score(ev_correlation=0.99), "not what its id"),
    "a changed record": (first("records.jsonl.gz", activations=[9, 9, 9, 9]), "not what its id"),
    "a changed judgement": (first("judgements.jsonl", scorer="me"), "not what its id"),
    "an unknown status": (score(status="great"), "“status”"),
    "a text for a number": (score(coverage="all"), "“coverage”"),
    "lists of two lengths": (first("records.jsonl.gz", expected=[1.0]), "different lengths"),
    "a neuron that is not there": (first("explanations.jsonl", neuron=99_999), "has not got"),
    "a negative neuron": (first("explanations.jsonl", layer=-1), "has not got"),
    "an unknown model": (first("explanations.jsonl", model="other"), "does not name"),
    "an unknown scan": (first("explanations.jsonl", index="other"), "does not name"),
    "a huge integer": (first("explanations.jsonl", requests=10**40), "“requests”"),
    "half a line": (line("scorings.jsonl", '{"id": '), "line 2, is not JSON"),
    "not a number": (line("scorings.jsonl", "NaN"), "is not JSON"),
    "a deep line": (line("explanations.jsonl", "[" * 100_000), "is not JSON"),
    "a list": (line("explanations.jsonl", "[]"), "is not an object"),
    "a missing field": (line("neurons.jsonl", "{}"), "has no “model”"),
    "settings that are none": (first("explanations.jsonl", settings="[1]"), "“settings”"),
    "an orphan": (first("scorings.jsonl", explanation="x"), "belongs to nothing"),
    "a double": (
        lambda folder: rewrite(
            folder, "explanations.jsonl", lambda lines: lines.append(dict(lines[-1]))
        ),
        "is there twice",
    ),
    "another format": (lambda folder: manifest(folder, format="x"), "not a neuroglass dataset"),
    "a newer version": (lambda folder: manifest(folder, version=2), "version 2"),
    "no models": (lambda folder: manifest(folder, models=None), "models"),
    "another shape": (
        lambda folder: manifest(
            folder,
            models=[
                {**json.loads((folder / "neuroglass.json").read_text())["models"][0], "layers": 7}
            ],
        ),
        "other numbers of layers",
    ),
}


def test_what_is_damaged_or_hostile_is_told_in_a_line_and_changes_nothing(
    stored: Path, published: Path, tmp_path: Path
) -> None:
    import shutil

    before = said(stored)
    for name, (harm, expected) in HARM.items():
        folder = tmp_path / "harmed"
        shutil.copytree(published, folder)
        harm(folder)
        result = run("import", str(folder))
        assert result.exit_code == 10, (name, result.output)
        assert expected in result.stderr, (name, result.stderr)
        assert len(result.stderr.splitlines()) == 2, name
        assert result.stderr.isprintable() or "\x1b" not in result.stderr
        assert said(stored) == before, name
        assert not list(stored.glob(".import-*")), name
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("CREATE TRIGGER t AFTER INSERT ON notes BEGIN DELETE FROM models; END", "did not make"),
        ("CREATE VIEW v AS SELECT 1", "did not make"),
        ("INSERT INTO _sqlite_migrations VALUES ('neuroglass', 'm999_x', 'then')", "newer"),
        ("UPDATE explanations SET text = 'lies'", "not what its id says"),
        ("UPDATE simulations SET expected = '[1]'", "different lengths"),
        ("UPDATE scores SET status = 'great'", "“status”"),
        ("UPDATE explanations SET settings = 'no'", "is not JSON"),
        ("PRAGMA application_id = 7", "another program"),
    ],
)
def test_another_database_is_believed_no_more(
    stored: Path, elsewhere: Path, tmp_path: Path, change: str, expected: str
) -> None:
    run("list", "--home", str(elsewhere))
    path = tmp_path / "other.db"
    with sqlite3.connect(stored / "neuroglass.db") as source:
        source.execute("VACUUM INTO ?", (str(path),))
    columns = "(migration_set, name, applied_at)"
    with sqlite3.connect(path) as other:
        other.execute(change.replace("_sqlite_migrations V", f"_sqlite_migrations {columns} V"))
    other.close()
    result = run("import", str(path), "--home", str(elsewhere))
    assert result.exit_code == 10 and expected in result.stderr, result.output
    assert str(path) in result.stderr and "copy.db" not in result.stderr
    assert len(result.stderr.splitlines()) == 2
    counts = rows(elsewhere / "neuroglass.db", "SELECT count(*) FROM explanations")
    assert counts == [(0,)] and not list(elsewhere.glob(".import-*"))


def test_what_is_none_of_these(home: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello")
    for path in (tmp_path / "text.txt", tmp_path / "none", tmp_path):
        result = run("import", str(path))
        assert result.exit_code == 10 and len(result.stderr.splitlines()) == 2
    assert run("import").exit_code == 2
    assert run("import", str(tmp_path), "--list").exit_code == 2


async def test_a_full_disk_leaves_everything_as_it_was(
    published: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit on a file's size stands in for a disk that is full."""
    import resource
    import signal

    async with await Engine.open(elsewhere) as engine:
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
        try:
            with pytest.raises(FileError):
                await engine.import_results(published)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
            signal.signal(signal.SIGXFSZ, handler)
        assert engine.store.counts().explanations == 0
        assert (await engine.import_results(published)).added.explanations == 3


def test_older_databases_get_hashes_that_hold_everywhere(stored: Path) -> None:
    before = said(stored)
    with sqlite3.connect(stored / "neuroglass.db") as db:
        db.execute("UPDATE scorings SET content_hash = id, records_hash = ''")
        db.execute("UPDATE judgements SET content_hash = id")
        identity.rehash(db)
    db.close()
    assert said(stored) == before
