"""Records of a prompt: reversible tokens, and the method's own format cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import MethodError
from engine.normalise import normalise
from engine.prompt_records import (
    non_zero_proportion,
    read_token,
    record_lines,
    records_block,
    shown_token,
    unknown_places,
)

TOKENS = st.one_of(st.binary(max_size=12), st.text(max_size=12).map(lambda t: t.encode()))


@given(TOKENS)
def test_any_token_survives_being_shown_and_stays_on_one_line(token: bytes) -> None:
    shown = shown_token(token)
    assert read_token(shown) == token
    assert shown.splitlines() in ([], [shown])
    assert "\t" not in shown
    shown.encode()  # can be sent


@given(st.lists(TOKENS, max_size=8, unique=True))
def test_different_tokens_are_shown_differently(tokens: list[bytes]) -> None:
    assert len({shown_token(token) for token in tokens}) == len(tokens)


@given(st.text(max_size=20))
def test_any_text_can_be_read(text: str) -> None:
    read_token(text)


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (b" the", " the"),
        (b"\n", "\\n"),
        (b"\t\r", "\\t\\r"),
        (b"\\n", "\\\\n"),
        (b"\xe2\x80", "\\xe2\\x80"),
        (b"\x99", "\\x99"),
        ("\u2019".encode(), "\u2019"),
        (b"\x00\x7f", "\\u0000\\u007f"),
        ("\u0085\u2028".encode(), "\\u0085\\u2028"),
        (b"", ""),
    ],
)
def test_shown_tokens(token: bytes, shown: str) -> None:
    assert shown_token(token) == shown


def test_what_is_no_escape_of_ours_stands_for_itself() -> None:
    assert read_token("\\q\\xZZ\\") == b"\\q\\xZZ\\"


def test_a_character_split_over_two_tokens_is_joined_from_its_pieces() -> None:
    pieces = [shown_token(b"\xe2\x80"), shown_token(b"\x99")]
    assert b"".join(map(read_token, pieces)).decode() == "\u2019"


def test_the_methods_format_but_for_the_escaped_newline() -> None:
    tokens = [b"a", b" b", b"\n"]
    values = normalise([1, 0, 0.55], 1.0).tolist()
    assert records_block([(tokens, values)]) == "\n<start>\na\t10\n b\t0\n\\n\t5\n<end>\n"
    assert records_block([(tokens, values)], omit_zeros=True) == "\n<start>\na\t10\n\\n\t5\n<end>\n"
    assert records_block([]) == "\n<start>\n\n<end>\n"
    assert (
        records_block([([b"x", b"y"], None), ([b"z"], None)])
        == "\n<start>\nx\tunknown\ny\tunknown\n<end>\n<start>\nz\tunknown\n<end>\n"
    )


def test_values_before_a_records_start_are_hidden() -> None:
    records = [([b"a", b"b", b"c"], [10, 0, 0]), ([b"d", b"e", b"f"], [0, 10, 0])]
    assert records_block(records, hidden_before=[0, 1]) == (
        "\n<start>\na\t10\nb\t0\nc\t0\n<end>\n<start>\nd\tunknown\ne\t10\nf\t0\n<end>\n"
    )


def test_what_would_show_too_little_or_too_much_is_refused() -> None:
    with pytest.raises(MethodError):
        record_lines([b"a"], None, omit_zeros=True)
    with pytest.raises(MethodError):
        record_lines([b"a", b"b"], [0, 1], omit_zeros=True, hidden_before=1)
    with pytest.raises(MethodError):
        record_lines([b"a", b"b"], [1])
    with pytest.raises(MethodError):
        records_block([([b"a"], [1])], hidden_before=[0, 0])


@given(st.lists(TOKENS, max_size=10))
def test_places_are_where_the_word_unknown_begins(tokens: list[bytes]) -> None:
    text = record_lines(tokens, None)
    places = unknown_places(tokens)
    assert len(places) == len(tokens)
    assert all(text[place - 1 :].startswith("\tunknown") for place in places)


def test_the_share_of_values_above_zero() -> None:
    assert non_zero_proportion([[10, 0, 5]]) == 2 / 3
    assert non_zero_proportion([[1, 0, 0, 0, 0]]) == 0.2
    assert non_zero_proportion([[1, 0], [0, 0]]) == 0.25
    assert non_zero_proportion([]) == 0.0
