"""From a prompt to an explanation: asking, streaming, tidying the sentence."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from engine.explanation import Evidence, Explanation, Word
from engine.models.faults import Fault, LanguageModelError
from engine.models.model import LanguageModel
from engine.models.request import Delta, Message, Reply, Request
from engine.records import ActivationRecord
from engine.streams import closing

#: Tokens that a chat format puts around one message, about (method: 1.5 counts 4).
MESSAGE_TOKENS = 4
#: Tokens of a usual explanation.
USUAL_REPLY = 25
#: What the sentence is asked to go on from.
PREFIX = "This neuron fires on"
_PREFIXES = re.compile(
    r"^(?:explanation\s*:|answer\s*:|(?:this|the) neuron (?:mainly |mostly |primarily )?"
    r"(?:fires|activates|responds|reacts|looks)(?: most strongly| strongly)? "
    r"(?:on|for|to|when)\b)\s*",
    re.IGNORECASE,
)
_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»", "*": "*", "`": "`"}


async def write(
    model: LanguageModel,
    request: Request,
    evidence: Evidence,
    *,
    name: str,
    settings: Mapping[str, Any],
    records: Iterable[ActivationRecord],
) -> AsyncIterator[Word | Explanation]:
    """Ask, pass the words on as they come, then yield the explanation.

    Args:
        records: Those that were shown.

    Raises:
        LanguageModelError: any fault of the model; ``EMPTY`` where no sentence is left of
            the reply. A placeholder would be saved and scored as if it said something.
    """
    started = time.perf_counter()
    reply: Reply | None = None
    async with closing(model.stream(request)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Delta):
                yield Word(piece.text)
            else:
                reply = piece
    assert reply is not None
    text = sentence(reply.text)
    if not text:
        raise LanguageModelError(
            Fault.EMPTY,
            f"{model.model} wrote no explanation.",
            "Start again, or choose another model.",
        )
    yield Explanation(
        neuron=evidence.neuron,
        text=text,
        explainer=name,
        settings={
            **settings,
            "model": f"{model.provider}:{model.model}",
            "answered": reply.model,
            "sample": evidence.sample,
        },
        windows=tuple(sorted({record.excerpt.window for record in records})),
        seconds=time.perf_counter() - started,
        side=evidence.side,
        usage=reply.usage,
    )


def sentence(reply: str) -> str:
    """The explanation in a reply: its first line without quotes, echo and full stop.

    The published code keeps the leading space and the last stop of a reply, by which the
    same words count as two explanations (method: 7.10); and it strips one stop where it
    strips any (5, final stop). Here all that is no part of the sentence goes. Replies
    with a numbered list are not asked for: the published mode that does never shows the
    activations (7.7).
    """
    lines = [line.strip() for line in reply.strip().splitlines()]
    text = next((line for line in lines if line.strip("#*-_`: ")), "")
    while True:
        before = text
        text = _PREFIXES.sub("", text).strip()
        close = _QUOTES.get(text[:1])
        if close and len(text) > 1 and text.endswith(close):
            text = text[1:-1].strip()
        if text.endswith(".") and not text.endswith((" etc.", " e.g.")):
            text = text.rstrip(". ")
        if text == before:
            return text


def reckon(model: LanguageModel, messages: Sequence[Message]) -> int:
    """Input tokens of messages, by the model's own count or its estimate."""
    return sum(model.count_tokens(m.text) + MESSAGE_TOKENS for m in messages)


def spread(records: Sequence[ActivationRecord], count: int) -> tuple[ActivationRecord, ...]:
    """``count`` records spread over the ranks: 0, 4, 8, 12, 16 of twenty.

    The method deals every fourth top record to train; this shows the same ranks.
    """
    if len(records) <= count:
        return tuple(records)
    return tuple(records[i * len(records) // count] for i in range(count))
