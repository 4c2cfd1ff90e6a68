"""What was spent, and stopping before more is spent than was allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from engine.choices import Price
from engine.models.faults import Fault, LanguageModelError
from engine.models.request import Usage

#: Models of this machine cost nothing but time.
_FREE = "local:"


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits that are never passed; None: no limit.

    Attributes:
        tokens: Input and output together.
        money: In the currency of the prices.
    """

    tokens: int | None = None
    money: float | None = None


@dataclass(slots=True)
class Meter:
    """Counts what several models use together; for one event loop.

    Attributes:
        budget: What may be spent in all.
        prices: By model, named as in :mod:`engine.choices`. Input that a backend read
            from its own cache is counted at the full price.
        used: Usage by model.
        replayed: Requests answered from the reply cache.
    """

    budget: Budget = Budget()
    prices: Mapping[str, Price] = field(default_factory=dict)
    used: dict[str, Usage] = field(default_factory=dict)
    replayed: int = 0
    _reserved_tokens: int = 0
    _reserved_money: float = 0.0
    _settled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def usage(self) -> Usage:
        """Of all models."""
        total = Usage()
        for usage in self.used.values():
            total += usage
        return total

    @property
    def money(self) -> float | None:
        """What that cost; None when the price of a model that was used is not known."""
        parts = [self.cost(name, usage) for name, usage in self.used.items()]
        return None if None in parts else sum(part for part in parts if part is not None)

    def cost(self, name: str, usage: Usage) -> float | None:
        """What this usage of a model costs; None when its price is not known."""
        price = self.prices.get(name)
        if price is None:
            return 0.0 if name.startswith(_FREE) or not usage.tokens else None
        return (usage.input_tokens * price.input + usage.output_tokens * price.output) / 1e6

    def add(self, name: str, usage: Usage) -> None:
        """Count what was used."""
        self.used[name] = self.used.get(name, Usage()) + usage

    @asynccontextmanager
    async def reserved(self, name: str, most: Usage) -> AsyncGenerator[None, None]:
        """Set aside what a request may need at most, while it is under way.

        Waits while only other requests under way stand against it: most use less than
        they set aside.

        Raises:
            LanguageModelError: ``BUDGET``, before anything is sent, if it could pass a
                limit, or if there is a limit of money and no price.
        """
        money = self.cost(name, most)
        if self.budget.money is not None and money is None:
            raise LanguageModelError(
                Fault.BUDGET,
                f"There is a budget of money, but {name} has no price.",
                "Give its price per million tokens, or set a budget of tokens.",
            )
        while not self._fits(most.tokens, money or 0.0, waiting=True):
            if not self._fits(most.tokens, money or 0.0, waiting=False):
                raise self._refusal(name, most, money)
            self._settled.clear()
            await self._settled.wait()
        self._reserved_tokens += most.tokens
        self._reserved_money += money or 0.0
        try:
            yield
        finally:
            self._reserved_tokens -= most.tokens
            self._reserved_money -= money or 0.0
            self._settled.set()

    def _fits(self, tokens: int, money: float, *, waiting: bool) -> bool:
        """Whether so much more stays in the limits, with what is ``waiting`` or without."""
        if waiting:
            tokens, money = tokens + self._reserved_tokens, money + self._reserved_money
        limit = self.budget
        if limit.tokens is not None and self.usage.tokens + tokens > limit.tokens:
            return False
        # Sums of floats: a billionth of the limit is not a reason to stop.
        return limit.money is None or (self.money or 0.0) + money <= limit.money * (1 + 1e-9)

    def _refusal(self, name: str, most: Usage, money: float | None) -> LanguageModelError:
        limit = self.budget
        if limit.tokens is not None and self.usage.tokens + most.tokens > limit.tokens:
            text = (
                f"The budget of {limit.tokens:,} tokens would be passed: {self.usage.tokens:,} "
                f"are spent, the next request to {name} may need {most.tokens:,}."
            )
        else:
            text = (
                f"The budget of {limit.money:g} would be passed: {self.money or 0:.4g} is spent, "
                f"the next request to {name} may need {money or 0:.4g}."
            )
        return LanguageModelError(
            Fault.BUDGET, text, "Raise the budget to carry on; what was answered is kept."
        )
