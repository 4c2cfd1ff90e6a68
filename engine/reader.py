"""From a planned batch to the accumulators: token ids, one forward pass, every layer's state."""

from __future__ import annotations

import numpy as np
import torch

from engine.accumulate import Batch, Scratch
from engine.forward import Forward
from engine.plan import Plan
from engine.records import Fold
from engine.scan_request import ScanRequest
from engine.state import ScanState
from engine.windows import WindowSet

#: The histogram is made of the first windows alone: it costs more than all the rest.
HISTOGRAM_WINDOWS = 256


class BatchReader:
    """Runs planned batches through the model into a state.

    Args:
        forward: Of the model.
        windows, plan: What to read.
        request: For the sizes of batches and windows.
    """

    def __init__(
        self,
        forward: Forward,
        windows: WindowSet,
        plan: Plan,
        request: ScanRequest,
    ) -> None:
        self.plan = plan
        self._forward = forward
        self._windows = windows
        tokens = int(windows.token_ids.max()) + 1
        self._table_row = torch.full((tokens,), len(plan.table), dtype=torch.int64)
        self._table_row[torch.from_numpy(plan.table.astype("int64"))] = torch.arange(
            len(plan.table)
        )
        self._scratch = Scratch(request.batch, request.window, forward.neurons, len(plan.table))
        self._histogram = _leading(plan, HISTOGRAM_WINDOWS)

    def add(self, number: int, state: ScanState) -> None:
        """Read one batch into the state."""
        batch = self._batch(number)
        if batch.fold is Fold.EXPLAIN:
            self._count(number, state)

        def on_piece(layer: int, first: int, activations: torch.Tensor) -> None:
            state.layers[layer].add(batch, first, activations.to("cpu"), self._scratch)

        self._forward.run(self._ids(number), on_piece)
        state.next_batch = number + 1
        state.windows_done += len(batch.windows)
        state.tokens_done += int(batch.lengths.sum())
        state.end_pilot()

    def look(self, number: int, state: ScanState) -> None:
        """Read one batch of the pilot for its maxima alone: another shard counts it."""
        batch = self._batch(number)
        width = self.plan.batches[number].width
        outside = (torch.arange(width) >= batch.lengths[:, None])[:, :, None]

        def on_piece(layer: int, first: int, activations: torch.Tensor) -> None:
            values = activations.to("cpu", torch.float32)
            if not batch.whole:
                values = values.masked_fill(outside[first : first + len(values)], -torch.inf)
            state.layers[layer].add_maxima(values.amax(1))

        self._forward.run(self._ids(number), on_piece)
        state.end_pilot()

    def _ids(self, number: int) -> torch.Tensor:
        planned = self.plan.batches[number]
        ids = self._windows.token_ids[planned.windows, : planned.width]
        return torch.from_numpy(ids.astype("int64"))

    def _rows(self, number: int) -> torch.Tensor:
        """int64 [B * W]: the token table's row of each token; the last one for padding."""
        planned = self.plan.batches[number]
        rows = self._table_row[self._ids(number)]
        if not planned.whole:
            lengths = torch.from_numpy(self._windows.lengths[planned.windows].astype("int64"))
            inside = torch.arange(planned.width) < lengths[:, None]
            rows = rows.where(inside, torch.tensor(len(self.plan.table)))
        return rows.flatten()

    def _count(self, number: int, state: ScanState) -> None:
        state.token_counts += torch.bincount(self._rows(number), minlength=len(state.token_counts))

    def _batch(self, number: int) -> Batch:
        planned = self.plan.batches[number]
        table_rows, token_rows = np.unique(self._rows(number).numpy(), return_inverse=True)
        return Batch(
            windows=torch.from_numpy(planned.windows),
            lengths=torch.from_numpy(self._windows.lengths[planned.windows].astype("int64")),
            whole=planned.whole,
            fold=planned.fold,
            table_rows=torch.from_numpy(table_rows),
            token_rows=torch.from_numpy(token_rows),
            pilot=number < self.plan.pilot_batches,
            histogram=number < self._histogram,
        )


def _leading(plan: Plan, windows: int) -> int:
    """How many of the first batches hold that many windows, within the pilot."""
    seen = number = 0
    while number < plan.pilot_batches and seen < windows:
        seen += len(plan.batches[number].windows)
        number += 1
    return number
