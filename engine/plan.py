"""The order of the pass: which windows share a batch, and which come first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.records import Fold
from engine.windows import WindowSet

#: The token table covers at most this many of the explain fold's commonest tokens,
#: each seen at least TABLE_MINIMUM times there.
TABLE_TOKENS = 4096
TABLE_MINIMUM = 3
#: The pilot is an eighth of the corpus, but no more windows than this.
PILOT_WINDOWS = 1024
PILOT_SHARE = 8


@dataclass(frozen=True, slots=True, eq=False)
class PlannedBatch:
    """Windows of one fold that are read together.

    Attributes:
        windows: int32 [B].
        fold: Of all of them.
        whole: True if none is shorter than the full width.
    """

    windows: NDArray[np.int32]
    fold: Fold
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


def plan_batches(windows: WindowSet, size: int) -> Plan:
    """Shuffle windows by digest, batch them by fold and length, mix the batches evenly.

    A batch holds one fold, so that per-fold accumulators take it whole, and only
    whole or only short windows, so that just the few short ones pay for a mask.
    """
    order = np.argsort(_digests(windows), kind="stable")
    folds = windows.folds()[order]
    whole = windows.lengths[order] == windows.token_ids.shape[1]
    placed: list[tuple[float, int, PlannedBatch]] = []
    for number, fold in enumerate((Fold.EXPLAIN, Fold.SCORE)):
        for is_whole in (True, False):
            members = order[(folds == number) & (whole == is_whole)]
            count = -(-len(members) // size)
            for i in range(count):
                part = members[i * size : (i + 1) * size].astype(np.int32)
                # Batch i of n stands at (i + 1/2) / n, which interleaves the four kinds.
                rank = 2 * number + (not is_whole)
                placed.append(((i + 0.5) / count, rank, PlannedBatch(part, fold, is_whole)))
    placed.sort(key=lambda entry: entry[:2])
    batches = tuple(batch for _, _, batch in placed)
    wanted = min(PILOT_WINDOWS, -(-len(windows) // PILOT_SHARE))
    pilot = seen = 0
    while seen < wanted:
        seen += len(batches[pilot].windows)
        pilot += 1
    return Plan(batches, pilot, _table(windows))


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


def _table(windows: WindowSet) -> NDArray[np.int32]:
    explain = windows.folds() == 0
    ids = windows.token_ids[explain]
    inside = np.arange(ids.shape[1]) < windows.lengths[explain][:, None]
    counts = np.bincount(ids[inside]) if ids.size else np.zeros(1, dtype=np.int64)
    common = np.argsort(-counts, kind="stable")[:TABLE_TOKENS]
    return common[counts[common] >= TABLE_MINIMUM].astype(np.int32)
