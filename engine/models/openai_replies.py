"""Reading the streams of OpenAI's two chat APIs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.models.request import Delta, Finish, TokenLogprobs, Usage


@dataclass(slots=True)
class Gathered:
    """What a stream has said so far.

    Attributes:
        begun: At least one event has come.
        ended: The stream came to its end instead of breaking off.
        refusal: Words for not answering; empty if it did.
        failed: The vendor's words for a failure inside the stream; empty if none.
    """

    model: str
    text: str = ""
    refusal: str = ""
    failed: str = ""
    finish: Finish = Finish.STOP
    begun: bool = False
    ended: bool = False
    tokens: list[TokenLogprobs] = field(default_factory=list)
    usage: Usage | None = None

    def usage_or(self, reckoned: Callable[[], tuple[int, int]]) -> Usage:
        """What the server counted; where it did not, our own reckoning."""
        if self.usage is not None:
            return self.usage
        read, written = reckoned()
        return Usage(read, written, requests=1, measured=False)


async def chat_events(
    stream: Any, events: AsyncIterator[Any], got: Gathered
) -> AsyncGenerator[Delta, None]:
    """Read a stream of chat completion chunks into ``got``, yielding the text."""
    async with stream:
        async for chunk in events:
            got.begun = True
            got.model = chunk.model or got.model
            if chunk.usage is not None:
                got.usage = _usage(chunk.usage, "prompt", "completion")
            for choice in chunk.choices[:1]:
                if choice.finish_reason is not None:
                    got.ended = True
                    if choice.finish_reason == "length":
                        got.finish = Finish.LENGTH
                    elif choice.finish_reason == "content_filter":
                        got.refusal = got.refusal or "its content filter stepped in"
                delta = choice.delta
                if delta is None:
                    continue
                got.refusal += getattr(delta, "refusal", None) or ""
                got.tokens += _tokens(choice)
                if delta.content:
                    got.text += delta.content
                    yield Delta(delta.content)


async def response_events(
    stream: Any, events: AsyncIterator[Any], got: Gathered
) -> AsyncGenerator[Delta, None]:
    """Read a stream of Responses events into ``got``, yielding the text."""
    async with stream:
        async for event in events:
            got.begun = True
            match event.type:
                case "response.output_text.delta":
                    got.text += event.delta
                    yield Delta(event.delta)
                case "response.refusal.delta":
                    got.refusal += event.delta
                case "response.completed" | "response.incomplete" | "response.failed":
                    _end(event.response, got)
                case "error":
                    got.failed = f"{event.code or ''} {event.message}".strip()


def _end(response: Any, got: Gathered) -> None:
    got.ended = True
    got.model = response.model or got.model
    if response.usage is not None:
        got.usage = _usage(response.usage, "input", "output")
    details = response.incomplete_details
    if details is not None and details.reason == "content_filter":
        got.refusal = got.refusal or "its content filter stepped in"
    elif details is not None:
        got.finish = Finish.LENGTH
    if response.error is not None:
        got.failed = f"{response.error.code} {response.error.message}"


def chat_whole(body: Mapping[str, Any], got: Gathered) -> None:
    """Read a whole chat completion into ``got``."""
    from openai.types.chat import ChatCompletion

    whole: Any = ChatCompletion.construct(**body)
    got.begun = True
    got.model = whole.model or got.model
    if whole.usage is not None:
        got.usage = _usage(whole.usage, "prompt", "completion")
    for choice in whole.choices[:1]:
        got.ended = choice.finish_reason is not None
        if choice.finish_reason == "length":
            got.finish = Finish.LENGTH
        got.refusal = choice.message.refusal or ""
        if choice.finish_reason == "content_filter":
            got.refusal = got.refusal or "its content filter stepped in"
        got.tokens += _tokens(choice)
        got.text = choice.message.content or ""


def response_whole(body: Mapping[str, Any], got: Gathered) -> None:
    """Read a whole response of the Responses API into ``got``."""
    from openai.types.responses import Response

    whole: Any = Response.construct(**body)
    got.begun = True
    got.text = whole.output_text
    for item in whole.output:
        if item.type == "message":
            got.refusal += "".join(p.refusal for p in item.content if p.type == "refusal")
    _end(whole, got)


def _tokens(choice: Any) -> list[TokenLogprobs]:
    """The tokens of a choice with their alternatives, where they were asked for."""
    logprobs = getattr(choice, "logprobs", None)
    found = []
    for one in (logprobs.content or ()) if logprobs is not None else ():
        top = {other.token: other.logprob for other in one.top_logprobs or ()}
        found.append(TokenLogprobs(one.token, -1, top))
    return found


def _usage(used: Any, read: str, written: str) -> Usage:
    details = getattr(used, f"{read}_tokens_details", None)
    return Usage(
        input_tokens=getattr(used, f"{read}_tokens") or 0,
        output_tokens=getattr(used, f"{written}_tokens") or 0,
        cached_input_tokens=getattr(details, "cached_tokens", None) or 0,
        requests=1,
    )
