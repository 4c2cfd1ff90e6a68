"""Asking a language model about several texts at once, and reading what it says.

Texts are put as JSON strings, so that no text can end itself or begin another, and are
numbered from 1.  The answer is a JSON object from number to a whole 0 to 10: how sure the
model is.  A list of the numbers that match would be a few tokens shorter, but leaves no
AUC and can't tell a text that was judged not to match from one that was forgotten; here a
text without a number in range simply has no answer.

A reply that leaves texts out is asked for once more; what is still missing is a missing
answer with its reason.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from engine.models.faults import Fault, LanguageModelError
from engine.models.json_reply import first_json
from engine.models.model import LanguageModel
from engine.models.request import Message, Request, Usage
from engine.simulators.outcome import count_messages, one_line

#: Texts per request, as in delphi.
PER_REQUEST = 5
#: Requests under way at the same time.
PARALLEL = 4
#: Surest answer; above half of it is a yes.
SUREST = 10
#: Limit of a reply. The answer takes some 30 tokens; models that think aloud take more.
MAX_TOKENS = 512

#: Faults of one reply, which another may not have.
UNREADABLE = frozenset({Fault.MALFORMED, Fault.EMPTY})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model said about one request's texts.

    Attributes:
        sure: 0 to 1 for each text; None where there is no answer.
        message: Why some are missing.
    """

    sure: tuple[float | None, ...]
    message: str = ""
    usage: Usage = field(default_factory=Usage)


def question(task: str, explanation: str, texts: Sequence[str]) -> Request:
    """The request for one batch of texts.

    Args:
        task: What is to be judged: the system message.
        explanation: Untrusted, as the texts are.
    """
    numbers = [str(number) for number in range(1, len(texts) + 1)]
    lines = [
        f"{n}: {json.dumps(t, ensure_ascii=False)}" for n, t in zip(numbers, texts, strict=True)
    ]
    shown = json.dumps(one_line(explanation), ensure_ascii=False)
    # No minimum and maximum: some providers refuse schemas with them. Read checks.
    schema = {
        "type": "object",
        "properties": {number: {"type": "integer"} for number in numbers},
        "required": numbers,
        "additionalProperties": False,
    }
    return Request(
        messages=(
            Message("system", task),
            Message("user", f"Description: {shown}\nTexts:\n" + "\n".join(lines)),
        ),
        max_tokens=MAX_TOKENS,
        temperature=0.0,
        schema=schema,
        schema_name="judgements",
    )


def read(text: str, count: int) -> tuple[float | None, ...]:
    """Each text's answer, 0 to 1; None where there is none in range."""
    found = first_json(text, {"type": "object"})
    reply: Any = json.loads(found) if found is not None else {}
    return tuple(_sure(reply.get(str(number))) for number in range(1, count + 1))


def _sure(value: object) -> float | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value / SUREST if 0 <= value <= SUREST else None


async def ask(model: LanguageModel, request: Request, count: int) -> Answers:
    """Ask about ``count`` texts, a second time where the reply is not whole.

    Raises:
        LanguageModelError: of a kind after which every request would fail alike.
    """
    best = Answers((None,) * count)
    usage = Usage()
    for sample in range(2):
        try:
            reply = await model.complete(replace(request, sample=sample))
        except LanguageModelError as error:
            if error.ends_run:
                raise
            best = replace(best, message=str(error))
            if error.fault in UNREADABLE:
                continue
            break  # what else may be tried again, the model has tried again itself
        usage += reply.usage
        sure = read(reply.text, count)
        if sum(one is not None for one in sure) > sum(one is not None for one in best.sure):
            best = Answers(sure)
        if None not in best.sure:
            break
        best = replace(best, message="the reply holds no number from 0 to 10 for it")
    return replace(best, usage=usage)


async def answered(
    jobs: Sequence[Callable[[], Awaitable[T]]], parallel: int
) -> AsyncGenerator[tuple[int, T], None]:
    """Run jobs, some at a time, and yield each one's place and result when it is done.

    Closing the generator, or the first error, cancels all that are left.
    """
    gate = asyncio.Semaphore(parallel)

    async def one(place: int) -> tuple[int, T]:
        await gate.acquire()
        result = await jobs[place]()
        gate.release()  # not after an error: no other job may begin then
        return place, result

    tasks = [asyncio.create_task(one(place)) for place in range(len(jobs))]
    try:
        for done in asyncio.as_completed(tasks):
            yield await done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def cost(model: LanguageModel, requests: Sequence[Request]) -> tuple[int, int, int]:
    """Input tokens, output tokens and requests: prompts as sent, answers as short as asked."""
    read_tokens = written = 0
    for request in requests:
        assert request.schema is not None
        usual = json.dumps(dict.fromkeys(request.schema["properties"], SUREST))
        read_tokens += count_messages(model, request.messages)
        written += model.count_tokens(usual)
    return read_tokens, written, len(requests)
