"""The vendors' APIs through their official SDKs, against a server on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing

import pytest
from loopback.server import (
    Break,
    ErrorEvent,
    Garbage,
    Loopback,
    Says,
    Script,
    Seen,
    Stall,
    Status,
)

from engine.models.anthropic_api import AnthropicModel
from engine.models.budget import Budget, Meter
from engine.models.faults import Fault, LanguageModelError
from engine.models.metered import MeteredModel
from engine.models.model import LanguageModel
from engine.models.openai_api import OpenAIModel
from engine.models.request import Delta, Finish, Message, PromptRequest, Reply, Request
from engine.models.retry import RetryPolicy

SECRET = "sk-very-secret-9f3a"
ASK = Request(
    (Message("system", "Be short."), Message("user", "What burns?")), max_tokens=30, temperature=0.5
)
SCHEMA = {
    "type": "object",
    "properties": {"yes": {"type": "boolean"}},
    "required": ["yes"],
    "additionalProperties": False,
}

Make = Callable[[Loopback], LanguageModel]


def anthropic(server: Loopback) -> LanguageModel:
    return AnthropicModel("tester", api_key=SECRET, base_url=server.url, stall_seconds=0.5)


def chat(server: Loopback) -> LanguageModel:
    return OpenAIModel(
        "tester",
        api_key=SECRET,
        base_url=f"{server.url}/v1",
        provider="server",
        api="chat",
        stall_seconds=0.5,
    )


def responses(server: Loopback) -> LanguageModel:
    return OpenAIModel("tester", api_key=SECRET, base_url=f"{server.url}/v1", stall_seconds=0.5)


VENDORS = pytest.mark.parametrize("make", [anthropic, chat, responses])


async def pieces_of(model: LanguageModel, request: Request = ASK) -> list[Delta | Reply]:
    try:
        return [piece async for piece in model.stream(request)]
    finally:
        await model.close()


async def refused(model: LanguageModel, request: Request = ASK) -> LanguageModelError:
    with pytest.raises(LanguageModelError) as caught:
        await pieces_of(model, request)
    error = caught.value
    assert SECRET not in f"{error} {error.args} {error!r} {model!r}"
    assert error.remedy and "\n" not in str(error) and len(str(error)) < 400
    return error


@VENDORS
async def test_a_reply_streams_and_is_counted(loopback: Loopback, make: Make) -> None:
    loopback.brain = lambda seen: "Dry wood burns well. 木も。"
    *deltas, reply = await pieces_of(make(loopback))
    assert isinstance(reply, Reply) and len(deltas) > 1
    assert "".join(d.text for d in deltas if isinstance(d, Delta)) == reply.text
    assert reply.text == "Dry wood burns well. 木も。" and reply.finish is Finish.STOP
    assert reply.usage.requests == 1 and reply.usage.measured
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (5, 6)
    [seen] = loopback.requests
    assert "Be short." in seen.text and "What burns?" in seen.text
    assert seen.body["temperature"] == 0.5 and seen.body["stream"] is True
    limit = {"max_tokens", "max_completion_tokens", "max_output_tokens"} & set(seen.body)
    assert seen.body[limit.pop()] == 30
    assert SECRET in (seen.headers.get("x-api-key") or seen.headers["authorization"])


@VENDORS
async def test_a_reply_cut_at_its_limit_says_so(loopback: Loopback, make: Make) -> None:
    loopback.brain = lambda seen: Says("Dry wood and", finish="length")
    reply = (await pieces_of(make(loopback)))[-1]
    assert isinstance(reply, Reply) and reply.finish is Finish.LENGTH


@VENDORS
async def test_a_schema_reaches_the_vendor(loopback: Loopback, make: Make) -> None:
    loopback.brain = lambda seen: '{"yes": true}'
    reply = await make(loopback).complete(Request(ASK.messages, schema=SCHEMA))
    assert json.loads(reply.text) == {"yes": True}
    assert json.dumps(SCHEMA) in json.dumps(loopback.requests[0].body)


@VENDORS
async def test_a_refused_parameter_is_left_out_and_remembered(
    loopback: Loopback, make: Make
) -> None:
    def brain(seen: Seen) -> Script:
        if "temperature" in seen.body:
            return Status(400, "Unsupported value: 'temperature' is fixed", "invalid_request_error")
        return "fire"

    loopback.brain = brain
    model = make(loopback)
    for _ in range(2):
        assert (await model.complete(ASK)).text == "fire"
    await model.close()
    assert ["temperature" in seen.body for seen in loopback.requests] == [True, False, False]


@VENDORS
async def test_a_refused_schema_is_put_in_words(loopback: Loopback, make: Make) -> None:
    field = {anthropic: "output_config", chat: "response_format", responses: "text"}[make]

    def brain(seen: Seen) -> Script:
        if field in seen.body:
            return Status(
                400, f"Unknown parameter: '{field}'", "invalid_request_error", param=field
            )
        return 'Of course:\n```json\n{"yes": false}\n```'

    loopback.brain = brain
    reply = await make(loopback).complete(Request(ASK.messages, schema=SCHEMA))
    assert json.loads(reply.text) == {"yes": False}
    assert '"yes"' in loopback.requests[-1].text


@VENDORS
async def test_models_are_listed(loopback: Loopback, make: Make) -> None:
    loopback.models = [{"id": "tester", "max_model_len": 4096}, {"id": "other"}]
    model = make(loopback)
    can = await model.capabilities()
    await model.close()
    assert can.models == ("tester", "other") and not can.prompt_logprobs
    assert can.context == (4096 if make is not anthropic else None)


@VENDORS
async def test_closing_a_stream_ends_the_request(loopback: Loopback, make: Make) -> None:
    loopback.brain = lambda seen: Stall(4, seconds=3)
    model = make(loopback)
    async with asyncio.timeout(2):
        async with aclosing(model.stream(ASK)) as stream:  # type: ignore[type-var]
            async for _ in stream:
                break
        await model.close()


async def test_chat_gives_log_probabilities_of_its_reply(loopback: Loopback) -> None:
    loopback.brain = lambda seen: Says("7", logprobs=[("7", {"7": -0.1, "3": -2.5})])
    model = responses(loopback)
    reply = await model.complete(Request(ASK.messages, max_tokens=1, top_logprobs=20))
    await model.close()
    assert loopback.requests[0].path.endswith("/chat/completions")
    assert [(t.text, dict(t.top)) for t in reply.tokens] == [("7", {"7": -0.1, "3": -2.5})]
    loopback.brain = lambda seen: "7"
    error = await refused(chat(loopback), Request(ASK.messages, top_logprobs=5))
    assert error.fault is Fault.UNSUPPORTED


async def test_a_server_may_echo_a_prompt(loopback: Loopback) -> None:
    loopback.echo = lambda prompt: [(c, {c: -0.5, "x": -1.0}) for c in prompt]
    model = chat(loopback)
    assert (await model.capabilities()).prompt_logprobs
    reply = await model.prompt_logprobs(PromptRequest("a\t10", start=2, top_logprobs=5))
    await model.close()
    assert [(t.text, t.start) for t in reply.tokens] == [("1", 2), ("0", 3)]
    assert dict(reply.tokens[0].top) == {"1": -0.5, "x": -1.0}
    assert loopback.requests[-1].body["logprobs"] == 5 and reply.usage.input_tokens == 4


@pytest.mark.parametrize("make", [anthropic, chat])
async def test_a_server_that_can_not_echo_says_so(loopback: Loopback, make: Make) -> None:
    model = make(loopback)
    with pytest.raises(LanguageModelError) as caught:
        await model.prompt_logprobs(PromptRequest("a"))
    await model.close()
    assert caught.value.fault is Fault.UNSUPPORTED


FAULTS: list[tuple[str, Script, Fault]] = [
    ("wrong key", Status(401, f"bad key {SECRET}", "authentication_error"), Fault.WRONG_KEY),
    ("no credit", Status(402, "pay", "billing_error"), Fault.NO_CREDIT),
    ("no quota", Status(429, "You exceeded it", "insufficient_quota"), Fault.NO_CREDIT),
    ("balance", Status(400, "Your credit balance is too low", ""), Fault.NO_CREDIT),
    ("forbidden", Status(403, "no", "permission_error"), Fault.FORBIDDEN),
    ("unknown model", Status(404, "model: tester", "not_found_error"), Fault.UNKNOWN_MODEL),
    ("too long", Status(400, "maximum context length is 9", "x"), Fault.TOO_LONG),
    ("too large", Status(413, "big", "request_too_large"), Fault.TOO_LONG),
    ("bad request", Status(400, f"no {SECRET} thanks", "invalid_request_error"), Fault.BAD_REQUEST),
    ("timeout", Status(408, "slow", "timeout_error"), Fault.TIMEOUT),
    ("conflict", Status(409, "busy", "conflict"), Fault.CONFLICT),
    ("rate limit", Status(429, "slow down", "rate_limit_error"), Fault.RATE_LIMIT),
    ("server", Status(500, "oops", "api_error"), Fault.SERVER),
    ("overloaded", Status(529, "Overloaded", "overloaded_error"), Fault.SERVER),
    ("bad gateway", Status(502, "gateway", ""), Fault.SERVER),
    ("refusal", Says("", finish="refusal"), Fault.REFUSED),
    ("empty", Says(""), Fault.EMPTY),
    ("only thoughts", Says("", finish="length"), Fault.NO_ROOM),
    ("error in the stream", ErrorEvent(3), Fault.SERVER),
    ("broken stream", Break(4), Fault.BROKEN_STREAM),
    ("stalled stream", Stall(4, seconds=1.5), Fault.STALLED),
    ("garbage", Garbage(), Fault.MALFORMED),
    ("broken JSON", Garbage(b"data: {broken\n\n", "text/event-stream"), Fault.MALFORMED),
]


@VENDORS
@pytest.mark.parametrize(("script", "fault"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
async def test_each_fault_is_one_line(
    loopback: Loopback, make: Make, script: Script, fault: Fault
) -> None:
    loopback.brain = lambda seen: script
    error = await refused(make(loopback))
    assert error.fault is fault


@VENDORS
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
async def test_what_a_vendor_asks_to_wait(
    loopback: Loopback, make: Make, headers: dict[str, str], seconds: float | None
) -> None:
    loopback.brain = lambda seen: Status(429, "slow down", "rate_limit_error", headers)
    assert (await refused(make(loopback))).retry_after == seconds


@VENDORS
async def test_nobody_at_the_address(make: Make) -> None:
    with Loopback() as server:
        model = make(server)
    assert (await refused(model)).fault is Fault.UNREACHABLE


@VENDORS
async def test_a_model_that_thinks_gets_more_room_the_next_time(
    loopback: Loopback, make: Make
) -> None:
    names = ("max_tokens", "max_completion_tokens", "max_output_tokens")

    def thinks(seen: Seen) -> Script:
        limit = next(seen.body[name] for name in names if name in seen.body)
        return "fire" if limit > 1000 else Says("", finish="length")

    loopback.brain = thinks
    model = MeteredModel(
        make(loopback),
        meter=Meter(Budget(tokens=9000)),
        policy=RetryPolicy(base_seconds=0.01),
        replies=None,
    )
    assert (await model.complete(ASK)).text == "fire"
    assert len(loopback.requests) == 2
    # With a budget that leaves no such room it is not asked again.
    loopback.brain = lambda seen: Says("", finish="length")
    small = MeteredModel(
        make(loopback),
        meter=Meter(Budget(tokens=1000)),
        policy=RetryPolicy(base_seconds=0.01),
        replies=None,
    )
    with pytest.raises(LanguageModelError) as caught:
        await small.complete(ASK)
    assert caught.value.fault is Fault.BUDGET
    for one in (model, small):
        await one.close()


async def test_text_before_a_break_has_been_shown(loopback: Loopback) -> None:
    loopback.brain = lambda seen: Break(4)
    shown = ""
    with pytest.raises(LanguageModelError):
        async for piece in chat(loopback).stream(ASK):
            assert isinstance(piece, Delta)
            shown += piece.text
    assert shown and "a reply in several pieces".startswith(shown)


async def test_sdks_do_not_retry_by_themselves(loopback: Loopback) -> None:
    for make in (anthropic, chat, responses):
        loopback.requests.clear()
        loopback.brain = lambda seen: Status(500, "oops", "api_error")
        await refused(make(loopback))
        assert len(loopback.requests) == 1
