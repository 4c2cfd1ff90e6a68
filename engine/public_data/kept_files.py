"""Files from a server, kept on disk: whole or not at all, and not too many.

Each entry is one file: a line of JSON that says what it is, then the body.  It is
written in one step and checked by length and CRC-32 when it is read, so a kill, a full
disk or a damaged block costs no more than another download.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: What the cache may take; the files used longest ago go first.
LIMIT = 512 << 20
#: How many files are written before the size is looked at again.
_CHECK_EVERY = 32


@dataclass(frozen=True, slots=True)
class Kept:
    """What a server gave.

    Attributes:
        body: None where it said that there is no such file.
        etag: The server's name of this version; empty without one.
        checked: When it was last known to be current, seconds since 1970.
    """

    body: bytes | None
    etag: str
    checked: float


class KeptFiles:
    """A folder of files by address. Any failure to keep is the cache's own business."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self._folder = folder
        self._limit = limit
        self._written = 0

    def _path(self, url: str) -> Path:
        return self._folder / hashlib.sha256(url.encode()).hexdigest()[:40]

    def get(self, url: str) -> Kept | None:
        """What is kept of an address; None if nothing is, or if it is damaged."""
        path = self._path(url)
        try:
            head, _, body = path.read_bytes().partition(b"\n")
            facts = json.loads(head)
            whole = facts["length"] == len(body) and facts["crc32"] == zlib.crc32(body)
            if not whole or facts["url"] != url:
                return None
            kept = Kept(
                None if facts["missing"] else body, str(facts["etag"]), float(facts["checked"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        with suppress(OSError):
            os.utime(path)
        return kept

    def put(self, url: str, body: bytes | None, etag: str = "") -> None:
        """Keep a body, or that there is none."""
        data = body or b""
        facts = {
            "url": url,
            "etag": etag,
            "checked": time.time(),
            "missing": body is None,
            "length": len(data),
            "crc32": zlib.crc32(data),
        }
        path = self._path(url)
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with suppress(OSError):
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                beside.write_bytes(json.dumps(facts).encode() + b"\n" + data)
                os.replace(beside, path)
            finally:
                beside.unlink(missing_ok=True)
            self._written += 1
            if self._written % _CHECK_EVERY == 1:
                self.trim()

    def trim(self) -> None:
        """Remove what was used longest ago until the rest fits."""
        entries = []
        with os.scandir(self._folder) as found:
            for entry in found:
                with suppress(OSError):
                    facts = entry.stat()
                    entries.append((facts.st_mtime, facts.st_size, entry.path))
        size = sum(each for _, each, _ in entries)
        for _, each, path in sorted(entries):
            if size <= self._limit:
                return
            with suppress(OSError):
                os.unlink(path)
                size -= each
