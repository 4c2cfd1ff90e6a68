"""The library: every saved explanation found, filtered, sorted, deleted and brought back."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_samples import FACTS, MODEL, NEURON, carded, explained, rows

from engine.explanation import Explanation
from engine.neuron import NeuronId
from engine.score import Scope, ScoreStatus
from engine.store import KEPT_DAYS, LibraryFilter, LibraryOrder, Store

OTHER = dataclasses.replace(
    FACTS, model_id="m2", model_name="other", index_id="i2", path="/data/i2"
)
FAR = NeuronId(3, 1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store.open(tmp_path / "neuroglass.db")
    yield opened
    await opened.close()


async def filled(store: Store) -> dict[str, int]:
    """Five explanations of three neurons of two models."""

    async def save(name: str, text: str, neuron: NeuronId, score: float | None, **facts: object):  # type: ignore[no-untyped-def]
        explanation = dataclasses.replace(explained(text, neuron), **facts)  # type: ignore[arg-type]
        card = None if name == "unscored" else carded(score)
        if name == "narrow":
            narrow = dataclasses.replace(card.scores[0].interval, low=0.55, high=0.6)
            first = dataclasses.replace(card.scores[0], interval=narrow)
            card = dataclasses.replace(card, scores=(first, *card.scores[1:]), simulator="json")
        if name == "undefined":
            first = dataclasses.replace(card.scores[0], status=ScoreStatus.UNDEFINED)
            card = dataclasses.replace(card, scores=(first, *card.scores[1:]))
        found[name] = await store.save_explanation(model, explanation, card)

    found: dict[str, int] = {}
    model = FACTS
    await save("narrow", "plural nouns", NEURON, 0.6, explainer="summary")
    await save("wide", "nouns of a place", NEURON, 0.8)
    await save("undefined", "verbs", FAR, None, side="negative")
    await save("unscored", "dates and years", FAR, None)
    model = OTHER
    await save("other", "plural verbs", NEURON, 0.3, explainer="summary")
    await store.set_star(MODEL, NEURON, True)
    await store.set_tags(MODEL, FAR, ["later", "odd one"])
    await store.set_note("m2", NEURON, "See the café.")
    return found


def names(found: dict[str, int], ids: list[int]) -> list[str]:
    known = {number: name for name, number in found.items()}
    return [known[number] for number in ids]


async def test_every_order(store: Store) -> None:
    found = await filled(store)
    orders = {order: names(found, store.library(order=order)) for order in LibraryOrder}
    assert orders == {
        LibraryOrder.BEST: ["wide", "narrow", "other", "unscored", "undefined"],
        LibraryOrder.WORST: ["other", "narrow", "wide", "unscored", "undefined"],
        LibraryOrder.NEWEST: ["other", "unscored", "undefined", "wide", "narrow"],
        LibraryOrder.NEURON: ["wide", "narrow", "unscored", "undefined", "other"],
        LibraryOrder.SUREST: ["narrow", "other", "wide", "unscored", "undefined"],
        LibraryOrder.EXPLAINER: ["narrow", "other", "wide", "unscored", "undefined"],
    }


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ({}, "narrow other undefined unscored wide"),
        ({"text": "NOU"}, "narrow wide"),
        ({"text": "plur ver"}, "other"),
        ({"text": "cafe"}, "other"),  # in the neuron's note
        ({"text": "nothing like it"}, ""),
        ({"text": "*"}, "narrow other undefined unscored wide"),
        ({"model": "m2"}, "other"),
        ({"model": "demo"}, "narrow undefined unscored wide"),
        ({"layer": 3}, "undefined unscored"),
        ({"neuron": NEURON}, "narrow other wide"),
        ({"explainer": "summary"}, "narrow other"),
        ({"simulator": "json"}, "narrow"),
        ({"score_low": 0.6}, "narrow wide"),
        ({"score_low": 0.3, "score_high": 0.6}, "narrow other"),
        ({"starred": True}, "narrow wide"),
        ({"starred": False}, "other undefined unscored"),
        ({"tag": "odd one"}, "undefined unscored"),
        ({"tag": "odd"}, ""),
        ({"side": "negative"}, "undefined"),
        ({"status": "unscored"}, "unscored"),
        ({"status": "undefined"}, "undefined"),
        ({"status": "ok", "layer": 2, "text": "nouns", "starred": True}, "narrow wide"),
        ({"deleted": True}, ""),
    ],
)
async def test_every_filter(store: Store, only: dict[str, object], expected: str) -> None:
    found = await filled(store)
    given_ = store.library(LibraryFilter(**only))  # type: ignore[arg-type]
    assert sorted(names(found, given_)) == expected.split()


async def test_a_row_says_what_a_list_shows(store: Store) -> None:
    found = await filled(store)
    shown = store.library_rows([*found.values(), 999])
    assert set(shown) == set(found.values())
    wide, unscored = shown[found["wide"]], shown[found["unscored"]]
    assert (wide.model, wide.model_name, wide.index_id, wide.index_path) == (
        "m1",
        "demo",
        "i1",
        "/data/i1",
    )
    assert (wide.neuron, wide.text, wide.explainer) == (NEURON, "nouns of a place", "token-lookup")
    assert wide.low is not None and wide.high is not None
    assert (wide.score, round(wide.low, 9), round(wide.high, 9)) == (0.8, 0.7, 0.9)
    assert (wide.coverage, wide.records, wide.status, wide.side) == (1.0, 2, "ok", "positive")
    assert (wide.starred, wide.tags, wide.note, wide.deleted_at) == (True, (), "", None)
    assert (unscored.score, unscored.low, unscored.coverage, unscored.records) == (None,) * 4
    assert (unscored.status, unscored.simulator) == ("unscored", None)
    assert unscored.tags == ("later", "odd one")
    assert shown[found["other"]].note == "See the café."


async def test_facets_count_what_can_be_asked_for(store: Store) -> None:
    found = await filled(store)
    await store.delete_explanations([found["narrow"]])
    facets = store.facets()
    assert facets.models == (("demo", 3), ("other", 1))
    assert facets.layers == ((2, 2), (3, 2))
    assert facets.explainers == (("summary", 1), ("token-lookup", 3))
    assert facets.simulators == (("look-up", 3),)
    assert facets.tags == (("later", 2), ("odd one", 2))
    assert facets.deleted == 1


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(
            ["NEAR(", "AND", "OR", '"', "'", "text:", "*", "^", "(", ")", "a", "\0", ";--"]
        ),
        max_size=60,
    ).map(" ".join)
)
def test_no_words_are_an_error(kept: Store, text: str) -> None:
    assert isinstance(kept.library(LibraryFilter(text=text)), list)
    assert kept.library(LibraryFilter(explainer=text.replace("\ud800", ""), tag="'")) == []


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "kept.db")
    asyncio.run(store.save_explanation(FACTS, explained(), carded()))
    yield store
    asyncio.run(store.close())


# ---------------------------------------------------------------- deleting


async def test_what_is_deleted_is_gone_everywhere_and_comes_back_whole(store: Store) -> None:
    key = await store.save_explanation(FACTS, explained(), carded())
    kept = await store.save_explanation(FACTS, explained("stays"), carded(0.1))
    before, counts = store.explanations(MODEL, NEURON), store.counts()
    records = store.card(key)
    views = "SELECT explanation_id FROM explanations_with_scores"
    assert await store.delete_explanations([key, key, 999]) == [key]
    assert await store.delete_explanations([key]) == []
    assert [one.id for one in store.explanations(MODEL, NEURON)] == [kept]
    for order in ("best", "newest", "neuron"):
        assert [one.id for one in store.list_explanations(MODEL, order=order)] == [kept]  # type: ignore[arg-type]
    assert store.library() == [kept] and store.library(LibraryFilter(deleted=True)) == [key]
    assert store.search("plural") == []
    assert store.best_scores(MODEL, 2) == {7: 0.1}
    assert (store.counts().explanations, store.counts().scorings) == (1, 1)
    assert store.explanation(key) is None
    assert store.scoring_counts(MODEL)[0] == len(store.scorings_since(MODEL)) == 1
    assert store.explanations_with_words("plural", MODEL) == set()
    assert rows(store.path, views) == [(kept,)]
    hidden = store.explanation(key, deleted=True)
    assert hidden is not None and hidden.deleted_at is not None
    assert hidden.scores == before[0].scores
    assert await store.restore_explanations([key, kept, 999]) == [key]
    assert store.counts() == counts
    after = store.explanations(MODEL, NEURON)
    assert [one.id for one in after] == [one.id for one in before]
    assert after[0].scores == before[0].scores and after[0].deleted_at is None
    assert len(store.card(key)) == len(records) == 2


async def test_the_last_deletion_is_undone_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = Store.open(path)
    keys = [await store.save_explanation(FACTS, explained(f"word {n}"), carded()) for n in range(4)]
    await store.delete_explanations(keys[:1])
    await asyncio.sleep(0.005)  # deletions are told apart by their time
    await store.delete_explanations(keys[1:3])
    await store.close()
    store = Store.open(path)
    assert await store.restore_explanations() == keys[1:3]
    assert await store.restore_explanations() == keys[:1]
    assert await store.restore_explanations() == []
    assert store.counts().explanations == 4
    await store.close()


async def test_saving_again_brings_back(store: Store) -> None:
    key = await store.save_explanation(FACTS, explained(), carded())
    await store.delete_explanations([key])
    assert await store.save_explanation(FACTS, explained(), None) == key
    [found] = store.explanations(MODEL, NEURON)
    assert found.id == key and found.score(Scope.TOP_AND_RANDOM) is not None


async def test_what_was_deleted_long_ago_is_forgotten_by_the_next_deletion(store: Store) -> None:
    old = await store.save_explanation(FACTS, explained("old"), carded())
    recent = await store.save_explanation(FACTS, explained("recent"), carded())
    await store.delete_explanations([old, recent])
    for key, days in ((old, KEPT_DAYS + 1), (recent, KEPT_DAYS - 1)):
        connection = sqlite3.connect(store.path)
        connection.execute(
            "UPDATE explanations SET deleted_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?) "
            "WHERE id = ?",
            (f"-{days} days", key),
        )
        connection.commit()
        connection.close()
    assert store.library(LibraryFilter(deleted=True)) == [recent, old]
    other = await store.save_explanation(
        FACTS, Explanation(NEURON, "other", "x", {}, None, ()), None
    )
    await store.delete_explanations([other])
    assert store.library(LibraryFilter(deleted=True), LibraryOrder.NEWEST) == [other, recent]
    assert rows(store.path, "SELECT count(*) FROM scorings") == [(1,)]
