"""What is asked of a language model and what comes back, in no vendor's terms."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to ask for.

    Attributes:
        messages: Optional system message first, then user and assistant in turns; the
            last one is the user's.
        max_tokens: Limit of the reply.
        temperature, top_p, seed: None leaves the model's own default, and is not sent.
        stop: Texts that end the reply.
        schema: JSON schema that the reply must follow; None for free text.
        schema_name: What the schema is called on the wire.
        top_logprobs: Alternatives wanted for every token of the reply; 0 for none.
        sample: Tells several samples of one request apart. It is not sent: it is part
            of the cache's key alone, so that five samples are five replies.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 256
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    schema_name: str = "reply"
    top_logprobs: int = 0
    sample: int = 0

    def key(self, provider: str, model: str) -> str:
        """Digest of the whole request, for the reply cache."""
        return _key("completion", provider, model, asdict(self))

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Request:
        """Read what :func:`dataclasses.asdict` made of a request."""
        messages = tuple(Message(**one) for one in facts["messages"])
        return cls(**{**facts, "messages": messages, "stop": tuple(facts["stop"])})


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """The distribution a model has at each place of a given text.

    Attributes:
        text: The whole text, raw: no chat template is put around it.
        start: Character from which on distributions are wanted; a backend that can
            skips the work before it.
        top_logprobs: Alternatives wanted at each place.
        values: Token texts whose log-probabilities are wanted at each place whether
            they are among the top ones or not. A local model gives them exactly; a
            server that only lists its top ones gives those of them that it lists.
    """

    text: str
    start: int = 0
    top_logprobs: int = 15
    values: tuple[str, ...] = ()

    def key(self, provider: str, model: str) -> str:
        """Digest of the whole request, for the reply cache."""
        return _key("prompt", provider, model, asdict(self))


def _key(kind: str, provider: str, model: str, request: Mapping[str, Any]) -> str:
    whole = json.dumps([kind, provider, model, request], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(whole.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request, or of many.

    Attributes:
        input_tokens, output_tokens: As the backend counts them.
        cached_input_tokens: How many of the input tokens it read from its own cache.
        requests: How many requests were sent; replies from our cache count as none.
        measured: False when a backend gave no count and ours stands in for it.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    requests: int = 0
    measured: bool = True

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.requests + other.requests,
            self.measured and other.measured,
        )

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


class Finish(StrEnum):
    """Why a reply ended."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """A token, and what else could have stood there.

    Attributes:
        text: The token.
        start: Character of the text where it begins; -1 when the backend doesn't say.
        top: Natural log-probability by token text; empty where there is no
            distribution (the first token of a text).
    """

    text: str
    start: int = -1
    top: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a reply as it arrives. Untrusted text."""

    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply.

    Attributes:
        text: Untrusted.
        model: As the backend names itself; may be more exact than what was asked for.
        tokens: Of the reply, when log-probabilities were asked for.
        from_cache: Nothing was sent: an earlier reply to the same request.
        seconds: From sending to the last byte; of the original when from the cache.
    """

    text: str
    finish: Finish
    usage: Usage
    model: str
    tokens: tuple[TokenLogprobs, ...] = ()
    from_cache: bool = False
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PromptReply:
    """Distributions over a given text.

    Attributes:
        tokens: Every token from the one that holds character ``start`` on, in order.
            ``top`` of a token is the distribution *at its place*, before it was read.
    """

    tokens: tuple[TokenLogprobs, ...]
    usage: Usage
    model: str
    from_cache: bool = False
    seconds: float = 0.0
