"""Opening an engine: something to await, or to enter at once."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from engine.index import MANIFEST, Index
from engine.paths import default_home, ensure_home, read_pointer

if TYPE_CHECKING:
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
