"""Reading text: every kind of source, every kind of damage."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.demo import demo_documents, passages
from engine.errors import TextError
from engine.text import SECTION, Document, read_documents, sections


def read(*sources: object, stdin: bytes = b"") -> list[Document]:
    return list(read_documents([str(s) for s in sources], io.BytesIO(stdin)))


def test_files_are_read_as_utf8_whatever_is_in_them(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo \xff \x1b[31mred")
    assert read(path) == [Document("a.txt", "one\ntwo \ufffd \x1b[31mred")]
    with gzip.open(tmp_path / "b.txt.gz", "wb") as file:
        file.write(b"packed")
    assert read(tmp_path / "b.txt.gz")[0].text == "packed"


def test_folders_are_read_in_order_without_hidden_and_binary_files(tmp_path: Path) -> None:
    for name, data in {
        "b.txt": b"second",
        "a/z.md": b"first",
        ".git/config": b"hidden",
        "c.bin": b"\x00\x01",
        "d.txt": b"second",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert read(tmp_path) == [Document("a/z.md", "first"), Document("b.txt", "second")]


def test_json_lines_name_their_documents(tmp_path: Path) -> None:
    rows = [{"text": "one", "name": "n"}, {"content": "two", "id": 7}, {"text": "three"}]
    lines = "\n".join(map(json.dumps, rows)) + "\n\n"
    plain = tmp_path / "x.jsonl"
    plain.write_text(lines)
    packed = tmp_path / "y.jsonl.gz"
    packed.write_bytes(gzip.compress(lines.encode()))
    assert [d.name for d in read(plain)] == ["n", "7", "x.jsonl:3"]
    assert [d.text for d in read(packed)] == ["one", "two", "three"]


def test_standard_input_is_one_text_or_json_lines() -> None:
    assert read("-", stdin=b"hello\nyou") == [Document("standard input", "hello\nyou")]
    assert [d.text for d in read("-", stdin=b'{"text": "a"}\n{"text": "b"}\n')] == ["a", "b"]
    with pytest.raises(TextError, match="line 2, is not a JSON"):
        read("-", stdin=b'{"text": "a"}\nnope\n')


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("x.jsonl", b'{"text": "a"}\n{broken\n', r"x\.jsonl, line 2, is not a JSON"),
        ("x.jsonl", b'{"txt": "a"}\n', r"line 1, has no text"),
        ("x.jsonl", b"[1]\n", r"line 1, is not a JSON"),
        ("x.txt", b" \n\n ", "no text"),
        ("x.txt.gz", b"not gzip", "can't be read"),
    ],
)
def test_damage_is_one_line_with_a_remedy(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(TextError, match=words) as caught:
        read(tmp_path / name)
    assert caught.value.remedy and "\n" not in caught.value.message


def test_missing_sources_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"no file or folder .*gone"):
        read(tmp_path / "gone")
    with pytest.raises(TextError, match="no text"):
        read(tmp_path)


@given(
    st.lists(st.text(alphabet="ab \n", max_size=30), max_size=40).map("".join),
    st.integers(min_value=2, max_value=50),
)
def test_sections_joined_are_the_document_and_none_is_too_long(text: str, limit: int) -> None:
    parts = list(sections(Document("d", text), limit))
    assert "".join(part.text for part in parts) == text
    assert all(len(part.text) <= limit for part in parts)
    if len(text) > limit:
        assert [part.name for part in parts] == [f"d §{i + 1}" for i in range(len(parts))]


def test_sections_prefer_blank_lines() -> None:
    text = "a" * 14 + "\n\n" + "b" * 14
    assert [p.text for p in sections(Document("d", text), 20)] == ["a" * 14 + "\n\n", "b" * 14]


def test_the_demo_text_is_of_many_genres_and_repeats_exactly() -> None:
    own = list(passages())
    assert sum(len(d.text.encode()) for d in own) >= 60_000
    genres = {d.name.split(":")[0] for d in own}
    assert genres >= {
        *("news", "fiction", "dialogue", "recipes", "sport", "law", "letters", "code"),
        *("tables", "dates", "places", "languages", "chat"),
    }
    everything = list(demo_documents())
    assert everything == list(demo_documents())
    assert {d.name.split(":")[0] for d in everything} >= {"python reference", "python library"}
    assert len(everything) > len(own) + 100
    assert 1_000_000 < sum(len(d.text) for d in everything) < 2_000_000
    assert all(0 < len(d.text) <= SECTION for d in read("demo"))
