"""A file that can't be used is told apart, named, and left as it was."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from store_samples import FACTS, MODEL, NEURON, carded, explained, ours, rows

from engine.errors import StoreError
from engine.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store.open(tmp_path / "neuroglass.db")
    yield opened
    await opened.close()


def garbage(path: Path) -> None:
    path.write_bytes(b"hello")


def long_garbage(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))


def foreign(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE bookmarks (url TEXT)")
    connection.close()


def foreign_marked(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript("PRAGMA application_id = 252006673")
    connection.close()


def newer(path: Path) -> None:
    ours(path)
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) "
        "VALUES ('neuroglass', 'm999_future', 'then')"
    )
    connection.commit()
    connection.close()


def torn_page(path: Path) -> None:
    ours(path)
    with path.open("r+b") as file:
        file.seek(4096 * 6)
        file.write(os.urandom(4096 * 4))


def cut_short(path: Path) -> None:
    ours(path)
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (garbage, "is not a database"),
        (long_garbage, "is not a database"),
        (foreign, "of another program"),
        (foreign_marked, "of another program"),
        (newer, "by a newer neuroglass"),
        (torn_page, "is damaged"),
        (cut_short, "is damaged"),
    ],
)
def test_an_unusable_file_is_named_and_left_as_it_was(
    tmp_path: Path, make: object, said: str
) -> None:
    path = tmp_path / "some.db"
    make(path)  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(StoreError, match=said) as caught:
        Store.open(path)
    assert str(path) in caught.value.message and caught.value.remedy
    assert "\n" not in caught.value.message
    assert path.read_bytes() == before


def test_an_empty_file_is_a_new_database(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    store = Store.open(tmp_path / "a.db")
    assert store.counts().models == 0
    asyncio.run(store.close())


def test_a_missing_folder_or_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        Store.open(tmp_path / "no" / "a.db")
    with pytest.raises(StoreError, match="is a folder"):
        Store.open(tmp_path)


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder that everybody may enter, and a process that is not root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def drop_privileges() -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)


def test_a_read_only_file_or_folder(unprivileged: Path) -> None:
    path = unprivileged / "a.db"
    ours(path)
    path.chmod(0o444)
    unprivileged.chmod(0o555)
    before = path.read_bytes()
    drop_privileges()
    with pytest.raises(StoreError, match="can't be written"):
        Store.open(path)
    with pytest.raises(StoreError, match="can't be written"):
        Store.open(unprivileged / "new.db")
    assert path.read_bytes() == before


async def test_a_full_disk_loses_nothing_that_was_acknowledged(store: Store) -> None:
    pages = rows(store.path, "PRAGMA page_count")[0][0]
    assert isinstance(pages, int)

    def limit(count: int) -> None:
        # What SQLite does at this limit is what it does on a full disk.
        store._writer.submit(lambda db: db.execute(f"PRAGMA max_page_count = {count}")).result()

    limit(pages + 12)
    saved: list[int] = []
    with pytest.raises(StoreError, match="disk is full") as caught:
        for number in range(100):
            key = await store.save_explanation(FACTS, explained(f"words {number}"), carded())
            saved.append(key)
    assert caught.value.remedy == "Free some space and try again."
    assert saved and store.counts().explanations == len(saved)
    assert all(len(store.card(key)) == 2 for key in saved)
    limit(1 << 20)
    again = await store.save_explanation(FACTS, explained("after"), carded())
    assert len(store.card(again)) == 2
    assert rows(store.path, "PRAGMA integrity_check") == [("ok",)]


async def test_damage_met_while_reading_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    await asyncio.to_thread(ours, path)
    store = Store.open(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    with pytest.raises(StoreError, match="is damaged"):
        store.check()
    with pytest.raises(StoreError, match="is damaged"):
        store.explanations(MODEL, NEURON)
    await store.close()
