"""Anthropic's Message Batches API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.models.batch_api import (
    MOST_BYTES,
    TIMEOUT,
    Looked,
    Outcome,
    VendorError,
    canceled,
    expired,
    lost,
    outcome_of_error,
)
from engine.models.faults import LanguageModelError
from engine.models.request import Request, Usage

if TYPE_CHECKING:
    from engine.models.anthropic_api import AnthropicModel

#: The only place that requests go to.
MESSAGES = "/v1/messages"
#: Errors inside of results have a type and no status.
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class AnthropicBatches:
    """See :class:`engine.models.batch_api.BatchApi`.

    A batch carries nothing of ours that the list shows: after a submission without an
    answer only newer batches of the same size can be it, and their custom ids tell.
    """

    most_requests = 100_000
    most_bytes = MOST_BYTES
    certain = False

    def __init__(self, model: AnthropicModel) -> None:
        self._model = model

    def endpoint(self, request: Request) -> str:
        """See :class:`engine.models.batch_api.BatchApi`."""
        if request.top_logprobs:
            raise self._model.unsupported("gives no log-probabilities")
        return MESSAGES

    def line(self, custom_id: str, request: Request) -> dict[str, Any]:
        """See :class:`engine.models.batch_api.BatchApi`."""
        parameters = dict(self._model.parameters(request))
        beyond = parameters.pop("extra_body", None) or {}
        return {"custom_id": custom_id, "params": {**parameters, **beyond}}

    async def marker(self) -> str:
        """The newest batch before ours."""
        try:
            page = await self._batches.list(limit=1)
        except Exception as error:
            raise self._told(error) from error
        return str(page.data[0].id) if page.data else ""

    async def submit(self, token: str, endpoint: str, lines: Sequence[Mapping[str, Any]]) -> str:
        """See :class:`engine.models.batch_api.BatchApi`."""
        try:
            batch = await self._batches.create(requests=list(lines), timeout=TIMEOUT)
        except Exception as error:
            raise self._told(error) from error
        return str(batch.id)

    async def find(self, token: str, marker: str, requests: int, since: float) -> list[str]:
        """See :class:`engine.models.batch_api.BatchApi`; all that are newer than the marker."""
        found = []
        try:
            async for batch in self._batches.list(limit=100):
                if batch.id == marker:
                    break
                counts = batch.request_counts
                parts = (counts.processing, counts.succeeded, counts.errored)
                if sum(parts) + counts.canceled + counts.expired == requests:
                    found.append(str(batch.id))
        except Exception as error:
            raise self._told(error) from error
        return found

    async def look(self, batch: str) -> Looked:
        """See :class:`engine.models.batch_api.BatchApi`."""
        found = await self._retrieve(batch)
        counts = found.request_counts
        failed = counts.errored + counts.canceled + counts.expired
        return Looked(
            ended=found.processing_status == "ended",
            total=counts.processing + counts.succeeded + failed,
            answered=counts.succeeded,
            failed=failed,
        )

    async def results(self, batch: str) -> AsyncGenerator[tuple[str, Mapping[str, Any]], None]:
        """See :class:`engine.models.batch_api.BatchApi`."""
        if not (await self._retrieve(batch)).results_url:  # archived after some weeks
            raise lost(self._model.provider, batch)
        try:
            async for one in await self._batches.results(batch, timeout=TIMEOUT):
                yield str(one.custom_id), {"result": one.result}
        except Exception as error:
            if getattr(error, "status_code", None) == 404:
                raise lost(self._model.provider, batch) from error
            raise self._told(error) from error

    @property
    def room(self) -> int:
        """See :class:`engine.models.batch_api.BatchApi`."""
        return self._model.room

    def read(self, request: Request, raw: Mapping[str, Any], room: int) -> Outcome:
        """See :class:`engine.models.batch_api.BatchApi`."""
        with self._model.sent_with(room):
            return self._read(request, raw)

    def _read(self, request: Request, raw: Mapping[str, Any]) -> Outcome:
        result = raw["result"]
        match result.type:
            case "succeeded":
                return self._read_reply(request, result.message)
            case "expired":
                return expired(self._model.provider)
            case "canceled":
                return canceled(self._model.provider)
        inner = result.error.error
        body = {"type": inner.type, "message": inner.message}
        status = _STATUS.get(str(inner.type), 500)
        return outcome_of_error(self._told(VendorError(status, body)), status, body)

    def _read_reply(self, request: Request, message: Any) -> Outcome:
        used = message.usage
        cached = used.cache_read_input_tokens or 0
        read = used.input_tokens + (used.cache_creation_input_tokens or 0) + cached
        usage = Usage(read, used.output_tokens, cached, 1)
        text = "".join(part.text for part in message.content if part.type == "text")
        reason = message.stop_reason or ""
        try:
            reply = self._model.replied(request, text, reason, usage, message.model, 0.0)
        except LanguageModelError as error:
            return outcome_of_error(error, None, {}, usage)
        return Outcome(reply=reply, usage=usage)

    async def cancel(self, batch: str) -> None:
        """See :class:`engine.models.batch_api.BatchApi`."""
        try:
            await self._batches.cancel(batch)
        except Exception as error:
            if getattr(error, "status_code", None) in (400, 409):
                return  # it has ended
            if getattr(error, "status_code", None) == 404:
                raise lost(self._model.provider, batch) from error
            raise self._told(error) from error

    def learn(self, status: int | None, body: Mapping[str, Any]) -> bool:
        """See :class:`engine.models.batch_api.BatchApi`."""
        return self._model.learn(VendorError(status, body))

    @property
    def _batches(self) -> Any:
        return self._model.client.messages.batches

    async def _retrieve(self, batch: str) -> Any:
        try:
            return await self._batches.retrieve(batch)
        except Exception as error:
            if getattr(error, "status_code", None) == 404:
                raise lost(self._model.provider, batch) from error
            raise self._told(error) from error

    def _told(self, error: Exception) -> LanguageModelError:
        return self._model.translated(error)
