"""What is done to a neuron while the model reads: put to zero, to its mean, held, scaled."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from engine.errors import UsageError

ChangeKind = Literal["zero", "mean", "clamp", "scale"]
_SCALE = re.compile(r"[x×*]\s*(\S+)")


@dataclass(frozen=True, slots=True)
class Change:
    """How a neuron's activations are changed.

    Attributes:
        kind: ``zero`` and ``mean`` put that in their place, the mean being the neuron's
            over the scanned text; ``clamp`` puts a value, ``scale`` multiplies by one.
        value: Of ``clamp`` in activation units, of ``scale`` a factor; else unused.
    """

    kind: ChangeKind
    value: float = 0.0

    def __str__(self) -> str:
        match self.kind:
            case "clamp":
                return f"={self.value:g}"
            case "scale":
                return f"×{self.value:g}"
            case _:
                return self.kind

    @classmethod
    def parse(cls, text: str) -> Change:
        """Read ``zero``, ``mean``, ``x2`` (or ``×2``), ``=3.5`` (or ``3.5``).

        Raises:
            UsageError: it is none of these, or not a finite number.
        """
        word = text.strip().lower()
        if word in ("zero", "mean"):
            return cls("zero" if word == "zero" else "mean")
        scaled = _SCALE.fullmatch(word)
        try:
            value = float(scaled[1] if scaled else word.removeprefix("="))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(
                f"{text!r} is no change of a neuron.",
                "Write zero, mean, a factor such as x2, or a value such as =3.5.",
            )
        return cls("scale" if scaled else "clamp", value)

    def line(self, mean: float) -> tuple[float, float]:
        """Factor and constant: ``new = factor * own + constant``.

        Args:
            mean: The neuron's mean activation.
        """
        match self.kind:
            case "zero":
                return 0.0, 0.0
            case "mean":
                return 0.0, mean
            case "clamp":
                return 0.0, self.value
            case _:
                return self.value, 0.0


#: The neuron as it is, to compare with.
UNCHANGED = Change("scale", 1.0)


def usual_changes(maximum: float) -> tuple[Change, ...]:
    """What to compare when nothing is said: off, as it is, full on, and four times that.

    Args:
        maximum: The neuron's over the scanned text; rounded to two digits.
    """
    full = float(f"{max(maximum, 1e-3):.2g}")
    return Change("zero"), UNCHANGED, Change("clamp", full), Change("clamp", 4 * full)
