"""Opening an engine: something to await, or to enter at once."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from engine.errors import IndexFormatError
from engine.index import MANIFEST, Index
from engine.paths import default_home, ensure_home, read_pointer

if TYPE_CHECKING:
    from engine.catalogue import Catalogue
    from engine.engine import Engine

#: The store's file in a home.
STORE = "neuroglass.db"


class Opening:
    """What :meth:`engine.engine.Engine.open` returns.

    ``async with Engine.open() as engine`` closes the engine at the end; ``engine = await
    Engine.open()`` leaves that to the caller, as a notebook wants it.  Nothing is opened
    before.
    """

    def __init__(
        self, kind: type[Engine], home: Path | None, index: Path | None, source: str | None
    ) -> None:
        self._kind = kind
        self._home, self._index, self._source = home, index, source
        self._engine: Engine | None = None

    def __await__(self) -> Generator[Any, None, Engine]:
        return self._open().__await__()

    async def __aenter__(self) -> Engine:
        self._engine = await self._open()
        return self._engine

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._engine is not None:
            await self._engine.close()

    async def _open(self) -> Engine:
        from engine.store import Store

        home = ensure_home(self._home or default_home())
        if self._source is not None:
            from engine.public_data.names import open_dataset

            dataset = await open_dataset(self._source, home)
            store = await asyncio.to_thread(Store.open, home / STORE)
            engine = self._kind(home, store, None, None)
            engine.dataset = dataset
            return engine
        path = self._index or read_pointer(home)
        opened = None
        if self._index is not None or (path is not None and (path / MANIFEST).exists()):
            assert path is not None
            opened = Index.open(path)
        store = await asyncio.to_thread(Store.open, home / STORE)
        return self._kind(home, store, opened, path)


async def reopen(engine: Engine, index_id: str, path: str) -> Catalogue:
    """Go to the index, or the published dataset, that something stored was made from.

    Args:
        index_id, path: As the store has them.

    Raises:
        NeuroglassError: it is gone or damaged, can't be reached, or another is there now.
            What was open stays open then.
    """
    from engine.public_data.names import PREFIX, is_published, open_dataset

    before = engine.dataset
    found: Catalogue
    if is_published(index_id):
        name = index_id if index_id.startswith(PREFIX) else path
        dataset = await open_dataset(name, engine.home)
        if dataset.index_id != index_id:
            await dataset.close()
            raise IndexFormatError(
                f"Other neurons are in {path} now.", "Open them with: neuroglass open"
            )
        engine.dataset, engine.index, found = dataset, None, dataset
    else:
        folder = await asyncio.to_thread(Index.find, index_id, Path(path), engine.home)
        found = await asyncio.to_thread(engine.open_index, folder)
        engine.dataset = None
    if before is not None:
        await before.close()
    return found
