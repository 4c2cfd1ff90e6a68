"""The interface of every language model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from engine.models.request import Delta, PromptReply, PromptRequest, Reply, Request


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, as it said itself or as was found by asking it.

    Attributes:
        schema: It keeps to a JSON schema; otherwise the schema is put in words and the
            reply is checked.
        top_logprobs: Most alternatives per token of a reply; 0: none.
        prompt_logprobs: It can give distributions over a given text.
        context: Longest input and output together in tokens; None when unknown.
        models: Models it says it has; empty when it doesn't say.
    """

    schema: bool = True
    top_logprobs: int = 0
    prompt_logprobs: bool = False
    context: int | None = None
    models: tuple[str, ...] = ()


class LanguageModel(Protocol):
    """One model of one backend."""

    @property
    def provider(self) -> str:
        """Name of the backend, stored with what it wrote: ``anthropic``, ``local``, ..."""
        ...

    @property
    def model(self) -> str:
        """The model's name at the backend."""
        ...

    async def capabilities(self) -> Capabilities:
        """What it can do; asks the backend once. Raises LanguageModelError."""
        ...

    def stream(self, request: Request) -> AsyncIterator[Delta | Reply]:
        """Yield pieces as they arrive, then exactly one :class:`Reply`, last.

        Closing the iterator cancels the request.

        Raises:
            LanguageModelError: with its :class:`~engine.models.faults.Fault`.
        """
        ...

    async def complete(self, request: Request) -> Reply:
        """The whole reply at once. Raises LanguageModelError."""
        ...

    async def prompt_logprobs(self, request: PromptRequest) -> PromptReply:
        """Distributions over a given text.

        Raises:
            LanguageModelError: ``Fault.UNSUPPORTED`` where the backend can't.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a text: exact for a local model, else an estimate from its length."""
        ...

    async def close(self) -> None:
        """Close connections, free a local model."""
        ...
