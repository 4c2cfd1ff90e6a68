"""The invented neurons of :mod:`engine.few_shots` on the scale of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.few_shots import FewShot
from engine.normalise import max_activation, normalise
from engine.simulators.outcome import one_line


@dataclass(frozen=True, slots=True)
class SolvedRecord:
    """Tokens and their activations as integers from 0 up."""

    tokens: tuple[bytes, ...]
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SolvedNeuron:
    """An explanation, and the records that show it."""

    explanation: str
    records: tuple[SolvedRecord, ...]


def solved(few_shots: Sequence[FewShot], highest: int) -> tuple[SolvedNeuron, ...]:
    """The examples normalised, each neuron by its own maximum (method: 1.3).

    Args:
        highest: Larger values are shown as this. 9 keeps every value one digit long.
    """
    neurons = []
    for shot in few_shots:
        largest = max_activation([value for _, value in record] for record in shot.records)
        records = []
        for record in shot.records:
            values = normalise([float(value) for _, value in record], largest)
            records.append(
                SolvedRecord(
                    tuple(token.encode() for token, _ in record),
                    tuple(min(int(value), highest) for value in values),
                )
            )
        neurons.append(SolvedNeuron(one_line(shot.explanation), tuple(records)))
    return tuple(neurons)
