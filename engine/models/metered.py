"""A language model with a reply cache, retries, a meter and a limit of concurrency."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

from engine.models.budget import Meter
from engine.models.connect import ModelRef, identity, parse_ref
from engine.models.faults import Fault, LanguageModelError
from engine.models.json_reply import schema_in_words
from engine.models.model import Capabilities, LanguageModel
from engine.models.replies import Replies
from engine.models.request import Delta, PromptReply, PromptRequest, Reply, Request, Usage
from engine.models.retry import OnWait, RetryPolicy, retried, retried_stream

T = TypeVar("T")

#: What a chat format adds to each message, in tokens; more than any that is common.
MESSAGE_TOKENS = 12
#: How long what a backend said about itself is believed, in seconds.
CAPABILITIES_SECONDS = 86_400.0
#: Then it is believed on, where the backend can't be asked.
_AWAY = (Fault.UNREACHABLE, Fault.TIMEOUT, Fault.STALLED)
#: A reply had been written, which backends charge for, but it could not be used.
_CHARGED = (Fault.MALFORMED, Fault.EMPTY, Fault.NO_ROOM, Fault.REFUSED)


@dataclass(slots=True)
class _Spent:
    usage: Usage | None = None


class MeteredModel:
    """Puts a bare backend behind everything that keeps a run cheap and steady.

    A request that was answered before is answered from the cache: its text comes as one
    piece, ``from_cache`` is set, and it counts as no request and no cost.  Of two equal
    requests at the same time only one is sent.  Each try sets aside its share of the
    budget before it is sent.  Backends charge for a try that broke off after text had come,
    and for a reply that can't be used; their errors don't say how much, so these are
    counted by estimate, the latter at its upper limit; ``measured`` is then False.

    Args:
        inner: The backend; closed with this.
        replies: Where replies are kept, shared and not closed; None keeps none.
        meter: Counts for all models of a run, shared.
        policy: Of retries; the vendors' SDKs must not retry by themselves.
        concurrency: Requests under way at the same time.
        offline: Send nothing: what is not in the cache is ``Fault.OFFLINE``.
        on_wait: Told before each pause between tries.
        ref: As given to :func:`engine.models.connect.connect`: what prices are by, and,
            with its address, what tells replies of equally named models apart. By
            default ``PROVIDER:MODEL``, and the backend's own identity, else its provider.
    """

    def __init__(
        self,
        inner: LanguageModel,
        *,
        replies: Replies | None,
        meter: Meter,
        policy: RetryPolicy | None = None,
        concurrency: int = 4,
        offline: bool = False,
        on_wait: OnWait | None = None,
        ref: ModelRef | str | None = None,
    ) -> None:
        self._inner = inner
        self._replies = replies
        self._meter = meter
        self._policy = policy or RetryPolicy()
        self._slots = asyncio.Semaphore(concurrency)
        self._offline = offline
        self._on_wait = on_wait
        self._name = str(ref).strip() if ref else f"{inner.provider}:{inner.model}"
        self._ref = parse_ref(ref) if isinstance(ref, str) else ref
        self._identity = ""
        self._alone: dict[str, tuple[asyncio.Lock, int]] = {}
        self._capabilities: Capabilities | None = None

    @property
    def provider(self) -> str:
        """Of the backend."""
        return self._inner.provider

    @property
    def model(self) -> str:
        """Of the backend."""
        return self._inner.model

    async def capabilities(self) -> Capabilities:
        """What the backend can do; believed for a day, so that a replay asks nothing."""
        if self._capabilities is None:
            self._capabilities = await self._ask_capabilities()
        return self._capabilities

    async def stream(self, request: Request) -> AsyncGenerator[Delta | Reply, None]:
        """See :class:`engine.models.model.LanguageModel` and :func:`retried_stream`."""
        backend = await self._backend()
        key = request.key(backend, self.model)
        async with self._one_at_a_time(key):
            kept = await self._kept(key)
            if isinstance(kept, Reply):
                if kept.text:
                    yield Delta(kept.text)
                yield kept
                return
            most = await asyncio.to_thread(self._most, request)
            tries = retried_stream(
                lambda: self._try_stream(request, most), self._policy, self._on_wait
            )
            async with aclosing(tries) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Reply) and self._replies is not None:
                        await self._replies.put(key, backend, self.model, request, piece)
                    yield piece

    async def complete(self, request: Request) -> Reply:
        """The whole reply at once."""
        backend = await self._backend()
        key = request.key(backend, self.model)
        async with self._one_at_a_time(key):
            kept = await self._kept(key)
            if isinstance(kept, Reply):
                return kept
            most = await asyncio.to_thread(self._most, request)

            async def attempt() -> Reply:
                async with self._attempt(most) as spent:
                    reply = await self._inner.complete(request)
                    spent.usage = reply.usage
                    return reply

            reply = await retried(attempt, self._policy, self._on_wait)
            if self._replies is not None:
                await self._replies.put(key, backend, self.model, request, reply)
            return reply

    async def prompt_logprobs(self, request: PromptRequest) -> PromptReply:
        """Distributions over a given text."""
        backend = await self._backend()
        key = request.key(backend, self.model)
        async with self._one_at_a_time(key):
            kept = await self._kept(key)
            if isinstance(kept, PromptReply):
                return kept
            # Servers that echo a prompt may have to write a token after it.
            tokens = await asyncio.to_thread(self.count_tokens, request.text)
            most = Usage(tokens + MESSAGE_TOKENS, 1)

            async def attempt() -> PromptReply:
                async with self._attempt(most) as spent:
                    reply = await self._inner.prompt_logprobs(request)
                    spent.usage = reply.usage
                    return reply

            reply = await retried(attempt, self._policy, self._on_wait)
            if self._replies is not None:
                await self._replies.put(key, backend, self.model, request, reply)
            return reply

    def count_tokens(self, text: str) -> int:
        """Of the backend."""
        return self._inner.count_tokens(text)

    async def close(self) -> None:
        """Close the backend."""
        await self._inner.close()

    async def _ask_capabilities(self) -> Capabilities:
        backend = await self._backend()
        whole = f"capabilities {backend} {self.model}"
        key = hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()
        kept: Capabilities | None = None
        if self._replies is not None and (found := await self._replies.recall(key)):
            facts, when = found
            kept = Capabilities(**{**facts, "models": tuple(facts["models"])})
            if self._offline or time.time() - when < CAPABILITIES_SECONDS:
                return kept
        if self._offline:
            raise self._away()
        try:
            asked = await retried(self._inner.capabilities, self._policy, self._on_wait)
        except LanguageModelError as error:
            if kept is None or error.fault not in _AWAY:
                raise
            return kept
        if self._replies is not None:
            await self._replies.remember(key, backend, self.model, asdict(asked))
        return asked

    async def _backend(self) -> str:
        if not self._identity:
            # A local model looks at its files.
            self._identity = await asyncio.to_thread(identity, self._ref, self._inner)
        return self._identity

    async def _kept(self, key: str) -> Reply | PromptReply | None:
        kept = None if self._replies is None else await self._replies.get(key)
        if kept is not None:
            self._meter.replayed += 1
        elif self._offline:
            raise self._away()
        return kept

    async def _try_stream(
        self, request: Request, most: Usage
    ) -> AsyncGenerator[Delta | Reply, None]:
        async with self._attempt(most) as spent:
            written = ""
            stream = self._inner.stream(request)
            try:
                async for piece in stream:
                    if isinstance(piece, Reply):
                        spent.usage = piece.usage
                    else:
                        written += piece.text
                    yield piece
            finally:
                if spent.usage is None and written:
                    tokens = self.count_tokens(written)
                    spent.usage = Usage(most.input_tokens, tokens, requests=1, measured=False)
                await _close(stream)

    @asynccontextmanager
    async def _attempt(self, most: Usage) -> AsyncGenerator[_Spent, None]:
        """One try: a slot, its share of the budget, and what it used, whatever comes of it."""
        # A backend that has met a model that thinks lets its replies be longer.
        most = replace(most, output_tokens=most.output_tokens + getattr(self._inner, "room", 0))
        async with self._slots, self._meter.reserved(self._name, most):
            spent = _Spent()
            try:
                yield spent
            except LanguageModelError as error:
                if spent.usage is None and error.fault in _CHARGED:
                    spent.usage = replace(most, requests=1, measured=False)
                raise
            finally:
                if spent.usage is not None:
                    self._meter.add(self._name, spent.usage)

    def _most(self, request: Request) -> Usage:
        """What a request may need: its texts by estimate, and the longest reply."""
        texts = [message.text for message in request.messages]
        if request.schema is not None:
            texts.append(schema_in_words(request.schema))
        count = sum(self.count_tokens(text) + MESSAGE_TOKENS for text in texts)
        return Usage(count, request.max_tokens)

    @asynccontextmanager
    async def _one_at_a_time(self, key: str) -> AsyncGenerator[None, None]:
        """Equal requests one after the other: the second finds the first one's reply."""
        lock, users = self._alone.get(key, (asyncio.Lock(), 0))
        self._alone[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._alone.pop(key)
            if users > 1:
                self._alone[key] = (lock, users - 1)

    def _away(self) -> LanguageModelError:
        return LanguageModelError(
            Fault.OFFLINE,
            f"Offline, and {self._name} has not answered this request before.",
            "Go online to send it.",
        )


async def _close(stream: AsyncIterator[T]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()
