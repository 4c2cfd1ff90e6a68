"""Where a pass stands, and how that lies in the arrays of a generation.

The finished index and the state of an unfinished one are the same files but for a few:
an unfinished one also has its sums in exact halves (:mod:`engine.exact`), its token
sums in fixed point and by token, and, until the pilot is over, the pilot's maxima.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.accumulate import HISTOGRAM_BINS, POWERS, LayerState
from engine.index import TOKEN_GRID
from engine.keep import BOUNDARY_QUANTILES, Keep
from engine.plan import Plan
from engine.scan_request import ScanRequest
from engine.subject import SubjectFacts

#: Name, shape and dtype of an array of a generation.
ArrayFacts = tuple[str, tuple[int, ...], str]
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Layout:
    """All that the arrays' shapes depend on.

    Attributes:
        layers, neurons: Of the model, and of each layer.
        width: Tokens of a window.
        tabled: Rows of the token table, without the collecting row.
        pilot: Windows in the pilot sample.
        dtype: Of the kept activations.
    """

    layers: int
    neurons: int
    width: int
    keep: Keep
    tabled: int
    pilot: int
    dtype: str

    @classmethod
    def of(cls, facts: SubjectFacts, request: ScanRequest, plan: Plan) -> Layout:
        """Of one scan."""
        return cls(
            facts.n_layers,
            facts.n_neurons,
            request.window,
            request.keep,
            len(plan.table),
            plan.pilot_windows,
            request.store_dtype,
        )

    @classmethod
    def of_manifest(cls, manifest: Mapping[str, Any], tabled: int) -> Layout:
        """Of an index whose pilot is over. KeyError if an entry is missing."""
        settings, model = manifest["settings"], manifest["model"]
        return cls(
            model["n_layers"],
            model["n_neurons"],
            settings["window"],
            Keep(**settings["keep"]),
            tabled,
            0,
            settings["store_dtype"],
        )

    def layer(self, number: int, neurons: int | None = None) -> LayerState:
        """A fresh state, of so many neurons instead of the layer's."""
        return LayerState(
            number,
            self.neurons if neurons is None else neurons,
            self.width,
            self.keep,
            self.tabled,
            self.pilot,
            getattr(torch, self.dtype),
        )

    def arrays(self, complete: bool, pilot: int | None) -> list[ArrayFacts]:
        """What a generation holds.

        Args:
            pilot: Maxima that the pilot has so far; None when it is over.
        """
        n, slots = self.layers * self.neurons, self.keep.total
        unfinished: list[ArrayFacts] = [
            ("sums_high", (n, POWERS + 1), "int64"),
            ("sums_low", (n, POWERS + 1), "int64"),
            ("token_sums", (self.layers, self.tabled + 1, self.neurons), "int64"),
        ]
        if pilot is not None:
            unfinished.append(("pilot_maxima", (self.layers, pilot, self.neurons), "float32"))
        return [
            ("values", (n, slots, self.width), self.dtype),
            ("keys", (n, slots), "float32"),
            ("windows", (n, slots), "int32"),
            ("powers", (n, 1 + POWERS), "float64"),
            ("active", (n,), "int64"),
            ("extremes", (n, 2), "float32"),
            ("histogram", (n, HISTOGRAM_BINS), "int32"),
            ("boundaries", (n, len(BOUNDARY_QUANTILES)), "float32"),
            ("in_band", (n, len(BOUNDARY_QUANTILES) + 1), "int64"),
            ("explain_sum", (n,), "float64"),
            ("token_counts", (self.tabled + 1,), "int64"),
            # While the scan runs the sums stay as they are added up, token by token;
            # a finished index has them by neuron, so that one is read in one piece.
            *([("token_means", (n, self.tabled), "float16")] if complete else unfinished),
        ]

    def bytes(self, *, complete: bool) -> int:
        """What a generation takes on disk once the pilot is over."""
        return sum(
            math.prod(shape) * np.dtype(dtype).itemsize
            for _, shape, dtype in self.arrays(complete, None)
        )

    def rows(self, number: int) -> slice:
        """The rows of a layer's neurons."""
        return slice(number * self.neurons, (number + 1) * self.neurons)

    def written(
        self, layer: LayerState, counts: torch.Tensor, *, complete: bool
    ) -> dict[str, NDArray[Any]]:
        """One layer's rows of every array but ``token_counts``, in the arrays' dtypes.

        Args:
            counts: int64 [tabled + 1], how often each tabled token was seen.
            complete: Whether they are for a finished index.
        """
        slots = (self.neurons, self.keep.total)
        keys, windows = np.empty(slots, np.float32), np.empty(slots, np.int32)
        values = np.empty((*slots, self.width), self.dtype)
        for key, part in self.keep.slots().items():
            ordered = layer.best[key].ordered()
            for array, column in zip((keys, windows, values), ordered, strict=True):
                array[:, part] = column.numpy()
        tokens = torch.full((self.neurons, 1), float(layer.tokens), dtype=torch.float64)
        rows: dict[str, Any] = {
            "values": values,
            "keys": keys,
            "windows": windows,
            "powers": torch.cat([tokens, layer.powers.values()], 1).numpy(),
            "active": layer.active.numpy(),
            "extremes": torch.stack([layer.minimum, layer.maximum], 1).numpy(),
            "histogram": layer.histogram.to(torch.int32).numpy(),
            "boundaries": layer.boundaries.numpy(),
            "in_band": layer.in_band.numpy(),
            "explain_sum": layer.explain_sum.values().numpy(),
        }
        if complete:
            unit = counts[:-1].clamp(min=1)[:, None].double() * float(1 << TOKEN_GRID)
            means = np.empty((self.neurons, self.tabled), np.float16)
            for start in range(0, self.neurons, 512):
                some = slice(start, start + 512)
                means[some] = (layer.token_sums[:-1, some] / unit).T.numpy()
            return {**rows, "token_means": means}
        for name, halves in (("sums_high", "high"), ("sums_low", "low")):
            powers, explain = getattr(layer.powers, halves), getattr(layer.explain_sum, halves)
            rows[name] = torch.cat([powers, explain[:, None]], 1).numpy()
        rows["token_sums"] = layer.token_sums.numpy()
        if not layer.pilot_over:
            rows["pilot_maxima"] = layer.pilot_maxima[: layer.pilot_filled].numpy()
        return rows

    def read(self, number: int, arrays: Arrays, explain_tokens: int) -> LayerState:
        """One layer as an unfinished generation has it."""
        rows = self.rows(number)

        def take(name: str, where: Any = rows) -> torch.Tensor:
            return torch.from_numpy(np.array(arrays[name][where]))

        layer = self.layer(number)
        for key, part in self.keep.slots().items():
            where = (rows, part)
            layer.best[key].restore(
                take("keys", where), take("windows", where), take("values", where)
            )
        layer.tokens = int(arrays["powers"][rows.start, 0])
        layer.explain_tokens = explain_tokens
        for name, halves in (("sums_high", "high"), ("sums_low", "low")):
            both = take(name)
            setattr(layer.powers, halves, both[:, :POWERS].contiguous())
            setattr(layer.explain_sum, halves, both[:, POWERS].contiguous())
        for name in ("active", "boundaries", "in_band"):
            setattr(layer, name, take(name))
        layer.histogram = take("histogram").long()
        layer.minimum, layer.maximum = take("extremes").T.contiguous().unbind(0)
        layer.token_sums = take("token_sums", number)
        if "pilot_maxima" in arrays:
            layer.add_maxima(take("pilot_maxima", number))
        else:
            layer.forget_pilot()
        return layer


class ScanState:
    """One :class:`LayerState` per layer, the counters, and the batches to read.

    Attributes:
        batches: Numbers of the plan's batches that this pass reads: all, or a shard's.
        next_batch: The next of them.
        foreign: Windows of the pilot that another shard counts.
    """

    def __init__(self, layout: Layout, plan: Plan, batches: range) -> None:
        self.layout = layout
        self.layers = [layout.layer(number) for number in range(layout.layers)]
        self.token_counts = torch.zeros(layout.tabled + 1, dtype=torch.int64)
        self.batches = batches
        self.next_batch = batches.start
        self.windows_done = 0
        self.tokens_done = 0
        self.foreign = sum(
            len(batch.windows)
            for number, batch in enumerate(plan.batches[: plan.pilot_batches])
            if number not in batches
        )

    @property
    def pilot(self) -> int | None:
        """Maxima that the pilot has so far; None when it is over."""
        first = self.layers[0]
        return None if first.pilot_over else first.pilot_filled

    def end_pilot(self) -> None:
        """Set the boundaries if the whole pilot has been read."""
        if self.pilot == self.layout.pilot:
            for layer in self.layers:
                layer.end_pilot(self.foreign)
