"""The order of the pass: which windows share a batch, and which come first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.records import Fold
from engine.windows import WindowSet

#: The token table covers at most this many of the explain fold's commonest tokens,
#: each seen at least TABLE_MINIMUM times there, and at most this many bytes of sums.
TABLE_TOKENS = 4096
TABLE_MINIMUM = 3
TABLE_BYTES = 2 << 30
#: The pilot is an eighth of the corpus, but no more windows than this.
PILOT_WINDOWS = 1024
PILOT_SHARE = 8
#: Short windows are batched with others of about their length: in the same quarter.
LENGTHS = 4


@dataclass(frozen=True, slots=True, eq=False)
class PlannedBatch:
    """Windows of one fold that are read together.

    Attributes:
        windows: int32 [B].
        fold: Of all of them.
        width: Tokens of the longest.
        whole: True if none is shorter than that.
    """

    windows: NDArray[np.int32]
    fold: Fold
    width: int
    whole: bool


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Every batch of the pass, in order.

    Attributes:
        batches: The pilot's first.
        pilot_batches: How many of them are the pilot.
        table: int32 [M], the token ids of the token table, commonest first.
    """

    batches: tuple[PlannedBatch, ...]
    pilot_batches: int
    table: NDArray[np.int32]

    @property
    def pilot_windows(self) -> int:
        """Windows in the pilot."""
        return sum(len(batch.windows) for batch in self.batches[: self.pilot_batches])

    def shard(self, number: int, of: int) -> range:
        """The batches of shard ``number`` of ``of``, counted from 1: about as many each."""
        n = len(self.batches)
        return range((number - 1) * n // of, number * n // of)


def plan_batches(windows: WindowSet, size: int, neurons: int) -> Plan:
    """Shuffle windows by digest, batch them by fold and length, mix the batches evenly.

    A batch holds one fold, so that per-fold accumulators take it whole, and windows of
    about one length, so that little is computed for padding and just the few short
    windows pay for a mask.

    Args:
        size: Windows of a batch.
        neurons: Of the whole model; the token table of a wide one has fewer rows.
    """
    order = np.argsort(_digests(windows), kind="stable")
    folds = windows.folds()[order]
    width = windows.token_ids.shape[1]
    # 0 for whole windows, then 1 for the longest quarter and so on.
    lengths = windows.lengths[order].astype(np.int64)
    kinds = np.where(lengths == width, 0, LENGTHS - (LENGTHS * (lengths - 1)) // width)
    placed: list[tuple[float, int, PlannedBatch]] = []
    for number, fold in enumerate((Fold.EXPLAIN, Fold.SCORE)):
        for kind in range(1 + LENGTHS):
            members = order[(folds == number) & (kinds == kind)]
            count = -(-len(members) // size)
            for i in range(count):
                part = members[i * size : (i + 1) * size].astype(np.int32)
                own = windows.lengths[part]
                batch = PlannedBatch(part, fold, int(own.max()), bool(own.min() == own.max()))
                # Batch i of n stands at (i + 1/2) / n, which interleaves the kinds.
                placed.append(((i + 0.5) / count, (1 + LENGTHS) * number + kind, batch))
    placed.sort(key=lambda entry: entry[:2])
    batches = tuple(batch for _, _, batch in placed)
    wanted = min(PILOT_WINDOWS, -(-len(windows) // PILOT_SHARE))
    pilot = seen = 0
    while seen < wanted:
        seen += len(batches[pilot].windows)
        pilot += 1
    return Plan(batches, pilot, _table(windows, max(1, TABLE_BYTES // (8 * neurons))))


def _digests(windows: WindowSet) -> NDArray[np.uint64]:
    """uint64 [n]: a mixed digest of each window's document and offset."""
    documents = np.array([int(d.sha256[:16], 16) for d in windows.documents], dtype=np.uint64)
    with np.errstate(over="ignore"):
        x = documents[windows.document] + windows.offset.astype(np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed


def _table(windows: WindowSet, most: int) -> NDArray[np.int32]:
    explain = windows.folds() == 0
    ids = windows.token_ids[explain]
    inside = np.arange(ids.shape[1]) < windows.lengths[explain][:, None]
    counts = np.bincount(ids[inside]) if ids.size else np.zeros(1, dtype=np.int64)
    common = np.argsort(-counts, kind="stable")[: min(most, TABLE_TOKENS)]
    return common[counts[common] >= TABLE_MINIMUM].astype(np.int32)
