"""One pass of the subject model over a typed text, watched or changed at some layers.

A prompt is read as the scan reads a window: with the end-of-text token before it where
the scan had one, whose own activations are neither shown nor changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import MethodError
from engine.lab import POSITIONS, Stop, go_on

if TYPE_CHECKING:
    import torch

    from engine.change import Change
    from engine.neuron import NeuronId
    from engine.subject import SubjectModel

#: Gets a layer's activations, [batch, position, neuron]; what it returns takes their place.
OnActivations = Callable[["torch.Tensor"], "torch.Tensor | None"]


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A tokenised text.

    Attributes:
        token_ids: int32 [T], without a token before the text.
        tokens: The bytes of each.
        first: The token before the text, or None for none.
        cut: Tokens left out at the end, since the model can't read so many.
    """

    token_ids: NDArray[np.int32]
    tokens: tuple[bytes, ...]
    first: int | None
    cut: int

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def skip(self) -> int:
        """Tokens before the text."""
        return int(self.first is not None)

    def ids(self, rows: int = 1) -> torch.Tensor:
        """What the model reads, int64 [rows, skip + T], the same in every row."""
        import torch

        before = [] if self.first is None else [self.first]
        ids = torch.tensor([*before, *self.token_ids.tolist()], dtype=torch.int64)
        return ids.expand(rows, -1)


def encode(subject: SubjectModel, text: str, *, prepend: bool) -> Prompt:
    """Tokenise a text of any origin, as much of it as the model reads.

    Args:
        prepend: Put the end-of-text token before it.

    Raises:
        MethodError: a text without a single token.
    """
    # A terminal can send half a surrogate pair, which no tokenizer takes.
    clean = text.encode("utf-8", "replace").decode("utf-8")
    every = subject.tokenizer.encode(clean, add_special_tokens=False).ids
    most = subject.facts.positions - int(prepend)
    ids = np.array(every[:most], dtype=np.int32)
    if not len(ids):
        raise MethodError("The prompt is empty: there is nothing to read.", "Type a text.")
    first = subject.end_of_text if prepend else None
    return Prompt(ids, subject.vocabulary.decode(ids), first, len(every) - len(ids))


