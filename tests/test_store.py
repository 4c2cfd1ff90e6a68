"""The store: what is saved comes back as it was, and is found again."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_samples import FACTS, MODEL, NAN, NEURON, carded, excerpt, explained, rows

from engine.explanation import Explanation
from engine.neuron import NeuronId
from engine.score import ScoreStatus
from engine.simulation import Scale, SimulationStatus
from engine.store import Annotation, Store, StoredSource, codec, migrations


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store.open(tmp_path / "neuroglass.db")
    yield opened
    await opened.close()


# ---------------------------------------------------------------- schema


def schema(path: Path) -> list[tuple[object, ...]]:
    # Statistics for the query planner come and go.
    return rows(
        path,
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' "
        "ORDER BY type, name",
    )


@pytest.mark.parametrize("reached", migrations.NAMES[1:])
async def test_every_older_schema_is_brought_to_the_present_one(
    tmp_path: Path, reached: str
) -> None:
    await Store.open(tmp_path / "new.db").close()
    old = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    old.execute("BEGIN")
    migrations.apply(old, stop_before=reached)
    old.execute("COMMIT")
    old.execute("INSERT INTO models (hash, created_at) VALUES ('kept', 'then')")
    old.close()
    await Store.open(tmp_path / "old.db").close()
    assert schema(tmp_path / "old.db") == schema(tmp_path / "new.db")
    assert rows(tmp_path / "old.db", "SELECT hash FROM models") == [("kept",)]


async def test_a_read_within_a_read_sees_the_same_state(store: Store) -> None:
    await store.save_explanation(FACTS, explained(), carded())
    other = sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)

    def unit(db: sqlite3.Connection) -> tuple[int, int, int]:
        before = db.execute("SELECT count(*) FROM explanations").fetchone()[0]
        other.execute("DELETE FROM explanations")
        within = len(store.explanations(MODEL, NEURON))
        return before, within, db.execute("SELECT count(*) FROM explanations").fetchone()[0]

    reading = threading.Thread(target=lambda: seen.append(store.read(unit)), daemon=True)
    seen: list[tuple[int, int, int]] = []
    reading.start()
    await asyncio.to_thread(reading.join, 20)
    assert seen == [(1, 1, 1)]
    assert store.explanations(MODEL, NEURON) == []
    other.close()


async def test_foreign_keys_are_real_and_hold(store: Store) -> None:
    await store.save_explanation(FACTS, explained(), carded())
    await store.set_tags(MODEL, NEURON, ["a"])
    parents = {
        table: {row[2] for row in rows(store.path, f"PRAGMA foreign_key_list({table})")}
        for table in [
            "indexes",
            "neurons",
            "notes",
            "neuron_tags",
            "explanations",
            "explanation_records",
            "scorings",
            "simulations",
            "scores",
            "baselines",
        ]
    }
    assert parents == {
        "indexes": {"models"},
        "neurons": {"models"},
        "notes": {"neurons"},
        "neuron_tags": {"neurons", "tags"},
        "explanations": {"imports", "indexes", "neurons"},
        "explanation_records": {"explanations"},
        "scorings": {"explanations", "imports", "indexes"},
        "simulations": {"scorings"},
        "scores": {"scorings"},
        "baselines": {"scorings"},
    }
    assert rows(store.path, "PRAGMA foreign_key_check") == []
    assert rows(store.path, "PRAGMA integrity_check") == [("ok",)]


# ---------------------------------------------------------------- round trips


async def test_an_explanation_comes_back_whole(store: Store) -> None:
    evidence = (excerpt(9, (b"z",)),)
    key = await store.save_explanation(FACTS, explained(), carded(), evidence)
    [found] = store.explanations(MODEL, NEURON)
    assert found.id == key
    assert dataclasses.astuple(found.explanation) == dataclasses.astuple(explained())
    assert (found.model, found.index_id, found.simulator, found.split) == (
        MODEL,
        "i1",
        "look-up",
        "valid",
    )
    assert found.simulator_settings == {"temperature": 0.5}
    assert found.scores == carded().scores
    assert [(b.name, b.description, b.scores) for b in found.baselines] == [
        ("mean", "the mean everywhere", carded().scores)
    ]
    assert found.ev_correlation == 0.5
    assert found.created_at.endswith("Z") and found.created_at[10] == "T"
    assert store.sources(key) == [StoredSource(3, None, None), StoredSource(9, "tale 9", 36)]
    assert store.explanation(key + 1) is None
    [facts] = store.indexes()
    assert dataclasses.astuple(facts) == dataclasses.astuple(FACTS)


async def test_every_simulated_record_comes_back_to_the_bit(store: Store) -> None:
    key = await store.save_explanation(FACTS, explained(), carded())
    first, second = store.card(key)
    given = carded().records[0]
    assert first.expected.dtype == first.activations.dtype == np.float32
    np.testing.assert_array_equal(first.expected, given.simulation.expected)
    np.testing.assert_array_equal(first.activations, given.activations)
    assert first.token_ids.tolist() == [100, 101, 102, 103]
    assert first.tokens == (" a", "�", "�", "\x1b[2J")
    assert (first.window, first.document_name, first.offset, first.role) == (4, "tale 4", 16, "top")
    assert (first.status, first.coverage) == (SimulationStatus.PARTIAL, 0.5)
    assert first.message == "one token has no value"
    assert first.ev_correlation == 0.75
    assert second.status is SimulationStatus.FAILED
    assert second.scale is Scale.NORMALISED
    assert np.isnan(second.expected).all() and second.coverage == 0.0
    assert second.ev_correlation is None


async def test_what_has_no_value_is_null_and_never_zero(store: Store) -> None:
    card = carded(None, ScoreStatus.UNDEFINED)
    nan = dataclasses.replace(card.scores[0], ev_correlation=NAN, rsquared=NAN)
    card = dataclasses.replace(card, scores=(nan, card.scores[1]))
    await store.save_explanation(FACTS, explained(), card)
    assert (
        rows(
            store.path,
            "SELECT status, ev_correlation, interval_low, rsquared FROM scores "
            "UNION ALL SELECT status, ev_correlation, interval_low, rsquared FROM baselines",
        )
        == [("undefined", None, None, None)] * 4
    )
    assert store.best_scores(MODEL, 2) == {}
    score = store.explanations(MODEL, NEURON)[0].score()
    assert score is not None
    assert (score.status, score.ev_correlation) == (ScoreStatus.UNDEFINED, None)
    assert score.message == "why"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(width=32, allow_nan=True), max_size=20))
def test_floats_survive_as_readable_text(values: list[float]) -> None:
    given_ = np.array(values, np.float32)
    np.testing.assert_array_equal(codec.load_floats(codec.dump_floats(given_)), given_)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.text(), st.dictionaries(st.text(), json_values, max_size=3))
def test_any_text_and_settings_can_be_saved(
    tmp_path: Path, text: str, values: dict[str, object]
) -> None:
    async def body() -> None:
        store = Store.open(tmp_path / "any.db")
        key = await store.save_explanation(
            FACTS, Explanation(NEURON, text, "x", values, values), None
        )
        await store.set_note(MODEL, NEURON, text + "!")
        found = store.explanation(key)
        assert found is not None
        assert found.text == text.replace("\0", "�")
        assert found.settings == found.rules
        assert len(found.settings) <= len(values)
        assert store.annotations(MODEL, 2)[7].note == text.replace("\0", "�") + "!"
        await store.close()

    asyncio.run(body())


async def test_lone_surrogates_and_odd_settings_do_not_cost_the_result(store: Store) -> None:
    odd = {"a": np.float32(0.5), "b": NAN, "c": Path("p"), "d": np.arange(2), "e": "\ud800"}
    key = await store.save_explanation(
        FACTS, Explanation(NEURON, "half \udc80 a pair \0", "x", odd), None
    )
    found = store.explanation(key)
    assert found is not None
    assert found.text == "half � a pair �"
    assert found.settings == {"a": 0.5, "b": None, "c": "p", "d": [0, 1], "e": "�"}


# ---------------------------------------------------------------- meaning


async def test_saving_again_adds_nothing_and_another_card_adds_a_scoring(store: Store) -> None:
    first = await store.save_explanation(FACTS, explained(), None)
    assert store.explanations(MODEL, NEURON)[0].scores == ()
    slower = dataclasses.replace(carded(), seconds=99.0)
    for card in (carded(), carded(), slower):
        assert await store.save_explanation(FACTS, explained(), card) == first
    assert (store.counts().explanations, store.counts().scorings) == (1, 1)
    assert store.counts().simulations == 2
    await store.save_explanation(FACTS, explained(), carded(0.3, simulator="other"))
    assert (store.counts().explanations, store.counts().scorings) == (1, 2)
    await store.save_explanation(FACTS, explained("verbs"), None)
    assert store.counts(MODEL).explanations == 2
    assert store.counts("another").explanations == store.counts("another").models == 0


async def test_the_newest_scoring_with_a_value_speaks_for_an_explanation(store: Store) -> None:
    for card in (carded(0.9), carded(0.3), carded(None, ScoreStatus.FAILED, simulator="broken")):
        key = await store.save_explanation(FACTS, explained(), card)
    [found] = store.explanations(MODEL, NEURON)
    assert found.ev_correlation == 0.3
    assert store.best_scores(MODEL, 2) == {7: 0.3}
    assert [record.window for record in store.card(key)] == [4, 5]
    assert store.card(key, found.scoring_id) and not store.card(key, 999)


async def test_best_first_and_never_scored_last(store: Store) -> None:
    other = NeuronId(2, 8)
    await store.save_explanation(FACTS, explained("never scored"), None)
    await store.save_explanation(FACTS, explained("worst"), carded(-0.2))
    await store.save_explanation(FACTS, explained("undefined"), carded(None))
    await store.save_explanation(FACTS, explained("zero"), carded(0.0))
    await store.save_explanation(FACTS, explained("best", other), carded(0.8))
    texts = [found.text for found in store.explanations(MODEL, NEURON)]
    assert texts == ["zero", "worst", "undefined", "never scored"]
    assert store.best_scores(MODEL, 2) == {7: 0.0, 8: 0.8}
    assert store.best_scores(MODEL, 1) == store.best_scores("m2", 2) == {}

    def listed(**options: object) -> list[str]:
        return [found.text for found in store.list_explanations(MODEL, **options)]  # type: ignore[arg-type]

    assert listed() == ["best", *texts]
    assert listed(limit=2, offset=1) == ["zero", "worst"]
    assert listed(order="newest")[:2] == ["best", "zero"]
    assert listed(order="neuron") == [*texts, "best"]
    best = rows(store.path, "SELECT neuron, explanation FROM best_explanation_per_neuron")
    assert sorted(best) == [("2:7", "zero"), ("2:8", "best")]


async def test_stars_tags_and_notes(store: Store) -> None:
    await store.set_star("unseen", NEURON, True)  # the model may never have been scanned
    await store.set_star("unseen", NEURON, True)
    await store.set_tags("unseen", NEURON, ["nouns", " nouns ", "", "a  b"])
    await store.set_note("unseen", NeuronId(2, 1), "look\nagain")
    await store.set_note("unseen", NeuronId(3, 1), "another layer")
    assert store.annotations("unseen", 2) == {
        7: Annotation(True, ("nouns", "a b"), ""),
        1: Annotation(False, (), "look\nagain"),
    }
    assert store.starred("unseen") == [NEURON]
    await store.set_star("unseen", NEURON, False)
    await store.set_tags("unseen", NEURON, [])
    await store.set_note("unseen", NeuronId(2, 1), " \n")
    assert store.annotations("unseen", 2) == {}
    assert store.starred("unseen") == []
    assert store.search("look") == []
    annotated = rows(store.path, "SELECT neuron, note, tags FROM neurons_annotated")
    assert annotated == [("3:1", "another layer", None)]


async def test_a_growing_index_is_the_same_index(store: Store) -> None:
    first = await store.save_index(FACTS)
    more = dataclasses.replace(FACTS, tokens=5000, windows=80)
    assert await store.save_index(more) == first
    assert [facts.tokens for facts in store.indexes()] == [5000]


async def test_forgetting_leaves_nothing_behind(store: Store) -> None:
    key = await store.save_explanation(FACTS, explained(), carded())
    await store.set_note(MODEL, NEURON, "stays")
    assert await store.forget_explanations([key, 999]) == [key]
    assert await store.forget_explanations([key]) == []
    for table in [
        "explanations",
        "explanation_records",
        "scorings",
        "simulations",
        "scores",
        "baselines",
    ]:
        assert rows(store.path, f"SELECT count(*) FROM {table}") == [(0,)], table
    assert store.search("plural") == []
    assert store.annotations(MODEL, 2)[7].note == "stays"
    # FTS5's own comparison of the index with the content it stands for
    connection = sqlite3.connect(store.path)
    connection.execute("INSERT INTO explanations_fts (explanations_fts) VALUES ('integrity-check')")
    connection.close()


# ---------------------------------------------------------------- search


async def test_search_finds_beginnings_of_words_in_explanations_and_notes(store: Store) -> None:
    key = await store.save_explanation(FACTS, explained("the endings of plural Nouns"), carded(0.4))
    await store.set_note(MODEL, NeuronId(0, 1), "perhaps noun-like things, café")
    hits = store.search("nou")
    assert {(hit.kind, hit.neuron, hit.score, hit.explanation_id) for hit in hits} == {
        ("explanation", NEURON, 0.4, key),
        ("note", NeuronId(0, 1), None, None),
    }
    assert {hit.model_name for hit in hits} == {"demo"}
    assert [hit.kind for hit in store.search("PLU nou")] == ["explanation"]
    assert [hit.snippet for hit in store.search("cafe")] == ["perhaps noun-like things, café"]
    assert store.search("ouns") == store.search("nouns verbs") == []
    assert store.search("nou", model="m2") == []
    assert len(store.search("nou", limit=1)) == 1
    await store.set_note(MODEL, NeuronId(0, 1), "changed")
    assert store.search("cafe") == [] and len(store.search("chang")) == 1


@pytest.mark.parametrize("text", ["", " ", "*", '"', "''", "\0", "- (", "\ud800", "^:{}"])
async def test_search_for_no_words_finds_nothing(store: Store, text: str) -> None:
    await store.set_note(MODEL, NEURON, 'words * " and \0 - (')
    assert store.search(text) == []


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(
            [
                "NEAR(",
                "AND",
                "OR",
                "NOT",
                '"',
                "text:",
                "*",
                "^",
                "+",
                "(",
                ")",
                "a",
                "é",
                "{",
                "\0",
            ]
        ),
        max_size=60,
    ).map(" ".join)
)
def test_no_input_is_a_search_error(searchable: Store, text: str) -> None:
    assert isinstance(searchable.search(text), list)


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.lists(st.sampled_from(["AND", "or", "not", "near", "words", "a1"]), min_size=1))
def test_operators_are_words(searchable: Store, words: list[str]) -> None:
    assert [hit.kind for hit in searchable.search(" ".join(words))] == ["note"]


@pytest.fixture
def searchable(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "searched.db")
    asyncio.run(store.set_note(MODEL, NEURON, "words and or not near a1"))
    yield store
    asyncio.run(store.close())
