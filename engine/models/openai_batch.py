"""OpenAI's Batch API: a file of requests in, a file of replies and one of errors out."""

from __future__ import annotations

import json
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
    seconds,
)
from engine.models.faults import Fault, LanguageModelError
from engine.models.openai_replies import Gathered, chat_whole, response_whole
from engine.models.request import Request, Usage

if TYPE_CHECKING:
    from engine.models.openai_api import OpenAIModel

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
#: Under this name a batch carries our token.
TOKEN = "neuroglass"
#: The list is read back to so long before ours was sent, since clocks differ.
SLACK_SECONDS = 2 * 86_400.0
_ENDED = {"completed", "failed", "expired", "cancelled"}
_AT_LIMIT = ("token_limit_exceeded", "request_limit_exceeded", "batch_limit_exceeded")


class OpenAIBatches:
    """See :class:`engine.models.batch_api.BatchApi`."""

    most_requests = 50_000
    most_bytes = MOST_BYTES
    certain = True

    def __init__(self, model: OpenAIModel) -> None:
        self._model = model

    def endpoint(self, request: Request) -> str:
        """See :class:`engine.models.batch_api.BatchApi`."""
        return RESPONSES if self._model.by_responses(request) else CHAT

    def line(self, custom_id: str, request: Request) -> dict[str, Any]:
        """See :class:`engine.models.batch_api.BatchApi`."""
        url = self.endpoint(request)
        body = self._model.response(request) if url == RESPONSES else self._model.chat(request)
        body.pop("stream_options", None)
        return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}

    async def marker(self) -> str:
        """Nothing: a batch carries our token."""
        return ""

    async def submit(self, token: str, endpoint: str, lines: Sequence[Mapping[str, Any]]) -> str:
        """See :class:`engine.models.batch_api.BatchApi`."""
        data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
        client = self._model.client.with_options(timeout=TIMEOUT)
        try:
            name = f"neuroglass-{token}.jsonl"
            file = await client.files.create(
                file=(name, data, "application/jsonl"), purpose="batch"
            )
            batch = await client.batches.create(
                input_file_id=file.id,
                endpoint=endpoint,
                completion_window="24h",
                metadata={TOKEN: token},
            )
        except Exception as error:
            raise self._told(error) from error
        return str(batch.id)

    async def find(self, token: str, marker: str, requests: int, since: float) -> list[str]:
        """See :class:`engine.models.batch_api.BatchApi`."""
        try:
            async for batch in self._model.client.batches.list(limit=100):
                if (batch.metadata or {}).get(TOKEN) == token:
                    return [str(batch.id)]
                if seconds(batch.created_at) < since - SLACK_SECONDS:
                    break
        except Exception as error:
            raise self._told(error) from error
        return []

    async def look(self, batch: str) -> Looked:
        """See :class:`engine.models.batch_api.BatchApi`."""
        found = await self._retrieve(batch)
        counts = found.request_counts
        refused = None
        if found.status == "failed":
            first = ((found.errors.data if found.errors else None) or [None])[0]
            said = (getattr(first, "message", None) or "no reason is given").strip()
            code = getattr(first, "code", None) or ""
            if code in _AT_LIMIT:
                refused = LanguageModelError(
                    Fault.RATE_LIMIT, f"{self._model.provider} took no batch: {said}",
                    "Wait until other batches have ended, then resume.",
                )  # fmt: skip
            else:
                body = {"message": said, "code": code, "param": getattr(first, "param", None)}
                refused = self._told(VendorError(400, body))
        return Looked(
            ended=found.status in _ENDED,
            total=counts.total if counts else 0,
            answered=counts.completed if counts else 0,
            failed=counts.failed if counts else 0,
            refused=refused,
        )

    async def results(self, batch: str) -> AsyncGenerator[tuple[str, Mapping[str, Any]], None]:
        """See :class:`engine.models.batch_api.BatchApi`."""
        found = await self._retrieve(batch)
        client = self._model.client.with_options(timeout=TIMEOUT)
        for file in (found.output_file_id, found.error_file_id):
            if not file:
                continue
            try:
                async with client.files.with_streaming_response.content(file) as response:
                    async for line in response.iter_lines():
                        if line.strip():
                            raw = json.loads(line)
                            yield str(raw["custom_id"]), raw
            except Exception as error:
                if getattr(error, "status_code", None) == 404:
                    raise lost(self._model.provider, batch) from error
                raise self._told(error) from error
        # Those that a canceled or expired batch has not reached may be in neither file.

    @property
    def room(self) -> int:
        """See :class:`engine.models.batch_api.BatchApi`."""
        return self._model.room

    def read(self, request: Request, raw: Mapping[str, Any], room: int) -> Outcome:
        """See :class:`engine.models.batch_api.BatchApi`."""
        with self._model.sent_with(room):
            return self._read(request, raw)

    def _read(self, request: Request, raw: Mapping[str, Any]) -> Outcome:
        who = self._model.provider
        response = raw.get("response") or {}
        status, body = response.get("status_code"), response.get("body") or {}
        problem = raw.get("error") or {}
        code = str(problem.get("code") or "")
        if code == "batch_expired":
            return expired(who)
        if code in ("batch_cancelled", "batch_canceled"):
            return canceled(who)
        if status == 200 and body:
            return self._read_reply(request, raw["response"]["body"])
        inner = body.get("error") if isinstance(body, dict) else None
        inner = inner if isinstance(inner, dict) else {}
        said = inner or {"message": str(problem.get("message") or "no reply"), "code": code}
        status = int(status) if status else 500
        error = self._told(VendorError(status, said))
        return outcome_of_error(error, status, said)

    def _read_reply(self, request: Request, body: Mapping[str, Any]) -> Outcome:
        got = Gathered(self._model.model)
        try:
            read = response_whole if body.get("object") == "response" else chat_whole
            read(body, got)
            usage = got.usage or Usage(requests=1, measured=False)
            return Outcome(reply=self._model.replied(request, got, 0.0), usage=usage)
        except LanguageModelError as error:
            return outcome_of_error(error, None, {}, got.usage)
        except Exception as error:  # whatever a foreign body makes the SDK's types raise
            return outcome_of_error(self._told(error), None, {}, got.usage)

    async def cancel(self, batch: str) -> None:
        """See :class:`engine.models.batch_api.BatchApi`."""
        try:
            await self._model.client.batches.cancel(batch)
        except Exception as error:
            if getattr(error, "status_code", None) in (400, 409):
                return  # it has ended
            if getattr(error, "status_code", None) == 404:
                raise lost(self._model.provider, batch) from error
            raise self._told(error) from error

    def learn(self, status: int | None, body: Mapping[str, Any]) -> bool:
        """See :class:`engine.models.batch_api.BatchApi`."""
        return self._model.learn(VendorError(status, body))

    async def _retrieve(self, batch: str) -> Any:
        try:
            return await self._model.client.batches.retrieve(batch)
        except Exception as error:
            if getattr(error, "status_code", None) == 404:
                raise lost(self._model.provider, batch) from error
            raise self._told(error) from error

    def _told(self, error: Exception) -> LanguageModelError:
        return self._model.translated(error)
