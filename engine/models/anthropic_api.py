"""Anthropic's Messages API through its official SDK."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from engine.models.json_reply import first_json, schema_in_words
from engine.models.model import Capabilities
from engine.models.request import Delta, Finish, Reply, Request, Usage
from engine.models.vendor import VendorModel
from engine.models.vendor_errors import parameter

if TYPE_CHECKING:
    from engine.models.batch_api import BatchApi

#: Left out, one after another, when a model refuses them.
_OPTIONAL = {"temperature", "top_p", "output_config", "stop_sequences"}


class AnthropicModel(VendorModel):
    """One of Anthropic's models.

    A schema is given as the API's own structured output; to a model that refuses that it
    is given in words.  The API has no log-probabilities and no seed.
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str,
        base_url: str | None = None,
        provider: str = "anthropic",
        stall_seconds: float = 60,
    ) -> None:
        super().__init__(
            model,
            api_key=api_key,
            base_url=base_url,
            provider=provider,
            stall_seconds=stall_seconds,
        )

    def _make_client(self) -> Any:
        from anthropic import AsyncAnthropic

        return AsyncAnthropic(
            api_key=self._key, base_url=self._base_url, max_retries=0, timeout=self.timeout
        )

    async def _ask(self) -> Capabilities:
        names = [one.id async for one in self.client.models.list(limit=100)]
        context = None
        if self._model in names:
            facts = await self.client.models.retrieve(self._model)
            context = getattr(facts, "max_input_tokens", None)
        return Capabilities(schema=True, context=context, models=tuple(names))

    def batches(self) -> BatchApi:
        """See :meth:`engine.models.vendor.VendorModel.batches`."""
        from engine.models.anthropic_batch import AnthropicBatches

        return AnthropicBatches(self)

    def parameters(self, request: Request) -> dict[str, Any]:
        """The SDK's arguments for a request; ``extra_body`` has those that it lacks."""
        system = "\n\n".join(m.text for m in request.messages if m.role == "system")
        if request.schema is not None and "output_config" in self._refused:
            system = "\n\n".join(filter(None, [system, schema_in_words(request.schema)]))
        wanted: dict[str, Any] = {
            "stop_sequences": list(request.stop) or None,
            "output_config": None
            if request.schema is None
            else {"format": {"type": "json_schema", "schema": dict(request.schema)}},
        }
        # The SDK has dropped these two, since newer models refuse them; older ones don't.
        tuning = {"temperature": request.temperature, "top_p": request.top_p}
        return {
            "extra_body": self._accepted(tuning),
            "model": self._model,
            "max_tokens": request.max_tokens + self.room,
            "messages": [
                {"role": m.role, "content": m.text} for m in request.messages if m.role != "system"
            ],
            **({"system": system} if system else {}),
            **self._accepted(wanted),
        }

    async def _reply(self, request: Request) -> AsyncGenerator[Delta | Reply, None]:
        if request.top_logprobs:
            raise self.unsupported("gives no log-probabilities")
        started = time.perf_counter()
        text, reason, model = "", "", self._model
        read = written = cached = 0
        ended = begun = False
        events = await self.client.messages.create(**self.parameters(request), stream=True)
        async with events:
            async for event in self.steady(events):
                begun = True
                if event.type == "message_start":
                    used, model = event.message.usage, event.message.model
                    cached = used.cache_read_input_tokens or 0
                    read = used.input_tokens + (used.cache_creation_input_tokens or 0) + cached
                elif event.type == "content_block_delta" and event.delta.type == "text_delta":
                    text += event.delta.text
                    yield Delta(event.delta.text)
                elif event.type == "message_delta":
                    written = event.usage.output_tokens
                    reason = event.delta.stop_reason or reason
                elif event.type == "message_stop":
                    ended = True
        if not ended:
            raise self.incomplete(begun=begun)
        usage = Usage(read, written, cached, 1)
        yield self.replied(request, text, reason, usage, model, time.perf_counter() - started)

    def replied(
        self, request: Request, text: str, reason: str, usage: Usage, model: str, seconds: float
    ) -> Reply:
        """The reply of those words and that stop reason. LanguageModelError if it is none."""
        cut = reason in ("max_tokens", "model_context_window_exceeded")
        self.finished(text, "it refuses" if reason == "refusal" else "", cut=cut)
        if request.schema is not None and "output_config" in self._refused and not cut:
            text = first_json(text, request.schema) or text
        return Reply(
            text=text,
            finish=Finish.LENGTH if cut else Finish.STOP,
            usage=usage,
            model=model,
            seconds=seconds,
        )

    def _learn(self, error: Exception) -> bool:
        if getattr(error, "status_code", None) != 400:
            return False
        # The API speaks of output_format where it means the format in output_config.
        if "output_format" in str(error) and "output_config" not in self._refused:
            self._refused.add("output_config")
            return True
        name = parameter(error, _OPTIONAL - self._refused)
        if name is None:
            return False
        self._refused.add(name)
        return True
