"""What a run will cost, from the very prompts it would send."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a run.

    Attributes:
        name: ``explain``, ``simulate``, ``another neuron`` (the chance baseline), or a
            scorer's name.
        model: ``PROVIDER:MODEL``, or empty where no language model is needed.
        output_tokens: A reckoning: replies of the usual length.
        money: None where the model has no price.
    """

    name: str
    model: str
    requests: int
    input_tokens: int
    output_tokens: int
    money: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """Every step of a run of one neuron. Replies that are cached will cost nothing."""

    steps: tuple[Step, ...]

    @property
    def requests(self) -> int:
        """Requests of all steps."""
        return sum(step.requests for step in self.steps)

    @property
    def tokens(self) -> int:
        """Input and output tokens of all steps."""
        return sum(step.input_tokens + step.output_tokens for step in self.steps)

    @property
    def money(self) -> float | None:
        """Of all steps; None where a step that costs tokens has no price."""
        costs = [step.money for step in self.steps if step.requests]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if len(known) == len(costs) else None
