"""Simulations and the interface of everything that predicts activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.explanation import Explanation
from engine.models.request import Usage
from engine.records import Excerpt


class Scale(StrEnum):
    """Units of expected activations (names as in the original data)."""

    NEURON = "neuron_activations"
    NORMALISED = "simulated_normalized_activations"


class SimulationStatus(StrEnum):
    """A failed or partial simulation is a status, never zeros."""

    OK = "ok"
    PARTIAL = "partial"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, eq=False)
class Simulation:
    """Expected activations of one excerpt under one explanation.

    Attributes:
        expected: float32 [T]; NaN where no value could be had.
        scale: Units of ``expected``.
        status: ``OK`` if nothing is missing, ``FAILED`` if everything is.
        message: Why something is missing; empty when ``OK``.
        usage: Tokens that a language model used for it.
    """

    excerpt: Excerpt
    expected: NDArray[np.float32]
    scale: Scale
    status: SimulationStatus
    message: str = ""
    usage: Usage = field(default_factory=Usage)

    @property
    def coverage(self) -> float:
        """Share of the tokens that have a value, 0 to 1."""
        return float(np.isfinite(self.expected).mean()) if len(self.expected) else 0.0

    @classmethod
    def failed(cls, excerpt: Excerpt, scale: Scale, message: str) -> Simulation:
        """A simulation without a single value, and why."""
        nothing = np.full(len(excerpt), np.nan, dtype=np.float32)
        return cls(excerpt, nothing, scale, SimulationStatus.FAILED, message)


class Simulator(Protocol):
    """Predicts a neuron's activations on unseen text from its explanation alone."""

    @property
    def name(self) -> str:
        """Stable name, stored with every simulation."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that changes its output, as JSON values."""
        ...

    async def simulate(self, explanation: Explanation, excerpt: Excerpt) -> Simulation:
        """Predict one excerpt. Failure is a status of the result, not an exception.

        What a language model used is in the result's ``usage``, failed or not.

        Raises:
            LanguageModelError: only of the kinds in :data:`engine.models.faults.ENDING`
                (no or wrong key, no credit, budget, offline, ...), after which no other
                excerpt could be simulated either: the caller ends the run.
            MethodError: the simulator was not made ready for this explanation, as a
                calibrated one is by fitting it.
        """
        ...
