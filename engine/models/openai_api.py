"""OpenAI's APIs through its official SDK, and every server that speaks them.

Three of its APIs are in use.  Chat completions is what compatible servers speak.  The
Responses API is OpenAI's own successor of it, used there unless a request needs what only
chat completions has (log-probabilities, stop texts, a seed).  The old completions API
alone can echo a prompt with its log-probabilities; OpenAI has retired the models that
did, but vLLM and others do it still.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Literal

from engine.models.faults import Fault, LanguageModelError
from engine.models.json_reply import first_json, schema_in_words
from engine.models.model import Capabilities
from engine.models.openai_prompts import echoed
from engine.models.openai_replies import Gathered, chat_events, response_events
from engine.models.request import Delta, Finish, PromptReply, PromptRequest, Reply, Request
from engine.models.vendor import VendorModel
from engine.models.vendor_errors import fault, parameter

if TYPE_CHECKING:
    from engine.models.batch_api import BatchApi

Api = Literal["auto", "chat", "responses"]
#: Left out when a model refuses them: they only tune the reply, or words can replace them.
_OPTIONAL = {"temperature", "top_p", "stop", "seed", "response_format", "stream_options", "text"}
#: Nothing else would be answered either.
_HOPELESS = {
    Fault.WRONG_KEY,
    Fault.FORBIDDEN,
    Fault.NO_CREDIT,
    Fault.UNREACHABLE,
    Fault.TIMEOUT,
}
#: Most alternatives that chat completions gives.
ALTERNATIVES = 20


class OpenAIModel(VendorModel):
    """A model of OpenAI, or of a compatible server.

    Args:
        api: ``auto`` uses Responses where a request allows it; compatible servers rarely
            have it, so they want ``chat``.
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str,
        base_url: str | None = None,
        provider: str = "openai",
        api: Api = "auto",
        stall_seconds: float = 60,
    ) -> None:
        super().__init__(
            model,
            api_key=api_key,
            base_url=base_url,
            provider=provider,
            stall_seconds=stall_seconds,
        )
        self._api = api
        self._alternatives = ALTERNATIVES
        self._limit_name = "max_tokens" if api == "chat" else "max_completion_tokens"

    def _make_client(self) -> Any:
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            api_key=self._key, base_url=self._base_url, max_retries=0, timeout=self.timeout
        )

    async def _ask(self) -> Capabilities:
        names, context = [], None
        try:
            async for one in self.client.models.list():
                names.append(one.id)
                if one.id == self._model:
                    facts = one.model_extra or {}
                    for field in ("max_model_len", "context_length", "context_window"):
                        context = context or facts.get(field)
        except Exception as error:
            # A server may answer well and still be unable to list what it has.
            told = self._translated(error)
            if told.fault in _HOPELESS:
                raise told from error
        return Capabilities(
            schema="response_format" not in self._refused,
            top_logprobs=self._alternatives,
            prompt_logprobs=await self._echoes(),
            context=context if isinstance(context, int) else None,
            models=tuple(names),
        )

    async def _echoes(self) -> bool:
        """Whether the server gives log-probabilities of a prompt: a request of one token."""
        if self._api != "chat":
            return False  # OpenAI's own models that did are retired
        try:
            await self.prompt_logprobs(PromptRequest("1 2", top_logprobs=1))
        except LanguageModelError as error:
            if error.fault in _HOPELESS:
                raise
            return False
        return True

    async def _reply(self, request: Request) -> AsyncGenerator[Delta | Reply, None]:
        started = time.perf_counter()
        got = Gathered(self._model)
        if self.by_responses(request):
            events = await self.client.responses.create(**self.response(request), stream=True)
            pieces = response_events(events, self.steady(events), got)
        else:
            events = await self.client.chat.completions.create(**self.chat(request), stream=True)
            pieces = chat_events(events, self.steady(events), got)
        async for piece in pieces:
            yield piece
        yield self.replied(request, got, time.perf_counter() - started)

    def replied(self, request: Request, got: Gathered, seconds: float) -> Reply:
        """The reply that was gathered. LanguageModelError if it is none."""
        if got.failed:
            kind = Fault.RATE_LIMIT if "rate_limit" in got.failed else Fault.SERVER
            raise fault(kind, self.provider, self._model, got.failed)
        if not got.ended:
            raise self.incomplete(begun=got.begun)
        cut = got.finish is Finish.LENGTH
        self.finished(got.text, got.refusal, cut=cut)
        if request.top_logprobs and not got.tokens:
            raise self.unsupported("gives no log-probabilities")
        text = got.text
        in_words = request.schema is not None and self._refused & {"response_format", "text"}
        if in_words and request.schema is not None and not cut:
            text = first_json(text, request.schema) or text
        return Reply(
            text=text,
            finish=got.finish,
            usage=got.usage_or(lambda: self._reckoned(request, got.text)),
            model=got.model,
            tokens=tuple(got.tokens),
            seconds=seconds,
        )

    def by_responses(self, request: Request) -> bool:
        """Whether a request goes by the Responses API rather than by chat completions."""
        chat_only = request.top_logprobs or request.stop or request.seed is not None
        return self._api == "responses" or (self._api == "auto" and not chat_only)

    def batches(self) -> BatchApi:
        """See :meth:`engine.models.vendor.VendorModel.batches`."""
        if self._api == "chat":  # servers that only speak like OpenAI
            return super().batches()
        from engine.models.openai_batch import OpenAIBatches

        return OpenAIBatches(self)

    def _reckoned(self, request: Request, text: str) -> tuple[int, int]:
        """Our own count, for servers that send none."""
        return sum(self.count_tokens(m.text) for m in request.messages), self.count_tokens(text)

    def chat(self, request: Request) -> dict[str, Any]:
        """The body of a chat completion, as a stream."""
        messages = [{"role": m.role, "content": m.text} for m in request.messages]
        if request.schema is not None and "response_format" in self._refused:
            messages[-1]["content"] += f"\n\n{schema_in_words(request.schema)}"
        wanted: dict[str, Any] = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            "stop": list(request.stop) or None,
            "stream_options": {"include_usage": True},
            "response_format": None
            if request.schema is None
            else {
                "type": "json_schema",
                "json_schema": {
                    "name": request.schema_name,
                    "schema": dict(request.schema),
                    "strict": True,
                },
            },
        }
        if request.top_logprobs:
            wanted["logprobs"] = True
            wanted["top_logprobs"] = min(request.top_logprobs, self._alternatives)
        return {
            "model": self._model,
            "messages": messages,
            self._limit_name: request.max_tokens + self.room,
            **self._accepted(wanted),
        }

    def response(self, request: Request) -> dict[str, Any]:
        """The body of a request to the Responses API."""
        system = "\n\n".join(m.text for m in request.messages if m.role == "system")
        if request.schema is not None and "text" in self._refused:
            system = "\n\n".join(filter(None, [system, schema_in_words(request.schema)]))
        wanted: dict[str, Any] = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "instructions": system or None,
            "text": None
            if request.schema is None
            else {
                "format": {
                    "type": "json_schema",
                    "name": request.schema_name,
                    "schema": dict(request.schema),
                    "strict": True,
                }
            },
        }
        return {
            "model": self._model,
            "input": [
                {"role": m.role, "content": m.text} for m in request.messages if m.role != "system"
            ],
            "max_output_tokens": request.max_tokens + self.room,
            "store": False,
            **self._accepted(wanted),
        }

    async def prompt_logprobs(self, request: PromptRequest) -> PromptReply:
        """Distributions over a given text, from a server that echoes prompts.

        Raises:
            LanguageModelError: ``UNSUPPORTED`` where it does not, or any other fault.
        """
        started = time.perf_counter()
        for limit in (0, 1):  # some servers insist on writing a token
            try:
                reply = await self.client.completions.create(
                    model=self._model,
                    prompt=request.text,
                    max_tokens=limit,
                    echo=True,
                    logprobs=request.top_logprobs,
                    temperature=0,
                )
            except Exception as error:
                if limit == 0 and parameter(error, {"max_tokens"}):
                    continue
                if getattr(error, "status_code", None) in (400, 404, 405, 422, 501):
                    translated = self._translated(error)
                    if translated.fault is not Fault.TOO_LONG:
                        raise self.unsupported("gives no log-probabilities of a prompt") from error
                raise self._translated(error) from error
            break
        tokens, usage = echoed(reply, request)
        if tokens is None:
            raise self.unsupported("gives no log-probabilities of a prompt")
        seconds = time.perf_counter() - started
        return PromptReply(tokens, usage, reply.model or self._model, seconds=seconds)

    def _learn(self, error: Exception) -> bool:
        status = getattr(error, "status_code", None)
        if status == 404 and self._api == "auto" and "model" not in str(error).lower():
            self._api = "chat"  # no Responses API at this address
            return True
        if status not in (400, 422):
            return False
        if self._limit_name == "max_tokens" and "max_completion_tokens" in str(error):
            self._limit_name = "max_completion_tokens"
            return True
        if self._limit_name == "max_completion_tokens" and parameter(error, {self._limit_name}):
            self._limit_name = "max_tokens"
            return True
        if self._alternatives > 5 and parameter(error, {"top_logprobs"}):
            self._alternatives = 5
            return True
        name = parameter(error, _OPTIONAL - self._refused)
        if name is None:
            return False
        self._refused.add(name)
        return True
