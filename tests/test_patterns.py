"""The pattern explainer: planted rules are found again, real neurons are predicted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
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
from engine.neuron import NeuronId
from engine.patterns.contexts import smallest_contexts
from engine.patterns.explainer import PatternSimulator
from engine.patterns.features import Columns, features
from engine.patterns.fit import GELU, IDENTITY, Additive, Link
from engine.patterns.groups import group
from engine.patterns.model import Patterns
from engine.patterns.prune import Shapes, pruned
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


def planted(kind: str, vocabulary: Any) -> tuple[Rule, int]:
    """Whether a neuron fires at the last token of a text, and how many patterns it has."""
    _, known = vocabulary
    digits = {i for i in range(len(known)) if known.token(i).strip().isdigit()}
    the, of, dollar = (number_of(t, vocabulary) for t in (b" the", b" of", b" $"))
    three = {number_of(t, vocabulary) for t in (b" and", b" not", b"import")}
    rules: dict[str, tuple[Rule, int]] = {
        "a token": (lambda ids: ids[-1] == the, 1),
        "a token after another": (
            lambda ids: len(ids) > 1 and ids[-1] == the and ids[-2] == of,
            1,
        ),
        "digits after a currency sign": (
            lambda ids: len(ids) > 1 and int(ids[-1]) in digits and ids[-2] == dollar,
            1,
        ),
        "three unrelated tokens": (lambda ids: int(ids[-1]) in three, 3),
    }
    return rules[kind]


KINDS = ["a token", "a token after another", "digits after a currency sign"]
KINDS += ["three unrelated tokens"]


@pytest.mark.parametrize("kind", KINDS)
def test_planted_rules_are_recovered(
    kind: str, vocabulary: Any, texts: list[NDArray[np.int64]]
) -> None:
    rule, count = planted(kind, vocabulary)
    _, known = vocabulary

    def probe(several: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        return np.array([3.0 if rule(one) else 0.0 for one in several], dtype=np.float32)

    strong = [text[: i + 1] for text in texts for i in range(len(text)) if rule(text[: i + 1])]
    assert len(strong) > 20
    strong = strong[:: max(1, len(strong) // 40)]
    contexts = smallest_contexts(strong, [3.0] * len(strong), probe)
    places = (0, 1) if "after" in kind else (0,)
    assert {one.needed for one in contexts} == {places}
    assert all(len(one.token_ids) == len(places) for one in contexts)
    found = group(contexts, known.token)
    assert len(found) == count
    assert sum(one.share for one in found) == pytest.approx(1)
    words = " / ".join(one.words() for one in found)
    for part in {
        "a token": ['"the"'],
        "a token after another": ['"the" after "of"'],
        "digits after a currency sign": ["numbers", 'after "$"'],
        "three unrelated tokens": ['"and"', '"not"', '"import"'],
    }[kind]:
        assert part in words, words


def learnt(
    texts: list[NDArray[np.int64]], inner: NDArray[np.float32], link: Link, known: Any
) -> Patterns:
    columns = Columns(np.unique(np.concatenate(texts)))
    tokens = [known.decode(text) for text in texts]
    # Embeddings that say nothing: what is found is found in the text.
    noise = np.random.default_rng(0).standard_normal((len(columns), 16)).astype(np.float32)
    additive = Additive(features(texts, tokens, columns), noise)
    fitted = additive.fit(inner[:, None], link)
    shapes = Shapes.of_tokens(known.decode(columns.seen))
    return pruned(fitted, additive, columns, shapes, link.value(inner)[:, None])[0]


@pytest.mark.parametrize("kind", KINDS)
def test_planted_rules_are_predicted_on_unseen_text(
    kind: str, vocabulary: Any, texts: list[NDArray[np.int64]]
) -> None:
    rule, _ = planted(kind, vocabulary)

    def fires(several: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        values = [3.0 if rule(t[: i + 1]) else -1.0 for t in several for i in range(len(t))]
        return np.array(values, dtype=np.float32)

    _, known = vocabulary
    seen, unseen = texts[::2], texts[1::2]
    inner = fires(seen)
    patterns = learnt(seen, inner, GELU, known)
    simulated = np.concatenate([patterns.simulate(text, known.decode(text)) for text in unseen])
    real = GELU.value(fires(unseen))
    correlation = ev_correlation(real, simulated)
    assert correlation is not None and correlation > 0.9, correlation


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
    ids = [np.array([1, 2, 3, 1, 2, 4, 1, 3, 3, 2] * 3)]
    inner = np.where(ids[0] == 2, 2.0, -1.0).astype(np.float32)
    return learnt(ids, inner, IDENTITY, SOME)


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
