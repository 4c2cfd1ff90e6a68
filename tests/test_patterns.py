"""The pattern explainer: planted rules are found again, real neurons are predicted."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.choices import Choices
from engine.demo import MODEL_DIR, demo_documents
from engine.engine import Engine
from engine.errors import MethodError, UsageError
from engine.events import Explained, PipelineFailed, Scored
from engine.explanation import Preparing, Word
from engine.neuron import NeuronId
from engine.patterns.explainer import PatternSimulator
from engine.patterns.fit import GELU, IDENTITY
from engine.patterns.groups import group
from engine.patterns.learning import learn
from engine.patterns.model import Patterns
from engine.patterns.places import BACKTICKS, BRACKETS, LINE_UNKNOWN, PLACES, QUOTES, places_of
from engine.patterns.prune import pruned
from engine.patterns.reading import Text
from engine.patterns.saying import sentence
from engine.patterns.search import PatternQuery
from engine.records import Excerpt, Fold
from engine.score import Scope
from engine.scoring import ev_correlation
from engine.vocabulary import Vocabulary

PATTERNS = Choices(explainer="patterns", simulator="patterns", chance=False)


@pytest.fixture(scope="module")
def vocabulary() -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))
    return tokenizer, Vocabulary.from_tokenizer(tokenizer, tokenizer.get_vocab_size())


@pytest.fixture(scope="module")
def texts(vocabulary: Any) -> list[NDArray[np.int64]]:
    """Real text in windows, with money in it."""
    tokenizer, _ = vocabulary
    written = [document.text[:1500] for document in list(demo_documents())[::4]]
    written += [f"It costs ${n} a day, or {n}{n} pounds for {n} of them." for n in range(2, 90)]
    ids = [np.array(tokenizer.encode(text).ids, dtype=np.int64) for text in written]
    return [one[i : i + 64] for one in ids for i in range(0, len(one), 64) if len(one) - i > 7]


def number_of(token: bytes, vocabulary: Any) -> int:
    _, known = vocabulary
    return next(i for i in range(len(known)) if known.token(i) == token)


Rule = Callable[[NDArray[np.int64]], bool]


@dataclass(frozen=True)
class Planted:
    """A neuron with a known rule.

    Attributes:
        fires: Whether it does at the last token of a text.
        needed: Offsets that its contexts need; None: that differs.
        patterns: How many it has.
        said: What its sentence must say, each in this order.
    """

    fires: Rule
    needed: tuple[int, ...] | None
    patterns: int | None
    said: tuple[str, ...]


#: A quotation that is still open, told otherwise than the engine does.
OPEN = re.compile(r'((^|[\s(\[])"(?=\S)[^"]*|\u201c[^\u201d]*)\Z')


def planted(kind: str, vocabulary: Any) -> Planted:
    _, known = vocabulary
    digits = {i for i in range(len(known)) if known.token(i).strip().isdigit()}
    the, of, dollar = (number_of(t, vocabulary) for t in (b" the", b" of", b" $"))
    three = {number_of(t, vocabulary) for t in (b" and", b" not", b" was")}

    def quoted(ids: NDArray[np.int64]) -> bool:
        text = b"".join(known.decode(ids)).decode("utf-8", "replace")
        return OPEN.search(text.rpartition("\n\n")[2]) is not None

    def after(ids: NDArray[np.int64], own: set[int], before: int) -> bool:
        return len(ids) > 1 and int(ids[-1]) in own and ids[-2] == before

    rules = {
        "a token": Planted(lambda ids: ids[-1] == the, (0,), 1, ('the word "the"',)),
        "a token after another": Planted(
            lambda ids: after(ids, {the}, of),
            (0, 1),
            1,
            ('the word "the"', 'mostly after "of"', 'as in "the" after "of"'),
        ),
        "digits after a currency sign": Planted(
            lambda ids: after(ids, digits, dollar),
            (0, 1),
            1,
            ("numbers", "mostly after dollar signs", 'as in numbers ("', 'after "$"'),
        ),
        "text inside quotes": Planted(quoted, None, None, ("inside quotation marks",)),
        "three unrelated tokens": Planted(
            lambda ids: int(ids[-1]) in three, (0,), 3, ('"and"', '"not"', '"was"')
        ),
    }
    return rules[kind]


KINDS = [
    "a token",
    "a token after another",
    "digits after a currency sign",
    "text inside quotes",
    "three unrelated tokens",
]


def fired(rule: Rule, texts: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
    values = [3.0 if rule(text[: i + 1]) else -1.0 for text in texts for i in range(len(text))]
    return np.array(values, dtype=np.float32)


def text_of(texts: Sequence[NDArray[np.int64]], known: Vocabulary) -> Text:
    excerpts = [
        Excerpt(i, i, "", 0, Fold.EXPLAIN, ids.astype(np.int32), known.decode(ids))
        for i, ids in enumerate(texts)
    ]
    # Embeddings that say nothing: what is found is found in the text.
    noise = np.random.default_rng(0).standard_normal((len(known), 16)).astype(np.float32)
    return Text(excerpts, known, noise)


@pytest.fixture(scope="module")
def halves(vocabulary: Any, texts: list[NDArray[np.int64]]) -> tuple[Text, list[NDArray[np.int64]]]:
    """A text to learn from, and another."""
    return text_of(texts[::2], vocabulary[1]), texts[1::2]


@pytest.mark.parametrize("kind", KINDS)
def test_planted_rules_are_recovered_said_and_predicted_on_unseen_text(
    kind: str, vocabulary: Any, halves: tuple[Text, list[NDArray[np.int64]]]
) -> None:
    _, known = vocabulary
    neuron = planted(kind, vocabulary)
    text, unseen = halves
    inner = fired(neuron.fires, [one.token_ids.astype(np.int64) for one in text.excerpts])
    assert (inner > 0).sum() > 20

    def probe(cuts: Sequence[NDArray[np.int64]], _owners: NDArray[np.int64]) -> NDArray[np.float32]:
        return GELU.value(np.array([3.0 if neuron.fires(c) else -1.0 for c in cuts], np.float32))

    learned = learn(text, inner[:, None], GELU, [NeuronId(0, 0)], probe)[0]
    found = group(learned.contexts, known.token)
    assert sum(one.share for one in found) == pytest.approx(
        1, abs=0.3 if kind == "text inside quotes" else 1e-6
    )
    if neuron.needed is not None:
        assert {one.needed for one in learned.contexts} == {neuron.needed}
        assert all(len(one.token_ids) == len(neuron.needed) for one in learned.contexts)
        assert len(found) == neuron.patterns
    said = sentence(learned, found, {})
    place = -1
    for part in neuron.said:
        assert part in said, said
        if kind != "three unrelated tokens":  # whose order is that of their frequency
            assert said.index(part) > place, said
            place = said.index(part)
    assert len(said) < 400
    patterns = Patterns.from_json(json.loads(json.dumps(learned.patterns.to_json())))
    simulated = [patterns.simulate(ids, known.decode(ids)) for ids in unseen]
    correlation = ev_correlation(GELU.value(fired(neuron.fires, unseen)), np.concatenate(simulated))
    # The two tell marks in code apart in different ways.
    least = 0.8 if kind == "text inside quotes" else 0.9
    assert correlation is not None and correlation > least, correlation


def test_numbers_never_seen_are_predicted_by_their_class(
    vocabulary: Any, texts: list[NDArray[np.int64]]
) -> None:
    """What is learnt of tokens is learnt of their class."""
    _, known = vocabulary
    digits = {i for i in range(len(known)) if re.fullmatch(rb" ?[0-9]{1,2}", known.token(i))}
    held_out = {i for i in digits if re.fullmatch(rb" ?[1-9]7", known.token(i))}
    assert len(held_out) > 5
    seen = [ids for ids in texts if not held_out & set(ids.tolist())]
    text = text_of(seen, known)
    inner = fired(lambda ids: int(ids[-1]) in digits, [one.token_ids for one in text.excerpts])
    fitted = text.additive.fit(inner[:, None], GELU)
    (patterns,) = pruned(
        fitted, text.additive, text.columns, text.shapes, GELU.value(inner)[:, None]
    )
    ids = np.array([*sorted(held_out), number_of(b" the", vocabulary)])
    alone = [
        float(patterns.simulate(ids[i : i + 1], known.decode(ids[i : i + 1]))[0])
        for i in range(len(ids))
    ]
    assert np.mean(alone[:-1]) > 1 > 0 > alone[-1]


def test_places_of_a_text() -> None:
    text = "He said \"no (really) `x`\" and\nleft: it's f('a b').\n\nEnd"
    tokens = [part.encode() for part in re.findall(r" ?\w+| ?[^\w\s]|\s", text)]
    found = places_of(tokens)
    inside = {
        token.decode(): int(code) for token, code in zip(tokens, found["inside"], strict=True)
    }
    assert inside["no"] == QUOTES and inside["really"] == QUOTES | BRACKETS
    assert inside["x"] == QUOTES | BACKTICKS
    assert inside[" and"] == inside["left"] == inside["s"] == inside["End"] == 0
    assert inside["a"] == inside[" b"] == QUOTES | BRACKETS
    line = {token.decode(): int(code) for token, code in zip(tokens, found["line"], strict=True)}
    assert line["He"] == LINE_UNKNOWN and line["left"] == 1 and line["End"] == 1
    assert found["position"].tolist() == list(range(len(tokens)))
    far = places_of([b"x"] * 5000)["position"]
    assert far.max() < PLACES["position"] and (np.diff(far) >= 0).all()


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"a", b' "', b'"', b"'", b"(", b")", b"`", b"\n", b"\n\n", b"\xe2", b" b"])
    )
)
def test_places_never_look_ahead(tokens: list[bytes]) -> None:
    whole = places_of(tokens)
    half = len(tokens) // 2
    part = places_of(tokens[:half])
    for name, size in PLACES.items():
        assert ((whole[name] >= 0) & (whole[name] < size)).all()
        np.testing.assert_array_equal(whole[name][:half], part[name])


async def test_real_neurons_are_predicted_better_than_by_their_tokens(home: Path) -> None:
    patterns, lookup = [], []
    async with await Engine.open(home) as engine:
        for neuron in (NeuronId(4, 7), NeuronId(4, 500), NeuronId(5, 131), NeuronId(5, 900)):
            async for event in engine.explain(neuron, PATTERNS):
                assert not isinstance(event, PipelineFailed), event
                if isinstance(event, Explained):
                    explanation = event.explanation
                if isinstance(event, Scored):
                    card = event.card
            assert explanation.text and len(explanation.text) < 600
            score = next(s for s in card.scores if s.scope is Scope.TOP_AND_RANDOM)
            table = next(b for b in card.baselines if b.name == "token-lookup")
            other = next(s for s in table.scores if s.scope is Scope.TOP_AND_RANDOM)
            assert score.ev_correlation is not None and other.ev_correlation is not None
            patterns.append(score.ev_correlation)
            lookup.append(other.ev_correlation)
            # Nothing of the score fold was looked at, and it all survives the store.
            assert engine.index is not None
            folds = {engine.index.excerpt(w).fold for w in explanation.windows}
            assert {fold.value for fold in folds} == {"explain"}
            number = await engine.save(explanation, card)
            kept = engine.store.explanation(number)
            again = PatternSimulator()
            record = engine.index.neuron(neuron)
            excerpt = next(iter(record.records.values()))[0].excerpt
            one = await again.simulate(kept.explanation, excerpt)
            two = await again.simulate(explanation, excerpt)
            np.testing.assert_array_equal(one.expected, two.expected)
    assert np.mean(patterns) > np.mean(lookup)


async def test_the_negative_side_is_explained_too(home: Path) -> None:
    choices = Choices(explainer="patterns", simulator="patterns", side="negative", chance=False)
    async with await Engine.open(home) as engine:
        events = [event async for event in engine.explain(NeuronId(5, 131), choices)]
    assert isinstance(events[-1], Scored), events[-1]


SOME = Vocabulary([b"a", b" the", b" 7", b'"', b" red", b"\n", b"(", b"`", b"x", b"\xe2"])


def some_patterns() -> Patterns:
    ids = np.array([1, 2, 3, 1, 2, 4, 1, 3, 3, 2] * 3)
    text = text_of([ids], SOME)
    inner = np.where(ids == 2, 2.0, -1.0).astype(np.float32)[:, None]
    fitted = text.additive.fit(inner, IDENTITY)
    return pruned(fitted, text.additive, text.columns, text.shapes, inner)[0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_rules_survive_json_and_read_any_text(ids: list[int]) -> None:
    patterns = some_patterns()
    again = Patterns.from_json(json.loads(json.dumps(patterns.to_json())))
    tokens = np.array(ids, dtype=np.int32)
    texts = SOME.decode(tokens)
    found = again.simulate(tokens, texts)
    assert found.shape == tokens.shape and np.isfinite(found).all()
    np.testing.assert_allclose(found, patterns.simulate(tokens, texts), atol=0.02)
    # No token looks ahead.
    half = len(ids) // 2 + 1
    np.testing.assert_array_equal(again.simulate(tokens[:half], texts[:half]), found[:half])


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "token-lookup"},
        {"tables": 7},
        {"tables": [{"offset": 0, "tokens": [1, 2], "values": [1.0]}]},
        {"tables": [{"offset": 0, "tokens": [2, 1], "values": [1.0, 1.0]}]},
        {"tables": [{"offset": -1, "tokens": [1], "values": [1.0]}]},
        {"tables": [{"offset": 0, "tokens": [1], "values": [float("nan")]}]},
        {"sums": [1.0]},
        {"sums": [], "activations": []},
        {"bias": "much"},
        {"bias": float("inf")},
        {"unit": "inch"},
        {"places": {"position": [1, 2]}},
        {"places": {"elsewhere": [1] * 8}},
        {"places": 7},
        {"shapes": []},
    ],
)
def test_damaged_rules_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MethodError):
        Patterns.from_json({**some_patterns().to_json(), **change})
    with pytest.raises(MethodError):
        Patterns.from_json(None)


def test_simulators_read_only_what_was_written_for_them() -> None:
    with pytest.raises(UsageError, match="patterns"):
        Choices(explainer="token-lookup", simulator="patterns").check()
    with pytest.raises(UsageError, match="tables"):
        Choices(explainer="patterns", simulator="token-lookup").check()
    with pytest.raises(UsageError, match="patterns"):
        PATTERNS.for_scoring(Engine.written(NeuronId(0, 0), "rivers"))


def test_saved_patterns_are_scored_again_by_their_own_simulator(home: Path) -> None:
    from click.testing import CliRunner

    from tui.cli.root import cli

    def scored(*words: str) -> dict[str, Any]:
        result = CliRunner().invoke(cli, [*words, "--no-chance", "--json"])
        assert result.exit_code == 0, result.output
        events = [json.loads(line) for line in result.stdout.splitlines()]
        return next(event for event in events if event["event"] == "Scored")

    first = scored("explain", "5:131", "--explainer", "patterns")
    again = scored("score", "5:131", "--id", "1")
    assert first["simulator"] == again["simulator"] == "patterns"
    assert first["scores"] == again["scores"]

    def searched(*words: str) -> list[dict[str, Any]]:
        result = CliRunner().invoke(cli, ["search", *words, "--json"])
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    with closing(sqlite3.connect(home / "neuroglass.db")) as db:
        (rules,) = db.execute(
            "SELECT rules FROM explanations WHERE explainer = 'patterns'"
        ).fetchone()
    saved = json.loads(rules)["patterns"]
    assert 0 < sum(one["share"] for one in saved) < 1.001
    hits = searched("--token", saved[0]["places"][0]["tokens"][0].upper())
    assert hits[0]["neuron"] == "5:131" and hits[0]["score"] == first["scores"][0]["ev_correlation"]
    assert hits[0]["pattern"] in saved
    assert searched("--token", "no such token") == []
    for wrong in (["search"], ["search", "words", "--token", "a"], ["search", "--place", "Mars"]):
        result = CliRunner().invoke(cli, wrong)
        assert result.exit_code == 2, result.output


def test_saved_patterns_are_found_by_token_class_and_place() -> None:
    pattern = {
        "places": [
            {"offset": 0, "tokens": ["3", " 17"], "class": "numbers"},
            {"offset": 1, "tokens": [" $"], "class": ""},
        ]
    }
    for query, found in (
        (PatternQuery(token="17"), True),
        (PatternQuery(token="1"), False),
        (PatternQuery(kind="number"), True),
        (PatternQuery(kind="numbers", before="$"), True),
        (PatternQuery(kind="numbers", before="currency"), True),
        (PatternQuery(kind="numbers", before="the"), False),
        (PatternQuery(token="$"), False),
    ):
        query.check()
        assert query.of_pattern(pattern) is found, query


async def test_a_layer_that_is_read_first_says_so(home: Path) -> None:
    async with await Engine.open(home) as engine:
        first = [event async for event in engine.explain(NeuronId(2, 8), PATTERNS)]
        second = [event async for event in engine.explain(NeuronId(2, 9), PATTERNS)]
    told = [event for event in first if isinstance(event, Preparing)]
    assert "layer 2" in told[-1].text and 0 < told[-1].share <= 1
    assert [one.share for one in told if one.text == told[-1].text] == sorted(
        one.share for one in told if one.text == told[-1].text
    )
    kinds = [type(event) for event in first]
    assert kinds.index(Preparing) < kinds.index(Word)
    assert not any(isinstance(event, Preparing) for event in second)


async def test_neurons_learnt_together_are_those_learnt_alone(home: Path) -> None:
    neurons = [NeuronId(1, 4), NeuronId(1, 77)]
    async with await Engine.open(home) as engine:
        assert engine.index is not None
        bench = engine._workbench()
        reader = await bench.patterns(engine.index)
        alone = [await reader.learn(neuron, "positive") for neuron in neurons]
        await bench.prepare(engine.index, neurons, PATTERNS)
        together = [await reader.learn(neuron, "positive") for neuron in neurons]
    for one, other in zip(alone, together, strict=True):
        assert [c.needed for c in one.contexts] == [c.needed for c in other.contexts]
        ids = np.arange(40, dtype=np.int32)
        tokens = [b" the"] * 40
        np.testing.assert_allclose(
            one.patterns.simulate(ids, tokens), other.patterns.simulate(ids, tokens), atol=0.02
        )
