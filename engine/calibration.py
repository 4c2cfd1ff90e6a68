"""Mapping simulated values to a neuron's own units (method: Bills et al. 2023, 1.9).

A calibration is fitted on the calibration split and applied to the expected values
of another.  A linear one with a positive slope leaves correlations as they are; it is
what makes ``rsquared`` and ``absolute_dev_explained`` mean something for a simulator
that answers on the 0 to 10 scale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import MethodError
from engine.simulation import Scale, Simulation


class Calibration(Protocol):
    """A map from simulated values to activations."""

    def apply(self, predicted: ArrayLike) -> NDArray[np.float64]:
        """Map values of any shape; NaN stays NaN."""
        ...


@dataclass(frozen=True, slots=True)
class LinearCalibration:
    """``slope * predicted + intercept``."""

    slope: float
    intercept: float

    @classmethod
    def fit(cls, predicted: ArrayLike, true: ArrayLike) -> LinearCalibration:
        """Ordinary least squares over all tokens of the calibration split.

        Predictions without variance get slope 0 and the mean of the truth.

        Raises:
            MethodError: if not a single token has both values.
        """
        x, y = _pairs(predicted, true)
        dx = x - x.mean()
        spread = float(dx @ dx)
        slope = float(dx @ (y - y.mean())) / spread if spread > 0 else 0.0
        return cls(slope, float(y.mean() - slope * x.mean()))

    def apply(self, predicted: ArrayLike) -> NDArray[np.float64]:
        """See :class:`Calibration`."""
        return self.slope * np.asarray(predicted, dtype=np.float64) + self.intercept


@dataclass(frozen=True, slots=True, eq=False)
class PercentileCalibration:
    """Matching of percentiles, piecewise linear, clamped at both ends.

    Attributes:
        predicted, true: Both sorted, float64 [n].
    """

    predicted: NDArray[np.float64]
    true: NDArray[np.float64]

    @classmethod
    def fit(cls, predicted: ArrayLike, true: ArrayLike) -> PercentileCalibration:
        """Sort both sides of the calibration split.

        Raises:
            MethodError: if not a single token has both values.
        """
        x, y = _pairs(predicted, true)
        return cls(np.sort(x), np.sort(y))

    def apply(self, predicted: ArrayLike) -> NDArray[np.float64]:
        """See :class:`Calibration`."""
        values = np.asarray(predicted, dtype=np.float64)
        return np.asarray(np.interp(values, self.predicted, self.true), dtype=np.float64)


def calibrated(simulation: Simulation, calibration: Calibration) -> Simulation:
    """The same simulation in the neuron's own units."""
    expected = calibration.apply(simulation.expected).astype(np.float32)
    return replace(simulation, expected=expected, scale=Scale.NEURON)


def _pairs(
    predicted: ArrayLike, true: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x = np.asarray(predicted, dtype=np.float64).ravel()
    y = np.asarray(true, dtype=np.float64).ravel()
    if x.shape != y.shape:
        raise MethodError(f"{x.size} predictions can't be calibrated on {y.size} true values.")
    both = np.isfinite(x) & np.isfinite(y)
    if not both.any():
        raise MethodError(
            "There is nothing to calibrate on.", "Scan more documents, or score uncalibrated."
        )
    return x[both], y[both]
