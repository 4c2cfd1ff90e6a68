"""What a layer's neurons are fitted to: the explain fold, read once by the subject model.

Kept is what enters the layer's MLP, from which any neuron of the layer follows by one
product; so the first neuron of a layer costs a pass over the text, and the others none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.anatomy import readings
from engine.index import Index
from engine.lab import go_on
from engine.patterns.features import Columns, Features, features
from engine.patterns.fit import GELU, IDENTITY, Additive, Link
from engine.records import Excerpt, Fold

if TYPE_CHECKING:
    from engine.subject import SubjectModel

#: Tokens read at most, of windows drawn evenly from the explain fold.
TOKENS = 200_000
BATCH = 64
#: Tokens whose whole MLP is computed at once, for gated neurons.
ROWS = 4096


class Text:
    """The explain fold's windows as features; the same for every layer.

    Attributes:
        windows: int64, numbers of the windows read, in reading order.
        excerpts: The same, with their tokens.
        ends: int64, where each ends in the text.
        columns: Of the tokens seen.
        found: Their features.
        additive: Fits neurons to them.
    """

    def __init__(self, index: Index, embeddings: NDArray[np.float32]) -> None:
        every = index.windows_of(Fold.EXPLAIN)
        order = np.random.default_rng(len(every)).permutation(every)
        self.excerpts: list[Excerpt] = []
        total = 0
        for window in order.tolist():
            excerpt = index.excerpt(window)
            total += len(excerpt)
            if total > TOKENS and self.excerpts:
                break
            self.excerpts.append(excerpt)
        # Windows of one length share a batch without padding.
        self.excerpts.sort(key=lambda one: (-len(one), one.window))
        self.windows = np.array([one.window for one in self.excerpts], dtype=np.int64)
        ids = [one.token_ids for one in self.excerpts]
        self.ends = np.cumsum([len(one) for one in ids])
        self.columns = Columns(np.unique(np.concatenate(ids)).astype(np.int64))
        self.found: Features = features(ids, self.columns)
        self.additive = Additive(self.found, embeddings[self.columns.seen])

    def window(self, place: int) -> int:
        """The row in ``windows`` of a place in the text."""
        return int(np.searchsorted(self.ends, place, side="right"))


class Reading:
    """One layer over the text.

    Args:
        states: float16 [T, width], what enters the MLP at each token.
    """

    def __init__(self, layer: int, text: Text, states: torch.Tensor) -> None:
        self.layer = layer
        self.text = text
        self._states = states

    def inner(self, subject: SubjectModel, neuron: int) -> tuple[NDArray[np.float32], Link]:
        """What the neuron's function is applied to, float32 [T], and the function.

        For a gated neuron the activation itself, and no function.
        """
        weights = readings(subject.anatomy, self.layer)
        if "" not in weights:
            return self._gated(subject, neuron), IDENTITY
        with torch.inference_mode():
            weight = weights[""][neuron].float().cpu()
            bias = subject.anatomy.readers[self.layer][0].bias
            shift = 0.0 if bias is None else float(bias[neuron])
            values = self._states.float() @ weight + shift
        return values.numpy(), GELU

    def _gated(self, subject: SubjectModel, neuron: int) -> NDArray[np.float32]:
        mlp: Any = subject.anatomy.blocks[self.layer].mlp
        found: list[torch.Tensor] = []

        def before(_module: Any, inputs: tuple[Any, ...]) -> None:
            found.append(inputs[0][..., neuron].float().cpu())

        handle = subject.anatomy.projections[self.layer].register_forward_pre_hook(before)
        try:
            with torch.inference_mode():
                weight = subject.anatomy.projections[self.layer].weight
                for rows in torch.split(self._states, ROWS):
                    mlp(rows.to(weight)[None])
        finally:
            handle.remove()
        return torch.cat([part.flatten() for part in found]).numpy()


def read_layer(
    subject: SubjectModel,
    text: Text,
    layer: int,
    *,
    prepend: bool,
    stop: Callable[[], bool],
) -> Reading:
    """Run the text through the model up to a layer's MLP."""
    anatomy = subject.anatomy
    entered: list[torch.Tensor] = []
    states: list[torch.Tensor] = []
    skip = int(prepend)

    def before(_module: Any, inputs: tuple[Any, ...]) -> None:
        entered.append(inputs[0])
        raise _Enough

    handle = anatomy.readers[layer][0].register_forward_pre_hook(before)
    try:
        for part in _batches(text.excerpts):
            go_on(stop)
            width = len(part[0]) + skip
            ids = torch.full((len(part), width), subject.end_of_text, dtype=torch.int64)
            for row, excerpt in enumerate(part):
                ids[row, skip:] = torch.from_numpy(excerpt.token_ids.astype(np.int64))
            with contextlib.suppress(_Enough), torch.inference_mode():
                anatomy.body(input_ids=ids.to(subject.device), use_cache=False)
            own = entered.pop().view(len(part), width, -1)[:, skip:]
            states.append(own.flatten(0, 1).to("cpu", torch.float16))
    finally:
        handle.remove()
    return Reading(layer, text, torch.cat(states))


def embeddings(subject: SubjectModel) -> NDArray[np.float32]:
    """The token embeddings, float32 [V, width]."""
    weight: torch.Tensor = subject.anatomy.tokens.weight
    return weight.detach().float().cpu().numpy()


def _batches(excerpts: list[Excerpt]) -> list[list[Excerpt]]:
    batches: list[list[Excerpt]] = []
    for excerpt in excerpts:
        if not batches or len(batches[-1]) == BATCH or len(batches[-1][0]) != len(excerpt):
            batches.append([])
        batches[-1].append(excerpt)
    return batches


class _Enough(Exception):
    """Nothing after this layer's MLP input is wanted."""
