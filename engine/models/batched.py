"""A language model that answers from the reply cache, and queues what is not in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from engine.models.batch_api import BatchApi
from engine.models.batches import Batches
from engine.models.faults import Fault, LanguageModelError
from engine.models.metered import MeteredModel
from engine.models.request import Delta, PromptReply, PromptRequest, Reply, Request


class BatchedModel(MeteredModel):
    """Sends nothing: a request without a reply waits for the next batch.

    It is then ``Fault.LATER``, which the method takes as it takes any failure of one
    request, so that everything that does not depend on it is asked for as well.  What
    comes of such a run is worth nothing; :attr:`put_off` says that it is one.
    """

    def __init__(self, *args: Any, batches: Batches, api: BatchApi, **more: Any) -> None:
        super().__init__(*args, **more)
        self._batches, self._api = batches, api
        #: Requests that had to wait.
        self.put_off = 0

    async def stream(self, request: Request) -> AsyncGenerator[Delta | Reply, None]:
        """See :class:`engine.models.model.LanguageModel`."""
        reply = await self.complete(request)
        if reply.text:
            yield Delta(reply.text)
        yield reply

    async def complete(self, request: Request) -> Reply:
        """The reply from the cache.

        Raises:
            LanguageModelError: ``LATER``; or why the vendor could not answer it.
        """
        assert self._replies is not None
        backend = await self._backend()
        key = request.key(backend, self.model)
        kept = await self._replies.get(key)
        if isinstance(kept, Reply):
            return kept
        most = await asyncio.to_thread(self._most, request)
        room = getattr(self._inner, "room", 0)
        most = replace(most, output_tokens=most.output_tokens + room)
        error = await self._batches.want(
            key, self._name, backend, self.model, self._api.endpoint(request), request, most
        )
        if error is not None:
            raise error
        self.put_off += 1
        raise LanguageModelError(
            Fault.LATER, f"{self._name} will answer in a batch.", "Resume the run later."
        )

    async def prompt_logprobs(self, request: PromptRequest) -> PromptReply:
        """No batch API has that."""
        raise LanguageModelError(
            Fault.UNSUPPORTED,
            f"{self._name} gives no log-probabilities of a prompt in a batch.",
            "Choose another simulator.",
        )
