"""What neurons are fitted to: the explain fold, read by the subject model.

Kept is what enters a layer's MLP, from which any neuron of the layer follows by one
product; so the first neuron of a layer costs a pass over the text, and the others none.
A pass keeps as many layers as :data:`STATES_BYTES` hold.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.anatomy import readings
from engine.index import Index
from engine.lab import go_on
from engine.patterns.features import Columns, Features, features
from engine.patterns.fit import GELU, IDENTITY, Additive, Link
from engine.patterns.places import places_of
from engine.patterns.prune import Shapes
from engine.records import Excerpt, Fold
from engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from engine.subject import SubjectModel

#: Tokens read at most, of windows drawn evenly from the explain fold.
TOKENS = 200_000
#: What the kept states may take, of all layers together; a wide model reads fewer tokens.
STATES_BYTES = 256 << 20
BATCH = 64
#: Tokens whose whole MLP is computed at once, for gated neurons.
ROWS = 4096

#: Takes the share of a pass that is done, 0 to 1.
Tell = Callable[[float], None]


class Text:
    """The explain fold's windows as features; the same for every layer.

    Attributes:
        windows: int64, numbers of the windows read, in reading order.
        excerpts: The same, with their tokens.
        ends: int64, where each ends in the text.
        columns: Of the tokens seen.
        tokens: The bytes of each column's token.
        shapes: Of the same.
        found: Their features.
        places: By name, each token's place, int64 [T].
        additive: Fits neurons to them.
    """

    def __init__(
        self, excerpts: Sequence[Excerpt], vocabulary: Vocabulary, embeddings: NDArray[np.float32]
    ) -> None:
        # Windows of one length share a batch without padding.
        self.excerpts = sorted(excerpts, key=lambda one: (-len(one), one.window))
        self.windows = np.array([one.window for one in self.excerpts], dtype=np.int64)
        ids = [one.token_ids for one in self.excerpts]
        texts = [one.tokens for one in self.excerpts]
        self.ends = np.cumsum([len(one) for one in ids])
        self.columns = Columns(np.unique(np.concatenate(ids)).astype(np.int64))
        self.tokens = vocabulary.decode(self.columns.seen)
        self.shapes = Shapes.of_tokens(self.tokens)
        self.found: Features = features(ids, texts, self.columns)
        found = [places_of(text) for text in texts]
        self.places = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        self.additive = Additive(self.found, embeddings[self.columns.seen])

    @classmethod
    def of(cls, index: Index, embeddings: NDArray[np.float32], width: int) -> Text:
        """Windows of an index's explain fold, drawn evenly, as many as may be read.

        Args:
            width: Of the states that will be kept of each token.
        """
        every = index.windows_of(Fold.EXPLAIN)
        order = np.random.default_rng(len(every)).permutation(every)
        limit = min(TOKENS, STATES_BYTES // (2 * width))
        excerpts: list[Excerpt] = []
        total = 0
        for window in order.tolist():
            excerpt = index.excerpt(window)
            total += len(excerpt)
            if total > limit and excerpts:
                break
            excerpts.append(excerpt)
        return cls(excerpts, index.vocabulary, embeddings)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def window(self, place: int) -> int:
        """The row in ``windows`` of a place in the text."""
        return int(np.searchsorted(self.ends, place, side="right"))

    def before(self, place: int, reach: int) -> NDArray[np.int64]:
        """The tokens of a place's window up to it, int64, at most so many."""
        excerpt = self.excerpts[self.window(place)]
        stop = place - (int(self.ends[self.window(place)]) - len(excerpt)) + 1
        return excerpt.token_ids[max(0, stop - reach) : stop].astype(np.int64)


class Reading:
    """One layer over the text.

    Args:
        states: float16 [T, width], what enters the MLP at each token.
    """

    def __init__(self, layer: int, states: torch.Tensor) -> None:
        self.layer = layer
        self._states = states

    @property
    def states(self) -> torch.Tensor:
        """What enters the MLP at each token, float16 [T, width]."""
        return self._states

    def inner(
        self, subject: SubjectModel, neurons: Sequence[int]
    ) -> tuple[NDArray[np.float32], Link]:
        """What the neurons' function is applied to, float32 [T, n], and the function.

        For gated neurons the activation itself, and no function.
        """
        weights = readings(subject.anatomy, self.layer)
        if "" not in weights:
            return self._gated(subject, neurons), IDENTITY
        with torch.inference_mode():
            weight = weights[""][list(neurons)].float().cpu()
            bias = subject.anatomy.readers[self.layer][0].bias
            shift = 0.0 if bias is None else bias[list(neurons)].float().cpu()
            parts = [rows.float() @ weight.T for rows in torch.split(self._states, ROWS)]
            values = torch.cat(parts) + shift
        return values.numpy(), GELU

    def _gated(self, subject: SubjectModel, neurons: Sequence[int]) -> NDArray[np.float32]:
        mlp: Any = subject.anatomy.blocks[self.layer].mlp
        found: list[torch.Tensor] = []

        def before(_module: Any, inputs: tuple[Any, ...]) -> None:
            found.append(inputs[0][..., list(neurons)].float().cpu())

        handle = subject.anatomy.projections[self.layer].register_forward_pre_hook(before)
        try:
            with torch.inference_mode():
                weight = subject.anatomy.projections[self.layer].weight
                for rows in torch.split(self._states, ROWS):
                    mlp(rows.to(weight)[None])
        finally:
            handle.remove()
        return torch.cat([part.flatten(0, -2) for part in found]).numpy()


