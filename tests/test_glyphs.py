"""Nothing that reaches a terminal may steer it, and every token keeps its own cells."""

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from engine.glyphs import Cell, Kind, cells, exact, inert

FORBIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
TEXT = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x07\r\n\t\x9b\u202e\u2066\u200b\u200d\ufeff\ufe0f\u0301\u1160🏽🇫漢"),
    ),
    max_size=12,
)
TOKENS = st.lists(
    st.one_of(st.binary(max_size=6), TEXT.map(lambda text: text.encode("utf-8", "replace"))),
    max_size=12,
)


@st.composite
def split_text(draw: st.DrawFn) -> tuple[bytes, ...]:
    """Valid text cut at arbitrary bytes, as byte-level BPE does."""
    data = draw(TEXT).encode("utf-8", "replace")
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=8).map(sorted))
    bounds = [0, *cuts, len(data)]
    return tuple(data[a:b] for a, b in pairwise(bounds))


def assert_inert(text: str) -> None:
    for char in text:
        assert unicodedata.category(char) not in FORBIDDEN, f"U+{ord(char):04X}"
        assert unicodedata.category(char) != "Zs" or char == " "


@given(TOKENS)
def test_cells_are_inert_measured_and_one_per_token(tokens: list[bytes]) -> None:
    shown = cells(tokens)
    assert len(shown) == len(tokens)
    for cell in shown:
        assert_inert(cell.text)
        assert cell.width == wcswidth(cell.text) > 0
        assert cell.text.strip(), "a token must be visible"


@given(split_text())
def test_a_cut_through_a_character_is_never_called_invalid(tokens: tuple[bytes, ...]) -> None:
    assert Kind.INVALID not in {cell.kind for cell in cells(tokens)}


@given(TEXT)
def test_names_are_inert_in_one_line(text: str) -> None:
    assert_inert(inert(text))
    assert wcswidth(inert(text)) >= 0


@given(st.binary(max_size=8), st.binary(max_size=8))
def test_exact_forms_are_inert_and_tell_tokens_apart(one: bytes, other: bytes) -> None:
    assert_inert(exact(one))
    assert (exact(one) == exact(other)) == (one == other)


@pytest.mark.parametrize(
    ("token", "text", "kind"),
    [
        (b" the", " the", Kind.TEXT),
        (b" ", "·", Kind.SPACE),
        (b"   ", "···", Kind.SPACE),
        (b"  the", "··the", Kind.TEXT),
        (b"the ", "the·", Kind.TEXT),
        (b"\n\n", "⏎⏎", Kind.BREAK),
        (b"\t", "⇥", Kind.CONTROL),
        (b"\x1b[31m", "␛[31m", Kind.CONTROL),
        ("\u202eabc".encode(), "⇄abc", Kind.CONTROL),
        ("\u200b".encode(), "◇", Kind.CONTROL),
        ("\u2028".encode(), "¶", Kind.CONTROL),
        ("\u00a0".encode(), "␣", Kind.CONTROL),
        ("\ue123".encode(), "□", Kind.CONTROL),
        ("\u0301".encode(), "◌\u0301", Kind.CONTROL),
        ("e\u0301".encode(), "e\u0301", Kind.TEXT),
        ("❤\ufe0f".encode(), "❤", Kind.TEXT),
        (b"", "∅", Kind.EMPTY),
        (b"\xff", "▒", Kind.INVALID),
        (b"[red]x[/]", "[red]x[/]", Kind.TEXT),
    ],
)
def test_each_kind_of_token(token: bytes, text: str, kind: Kind) -> None:
    (cell,) = cells([token])
    assert (cell.text, cell.kind) == (text, kind)


def test_wide_characters_take_two_cells() -> None:
    assert cells(["漢字".encode()]) == (Cell("漢字", 4, Kind.TEXT),)


def test_the_completing_token_shows_a_split_character() -> None:
    first, second, third = "漢".encode()[:1], "漢".encode()[1:2], "漢".encode()[2:]
    shown = cells([b" a", first, second, third, b" b"])
    assert [cell.text for cell in shown] == [" a", "░", "░", "漢", " b"]
    assert [cell.kind for cell in shown[1:3]] == [Kind.PARTIAL, Kind.PARTIAL]


def test_a_character_cut_off_by_the_window_is_bytes_not_text() -> None:
    shown = cells(["漢".encode()[1:], b" b", "漢".encode()[:2]])
    assert [cell.text for cell in shown] == ["▒▒", " b", "▒▒"]


def test_marks_piled_up_do_not_climb() -> None:
    (cell,) = cells([("e" + "\u0301" * 9).encode()])
    assert cell.text.count("◌") >= 2


def test_exact_is_readable() -> None:
    assert exact(b" the") == '" the"'
    assert exact(b"\n") == '"\\n"'
    assert exact("é漢".encode()) == '"é漢"'
    assert exact("\u202e".encode()) == '"\\u202e"'
    assert exact(b"\xe2\x80") == "bytes e2 80"
    assert exact(b"bytes e2 80") == '"bytes e2 80"'
