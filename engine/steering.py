"""Continuing a prompt with a neuron changed, several changes side by side.

Every variant sees the same random numbers: at each step one draw of Gumbel noise, a
number for every token of the vocabulary, is added to each variant's log-probabilities
and the largest sum is taken.  That samples from each variant's own distribution, and
where two distributions agree it takes the same token, so that a difference between two
continuations comes from the neuron and not from the dice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.change import Change
from engine.neuron import NeuronId
from engine.prompting import OnActivations, Prompt, changing, run

if TYPE_CHECKING:
    import torch

    from engine.subject import SubjectModel


@dataclass(frozen=True, slots=True, eq=False)
class SteerStarted:
    """The prompt was read.

    Attributes:
        tokens: Of the prompt.
        changes: The variants, in the order that the others count them.
    """

    tokens: tuple[bytes, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Steered:
    """A variant goes on by a token.

    Attributes:
        variant: Which, from 0.
        number: Which token of its continuation, from 0.
        token: Its bytes.
        probability: What the changed model gave it, before any temperature.
    """

    variant: int
    number: int
    token: bytes
    probability: float


@dataclass(frozen=True, slots=True)
class SteerFinished:
    """Terminal: every variant has all its tokens, or ended its text before.

    Attributes:
        ended: For each variant whether it wrote an end of text.
    """

    ended: tuple[bool, ...]


SteerEvent = SteerStarted | Steered | SteerFinished


class Steering:
    """Continuations under way. Each step is one pass; use it on the model's thread.

    Args:
        mean: The neuron's mean activation.
        temperature: 0 takes the likeliest token.
    """

    def __init__(
        self,
        subject: SubjectModel,
        prompt: Prompt,
        neuron: NeuronId,
        changes: Sequence[Change],
        *,
        mean: float,
        temperature: float,
        seed: int,
    ) -> None:
        import torch

        self._subject = subject
        self._neuron = neuron
        self._temperature = temperature
        self._seed = seed
        lines = np.array([change.line(mean) for change in changes])
        self._factors = torch.from_numpy(lines[:, :1])
        self._constants = torch.from_numpy(lines[:, 1:])
        self._ends = _ends(subject)
        self._next = prompt.ids(len(changes))
        self._skip = prompt.skip
        self._past: Any = None
        self._number = 0
        self.ended = [False] * len(changes)

    def step(self) -> list[Steered]:
        """Read the last token of each variant and choose the next; none for those ended."""
        import torch

        states, self._past = run(self._subject, self._next, self._hooks(), self._past, keep=True)
        self._skip = 0
        found = self._subject.log_probabilities(states[:, -1])
        chosen = self._choose(found)
        said = []
        for variant, token in enumerate(chosen.tolist()):
            if self.ended[variant]:
                continue
            self.ended[variant] = token in self._ends
            if not self.ended[variant]:
                text = self._subject.vocabulary.token(token)
                probability = float(found[variant, token].exp())
                said.append(Steered(variant, self._number, text, probability))
        self._next = chosen[:, None].to(torch.int64).cpu()
        self._number += 1
        return said

    def _hooks(self) -> dict[int, OnActivations]:
        return changing(self._neuron, self._factors, self._constants, self._skip)

    def _choose(self, log_probabilities: torch.Tensor) -> torch.Tensor:
        import torch

        if self._temperature <= 0:
            return log_probabilities.argmax(-1)
        noise = np.random.default_rng([self._seed, self._number])
        gumbel = torch.from_numpy(noise.gumbel(size=log_probabilities.shape[-1]))
        return (log_probabilities / self._temperature + gumbel.to(log_probabilities)).argmax(-1)


def _ends(subject: SubjectModel) -> frozenset[int]:
    """Tokens that end a text: the model's own, and what the scan puts before one."""
    own = subject.anatomy.body.config.eos_token_id
    several = own if isinstance(own, list) else [] if own is None else [own]
    return frozenset({subject.end_of_text, *several})
