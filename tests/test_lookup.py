"""The token look-up table, the sentence about it, and the simulator that reads it."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from method_samples import (
    NEURON,
    TOKENS,
    explanation,
    neuron,
    record,
    sample_means,
    sample_neuron,
    token_means,
)

from engine.errors import MethodError
from engine.explanation import Evidence, Explanation, Word
from engine.lookup import (
    LookupTable,
    TokenLookupExplainer,
    TokenLookupSimulator,
    explained_share,
    fit_table,
    shrunk_means,
)
from engine.records import ActivationRecord, Fold, Group, TokenMeans
from engine.sentence import Table, describe, seen_joins
from engine.simulation import Scale, SimulationStatus
from engine.token_words import Joins, Kind, classes_of, kind_of, listing, quoted

#: Tokens that the sentences below have as a quiet background.
QUIET = (b" the", b" of", b" and", b" man", b" house", b".", b",", b"\n", b"ing", b" was", b" I")


def sentence(
    loud: dict[bytes, float], quiet: tuple[bytes, ...] = QUIET, explained: float = 0.6
) -> str:
    texts = (*loud, *(text for text in quiet if text not in loud))
    heights = np.array([loud.get(text, 0.0) for text in texts])
    return describe(Table(texts, np.full(len(texts), 40.0), heights, explained, {}))


def evidence(means: TokenMeans, records: tuple[ActivationRecord, ...] = ()) -> Evidence:
    return Evidence(NEURON, records, (), means, neuron({}).statistics)


async def run(means: TokenMeans) -> tuple[list[str], Explanation]:
    pieces = [piece async for piece in TokenLookupExplainer().explain(evidence(means))]
    *words, last = pieces
    assert all(isinstance(word, Word) for word in words)
    assert isinstance(last, Explanation)
    return [word.text for word in words if isinstance(word, Word)], last


def test_means_are_shrunk_toward_the_neurons_mean() -> None:
    means = token_means([b"a", b"b"], [4.0, 1.0], [2, 98], mean=1.0)
    assert shrunk_means(means, 2.0).tolist() == [2.5, 1.0]
    assert shrunk_means(means, 0.0).tolist() == [4.0, 1.0]


def test_a_table_keeps_what_explains_and_defaults_to_the_mean_of_the_rest() -> None:
    texts = [b"%d" % i for i in range(6)]
    means = token_means(texts, [5, 0.1, 0.2, 0.3, -3, 0.0], [10, 10, 30, 10, 10, 10], mean=0.2)
    table = fit_table(means, shrinkage=0.0)
    assert table.token_ids.tolist() == [0, 4]
    assert table.default == pytest.approx((0.1 * 10 + 0.2 * 30 + 0.3 * 10) / 60)
    whole = fit_table(token_means(texts[:2], [1, -1], [5, 5]), shrinkage=0.0)
    assert len(whole.token_ids) == 2 and whole.default == 0.0
    assert fit_table(means, limit=1).token_ids.tolist() == [0]


def test_an_unseen_token_gets_the_default() -> None:
    table = fit_table(token_means([b"a", b"b"], [2, -1], [10, 10], mean=0.5), shrinkage=0.0)
    found = table.simulate(np.array([1, 0, 7, 8191], dtype=np.int32))
    assert found.dtype == np.float32 and found.tolist() == [-1, 2, 0.5, 0.5]
    empty = LookupTable(0.25, *(np.array([]) for _ in range(3)), ())  # type: ignore[arg-type]
    assert empty.simulate(np.array([3], dtype=np.int32)).tolist() == [0.25]


def test_no_tokens_or_no_numbers_are_errors_with_a_remedy() -> None:
    with pytest.raises(MethodError, match="Scan more text"):
        fit_table(token_means([], [], []))
    with pytest.raises(MethodError, match="not a number"):
        fit_table(token_means([b"a"], [float("nan")], [5]))


raw = st.lists(
    st.tuples(st.binary(max_size=6), st.floats(-5, 5, width=32), st.integers(1, 10**6)),
    min_size=1,
    max_size=40,
)


@given(raw, st.floats(-1, 1))
def test_rules_survive_json_and_simulate_alike(
    rows: list[tuple[bytes, float, int]], mean: float
) -> None:
    texts, means, counts = zip(*rows, strict=True)
    table = fit_table(token_means(texts, means, counts, mean))
    text = json.dumps(table.to_rules(), allow_nan=False)
    text.encode("utf-8")
    again = LookupTable.from_rules(json.loads(text))
    ids = np.arange(len(rows) + 3, dtype=np.int32)
    assert again.simulate(ids) == pytest.approx(table.simulate(ids), rel=1e-4, abs=1e-9)
    assert again.token_ids.tolist() == table.token_ids.tolist()


@pytest.mark.parametrize(
    "rules",
    [
        None,
        {"kind": "something else"},
        {"kind": "token-lookup"},
        {"kind": "token-lookup", "default": "x", "tokens": []},
        {"kind": "token-lookup", "default": 0.0, "tokens": [[1, "a", 2.0]]},
        {"kind": "token-lookup", "default": 0.0, "tokens": [[1, "a", "nan", 3]]},
        {"kind": "token-lookup", "default": 0.0, "tokens": 5},
    ],
)
async def test_rules_that_are_no_table_are_a_failed_simulation(rules: dict[str, object]) -> None:
    simulation = await TokenLookupSimulator().simulate(explanation(rules), record(1).excerpt)
    assert simulation.status is SimulationStatus.FAILED
    assert np.isnan(simulation.expected).all() and len(simulation.expected) == 4
    assert "table" in simulation.message


async def test_the_simulator_reads_the_rules_and_the_token_ids_only() -> None:
    _, made = await run(sample_means())
    excerpt = record(5, token_ids=[0, 3, 0]).excerpt
    simulation = await TokenLookupSimulator().simulate(made, excerpt)
    assert simulation.status is SimulationStatus.OK and simulation.scale is Scale.NEURON
    assert simulation.expected == pytest.approx([1.93, 0.0, 1.93], abs=0.02)


async def test_the_explanation_arrives_word_by_word() -> None:
    words, made = await run(sample_means())
    assert "".join(words) == made.text == 'the word "fire"'
    assert len(words) == 3
    assert made.explainer == "token-lookup" and made.seconds > 0
    assert made.settings == {"shrinkage": 2.0, "limit": 1024}
    assert made.rules is not None and made.rules["tokens"][0][:2] == [0, " fire"]


async def test_an_explanation_names_the_windows_it_looked_at() -> None:
    train = sample_neuron().records[Fold.EXPLAIN, Group.TOP]
    (*_, made) = [p async for p in TokenLookupExplainer().explain(evidence(sample_means(), train))]
    assert isinstance(made, Explanation) and made.windows == tuple(range(20))


def test_explained_share() -> None:
    means = token_means([b"a", b"b"], [1.0, -1.0], [1000, 1000])
    assert explained_share(means, 2.0) == pytest.approx(0.5, abs=0.01)
    assert explained_share(means, 0.5) == 1.0
    assert explained_share(means, 0.0) == explained_share(means, float("nan")) == 0.0


# ---------------------------------------------------------------- sentences


def test_single_words_are_named() -> None:
    loud = {b" cat": 2.0, b" Cat": 1.9, b" dog": 1.5}
    assert sentence(loud) == 'the words "cat" and "dog"'


def test_a_whole_class_is_named_with_its_strongest_examples() -> None:
    loud = {b" 1984": 3.0, b"7": 2.0, b" 12": 2.0, b"2001": 2.5, b" 5": 2.0}
    text = sentence(loud)
    assert text.startswith('numbers, above all "1984", "2001"')


def test_a_class_is_not_named_for_a_part_of_it() -> None:
    numbers = tuple(b" %d" % i for i in range(60))
    assert sentence({b" 7": 2.0}, (*QUIET, *numbers)) == 'the number "7"'


def test_a_weaker_class_follows() -> None:
    prepositions = (b" in", b" on", b" at", b" by", b" for", b" to", b" with")
    loud = {b" of": 2.0, b" from": 2.0, **dict.fromkeys(prepositions, 0.6)}
    text = sentence(loud, tuple(t for t in QUIET if t != b" of"))
    assert text == 'the words "of" and "from"; weaker on other prepositions'


def test_white_space_has_names() -> None:
    assert sentence({b"\n": 2.0}) == "line breaks"
    text = sentence({b"\n\n": 2.0, b"\t": 1.5, b"    ": 1.5})
    assert "blank lines" in text and "\n" not in text and "\t" not in text


def test_endings_and_beginnings_are_told_from_words_by_their_neighbours() -> None:
    texts = (b" sup", b"ply", b" cat")
    joins = {b" sup": Joins(9, 0, 9), b"ply": Joins(9, 9, 0), b" cat": Joins(9, 0, 0)}
    table = Table(texts, np.full(3, 9.0), np.array([3.0, 2.5, 2.0]), 0.5, joins)
    assert describe(table) == 'words that begin with "sup"; the word ending "ply"; the word "cat"'


def test_joins_are_counted_in_records() -> None:
    kept = record(0, token_ids=[3, 7, 4, 3, 1])  # " man" "ing" "." " man" " the"
    joins = seen_joins([kept])
    assert joins[b" man"] == Joins(2, 0, 1)
    assert joins[b"ing"] == Joins(1, 1, 0)


def test_a_table_that_explains_little_says_so() -> None:
    assert sentence({b" cat": 0.2}, explained=0.05) == (
        'no token in particular; most on the word "cat"'
    )
    assert sentence({}, explained=0.0) == "nothing: it does the same at every token"


def test_a_neuron_that_stops_at_some_tokens() -> None:
    loud = {b" the": -2.0, b" of": -2.0}
    assert sentence(loud) == 'nearly everything; least on the words "the" and "of"'


def test_many_tokens_are_not_passed_off_as_a_few() -> None:
    loud = {b" %s" % bytes([97 + i, 97 + j]): 2.0 for i in range(9) for j in range(9)}
    text = sentence(loud)
    assert text.startswith("many different tokens, among them words such as ")


@given(st.dictionaries(st.binary(max_size=8), st.floats(-3, 3), max_size=30), st.floats(0, 1))
def test_no_sentence_holds_anything_that_acts_on_a_terminal(
    loud: dict[bytes, float], explained: float
) -> None:
    text = sentence(loud, (), explained)
    assert text and text == text.strip() and not text.endswith(".")
    for char in text:
        assert char == " " or unicodedata.category(char)[0] not in "CZ", text


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (b" of", '"of"'),
        (b"ing", '"ing"'),
        (b"\n", "line break"),
        (b"):\n", '"):" line break'),
        (b"\x1b[2J", 'U+001B "[2J"'),
        ("\u202eabc".encode(), 'U+202E "abc"'),
        (b'"', "'\"'"),
        (b"\"'", "«\"'»"),
        (b"\xe2\x80", "bytes E2 80"),
        ("é".encode(), '"é"'),
        ("\u0301".encode(), "U+0301"),
        ("\u00a0".encode(), "U+00A0"),
        (b"[bold]", '"[bold]"'),
        (b"    ", '"    "'),
    ],
)
def test_a_quoted_token_is_inert(token: bytes, shown: str) -> None:
    assert quoted(token) == shown


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (b" of", Kind.WORD),
        (b"The", Kind.WORD),
        (b"ing", Kind.PIECE),
        (b"'s", Kind.PIECE),
        (b" I", Kind.WORD),
        (b" b", Kind.LETTER),
        (b" 1984", Kind.NUMBER),
        (b"):", Kind.SIGN),
        (b"\n  ", Kind.SPACE),
        (b"\xe2\x80", Kind.BYTES),
        (b"a1", Kind.SIGN),
    ],
)
def test_kinds(token: bytes, kind: Kind) -> None:
    assert kind_of(token) is kind


@pytest.mark.parametrize(
    ("token", "name"),
    [
        (b" of", "prepositions"),
        (b" May", "months"),
        (b" 1984", "years"),
        (b" IV", "words in capitals"),
        (b" Paris", "capitalised words"),
        (b"tion", 'words in "-tion"'),
        (b'."', "ends of sentences"),
        ("ж".encode(), "Cyrillic letters"),
        ("漢".encode(), "Chinese characters"),
        (b"======", "ruled lines"),
        (b"\n    ", "indentation"),
        (b"\xff", "parts of characters beyond ASCII"),
    ],
)
def test_classes(token: bytes, name: str) -> None:
    assert name in classes_of(token)


def test_the_end_of_another_word_is_no_preposition() -> None:
    assert "prepositions" not in classes_of(b"in")
    assert TOKENS[2] == b" of" and "prepositions" in classes_of(TOKENS[2])


def test_listing() -> None:
    assert [listing(n) for n in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
