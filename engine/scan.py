"""The scan: one streaming pass of the subject model over a corpus.

    documents -> windows -> batches -> activations -> accumulators -> index

Windows are read in an order fixed by a digest of each, so at every moment those
done so far are a random sample of the corpus: a half-done index is a fair one.  The
first windows are the *pilot*, from which the limits of the quantile bands are set.

The state of the pass and the index that the app reads are the same files: a
checkpoint is a published generation, and a scan killed at any moment resumes from the
last one (see :mod:`engine.generation`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import IndexFormatError, NeuroglassError, ScanError
from engine.events import (
    ScanEvent,
    ScanFailed,
    ScanFinished,
    ScanProgress,
    ScanPublished,
    ScanStage,
    ScanStopped,
)
from engine.index import read_manifest
from engine.paths import ensure_home
from engine.scan_request import ScanRequest

if TYPE_CHECKING:
    from engine.generation import IndexLock
    from engine.index_writer import IndexWriter
    from engine.plan import Plan
    from engine.reader import BatchReader
    from engine.state import ScanState
    from engine.subject import SubjectModel
    from engine.text import Document
    from engine.windows import WindowSet

#: Checkpoints may take this share of the pass, and come no faster than this.
CHECKPOINT_SHARE = 0.05
CHECKPOINT_SECONDS = 5.0
FIRST_SECONDS = 1.0
PROGRESS_SECONDS = 0.25
RATE_SECONDS = 8.0
WATCH_SECONDS = 0.5


def run_scan(
    request: ScanRequest, home: Path, cancelled: Callable[[], bool] = lambda: False
) -> Iterator[ScanEvent]:
    """Scan in this thread, yielding events; the last one is terminal.

    Args:
        home: Folder that holds ``indexes`` and the pointer to the current one.
        cancelled: Asked between batches; True writes a checkpoint and stops.

    Nothing is raised for an expected failure: it is a :class:`ScanFailed` event.
    """
    try:
        request.check()
        yield from _scan(request, ensure_home(home), cancelled)
    except NeuroglassError as error:
        yield ScanFailed(error.message, error.remedy, error.exit_code)
    except MemoryError:
        yield ScanFailed("There is not enough memory for this scan.", "Use a smaller batch.")
    except OSError as error:
        yield ScanFailed(
            f"The index can't be written: {error.strerror or error}.",
            "Free some disk space or name another --index; the scan resumes where it was.",
        )


def _scan(request: ScanRequest, home: Path, cancelled: Callable[[], bool]) -> Iterator[ScanEvent]:
    yield ScanStage("loading the model")
    from engine.text import read_documents

    material = Material.load(request)
    yield ScanStage("reading the text")
    material.read(read_documents(request.sources))
    yield from material.scan(request, home, cancelled)


class Material:
    """A loaded model and a text cut into windows: any part of the text can be scanned.

    Use :meth:`load`, then :meth:`read`, then :meth:`scan` as often as wanted.
    """

    def __init__(self, subject: SubjectModel, request: ScanRequest) -> None:
        self._subject = subject
        self._request = request
        self._windows: WindowSet | None = None
        self._reader: BatchReader | None = None

    @classmethod
    def load(cls, request: ScanRequest) -> Material:
        """Load the request's model. ModelError, or ScanError if its windows are too long."""
        from engine.subject import SubjectModel

        subject = SubjectModel.load(request.model, device=request.device, dtype=request.dtype)
        if request.window + request.prepend_end_of_text > subject.facts.positions:
            raise ScanError(
                f"{request.model} reads at most {subject.facts.positions} tokens at once.",
                "Use a smaller window.",
            )
        return cls(subject, request)

    def read(self, documents: Iterable[Document]) -> None:
        """Cut the text into windows. TextError if there is none."""
        from engine.plan import plan_batches
        from engine.windows import cut

        facts = self._subject.facts
        self._windows = cut(documents, self._subject.tokenizer, self._request.window)
        neurons = facts.n_layers * facts.n_neurons
        self._plan = plan_batches(self._windows, self._request.batch, neurons)

    @property
    def size(self) -> tuple[int, int]:
        """Windows and tokens of the whole text."""
        assert self._windows is not None
        return len(self._windows), self._windows.tokens

    def scan(
        self, request: ScanRequest, home: Path, cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[ScanEvent]:
        """Scan what the request's shard names. NeuroglassError for an expected failure.

        Args:
            request: The one that this was loaded for, but for its shard and index.
        """
        from engine.generation import IndexLock
        from engine.index_writer import IndexWriter, default_folder, index_identity
        from engine.memory import check, reckon
        from engine.state import Layout

        windows, plan, facts = self._windows, self._plan, self._subject.facts
        assert windows is not None
        identity = index_identity(request, facts, windows)
        folder = Path(request.index) if request.index else default_folder(home, request, identity)
        if self._reader is None:
            layout = Layout.of(facts, request, plan)
            planned = reckon(request, folder, self._subject, windows, layout)
            yield planned
            check(planned)
        with IndexLock(folder) as lock:
            yield from _wait(lock, folder, cancelled)
            if cancelled():
                yield ScanStopped(0, len(windows))
                return
            vocabulary = self._subject.vocabulary
            writer = IndexWriter(folder, identity, request, facts, windows, vocabulary, plan)
            whole = request.shard is None
            batches = plan.shard(*(request.shard or (1, 1)))
            state = writer.resume(batches)
            total = _Total(windows, plan, batches)
            done = total.windows if state is None else state.windows_done
            if whole and done:
                writer.point(home)
                yield ScanPublished(str(folder), done, total.windows)
            started = time.monotonic()
            if state is not None:
                reader, target = self._opened(), home if whole else None
                yield from _pass(reader, state, writer, total, target, cancelled)
                if state.next_batch < batches.stop or state.pilot is not None:
                    yield ScanStopped(state.windows_done, total.windows)
                    return
            seconds = time.monotonic() - started
            yield ScanFinished(str(folder), total.windows, total.tokens, seconds, writer.size())

    def _opened(self) -> BatchReader:
        if self._reader is None:
            from engine.reader import BatchReader

            assert self._windows is not None
            subject, request = self._subject, self._request
            first = subject.end_of_text if request.prepend_end_of_text else None
            forward = subject.into_forward(first)
            self._reader = BatchReader(forward, self._windows, self._plan, request)
        return self._reader


class _Total:
    """Windows and tokens that a pass reads."""

    def __init__(self, windows: WindowSet, plan: Plan, batches: range) -> None:
        planned = [plan.batches[number].windows for number in batches]
        self.windows = sum(map(len, planned))
        self.tokens = sum(int(windows.lengths[part].sum()) for part in planned)


def _wait(lock: IndexLock, folder: Path, cancelled: Callable[[], bool]) -> Iterator[ScanEvent]:
    """Wait for another process that scans this very index, and show how far it is."""
    seen = -1
    while not lock.acquire() and not cancelled():
        try:
            manifest = read_manifest(folder)
        except IndexFormatError:
            manifest = None  # nothing published yet
        if manifest is None:
            yield ScanStage("waiting for another scan of this text")
        elif manifest["generation"] != seen:
            seen = manifest["generation"]
            yield ScanPublished(
                str(folder), manifest["windows_done"], manifest["corpus"]["windows"]
            )
        time.sleep(WATCH_SECONDS)


class _Pace:
    """Rate over the last seconds, and the time left."""

    def __init__(self, tokens_done: int) -> None:
        self._points = deque([(time.monotonic(), tokens_done)])

    def measure(self, tokens_done: int, tokens_total: int) -> tuple[float, float | None]:
        now = time.monotonic()
        self._points.append((now, tokens_done))
        while len(self._points) > 2 and now - self._points[0][0] > RATE_SECONDS:
            self._points.popleft()
        then, before = self._points[0]
        if now - then < PROGRESS_SECONDS or tokens_done == before:
            return 0.0, None
        rate = (tokens_done - before) / (now - then)
        return rate, (tokens_total - tokens_done) / rate


def _pass(
    reader: BatchReader,
    state: ScanState,
    writer: IndexWriter,
    total: _Total,
    home: Path | None,
    cancelled: Callable[[], bool],
) -> Iterator[ScanEvent]:
    """The batches that are left. ``home`` is None for a shard: it opens nowhere."""
    plan, batches = reader.plan, state.batches
    foreign = [number for number in range(plan.pilot_batches) if number not in batches]
    if foreign and state.pilot == 0:
        yield ScanStage("reading the pilot sample")
        for number in foreign:
            if cancelled():
                return
            reader.look(number, state)
    resumed = state.windows_done
    pace = _Pace(state.tokens_done)
    shown = 0.0
    # The first generation comes soon, so that there is something to look at.
    checkpoint = time.monotonic() - CHECKPOINT_SECONDS + FIRST_SECONDS
    writing = 0.0
    published = resumed > 0

    def progress() -> ScanProgress:
        rate, left = pace.measure(state.tokens_done, total.tokens)
        return ScanProgress(
            state.windows_done, total.windows, state.tokens_done, total.tokens, rate, left, resumed
        )

    yield progress()
    for number in range(state.next_batch, batches.stop):
        reader.add(number, state)
        now = time.monotonic()
        if now - shown >= PROGRESS_SECONDS:
            shown = now
            yield progress()
        last = number == batches.stop - 1
        stop = cancelled()
        due = now - checkpoint >= max(CHECKPOINT_SECONDS, writing / CHECKPOINT_SHARE)
        if last or stop or due:
            writer.publish(state, complete=last and home is not None)
            if home is not None and (not published or last):
                writer.point(home)
            published = True
            checkpoint = time.monotonic()
            writing = checkpoint - now
            yield ScanPublished(str(writer.folder), state.windows_done, total.windows)
        if stop:
            return
    if not batches:
        writer.publish(state, complete=False)
