"""What the models behind a vendor's SDK have in common."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from engine.models.faults import Fault, LanguageModelError
from engine.models.model import Capabilities
from engine.models.request import Delta, PromptReply, PromptRequest, Reply, Request
from engine.models.vendor_errors import fault, translate

if TYPE_CHECKING:
    from engine.models.batch_api import BatchApi

T = TypeVar("T")
#: English text has about four bytes a token in every vocabulary of this size.
BYTES_PER_TOKEN = 4
#: What a model that thinks gets beyond the limit of its reply.
ROOM = 4096


class VendorModel(ABC):
    """One model of one vendor; its SDK is imported on first use, and never retries.

    Args:
        api_key: Goes into the request's header and nowhere else.
        base_url: None for the SDK's own.
        stall_seconds: A stream that is silent for longer has stalled.
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str,
        base_url: str | None,
        provider: str,
        stall_seconds: float,
    ) -> None:
        self._model = model
        self._key = api_key
        self._base_url = base_url or None
        self._provider = provider
        self._stall = stall_seconds
        self._client: Any = None
        self._capabilities: Capabilities | None = None
        #: Parameters that this model has refused, learnt from its answers.
        self._refused: set[str] = set()
        self._room = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._provider}:{self._model})"

    @property
    def provider(self) -> str:
        """See :class:`engine.models.model.LanguageModel`."""
        return self._provider

    @property
    def room(self) -> int:
        """:data:`ROOM` once a reply has shown that the model thinks before it answers."""
        return self._room

    @property
    def model(self) -> str:
        """See :class:`engine.models.model.LanguageModel`."""
        return self._model

    @abstractmethod
    def _make_client(self) -> Any:
        """The SDK's asynchronous client, without retries."""

    @abstractmethod
    async def _ask(self) -> Capabilities:
        """Ask the backend what it can do."""

    @abstractmethod
    def _reply(self, request: Request) -> AsyncGenerator[Delta | Reply, None]:
        """One try at a reply; the SDK's exceptions pass through."""

    async def capabilities(self) -> Capabilities:
        """See :class:`engine.models.model.LanguageModel`."""
        if self._capabilities is None:
            try:
                self._capabilities = await self._ask()
            except Exception as error:
                raise self._translated(error) from error
        return self._capabilities

    async def stream(self, request: Request) -> AsyncGenerator[Delta | Reply, None]:
        """See :class:`engine.models.model.LanguageModel`."""
        started = False
        try:
            while True:
                refused = len(self._refused)
                try:
                    async with aclosing(self._reply(request)) as pieces:
                        async for piece in pieces:
                            started = True
                            yield piece
                    return
                except Exception as error:
                    if started or not self._learn(error):
                        raise
                    assert len(self._refused) > refused
        except Exception as error:
            translated = self._translated(error)
            if started and translated.fault is Fault.UNREACHABLE:
                translated.fault = Fault.BROKEN_STREAM
            raise translated from error

    async def complete(self, request: Request) -> Reply:
        """See :class:`engine.models.model.LanguageModel`."""
        # By way of the stream, so that a reply that stalls is noticed.
        async with aclosing(self.stream(request)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Reply):
                    return piece
        raise AssertionError("a stream ends with its reply")

    async def prompt_logprobs(self, request: PromptRequest) -> PromptReply:
        """See :class:`engine.models.model.LanguageModel`."""
        raise self.unsupported("gives no log-probabilities of a prompt")

    def batches(self) -> BatchApi:
        """The vendor's batch API. LanguageModelError ``UNSUPPORTED`` where there is none."""
        raise LanguageModelError(
            Fault.UNSUPPORTED,
            f"{self._provider} has no batch API that neuroglass speaks.",
            "Run it without --batch, or with a model of openai or anthropic.",
        )

    def count_tokens(self, text: str) -> int:
        """See :class:`engine.models.model.LanguageModel`; an estimate."""
        return -(-len(text.encode()) // BYTES_PER_TOKEN)

    async def close(self) -> None:
        """See :class:`engine.models.model.LanguageModel`."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    # -- for subclasses

    @property
    def client(self) -> Any:
        """The SDK's client, made on first use."""
        if self._client is None:
            self._client = self._make_client()
        return self._client

    @property
    def timeout(self) -> float:
        """Seconds for the SDK: to connect, and until the first piece of a reply."""
        return 2 * self._stall

    async def steady(self, events: AsyncIterator[T]) -> AsyncGenerator[T, None]:
        """The same events; LanguageModelError ``STALLED`` when none comes for too long."""
        iterator = aiter(events)
        while True:
            try:
                event = await asyncio.wait_for(anext(iterator), self._stall)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise LanguageModelError(
                    Fault.STALLED,
                    f"{self._provider} has sent nothing for {self._stall:g} seconds.",
                    "Start again; what is done is kept.",
                ) from None
            yield event

    def unsupported(self, what: str) -> LanguageModelError:
        """``UNSUPPORTED``: this backend, as the message says, can't do something."""
        return LanguageModelError(
            Fault.UNSUPPORTED,
            f"{self._model} of {self._provider} {what}.",
            "Choose another simulator, or another model.",
        )

    def incomplete(self, *, begun: bool) -> LanguageModelError:
        """What to raise for a stream without an end, or without anything."""
        kind = Fault.BROKEN_STREAM if begun else Fault.MALFORMED
        return fault(kind, self._provider, self._model)

    def _accepted(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Without what is not set and what this model has refused before."""
        return {k: v for k, v in wanted.items() if v is not None and k not in self._refused}

    def finished(self, text: str, refusal: str, *, cut: bool) -> None:
        """Raise for a reply without content.

        Args:
            refusal: The model's or the vendor's words for not answering; empty if it did.
            cut: The reply ended at its limit.
        """
        if refusal:
            raise LanguageModelError(
                Fault.REFUSED,
                f"{self._model} will not answer: {refusal}.",
                "Choose another model for this neuron.",
            )
        if not text.strip():
            if cut and not self._room:
                self._room = ROOM
                raise LanguageModelError(
                    Fault.NO_ROOM,
                    f"{self._model} used its whole reply for thinking.",
                    "Start again: it gets more room then.",
                )
            if cut:
                raise LanguageModelError(
                    Fault.EMPTY,
                    f"{self._model} used its whole reply for thinking.",
                    "Choose a model that answers without, or one that thinks less.",
                )
            raise LanguageModelError(
                Fault.EMPTY, f"{self._model} sent an empty reply.", "Start again."
            )

    def _learn(self, error: Exception) -> bool:
        """Whether the error names something that can be left out next time."""
        return False

    def learn(self, error: Exception) -> bool:
        """Leave out next time what the error complains of; whether there is such a thing."""
        return self._learn(error)

    def give_room(self) -> None:
        """Take it from an earlier process that the model thinks before it answers."""
        self._room = ROOM

    @contextmanager
    def sent_with(self, room: int) -> Iterator[None]:
        """Read replies to requests that were sent with so much room."""
        known, self._room = self._room, room
        try:
            yield
        finally:
            self._room = max(known, self._room)

    def translated(self, error: Exception) -> LanguageModelError:
        """Whatever the SDK raised, as one of ours."""
        return self._translated(error)

    def _translated(self, error: Exception) -> LanguageModelError:
        return translate(error, self._provider, self._model, secret=self._key)
