"""The same scan on a Ray cluster: workers hold the model, parts merge in a tree.

    driver   documents -> workers (model, windows)    shard 1/n ... n/n
             part + part -> part -> ... -> the index, written where the driver is

Each worker reads the text that the driver read, plans the same batches and scans the
shards it is given; what it returns is the folder of a part.  A worker that dies takes
nothing with it but its present shard, which another one gets.  Because parts merge to
the same bytes whatever the division (:mod:`engine.merge`), so does a run with losses.
The model must be there for every worker: ``demo``, an id that its cache holds, or a
folder that all machines share.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.errors import NeuroglassError, ScanError, UsageError
from engine.events import (
    ScanEvent,
    ScanFailed,
    ScanFinished,
    ScanProgress,
    ScanPublished,
    ScanStage,
    ScanStopped,
)
from engine.merge import merge
from engine.paths import ensure_home
from engine.scan import Material
from engine.scan_request import ScanRequest
from engine.text import Document, read_documents

#: Shards for each worker: more of them lose less with a worker, and cost more merging.
SHARDS = 4
#: How often one shard may take its worker down before the scan gives up.
ATTEMPTS = 3
POLL_SECONDS = 0.25
KNOCK_SECONDS = 5.0

#: A part's files by name inside its folder.
Packed = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class RayRequest:
    """Where to scan and with how many.

    Attributes:
        address: Of a cluster; None starts one on this machine.
        workers: 0 for as many as the cluster's processors allow.
        threads: Processors of each worker.
        shards: 0 for :data:`SHARDS` times the workers.
    """

    address: str | None = None
    workers: int = 0
    threads: int = 1
    shards: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """What a worker has read of how much."""

    windows: int
    tokens: int
    windows_total: int
    tokens_total: int


class Worker:
    """What runs on a worker: one model, one text, many shards."""

    def __init__(self, request: ScanRequest, documents: list[Document], threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._request = request
        self._material = Material.load(request)
        self._material.read(documents)

    def scan(self, shard: tuple[int, int]) -> tuple[Read, Packed]:
        """One shard: how much it is, and the files of the part.

        Two results, so that the first can be asked for without moving the second.
        """
        with tempfile.TemporaryDirectory() as temporary:
            home = Path(temporary)
            request = replace(self._request, shard=shard, index=str(home / "part"))
            *_, last = self._material.scan(request, home)
            assert isinstance(last, ScanFinished), last
            read = Read(last.windows, last.tokens, *self._material.size)
            return read, pack(home / "part")


def join(request: ScanRequest, *parts: Packed) -> Packed:
    """Merge a few parts into one; runs anywhere."""
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        folders = [unpack(part, home / str(number)) for number, part in enumerate(parts)]
        *_, last = merge(folders, home, home / "out", partial=True)
        if isinstance(last, ScanFailed):
            raise ScanError(last.message, last.remedy)
        return pack(home / "out")


def pack(folder: Path) -> Packed:
    """Every file of a part."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def unpack(part: Packed, folder: Path) -> Path:
    """Write what :func:`pack` read; returns the folder."""
    for name, content in part.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def scan_on_ray(
    request: ScanRequest,
    home: Path,
    where: RayRequest,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[ScanEvent]:
    """Scan on a cluster, yielding events; the last one is terminal.

    Nothing is raised for an expected failure: it is a :class:`ScanFailed` event.
    """
    try:
        request.check()
        if request.shard:
            raise UsageError("A scan on Ray makes its own shards.", "Leave out --shard.")
        yield from _scan(request, ensure_home(home), where, cancelled)
    except NeuroglassError as error:
        yield ScanFailed(error.message, error.remedy, error.exit_code)
    except OSError as error:
        yield ScanFailed(
            f"The index can't be written: {error.strerror or error}.",
            "Free some disk space or name another --index.",
        )


def _scan(
    request: ScanRequest, home: Path, where: RayRequest, cancelled: Callable[[], bool]
) -> Iterator[ScanEvent]:
    ray = _ray()
    yield ScanStage("reading the text")
    documents = list(read_documents(request.sources))
    yield ScanStage("starting Ray" if where.address is None else "joining the cluster")
    started = time.monotonic()
    with _cluster(ray, where):
        run = _Run(ray, request, documents, where)
        last: Packed | None = None
        for progress in run.steps():
            if cancelled():
                run.stop()
                yield ScanStopped(0, 0)
                return
            if isinstance(progress, dict):
                last = progress
            else:
                yield progress
    assert last is not None
    yield ScanStage("writing the index")
    with tempfile.TemporaryDirectory(dir=home) as temporary:
        part = unpack(last, Path(temporary) / "part")
        out = Path(request.index) if request.index else None
        for event in merge([part], home, out):
            if isinstance(event, ScanFinished):
                event = replace(event, seconds=time.monotonic() - started)
            if isinstance(event, ScanPublished | ScanFinished | ScanFailed):
                yield event


class _Run:
    """The shards of one scan, the workers, and the tree of merges."""

    def __init__(
        self, ray: Any, request: ScanRequest, documents: list[Document], where: RayRequest
    ) -> None:
        self._ray = ray
        self._request = request
        self._threads = where.threads
        processors = int(ray.cluster_resources().get("CPU", 1))
        count = where.workers or max(1, processors // where.threads)
        self.shards = where.shards or SHARDS * count
        self._documents = ray.put(documents)
        gpus = 1 if request.device.startswith("cuda") else 0
        self._actor = ray.remote(num_cpus=where.threads, num_gpus=gpus)(Worker)
        self._join = ray.remote(num_cpus=where.threads)(join)
        self._idle = [self._worker() for _ in range(min(count, self.shards))]
        self._left = deque((number, 0) for number in range(1, self.shards + 1))

    def _worker(self) -> Any:
        return self._actor.remote(self._request, self._documents, self._threads)

    def steps(self) -> Iterator[ScanEvent | Packed]:
        """Progress, shard by shard, and at the end the merged part."""
        ray = self._ray
        lost = (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError)
        busy: dict[Any, tuple[Any, Any, int, int]] = {}
        parts: list[Any] = []
        reads: list[Read] = []
        yield ScanStage("loading the model on the workers")
        started = time.monotonic()
        while self._left or busy:
            while self._left and self._idle:
                (number, attempts), worker = self._left.popleft(), self._idle.pop()
                two = worker.scan.options(num_returns=2).remote((number, self.shards))
                busy[two[0]] = (two[1], worker, number, attempts + 1)
            ready, _ = ray.wait(list(busy), timeout=POLL_SECONDS, fetch_local=False)
            for reference in ready:
                part, worker, number, attempts = busy.pop(reference)
                try:
                    reads.append(ray.get(reference))
                except lost as error:
                    if attempts == ATTEMPTS:
                        raise ScanError(
                            f"Shard {number} of {self.shards} took {attempts} workers down.",
                            "Workers may be short of memory: give each more --threads.",
                        ) from error
                    self._left.appendleft((number, attempts))
                    self._idle.append(self._worker())
                    yield ScanStage(f"a worker was lost; shard {number} starts again")
                except ray.exceptions.RayTaskError as error:
                    raise _cause(error) from error
                else:
                    parts.append(part)
                    self._idle.append(worker)
            if reads:
                yield self._progress(reads, time.monotonic() - started)
        self._idle.clear()
        yield ScanStage("merging")
        while len(parts) > 1:
            pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
            parts = [
                self._join.remote(self._request, *pair) if len(pair) > 1 else pair[0]
                for pair in pairs
            ]
        try:
            yield ray.get(parts[0])
        except ray.exceptions.RayTaskError as error:
            raise _cause(error) from error
        except ray.exceptions.ObjectLostError as error:
            raise ScanError(
                "A machine was lost, and finished parts with it.", "Start the scan again."
            ) from error

    @staticmethod
    def _progress(reads: list[Read], seconds: float) -> ScanProgress:
        windows, tokens = sum(r.windows for r in reads), sum(r.tokens for r in reads)
        total = reads[0]
        rate = tokens / seconds
        left = (total.tokens_total - tokens) / rate
        return ScanProgress(windows, total.windows_total, tokens, total.tokens_total, rate, left)

    def stop(self) -> None:
        """End the workers."""
        for worker in self._idle:
            self._ray.kill(worker)


def _cause(error: Any) -> NeuroglassError:
    """What was wrong on the worker."""
    cause = error.cause
    if isinstance(cause, NeuroglassError):
        return cause
    text = str(cause or error).strip().splitlines()
    return ScanError(f"A worker failed: {text[-1] if text else type(cause).__name__}.")


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "Ray is not installed.", "Install it with: pip install 'neuroglass[ray]'"
        ) from error
    return ray


def _knock(address: str | None) -> None:
    """Ray itself asks for minutes whether anybody is at an address."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return
    try:
        socket.create_connection((host, int(port)), KNOCK_SECONDS).close()
    except OSError as error:
        raise ScanError(
            f"There is no Ray cluster at {address}: {error.strerror or error}.",
            "Check the address, or leave it out.",
        ) from error


@contextlib.contextmanager
def _cluster(ray: Any, where: RayRequest) -> Iterator[None]:
    _knock(where.address)
    try:
        options: dict[str, Any] = {"address": where.address} if where.address else {}
        if where.address is None:
            options["include_dashboard"] = False
        ray.init(**options, log_to_driver=False, logging_level="ERROR", configure_logging=False)
    except Exception as error:  # whatever Ray's transport raises, it is not there
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ScanError(
            f"There is no Ray cluster to join: {text}", "Check the address, or leave it out."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
