"""Laying a model's tokens along a text of ours, and reading activations off them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.request import TokenLogprobs
from engine.prompt_records import records_block, unknown_places
from engine.simulators.places import byte_piece, place_tokens, read_values

NAN = math.nan
HEAD = "A solved one.\n<start>\nq\tunknown\nz\t10\n<end>\n\nResponses:"


def laid_out(tokens: Sequence[bytes]) -> tuple[str, list[int]]:
    """A text that ends in a hidden record, and the places of its activations."""
    text = HEAD + records_block([(tokens, None)])
    begin = len(HEAD) + len("\n<start>\n")
    return text, [begin + place for place in unknown_places(tokens)]


def reply(
    pieces: Sequence[str], tops: dict[int, dict[str, float]] | None = None, offsets: bool = True
) -> list[TokenLogprobs]:
    """Tokens one after the other; ``tops`` by their number."""
    tokens, at = [], 0
    for number, piece in enumerate(pieces):
        top = (tops or {}).get(number, {})
        tokens.append(TokenLogprobs(piece, at if offsets else -1, top))
        at += len(piece)
    return tokens


def line_pieces(tokens: Sequence[str]) -> list[str]:
    return [piece for token in tokens for piece in (token, "\t", "unknown", "\n")]


@pytest.mark.parametrize("offsets", [True, False])
def test_the_methods_own_case(offsets: bool) -> None:
    """method: 5, all-at-once parse; what comes before the last block is ignored."""
    text, places = laid_out([b"a", b"b"])
    pieces = [HEAD, "\n<start>\n", *line_pieces(["a", "b"]), "<end>\n"]
    tops = {
        0: {"7": 0.0},
        4: {"unknown": -0.1, "0": math.log(0.3), "5": math.log(0.3)},
        8: {"10": 0.0},
    }
    assert "".join(pieces) == text
    values, message = read_values(text, places, reply(pieces, tops, offsets))
    assert values.tolist() == [pytest.approx(2.5), 10.0]
    assert message == ""


def test_a_token_cut_in_two_reads_the_same() -> None:
    """method: 5, token abc as ab, c; and here the word unknown in two as well."""
    text, places = laid_out([b"abc"])
    pieces = [HEAD, "\n<start>\n", "ab", "c", "\t", "unk", "nown", "\n<end>\n"]
    values, _ = read_values(text, places, reply(pieces, {5: {"4": 0.0}, 6: {"9": 0.0}}))
    assert values.tolist() == [4.0]


def test_a_merged_place_is_missing_where_the_method_has_zero() -> None:
    text, places = laid_out([b"a", b"\n", b"b"])
    assert "\\n\tunknown" in text
    pieces = [HEAD, "\n<start>\n", "a\t", "unknown", "\n\\n\tunknown", "\nb", "\t", "unknown"]
    tops = {n: {"3": 0.0} for n in range(8)}
    values, message = read_values(text, places, reply([*pieces, "\n<end>\n"], tops))
    assert values.tolist() == [3.0, pytest.approx(NAN, nan_ok=True), 3.0]
    assert message == "1 of 3 tokens have no value: 1 without a token that begins there"


def test_a_reply_to_another_text_has_no_values() -> None:
    """The published code stops the run with an assertion."""
    text, places = laid_out([b"a", b"b"])
    pieces = ["Something", " else", "\t", "unknown", "\n"]
    values, message = read_values(text, places, reply(pieces, {3: {"3": 0.0}}))
    assert np.isnan(values).all()
    assert message == "the model's tokens don't follow the text that was sent"
    wrong = [HEAD, "\n<start>\n", *line_pieces(["a", "WRONG"]), "<end>\n"]
    values, message = read_values(text, places, reply(wrong, {n: {"3": 0.0} for n in range(12)}))
    assert values[0] == 3.0 and np.isnan(values[1])
    assert message == "1 of 2 tokens have no value: 1 without a token that begins there"


def test_no_distribution_and_no_number_in_it_are_told_apart() -> None:
    text, places = laid_out([b"a", b"b", b"c"])
    pieces = [HEAD, "\n<start>\n", *line_pieces(["a", "b", "c"]), "<end>\n"]
    tops = {4: {"unknown": -0.1, " 1": -0.2, "03": -3.0, "11": -4.0}, 12: {"2": -9.0}}
    values, message = read_values(text, places, reply(pieces, tops))
    assert np.isnan(values[:2]).all() and values[2] == 2.0
    assert message == (
        "2 of 3 tokens have no value: 1 without a number among the likeliest tokens, "
        "1 without a distribution"
    )


def test_pieces_of_a_character() -> None:
    r"""method: 5, ``bytes:\xe2\x80`` and ``bytes:\x99`` are a right quotation mark."""
    assert byte_piece("bytes:\\xe2\\x80") == b"\xe2\x80"
    assert byte_piece("bytes:") is None and byte_piece("\\xe2") is None
    text, places = laid_out(["\u2019".encode(), "日本".encode(), b"c"])
    assert text.count("\u2019") == 1
    for quote in (
        ["bytes:\\xe2\\x80", "bytes:\\x99"],
        ["\ufffd", "\ufffd"],
        ["\\xe2\\x80", "\\x99"],
    ):
        pieces = [HEAD, "\n<start>\n", *quote, "\t", "unknown", "\n"]
        pieces += ["日", *quote[:1], *quote[:1], "\t", "unknown", "\n", "c", "\t", "unknown", "\n"]
        places_of = [n for n, piece in enumerate(pieces) if piece == "unknown"]
        tops = {n: {str(value): 0.0} for n, value in zip(places_of, (1, 2, 3), strict=True)}
        values, _ = read_values(text, places, reply(pieces, tops, offsets=False))
        assert values.tolist() == [1.0, 2.0, 3.0], quote


@pytest.mark.parametrize("offsets", [True, False])
def test_a_reply_that_begins_with_pieces_of_a_character(offsets: bool) -> None:
    text, places = laid_out(["\u2705".encode(), "\u2705".encode(), b" a"])
    start = places[0] - 2
    tick, line = ["\\xe2", "\\x9c", "\\x85"], ["\t", "un", "known", "\n"]
    begins = [0, 0, 0, 1, 2, 4, 9, 10, 10, 10, 11, 12, 14, 19, 20, 22, 23, 25]
    pieces = [*tick, *line, *tick, *line, " a", *line[:-1]]
    tokens = [
        TokenLogprobs(piece, start + begin if offsets else -1, {str(number % 11): 0.0})
        for number, (piece, begin) in enumerate(zip(pieces, begins, strict=True))
    ]
    values, message = read_values(text, places, tokens, start)
    assert values.tolist() == [4.0, 0.0, 5.0] and message == ""


def test_special_tokens_before_the_text_and_a_reply_from_a_later_place_on() -> None:
    text, places = laid_out([b"a", b"a"])
    pieces = ["<s>", HEAD, "\n<start>\n", *line_pieces(["a", "a"]), "<end>\n"]
    values, _ = read_values(text, places, reply(pieces, {5: {"1": 0.0}, 9: {"2": 0.0}}))
    assert values.tolist() == [1.0, 2.0]
    start = places[0] - 2
    tail = [TokenLogprobs(p, -1, {"6": 0.0}) for p in line_pieces(["a", "a"])[:-1]]
    values, _ = read_values(text, places, tail, start)
    assert values.tolist() == [6.0, 6.0]


def test_a_scale_that_ends_at_nine() -> None:
    text, places = laid_out([b"a"])
    pieces = [HEAD, "\n<start>\n", *line_pieces(["a"]), "<end>\n"]
    tops = {4: {"9": 0.0, "10": 0.0, "3": 0.0}}
    assert read_values(text, places, reply(pieces, tops), highest=9)[0].tolist() == [6.0]


#: How backends write a part of a character.
PARTS = ("\ufffd", "\\xe2", "<0xE2>")
CHARS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(CHARS, min_size=1, max_size=12),
    st.randoms(use_true_random=False),
    st.booleans(),
    st.sampled_from((0.0, 0.3, 1.0)),
)
def test_however_a_text_is_cut_a_value_is_right_or_missing(
    words: list[str], rng: random.Random, offsets: bool, broken: float
) -> None:
    """Each place's own answer is its number, so a value from elsewhere would show."""
    tokens = [word.encode() for word in words]
    text, places = laid_out(tokens)
    pieces: list[TokenLogprobs] = []
    at = 0
    while at < len(text):
        size = rng.choice((1, 1, 2, 3, 7))
        if rng.random() < broken and not text[at].isascii():
            size = 1  # a part of a character stands for no other
        cut = text[at : at + size]
        top = {str(places.index(at) % 11): 0.0} if at in places else {"5": -1.0, "6": -1.0}
        if size == 1 and broken and not cut.isascii():
            part = TokenLogprobs(rng.choice(PARTS), at if offsets else -1, top)
            pieces += [part] * rng.choice((1, 2, 3))
        else:
            pieces.append(TokenLogprobs(cut, at if offsets else -1, top))
        at += size
    values, _ = read_values(text, places, pieces)
    expected = [number % 11 for number in range(len(tokens))]
    found = np.isfinite(values)
    assert values[found].tolist() == np.array(expected)[found].tolist()
    whole = not any(piece.text in PARTS for piece in pieces)
    begun = {piece.start for piece in pieces} if offsets else set()
    if whole and offsets:
        assert found.tolist() == [place in begun for place in places]


def test_tokens_get_the_places_that_they_have() -> None:
    placed = place_tokens("one two", [TokenLogprobs("one"), TokenLogprobs(" two")])
    assert {place: token.text for place, token in placed.items()} == {0: "one", 3: " two"}
    assert place_tokens("one", []) == {}
