"""One neuron's files at a time from a server, by way of the cache on disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine import __version__
from engine.neuron import NeuronId
from engine.public_data.decode import MAX_BYTES
from engine.public_data.kept_files import Kept, KeptFiles
from engine.public_data.problems import TRY_LATER, PublicDataError
from engine.public_data.shapes import Kind

if TYPE_CHECKING:
    import httpx2

#: Connections at a time; a neuron has up to five files.
CONNECTIONS = 6
#: Seconds to connect, and of silence.
TIMEOUT = 15.0
#: Seconds before the second and the third try.
WAITS = (0.5, 2.0)
#: What was asked for so long ago is asked for again, by its ETag.
FRESH_SECONDS = 7 * 24 * 3600.0
#: ... and sooner where there was nothing.
MISSING_SECONDS = 24 * 3600.0
LONGEST_WAIT = 20.0


class _Again(Exception):
    """This try failed in a way that the next may not.

    Attributes:
        wait: Seconds that the server asks for.
    """

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


class WebOrigin:
    """A dataset below an address.

    Args:
        base: The address of the dataset's root.
        cache: Where files are kept.
        waits: Seconds before each further try.
    """

    immediate = False

    def __init__(
        self,
        base: str,
        cache: KeptFiles,
        *,
        kinds: frozenset[Kind] = frozenset(Kind),
        timeout: float = TIMEOUT,
        waits: Sequence[float] = WAITS,
    ) -> None:
        self.base = base.rstrip("/")
        self.name = self.base
        self.kinds = kinds
        self._cache = cache
        self._timeout = timeout
        self._waits = tuple(waits)
        self._client: httpx2.AsyncClient | None = None
        self._gate = asyncio.Semaphore(CONNECTIONS)

    def neurons(self) -> None:
        """See :class:`engine.public_data.origins.Origin`: a server is not asked for a list."""

    async def fetch(self, kind: Kind, neuron: NeuronId) -> bytes | None:
        """See :class:`engine.public_data.origins.Origin`."""
        return await self.get(kind.path(neuron))

    async def get(self, path: str) -> bytes | None:
        """A file by its path below the base; None where there is none.

        Raises:
            PublicDataError: the server can't be reached or does not give the file, and
                the cache has none. A file in the cache stands in for a server that fails.
        """
        url = f"{self.base}/{path}"
        kept = await asyncio.to_thread(self._cache.get, url)
        if kept is not None:
            age = time.time() - kept.checked
            if 0 <= age < (MISSING_SECONDS if kept.body is None else FRESH_SECONDS):
                return kept.body
        try:
            async with self._gate:
                return await self._tries(url, kept)
        except PublicDataError:
            if kept is not None and kept.body is not None:
                return kept.body
            raise

    async def _tries(self, url: str, kept: Kept | None) -> bytes | None:
        for wait in (*self._waits, None):
            try:
                return await self._once(url, kept)
            except _Again as problem:
                if wait is None:
                    raise PublicDataError(f"{url} can't be had: {problem}.", TRY_LATER) from None
                asked = problem.wait or 0.0
                await asyncio.sleep(min(max(wait, asked), LONGEST_WAIT))
        raise AssertionError("unreachable")

    async def _once(self, url: str, kept: Kept | None) -> bytes | None:
        import httpx2

        headers = {}
        if kept is not None and kept.etag and kept.body is not None:
            headers["If-None-Match"] = kept.etag
        try:
            async with self._connected().stream("GET", url, headers=headers) as reply:
                status = reply.status_code
                if status == 304 and kept is not None:
                    await asyncio.to_thread(self._cache.put, url, kept.body, kept.etag)
                    return kept.body
                if status in (404, 410):
                    await asyncio.to_thread(self._cache.put, url, None)
                    return None
                if status in (408, 425, 429) or status >= 500:
                    raise _Again(f"the server answers {status}", _seconds(reply))
                if status != 200:
                    raise PublicDataError(
                        f"{url} can't be had: the server answers {status}.",
                        "Check the address, or name another copy of the data.",
                    )
                body = bytearray()
                async for piece in reply.aiter_bytes():
                    body += piece
                    if len(body) > MAX_BYTES:
                        raise PublicDataError(
                            f"{url} has more than {MAX_BYTES:,} bytes.",
                            "It is no file of this format.",
                        )
                data, etag = bytes(body), str(reply.headers.get("etag", ""))
        except httpx2.TimeoutException:
            raise _Again(f"nothing came for {self._timeout:g} seconds") from None
        except httpx2.RemoteProtocolError:
            raise _Again("the connection broke before the end") from None
        except httpx2.TransportError as error:
            raise _Again(f"the server can't be reached ({type(error).__name__})") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise PublicDataError(
                f"{url} can't be had: {type(error).__name__}.", "Check the address."
            ) from None
        await asyncio.to_thread(self._cache.put, url, data, etag)
        return data

    def _connected(self) -> httpx2.AsyncClient:
        if self._client is None:
            import httpx2

            self._client = httpx2.AsyncClient(
                timeout=self._timeout,
                limits=httpx2.Limits(max_connections=CONNECTIONS),
                headers={"User-Agent": f"neuroglass/{__version__}"},
            )
        return self._client

    async def close(self) -> None:
        """See :class:`engine.public_data.origins.Origin`."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _seconds(reply: Any) -> float | None:
    """What ``Retry-After`` asks for, where it is a number."""
    text = str(reply.headers.get("retry-after", ""))
    return float(text) if text.isdecimal() and len(text) < 6 else None
