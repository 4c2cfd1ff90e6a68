"""Experiments on neurons with a text that is typed in: read, rank, ablate, steer.

Nothing is kept of an experiment; each call reads its prompt anew, on the lab's thread,
and lets go when it is cancelled.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.change import Change
from engine.errors import MethodError, UsageError
from engine.index import Index
from engine.lab import Lab, Stop
from engine.neuron import NeuronId
from engine.prompting import Prompt, all_neurons, compare, encode, read
from engine.steering import Steered, SteerEvent, SteerFinished, Steering, SteerStarted

if TYPE_CHECKING:
    from engine.subject import SubjectModel

#: A neuron whose maximum is below this share of its layer's median has hardly a range.
LEAST_RANGE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class PromptReading:
    """A neuron on a typed text.

    Attributes:
        tokens: The bytes of each token, T of them.
        token_ids: int32 [T].
        activations: float32 [T].
        surprise: ``-log p(token | before)`` in nats, float64 [T]; NaN for a first token
            with nothing before it.
        cut: Tokens left out at the end, since the model can't read so many.
    """

    neuron: NeuronId
    tokens: tuple[bytes, ...]
    token_ids: NDArray[np.int32]
    activations: NDArray[np.float32]
    surprise: NDArray[np.float64]
    cut: int


@dataclass(frozen=True, slots=True)
class Firing:
    """A neuron that fires at a token.

    Attributes:
        activation: At the token.
        share: Of the neuron's maximum over the scanned text; above 1 where no scanned
            token made it fire as strongly.
        z: Standard deviations above its mean over the scanned text.
    """

    neuron: NeuronId
    activation: float
    share: float
    z: float


@dataclass(frozen=True, slots=True)
class NextToken:
    """A token that may come next, and its probability before and after the change."""

    token: bytes
    before: float
    after: float


@dataclass(frozen=True, slots=True, eq=False)
class Ablation:
    """What changing a neuron does to what the model predicts along a prompt.

    Attributes:
        tokens: The bytes of each token, T of them.
        change: What was done.
        positions: The tokens at which it was done.
        own, put: The neuron's activations as they are and as they were made, float32 [T].
        loss_before, loss_after: Surprise at each token in nats, float64 [T]; NaN for a
            first token with nothing before it.
        kl: ``KL(before || after)`` of the next-token distributions, nats, float64 [T].
        position: The token after which ``next`` comes.
        next: The likeliest next tokens before and after, the likelier of the two first.
    """

    neuron: NeuronId
    tokens: tuple[bytes, ...]
    change: Change
    positions: tuple[int, ...]
    own: NDArray[np.float32]
    put: NDArray[np.float32]
    loss_before: NDArray[np.float64]
    loss_after: NDArray[np.float64]
    kl: NDArray[np.float64]
    position: int
    next: tuple[NextToken, ...]


class Experiments:
    """The experiments that can be made with one index's model.

    Every method raises UsageError for a neuron or position that is not there,
    MethodError for a prompt that can't be read, and ModelError when the model can't be
    loaded or has changed since the scan.
    """

    def __init__(self, lab: Lab, index: Index) -> None:
        self._lab = lab
        self.index = index
        self._prepend = bool(index.manifest["settings"]["prepend_end_of_text"])
        self._range: tuple[NDArray[np.float64], ...] | None = None

    async def read(self, text: str, neuron: NeuronId) -> PromptReading:
        """Read one neuron, and how surprised the model is, at every token of a text."""
        self.index.check(neuron)

        def work(subject: SubjectModel, stop: Stop) -> PromptReading:
            prompt = self._encode(subject, text)
            activations, surprise = read(subject, prompt, neuron, stop)
            return PromptReading(
                neuron, prompt.tokens, prompt.token_ids, activations, surprise, prompt.cut
            )

        return await self._lab.run(work)

    async def firing(self, text: str, position: int, count: int = 20) -> tuple[Firing, ...]:
        """The neurons of all layers that fire most at a token, for what they usually do.

        Ranked by the share of their own maximum.  Neurons that hardly have a range (their
        maximum is below a tenth of their layer's median one) are left out, since next to
        nothing would be a large share of it.

        Args:
            position: Of the token, from 0; negative from the end.
        """

        def work(subject: SubjectModel, stop: Stop) -> tuple[Firing, ...]:
            prompt = self._encode(subject, text)
            values = all_neurons(subject, prompt, _place(prompt, position), stop)
            return self._ranked(values.astype(np.float64), count)

        return await self._lab.run(work)

    async def ablate(
        self,
        text: str,
        neuron: NeuronId,
        change: Change,
        *,
        positions: Sequence[int] | None = None,
        position: int = -1,
        count: int = 10,
    ) -> Ablation:
        """Change a neuron at some tokens and compare what the model predicts.

        Args:
            positions: Where to change it; None for every token.
            position: The token after which next tokens are compared; negative from the end.
            count: Likeliest next tokens of each kind.
        """
        self.index.check(neuron)
        mean = self.index.statistics(neuron).mean

        def work(subject: SubjectModel, stop: Stop) -> Ablation:
            prompt = self._encode(subject, text)
            place = _place(prompt, position)
            every = range(len(prompt)) if positions is None else positions
            places = sorted({_place(prompt, one) for one in every})
            where = np.zeros(len(prompt), dtype=bool)
            where[places] = True
            found = compare(
                subject,
                prompt,
                neuron,
                change,
                mean=mean,
                where=where,
                position=place,
                stop=stop,
            )
            before, after = found.probabilities, found.changed_probabilities
            most = {int(i) for one in (before, after) for i in np.argsort(-one)[:count]}
            order = sorted(most, key=lambda i: (-max(before[i], after[i]), i))
            return Ablation(
                neuron=neuron,
                tokens=prompt.tokens,
                change=change,
                positions=tuple(places),
                own=found.own,
                put=found.put,
                loss_before=found.loss,
                loss_after=found.changed_loss,
                kl=found.kl,
                position=place,
                next=tuple(
                    NextToken(subject.vocabulary.token(i), float(before[i]), float(after[i]))
                    for i in order
                ),
            )

        return await self._lab.run(work)

    async def steer(
        self,
        text: str,
        neuron: NeuronId,
        changes: Sequence[Change],
        *,
        tokens: int = 24,
        temperature: float = 0.8,
        seed: int = 0,
    ) -> AsyncGenerator[SteerEvent, None]:
        """Continue a prompt with a neuron changed, at its every token and at each new one.

        All changes are continued side by side with the same random numbers; closing the
        stream stops them.

        Args:
            tokens: To write, for each change.
            temperature: 0 always takes the likeliest token.
            seed: Of the random numbers.

        Raises:
            UsageError: settings that make no sense.
            MethodError: prompt and continuation are longer than the model reads.
        """
        self.index.check(neuron)
        if not changes or tokens < 1 or seed < 0:
            raise UsageError("Nothing to continue.", "Name a change and at least one token.")
        if not 0 <= temperature < math.inf:
            raise UsageError(f"Can't sample at temperature {temperature}.", "Use 0 or more.")
        mean = self.index.statistics(neuron).mean

        def start(subject: SubjectModel, stop: Stop) -> tuple[Prompt, Steering]:
            prompt = self._encode(subject, text)
            if prompt.skip + len(prompt) + prompt.cut + tokens > subject.facts.positions:
                raise MethodError(
                    f"The prompt and {tokens} more tokens are longer than the model reads, "
                    f"which is {subject.facts.positions}.",
                    "Shorten the prompt or its continuation.",
                )
            return prompt, Steering(
                subject, prompt, neuron, changes, mean=mean, temperature=temperature, seed=seed
            )

        prompt, steering = await self._lab.run(start)
        yield SteerStarted(prompt.tokens, tuple(changes))
        for _ in range(tokens):
            if all(steering.ended):
                break
            said: list[Steered] = await self._lab.run(lambda _subject, _stop: steering.step())
            for one in said:
                yield one
        yield SteerFinished(tuple(steering.ended))

    def _encode(self, subject: SubjectModel, text: str) -> Prompt:
        return encode(subject, text, prepend=self._prepend)

    def _ranked(self, values: NDArray[np.float64], count: int) -> tuple[Firing, ...]:
        maximum, mean, deviation = self._ranges()
        values = values[: len(maximum), : maximum.shape[1]]  # an index may be of a part
        least = LEAST_RANGE * np.median(maximum, axis=1, keepdims=True)
        has_range = (maximum > least) & (maximum > 0)
        share = np.where(has_range, values / np.where(has_range, maximum, 1), -np.inf)
        flat = share.ravel()
        some = np.argpartition(-flat, min(count, flat.size) - 1)[:count]
        some = some[np.lexsort((some, -flat[some]))]
        found = []
        for place in some.tolist():
            layer, index = divmod(place, values.shape[1])
            if not flat[place] > 0:
                continue
            value, spread = values[layer, index], deviation[layer, index]
            z = float((value - mean[layer, index]) / spread) if spread > 0 else math.nan
            found.append(Firing(NeuronId(layer, index), float(value), float(flat[place]), z))
        return tuple(found)

    def _ranges(self) -> tuple[NDArray[np.float64], ...]:
        """Maximum, mean and standard deviation of every neuron, float64 [layer, neuron]."""
        if self._range is None:
            layers = [self.index.layer(layer) for layer in range(self.index.n_layers)]
            self._range = (
                np.stack([one.maximum for one in layers]),
                np.stack([one.mean for one in layers]),
                np.sqrt(np.stack([one.variance for one in layers])),
            )
        return self._range


def _place(prompt: Prompt, position: int) -> int:
    """A position counted from the start. UsageError if the prompt is not as long."""
    place = position + len(prompt) if position < 0 else position
    if not 0 <= place < len(prompt):
        raise UsageError(
            f"There is no token {position} in the prompt.", f"It has 0 to {len(prompt) - 1}."
        )
    return place
