"""Any simulator's values in the neuron's own units (method: Bills et al. 2023, 1.9)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.calibration import (
    Calibration,
    LinearCalibration,
    PercentileCalibration,
    calibrated,
)
from engine.errors import MethodError, UsageError
from engine.explanation import Explanation
from engine.models.faults import LanguageModelError
from engine.records import ActivationRecord, Excerpt
from engine.simulation import Scale, Simulation, Simulator

#: Calibration records that are simulated at the same time.
PARALLEL = 4


class CalibratedSimulator:
    """A simulator, and the map from its values to a neuron's activations.

    A map belongs to one explanation of one neuron: it is fitted by simulating that
    neuron's calibration split under that explanation, and it is used for no other.

    Args:
        calibration: ``linear`` (least squares) or ``percentile`` (matched ranks).
    """

    def __init__(self, inner: Simulator, calibration: str = "linear") -> None:
        if calibration not in ("linear", "percentile"):
            raise UsageError(
                f"There is no calibration {calibration!r}.", "Choose one of linear, percentile."
            )
        self._inner = inner
        self._kind = calibration
        self._fits: dict[str, Calibration] = {}

    @property
    def name(self) -> str:
        """The simulator's own; that it is calibrated is one of its settings."""
        return self._inner.name

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`engine.simulation.Simulator`."""
        return {**self._inner.settings, "calibration": self._kind}

    async def fit(
        self, explanation: Explanation, records: Sequence[ActivationRecord]
    ) -> tuple[Simulation, ...]:
        """Simulate the calibration split and fit the map to it.

        Returns:
            The simulations, uncalibrated: what they cost and how much they cover.

        Raises:
            MethodError: if no token has a simulated value, or they are in different units.
            LanguageModelError: of a kind that ends the run.
        """
        gate = asyncio.Semaphore(PARALLEL)

        async def one(record: ActivationRecord) -> Simulation:
            async with gate:
                try:
                    return await self._inner.simulate(explanation, record.excerpt)
                except LanguageModelError as error:
                    if error.ends_run:
                        raise
                    return Simulation.failed(record.excerpt, Scale.NORMALISED, str(error))

        tasks = [asyncio.create_task(one(record)) for record in records]
        try:
            simulations = tuple([await task for task in tasks])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        used = [simulation for simulation in simulations if simulation.coverage > 0]
        if len({simulation.scale for simulation in used}) > 1:
            raise MethodError("Simulations in different units can't be calibrated together.")
        if simulations and not used:
            raise MethodError(
                f"There is nothing to calibrate on: {simulations[0].message}",
                "Score uncalibrated, or choose another simulator.",
            )
        predicted = np.concatenate([np.zeros(0), *(one.expected for one in simulations)])
        true = np.concatenate([np.zeros(0), *(record.activations for record in records)])
        fit = LinearCalibration.fit if self._kind == "linear" else PercentileCalibration.fit
        self._fits[_identity(explanation)] = fit(predicted, true)
        return simulations

    def calibration(self, explanation: Explanation) -> Calibration:
        """The map fitted for an explanation. MethodError if none was."""
        try:
            return self._fits[_identity(explanation)]
        except KeyError:
            raise MethodError(
                "The simulator is not calibrated for this explanation.",
                "Fit it on the calibration split first.",
            ) from None

    async def simulate(self, explanation: Explanation, excerpt: Excerpt) -> Simulation:
        """Predict one excerpt in the neuron's own units; what is missing stays missing.

        Raises:
            MethodError: if nothing was fitted for this explanation.
            LanguageModelError: of a kind that ends the run.
        """
        calibration = self.calibration(explanation)
        return calibrated(await self._inner.simulate(explanation, excerpt), calibration)


def _identity(explanation: Explanation) -> str:
    return json.dumps(
        [str(explanation.neuron), explanation.side, explanation.text, explanation.rules],
        sort_keys=True,
    )