@contextmanager
def _hooked(
    subject: SubjectModel, hooks: Mapping[int, OnActivations], shape: tuple[int, ...]
) -> Iterator[None]:
    def made(hook: OnActivations) -> Callable[..., tuple[Any, ...] | None]:
        def before_projection(_module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            new = hook(inputs[0].view(*shape, -1))
            return None if new is None else (new.view_as(inputs[0]), *inputs[1:])

        return before_projection

    handles = [
        subject.anatomy.projections[layer].register_forward_pre_hook(made(hook))
        for layer, hook in hooks.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def run(
    subject: SubjectModel,
    ids: torch.Tensor,
    hooks: Mapping[int, OnActivations],
    past: Any = None,
    *,
    keep: bool = False,
) -> tuple[torch.Tensor, Any]:
    """One pass without the head.

    Args:
        ids: int64 [batch, position].
        hooks: By layer.
        past: What an earlier call with ``keep`` returned: its tokens come before these.
        keep: Return what a further call can go on from.

    Returns:
        The last hidden states, after the final norm, [batch, position, width]; and the
        keys and values of all that was read, or None.
    """
    import torch

    with _hooked(subject, hooks, tuple(ids.shape)), torch.inference_mode():
        out = subject.anatomy.body(
            input_ids=ids.to(subject.device), past_key_values=past, use_cache=keep
        )
    return out.last_hidden_state, out.past_key_values if keep else None


def changing(
    neuron: NeuronId, factors: torch.Tensor, constants: torch.Tensor, first: int = 0
) -> dict[int, OnActivations]:
    """Hooks that put ``factor * own + constant`` in the place of a neuron's activations.

    Args:
        factors, constants: Broadcast to [batch, position - first].
        first: Positions at the start that stay as they are.
    """

    def hook(activations: torch.Tensor) -> torch.Tensor:
        changed = activations.clone()
        own = activations[:, first:, neuron.index]
        changed[:, first:, neuron.index] = own * factors.to(own) + constants.to(own)
        return changed

    return {neuron.layer: hook}


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a model predicts along a prompt, once as it is and once changed.

    Attributes:
        own: The neuron's activations as they are, float32 [T].
        put: Those in their place, float32 [T].
        loss, changed_loss: Surprise at each token, nats, float64 [T]; NaN where nothing
            stands before a token.
        kl: KL divergence of the changed next-token distribution from the original after
            each token, nats, float64 [T].
        probabilities, changed_probabilities: After one token, float64 [vocabulary].
    """

    own: NDArray[np.float32]
    put: NDArray[np.float32]
    loss: NDArray[np.float64]
    changed_loss: NDArray[np.float64]
    kl: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    changed_probabilities: NDArray[np.float64]


def read(
    subject: SubjectModel, prompt: Prompt, neuron: NeuronId, stop: Stop
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """A neuron's activations, float32 [T], and the surprise at each token, float64 [T]."""
    seen: list[NDArray[np.float32]] = []

    def look(activations: torch.Tensor) -> None:
        seen.append(activations[0, prompt.skip :, neuron.index].float().cpu().numpy().copy())

    states, _ = run(subject, prompt.ids(), {neuron.layer: look})
    loss = np.full(len(prompt), np.nan)
    predicted = states[0, : prompt.skip + len(prompt) - 1]
    targets = prompt.ids()[0, 1:]
    for start in range(0, len(predicted), POSITIONS):
        go_on(stop)
        part = slice(start, start + POSITIONS)
        found = subject.log_probabilities(predicted[part], exact=False)
        loss[1 - prompt.skip :][part] = _picked(found, targets[part])
    return seen[0], loss


def all_neurons(
    subject: SubjectModel, prompt: Prompt, position: int, stop: Stop
) -> NDArray[np.float32]:
    """Every neuron's activation at one token, float32 [layer, neuron]."""
    anatomy = subject.anatomy
    found = np.empty((len(anatomy.blocks), anatomy.n_neurons), dtype=np.float32)

    def look(layer: int) -> OnActivations:
        def hook(activations: torch.Tensor) -> None:
            go_on(stop)
            found[layer] = activations[0, -1].float().cpu().numpy()

        return hook

    # Nothing after the token can change what happens at it.
    ids = prompt.ids()[:, : prompt.skip + position + 1]
    run(subject, ids, {layer: look(layer) for layer in range(len(found))})
    return found


def compare(
    subject: SubjectModel,
    prompt: Prompt,
    neuron: NeuronId,
    change: Change,
    *,
    mean: float,
    where: NDArray[np.bool_],
    position: int,
    stop: Stop,
) -> Outcome:
    """Read a prompt as it is and with a neuron changed.

    Args:
        mean: The neuron's mean activation.
        where: bool [T], the tokens at which it is changed.
        position: The token after which whole distributions are wanted.
    """
    import torch

    skip = prompt.skip
    own: list[NDArray[np.float32]] = []

    def look(activations: torch.Tensor) -> None:
        own.append(activations[0, skip:, neuron.index].float().cpu().numpy().copy())

    factor, constant = change.line(mean)
    factors = torch.from_numpy(np.where(where, factor, 1.0))
    constants = torch.from_numpy(np.where(where, constant, 0.0))
    states, _ = run(subject, prompt.ids(), {neuron.layer: look})
    go_on(stop)
    changed, _ = run(subject, prompt.ids(), changing(neuron, factors, constants, skip))
    count = len(prompt)
    losses = np.full((2, count), np.nan)
    kl = np.empty(count)
    distributions = np.empty((2, 0))
    ids = prompt.ids()[0]
    for start in range(0, skip + count, POSITIONS):
        go_on(stop)
        part = slice(start, start + POSITIONS)
        both = [subject.log_probabilities(one[0, part]) for one in (states, changed)]
        targets = ids[1:][part]
        for row, log_probabilities in enumerate(both):
            found = _picked(log_probabilities[: len(targets)], targets)
            # After the token at place i comes the one that is place i + 1 - skip in the text.
            losses[row, start + 1 - skip : start + 1 - skip + len(found)] = found
        divergence = (both[0].exp() * (both[0] - both[1])).sum(-1).clamp(min=0).cpu().numpy()
        first = max(skip - start, 0)
        kl[start + first - skip : start + len(divergence) - skip] = divergence[first:]
        if start <= skip + position < start + POSITIONS:
            here = skip + position - start
            distributions = np.stack([one[here].exp().cpu().numpy() for one in both])
    put = np.where(where, factor * own[0] + constant, own[0]).astype(np.float32)
    return Outcome(own[0], put, losses[0], losses[1], kl, distributions[0], distributions[1])


def _picked(log_probabilities: torch.Tensor, targets: torch.Tensor) -> NDArray[np.float64]:
    """Surprise at each target, nats."""
    chosen = log_probabilities.gather(-1, targets.to(log_probabilities.device)[:, None])
    surprise: NDArray[np.float64] = -chosen[:, 0].cpu().numpy()
    return surprise