def layers_held(text_tokens: int, width: int) -> int:
    """How many layers' states may be kept."""
    return max(1, STATES_BYTES // max(2 * width * text_tokens, 1))


def read_layers(
    subject: SubjectModel,
    text: Text,
    layers: range,
    *,
    prepend: bool,
    stop: Callable[[], bool],
    tell: Tell = lambda _share: None,
) -> dict[int, Reading]:
    """Run the text through the model up to the last of some layers' MLPs."""
    anatomy = subject.anatomy
    entered: dict[int, torch.Tensor] = {}
    states: dict[int, list[torch.Tensor]] = {layer: [] for layer in layers}
    skip = int(prepend)

    def hook(layer: int) -> Callable[..., None]:
        def before(_module: Any, inputs: tuple[Any, ...]) -> None:
            entered[layer] = inputs[0]
            if layer == layers[-1]:
                raise _Enough

        return before

    handles = [anatomy.readers[layer][0].register_forward_pre_hook(hook(layer)) for layer in layers]
    done = 0
    try:
        for part in _batches(text.excerpts):
            go_on(stop)
            tell(done / len(text))
            width = len(part[0]) + skip
            ids = torch.full((len(part), width), subject.end_of_text, dtype=torch.int64)
            for row, excerpt in enumerate(part):
                ids[row, skip:] = torch.from_numpy(excerpt.token_ids.astype(np.int64))
            with contextlib.suppress(_Enough), torch.inference_mode():
                anatomy.body(input_ids=ids.to(subject.device), use_cache=False)
            for layer in layers:
                own = entered.pop(layer).view(len(part), width, -1)[:, skip:]
                states[layer].append(own.flatten(0, 1).to("cpu", torch.float16))
            done += len(part) * (width - skip)
    finally:
        for handle in handles:
            handle.remove()
    return {layer: Reading(layer, torch.cat(states.pop(layer))) for layer in layers}


def last_activations(
    subject: SubjectModel,
    layer: int,
    texts: Sequence[NDArray[np.int64]],
    neurons: NDArray[np.int64],
    *,
    prepend: bool,
    stop: Callable[[], bool],
) -> NDArray[np.float32]:
    """A neuron of one layer at the last token of each text, float32; no further than there.

    Args:
        neurons: Which neuron for each text.
    """
    skip = int(prepend)
    found = np.zeros(len(texts), dtype=np.float32)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        go_on(stop)
        # The longest of a batch decides what it takes.
        stop_at = start + 1
        while (
            stop_at < len(order)
            and (lengths[order[stop_at]] + skip) * (stop_at + 1 - start) <= ROWS
        ):
            stop_at += 1
        part = order[start:stop_at]
        start = stop_at
        width = int(lengths[part].max()) + skip
        ids = torch.full((len(part), width), subject.end_of_text, dtype=torch.int64)
        for row, i in enumerate(part.tolist()):
            ids[row, skip : skip + len(texts[i])] = torch.from_numpy(texts[i])
        last = torch.from_numpy(lengths[part] + skip - 1)
        own = torch.from_numpy(neurons[part])

        def before(
            _module: Any,
            inputs: tuple[Any, ...],
            shape: tuple[int, int] = (len(part), width),
            last: torch.Tensor = last,
            own: torch.Tensor = own,
            into: NDArray[np.int64] = part,
        ) -> None:
            values = inputs[0].view(*shape, -1)[torch.arange(shape[0]), last, own]
            found[into] = values.float().cpu().numpy()
            raise _Enough

        handle = subject.anatomy.projections[layer].register_forward_pre_hook(before)
        try:
            with contextlib.suppress(_Enough), torch.inference_mode():
                subject.anatomy.body(input_ids=ids.to(subject.device), use_cache=False)
        finally:
            handle.remove()
    return found


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
    """Nothing after what was wanted is read."""
