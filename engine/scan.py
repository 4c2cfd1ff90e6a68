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
from collections.abc import Callable, Iterator
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
from engine.records import Fold
from engine.scan_request import ScanRequest

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from engine.accumulate import Batch, Scratch
    from engine.generation import IndexLock, IndexWriter, ScanState
    from engine.plan import Plan, PlannedBatch
    from engine.subject import SubjectModel
    from engine.windows import WindowSet

HISTOGRAM_WINDOWS = 256
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
    from engine.generation import IndexLock, IndexWriter, default_folder, index_identity
    from engine.plan import plan_batches
    from engine.subject import SubjectModel
    from engine.text import read_documents
    from engine.windows import cut

    subject = SubjectModel.load(request.model, device=request.device, dtype=request.dtype)
    if request.window + request.prepend_end_of_text > subject.facts.positions:
        raise ScanError(
            f"{request.model} reads at most {subject.facts.positions} tokens at once.",
            "Use a smaller window.",
        )
    yield ScanStage("reading the text")
    windows = cut(read_documents(request.sources), subject.tokenizer, request.window)
    identity = index_identity(request, subject.facts, windows)
    folder = Path(request.index) if request.index else default_folder(home, request, identity)
    with IndexLock(folder) as lock:
        yield from _wait(lock, folder, cancelled)
        if cancelled():
            yield ScanStopped(0, len(windows))
            return
        plan = plan_batches(windows, request.batch)
        writer = IndexWriter(
            folder, identity, request, subject.facts, windows, subject.vocabulary, plan
        )
        state = writer.resume()
        if writer.complete or state.windows_done:
            writer.point(home)
            done = len(windows) if writer.complete else state.windows_done
            yield ScanPublished(str(folder), done, len(windows))
        started = time.monotonic()
        if not writer.complete:
            yield from _pass(subject, windows, plan, state, writer, home, cancelled)
            if state.batches_done < len(plan.batches):
                yield ScanStopped(state.windows_done, len(windows))
                return
        seconds = time.monotonic() - started
        yield ScanFinished(str(folder), len(windows), windows.tokens, seconds, writer.size())


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
    subject: SubjectModel,
    windows: WindowSet,
    plan: Plan,
    state: ScanState,
    writer: IndexWriter,
    home: Path,
    cancelled: Callable[[], bool],
) -> Iterator[ScanEvent]:
    from engine.accumulate import Scratch

    table_row = _table_rows(plan, subject.facts.vocabulary)
    width = windows.token_ids.shape[1]
    scratch = Scratch(writer.request.batch, width, subject.facts.n_neurons)
    resumed = state.windows_done
    pace = _Pace(state.tokens_done)
    shown = 0.0
    # The first generation comes soon, so that there is something to look at.
    checkpoint = time.monotonic() - CHECKPOINT_SECONDS + FIRST_SECONDS
    writing = 0.0
    published = resumed > 0

    def progress() -> ScanProgress:
        rate, left = pace.measure(state.tokens_done, windows.tokens)
        return ScanProgress(
            state.windows_done, len(windows), state.tokens_done, windows.tokens, rate, left, resumed
        )

    yield progress()
    for number in range(state.batches_done, len(plan.batches)):
        planned = plan.batches[number]
        pilot = number < plan.pilot_batches
        histogram = pilot and state.windows_done < HISTOGRAM_WINDOWS
        batch = _batch(
            windows, planned, table_row, len(plan.table), pilot=pilot, histogram=histogram
        )
        _forward(subject, windows, planned, batch, state, scratch, writer)
        state.batches_done = number + 1
        state.windows_done += len(planned.windows)
        state.tokens_done += int(batch.lengths.sum())
        if number == plan.pilot_batches - 1:
            for layer in state.layers:
                layer.end_pilot()
        now = time.monotonic()
        if now - shown >= PROGRESS_SECONDS:
            shown = now
            yield progress()
        last = number == len(plan.batches) - 1
        stop = cancelled()
        due = now - checkpoint >= max(CHECKPOINT_SECONDS, writing / CHECKPOINT_SHARE)
        if last or stop or due:
            writer.publish(state, complete=last)
            if not published or last:
                writer.point(home)
            published = True
            checkpoint = time.monotonic()
            writing = checkpoint - now
            yield ScanPublished(str(writer.folder), state.windows_done, len(windows))
        if stop:
            return


def _forward(
    subject: SubjectModel,
    windows: WindowSet,
    planned: PlannedBatch,
    batch: Batch,
    state: ScanState,
    scratch: Scratch,
    writer: IndexWriter,
) -> None:
    import numpy as np
    import torch

    skip = int(writer.request.prepend_end_of_text)
    ids = windows.token_ids[planned.windows].astype(np.int64)
    if skip:
        ids = np.concatenate([np.full((len(ids), 1), subject.end_of_text), ids], axis=1)
    state.token_counts += torch.bincount(batch.token_rows, minlength=len(state.token_counts)) * int(
        batch.fold is Fold.EXPLAIN
    )

    def on_layer(layer: int, activations: torch.Tensor) -> None:
        state.layers[layer].add(batch, activations[:, skip:], scratch)

    subject.run(torch.from_numpy(ids), on_layer)


def _table_rows(plan: Plan, vocabulary: int) -> torch.Tensor:
    """int64 [vocabulary]: each token's row in the token table; the last row if it has none."""
    import torch

    rows = torch.full((vocabulary,), len(plan.table), dtype=torch.int64)
    rows[torch.from_numpy(plan.table.astype("int64"))] = torch.arange(len(plan.table))
    return rows


def _batch(
    windows: WindowSet,
    planned: PlannedBatch,
    table_row: torch.Tensor,
    collecting: int,
    *,
    pilot: bool,
    histogram: bool,
) -> Batch:
    import torch

    from engine.accumulate import Batch

    ids: NDArray[np.int64] = windows.token_ids[planned.windows].astype("int64")
    lengths = torch.from_numpy(windows.lengths[planned.windows].astype("int64"))
    rows = table_row[torch.from_numpy(ids)]
    if not planned.whole:
        inside = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
        rows = rows.where(inside, torch.tensor(collecting))
    return Batch(
        windows=torch.from_numpy(planned.windows),
        lengths=lengths,
        whole=planned.whole,
        fold=planned.fold,
        token_rows=rows.flatten(),
        pilot=pilot,
        histogram=histogram,
    )
