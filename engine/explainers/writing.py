"""From a prompt to an explanation: asking, streaming, tidying the sentence."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.errors import MethodError
from engine.explainers.cleaning import cleaned, says_something, settled
from engine.explanation import Evidence, Explanation, Word
from engine.models.faults import Fault, LanguageModelError
from engine.models.model import LanguageModel
from engine.models.request import Delta, Finish, Message, Reply, Request, Usage
from engine.records import ActivationRecord
from engine.streams import closing

#: Tokens that a chat format puts around one message, about (method: 1.5 counts 4).
MESSAGE_TOKENS = 4
#: Tokens of a usual explanation.
USUAL_REPLY = 25
#: What the sentence is asked to go on from.
PREFIX = "This neuron fires on"
#: Added to a request's sample when its reply was of no use, so that the next one is new.
AGAIN = 1000


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

    Only what is sure to be in the sentence is passed on, so that the words joined are
    the sentence. A reply that says nothing is asked for once more.

    Args:
        records: Those that were shown.

    Raises:
        LanguageModelError: any fault of the model; ``EMPTY`` where two replies hold no
            explanation. A placeholder would be saved and scored as if it said something.
    """
    started = time.perf_counter()
    usage = Usage()
    for sample in (request.sample, request.sample + AGAIN):
        text = shown = ""
        reply: Reply | None = None
        async with closing(model.stream(replace(request, sample=sample))) as pieces:
            async for piece in pieces:
                if isinstance(piece, Delta):
                    text += piece.text
                    sure = settled(text)
                    if len(sure) > len(shown):
                        yield Word(sure[len(shown) :])
                        shown = sure
                else:
                    reply = piece
        if reply is None:
            raise LanguageModelError(
                Fault.BROKEN_STREAM, f"The reply of {model.model} broke off.", "Start again."
            )
        usage += reply.usage
        found = cleaned(reply.text)
        if found.startswith(shown) and says_something(found):
            break
        if shown:  # the words shown can't be taken back
            raise _says_nothing(model)
    else:
        raise _says_nothing(model)
    if len(found) > len(shown):
        yield Word(found[len(shown) :])
    yield Explanation(
        neuron=evidence.neuron,
        text=found,
        explainer=name,
        settings={
            **settings,
            "model": f"{model.provider}:{model.model}",
            "answered": reply.model,
            "sample": evidence.sample,
            "cut": reply.finish is Finish.LENGTH,
        },
        windows=tuple(sorted({record.excerpt.window for record in records})),
        seconds=time.perf_counter() - started,
        side=evidence.side,
        usage=usage,
    )


def _says_nothing(model: LanguageModel) -> LanguageModelError:
    return LanguageModelError(
        Fault.EMPTY,
        f"{model.model} wrote no explanation.",
        "Start again, or choose another model.",
    )


def firing(evidence: Evidence) -> tuple[ActivationRecord, ...]:
    """The train records in which the neuron fires at all, strongest first.

    Raises:
        MethodError: there are none.
    """
    found = tuple(record for record in evidence.train if record.peak > 0)
    if not found:
        raise MethodError(
            f"Neuron {evidence.neuron} never fires in the records kept of it.",
            "Explain its negative side, or scan more text.",
        )
    return found


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
