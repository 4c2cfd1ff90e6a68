"""What a scan will take, reckoned before it starts: nothing it allocates grows later.

The accumulators of every layer, the buffers of one batch and the windows' token ids are
of sizes that the request and the model fix, so memory does not depend on how long the
text is but for four bytes a token and some for each window.
"""

from __future__ import annotations

from pathlib import Path

from engine.accumulate import LayerState, Scratch
from engine.errors import ScanError
from engine.events import ScanPlanned
from engine.machine import memory_bytes
from engine.scan_request import ScanRequest
from engine.state import Layout
from engine.subject import SubjectModel
from engine.windows import WindowSet

#: Values of the residual stream's width that a block has in memory for each token:
#: the stream, its normed copy, queries, keys and values, what attention mixed, and the
#: pieces' results.
_STREAMS = 10
_ITEM = {"float32": 4, "bfloat16": 2, "float16": 2}


def reckon(
    request: ScanRequest, folder: Path, subject: SubjectModel, windows: WindowSet, layout: Layout
) -> ScanPlanned:
    """What the scan will take."""
    tokens = request.batch * (request.window + 1)
    item = _ITEM[request.dtype]
    activations = tokens * layout.neurons * item
    # A generation is put together one layer at a time: its rows, and a sorted copy.
    writing = 2 * layout.bytes(complete=False) // layout.layers
    scratch = Scratch(request.batch, request.window, layout.neurons, layout.tabled)
    return ScanPlanned(
        path=str(folder),
        windows=len(windows),
        tokens=windows.tokens,
        neurons=layout.layers * layout.neurons,
        model_bytes=subject.bytes,
        record_bytes=layout.layers * state_bytes(layout),
        buffer_bytes=scratch.bytes
        + max(writing, activations + tokens * subject.width * _STREAMS * 4),
        text_bytes=windows.token_ids.nbytes + 12 * len(windows),
        disk_bytes=layout.bytes(complete=True),
        peak_disk_bytes=2 * layout.bytes(complete=False),
    )


def state_bytes(layout: Layout) -> int:
    """What one layer's accumulators take, the pilot's maxima included."""
    return tensor_bytes(layout.layer(0, neurons=1)) * layout.neurons


def tensor_bytes(state: LayerState) -> int:
    """All tensors of a state, and of what it holds."""
    import torch

    parts = [state, state.powers, state.explain_sum, *state.best.values()]
    found = (value for part in parts for value in vars(part).values())
    return sum(value.nbytes for value in found if isinstance(value, torch.Tensor))


def check(plan: ScanPlanned) -> None:
    """ScanError if this machine can't hold what was reckoned."""
    have = memory_bytes()
    if plan.memory_bytes > have:
        raise ScanError(
            f"The scan needs {plan.memory_bytes / 1e9:,.1f} GB of memory; this machine has "
            f"{have / 1e9:,.1f} GB.",
            "Keep fewer windows (--top), read fewer at once (--batch), or use --dtype bfloat16.",
        )
