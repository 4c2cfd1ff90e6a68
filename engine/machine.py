"""What this machine has."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

#: A limit that the system sets to a group of processes, where it does.
_LIMIT = Path("/sys/fs/cgroup/memory.max")


def memory_bytes() -> int:
    """Memory that there is in all, for this process's group."""
    have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # no such limit
        have = min(have, int(_LIMIT.read_text()))
    return have


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
