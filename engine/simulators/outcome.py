"""What becomes of a simulation: values, gaps, and which failures end a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from engine.explanation import Explanation
from engine.models.faults import LanguageModelError
from engine.models.model import LanguageModel
from engine.models.request import Message, Usage
from engine.records import Excerpt
from engine.simulation import Scale, Simulation, SimulationStatus, Simulator

#: Tokens that a chat format puts around one message, about (method: 1.5 counts 4).
MESSAGE_TOKENS = 4


class ModelSimulator(Simulator, Protocol):
    """A simulator that asks a language model, and can say beforehand how much it asks."""

    def estimate(self, explanation_text: str, excerpt: Excerpt) -> tuple[int, int, int]:
        """Input tokens, output tokens and requests of one excerpt.

        The input is counted on the very prompt; the output is what the solved examples
        take, scaled to the excerpt. Exact where the model counts tokens exactly.
        """
        ...


def outcome(excerpt: Excerpt, expected: ArrayLike, message: str, usage: Usage) -> Simulation:
    """A simulation on the 0 to 10 scale whose status is what its values say.

    Args:
        expected: T values, NaN where one is missing.
        message: Why some are missing, or what else is wrong with the reply.
    """
    values = np.asarray(expected, dtype=np.float32)
    found = np.isfinite(values)
    if found.any():
        status = SimulationStatus.OK if found.all() else SimulationStatus.PARTIAL
    else:
        status = SimulationStatus.FAILED
        message = message or "the excerpt has no tokens"
    return Simulation(excerpt, values, Scale.NORMALISED, status, message, usage)


def failed(excerpt: Excerpt, message: str, usage: Usage) -> Simulation:
    """A simulation without a single value, and what was used for it."""
    return replace(Simulation.failed(excerpt, Scale.NORMALISED, message), usage=usage)


def give_up(error: LanguageModelError, excerpt: Excerpt, usage: Usage) -> Simulation:
    """The failed simulation of one error.

    Raises:
        LanguageModelError: the same one, where every further request would fail alike.
    """
    if error.ends_run:
        raise error
    return failed(excerpt, str(error), usage)


def one_line(explanation: Explanation | str) -> str:
    """An explanation's words on one line, without a final full stop.

    A line break inside an untrusted sentence could otherwise pass for a part of the prompt.
    """
    text = explanation if isinstance(explanation, str) else explanation.text
    return " ".join(text.split()).rstrip(". ")


def count_messages(model: LanguageModel, messages: tuple[Message, ...]) -> int:
    """Tokens of a conversation, about: its texts, and a little around each."""
    return sum(model.count_tokens(message.text) + MESSAGE_TOKENS for message in messages)


def named(model: LanguageModel) -> str:
    """``provider:model``, as settings store it."""
    return f"{model.provider}:{model.model}"
