"""Generating a reply with a local model, one token at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.models.faults import Fault, LanguageModelError
from engine.models.json_reply import first_json, schema_in_words
from engine.models.local_logprobs import top_entries
from engine.models.local_network import LocalNetwork, log_softmax, too_long
from engine.models.local_tokens import LocalTokens, ReplyText
from engine.models.request import Finish, Message, Reply, Request, TokenLogprobs, Usage

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class _Sampling:
    """How a token is drawn; temperature 0 takes the likeliest."""

    temperature: float
    top_p: float
    top_k: int

    @classmethod
    def of(cls, request: Request, defaults: Mapping[str, Any]) -> _Sampling:
        if not defaults.get("do_sample"):
            defaults = {"temperature": 0.0}
        temperature, top_p = request.temperature, request.top_p
        if temperature is None:
            temperature = _number(defaults.get("temperature"), 1.0)
        return cls(
            temperature=temperature,
            top_p=_number(defaults.get("top_p"), 1.0) if top_p is None else top_p,
            top_k=int(_number(defaults.get("top_k"), 0)),
        )

    def draw(self, logits: torch.Tensor, generator: torch.Generator) -> int:
        """One token of float32 logits [vocabulary] on the CPU."""
        import torch

        if self.temperature <= 0:
            return int(logits.argmax())
        # Largest first, so that ties and cuts don't depend on the vocabulary's order alone.
        sorted_logits, order = logits.sort(descending=True, stable=True)
        probabilities = (sorted_logits.double() / self.temperature).softmax(0)
        if 0 < self.top_k < len(probabilities):
            probabilities[self.top_k :] = 0
        if self.top_p < 1:
            # The smallest set that holds top_p; the likeliest is always in it.
            before = probabilities.cumsum(0) - probabilities
            probabilities[before >= max(self.top_p, 1e-9) * probabilities.sum()] = 0
        return int(order[torch.multinomial(probabilities, 1, generator=generator)])


def generate(
    network: LocalNetwork,
    tokens: LocalTokens,
    request: Request,
    model: str,
    emit: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> Reply:
    """Write a reply, giving its pieces to ``emit``; blocks, for the model's own thread.

    What was read for the last request is used again, except where a seed asks for a
    draw that is the same to the last bit whatever was asked before.

    Raises:
        LanguageModelError: ``TOO_LONG``; ``EMPTY``; ``MALFORMED`` when a schema was
            asked for and no JSON came.
    """
    import torch

    started = time.perf_counter()
    prompt = tokens.conversation(_messages(request))
    if network.context is not None and len(prompt) >= network.context:
        raise too_long(len(prompt), network.context)
    room = len(prompt) + request.max_tokens
    end = room if network.context is None else min(room, network.context)
    sampling = _Sampling.of(request, network.settings)
    generator = torch.Generator()
    if request.seed is None:
        generator.seed()
    else:
        generator.manual_seed(request.seed)
    ends = tokens.ends(network.settings)
    text = ReplyText(tokens, (*request.stop, *tokens.stop_texts))
    ids, logprobs, starts = list(prompt), [], []
    fresh = request.seed is not None and sampling.temperature > 0
    cached, found, finish = 0, None, Finish.LENGTH
    while len(ids) < end and not cancelled():
        at_first = len(ids) == len(prompt)
        logits, kept = network.read(ids, len(ids) - 1, reuse=not (fresh and at_first))
        if at_first:
            cached = kept
        token = sampling.draw(logits[-1].float().cpu(), generator)
        if request.top_logprobs:
            starts.append(len(text.text))
            logprobs.append(logits[-1:])
        ids.append(token)
        if token in ends:
            finish = Finish.STOP
            break
        piece = text.add(token)
        if piece:
            emit(piece)
        if request.schema is not None and ("}" in piece or "]" in piece):
            found = first_json(text.text, request.schema)
        if text.stopped or found is not None:
            finish = Finish.STOP
            break
    if piece := text.end():
        emit(piece)
    return _checked(
        request,
        found,
        Reply(
            text=text.text,
            finish=finish,
            usage=Usage(len(prompt), len(ids) - len(prompt), cached, 1),
            model=model,
            tokens=_alternatives(tokens, request, ids[len(prompt) :], starts, logprobs),
            seconds=time.perf_counter() - started,
        ),
    )


def _messages(request: Request) -> Sequence[Message]:
    """The messages, with the schema in words at the end of the last one."""
    if request.schema is None:
        return request.messages
    *others, last = request.messages
    return [*others, Message(last.role, f"{last.text}\n\n{schema_in_words(request.schema)}")]


def _alternatives(
    tokens: LocalTokens,
    request: Request,
    ids: Sequence[int],
    starts: Sequence[int],
    logits: Sequence[torch.Tensor],
) -> tuple[TokenLogprobs, ...]:
    if not request.top_logprobs:
        return ()
    return tuple(
        TokenLogprobs(tokens.token(token), start, top)
        for token, start, row in zip(ids, starts, logits, strict=True)
        for top in top_entries(tokens, log_softmax(row), request.top_logprobs)
    )


def _checked(request: Request, found: str | None, reply: Reply) -> Reply:
    if request.schema is not None:
        found = found or first_json(reply.text, request.schema)
        if found is None:
            cut = reply.finish is Finish.LENGTH
            why = (
                f"was cut off after {reply.usage.output_tokens} tokens" if cut else "holds no JSON"
            )
            raise LanguageModelError(
                Fault.MALFORMED,
                f"The reply of {reply.model} {why}.",
                "Try again, or choose a model that follows instructions better.",
            )
        return replace(reply, text=found)
    if not reply.text.strip() and not reply.tokens:
        raise LanguageModelError(
            Fault.EMPTY, f"The reply of {reply.model} is empty.", "Try again, or another model."
        )
    return reply


def _number(value: Any, default: float) -> float:
    return default if value is None else float(value)
