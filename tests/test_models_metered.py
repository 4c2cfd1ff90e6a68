"""What stands in front of every backend: cache, retries, meter, budget."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.choices import Price
from engine.errors import StoreError
from engine.models.budget import Budget, Meter
from engine.models.faults import RETRIED, Fault, LanguageModelError
from engine.models.local import LocalModel
from engine.models.metered import MeteredModel
from engine.models.model import Capabilities, LanguageModel
from engine.models.replies import Replies
from engine.models.request import (
    Delta,
    Message,
    PromptReply,
    PromptRequest,
    Reply,
    Request,
    Usage,
)
from engine.models.retry import RetryPolicy, retried_stream

FAST = RetryPolicy(tries=4, base_seconds=0.001, cap_seconds=0.002)


class Line:
    """A backend behind a line that fails as told: the demo model answers in the end.

    Args:
        troubles: What becomes of each try, in order; None lets it through, a number
            breaks the stream after so many pieces.
    """

    provider = "far"

    def __init__(self, inner: LanguageModel, *troubles: LanguageModelError | int | None) -> None:
        self.inner = inner
        self.model = inner.model
        self.troubles = list(troubles)
        self.sent = 0
        self.at_once = self.most_at_once = 0

    async def capabilities(self) -> Capabilities:
        self._next()
        return await self.inner.capabilities()

    async def stream(self, request: Request) -> AsyncIterator[Delta | Reply]:
        trouble = self._next()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            left = trouble
            async with aclosing(self.inner.stream(request)) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    if left is not None:
                        if left == 0:
                            raise LanguageModelError(Fault.BROKEN_STREAM, "The line broke.")
                        left -= 1
                    yield piece
        finally:
            self.at_once -= 1

    async def complete(self, request: Request) -> Reply:
        self._next()
        return await self.inner.complete(request)

    async def prompt_logprobs(self, request: PromptRequest) -> PromptReply:
        self._next()
        return await self.inner.prompt_logprobs(request)

    def count_tokens(self, text: str) -> int:
        return self.inner.count_tokens(text)

    async def close(self) -> None:
        pass

    def _next(self) -> int | None:
        self.sent += 1
        trouble = self.troubles.pop(0) if self.troubles else None
        if isinstance(trouble, LanguageModelError):
            raise trouble
        return trouble


@pytest.fixture(scope="module")
def demo() -> LocalModel:
    return LocalModel.load("demo")


@pytest.fixture
async def replies(tmp_path: Path) -> AsyncIterator[Replies]:
    cache = Replies.open(tmp_path / "replies.db")
    yield cache
    await cache.close()


def ask(text: str, **settings: Any) -> Request:
    return Request((Message("user", text),), **{"max_tokens": 8, **settings})


def fault(kind: Fault, after: float | None = None) -> LanguageModelError:
    return LanguageModelError(kind, f"It was {kind.value}.", retry_after=after)


async def pieces_of(model: MeteredModel, request: Request) -> tuple[list[str], Reply]:
    *deltas, reply = [piece async for piece in model.stream(request)]
    assert isinstance(reply, Reply)
    return [delta.text for delta in deltas], reply


# ---------------------------------------------------------------- the reply cache


async def test_nothing_is_asked_twice(demo: LocalModel, replies: Replies) -> None:
    line, meter = Line(demo), Meter()
    model = MeteredModel(line, replies=replies, meter=meter)
    request = ask("Once upon a time", top_logprobs=2, schema=None)
    words, first = await pieces_of(model, request)
    assert len(words) > 1 and not first.from_cache and first.usage.requests == 1
    spent = meter.usage
    again, second = await pieces_of(model, request)
    assert again == [first.text]
    assert second == replace(first, from_cache=True, usage=replace(first.usage, requests=0))
    assert (await model.complete(request)).text == first.text
    assert line.sent == 1 and meter.usage == spent and meter.replayed == 2


async def test_everything_about_a_request_tells_it_apart(
    demo: LocalModel, replies: Replies
) -> None:
    line = Line(demo)
    model = MeteredModel(line, replies=replies, meter=Meter())
    base = ask("Once upon", temperature=1.0)
    variants = [
        base,
        replace(base, sample=1),
        replace(base, seed=1),
        replace(base, temperature=0.5),
        replace(base, max_tokens=9),
        replace(base, stop=("x",)),
        replace(base, top_logprobs=1),
        replace(base, messages=(Message("user", "Once upon "),)),
        replace(base, messages=(Message("system", ""), Message("user", "Once upon"))),
    ]
    for request in variants:
        await model.complete(request)
    assert line.sent == len(variants)
    elsewhere = MeteredModel(Line(demo), replies=replies, meter=Meter(), ref="https://x/v1#demo")
    assert not (await elsewhere.complete(base)).from_cache


async def test_distributions_come_back_as_they_were(demo: LocalModel, replies: Replies) -> None:
    model = MeteredModel(Line(demo), replies=replies, meter=Meter())
    text = "日本 a\tunknown\n" * 12
    request = PromptRequest(text, start=3, values=("0", "10"))
    first = await model.prompt_logprobs(request)
    second = await model.prompt_logprobs(request)
    assert second.tokens == first.tokens and second.from_cache and not first.from_cache
    with sqlite3.connect(replies.path) as db:
        kinds = {kind for (kind,) in db.execute("SELECT typeof(reply) FROM replies")}
    assert kinds == {"blob"}, "long ones are kept compressed"


async def test_a_finished_session_replays_offline(demo: LocalModel, tmp_path: Path) -> None:
    path = tmp_path / "replies.db"
    cache = Replies.open(path)
    model = MeteredModel(Line(demo), replies=cache, meter=Meter())
    requests = [ask("Once"), ask("Twice", temperature=1.0), ask("Thrice", seed=1)]
    texts = [(await model.complete(request)).text for request in requests]
    can = await model.capabilities()
    await cache.close()

    cache, line, meter = Replies.open(path), Line(demo), Meter()
    model = MeteredModel(line, replies=cache, meter=meter, offline=True)
    assert [(await model.complete(request)).text for request in requests] == texts
    assert await model.capabilities() == can
    assert line.sent == 0 and meter.usage == Usage() and meter.money == 0
    with pytest.raises(LanguageModelError) as caught:
        await model.complete(ask("Never asked"))
    assert caught.value.fault is Fault.OFFLINE and line.sent == 0
    await cache.close()


async def test_equal_requests_at_once_are_sent_once(demo: LocalModel, replies: Replies) -> None:
    line = Line(demo)
    model = MeteredModel(line, replies=replies, meter=Meter())
    request = ask("Once upon a time", temperature=1.0)
    texts = {r.text for r in await asyncio.gather(*(model.complete(request) for _ in range(5)))}
    assert len(texts) == 1 and line.sent == 1


async def test_an_abandoned_request_leaves_the_next_equal_one_its_turn(
    demo: LocalModel, replies: Replies
) -> None:
    line = Line(demo)
    model = MeteredModel(line, replies=replies, meter=Meter())
    request = ask("Once upon a time", max_tokens=50)
    async with aclosing(model.stream(request)) as pieces:
        async for _ in pieces:
            break
    assert not (await model.complete(request)).from_cache
    assert line.sent == 2


async def test_two_processes_share_the_file(demo: LocalModel, replies: Replies) -> None:
    await replies.put("k", "far", "m", ask("x"), Reply("mine", "stop", Usage(), "m"))  # type: ignore[arg-type]
    code = """
import asyncio, sys
from pathlib import Path
from engine.models.replies import Replies
from engine.models.request import *
async def main():
    cache = Replies.open(Path(sys.argv[1]))
    request, theirs = Request((Message("user", "x"),)), Reply("t", Finish.STOP, Usage(1, 2), "m")
    assert (await cache.get("k")).text == "mine"
    for n in range(100):
        await cache.put(f"theirs{n}", "far", "m", request, theirs)
    await cache.put("k", "far", "m", request, Reply("late", Finish.STOP, Usage(), "m"))
asyncio.run(main())
"""
    other = subprocess.Popen([sys.executable, "-c", code, str(replies.path)])
    for n in range(100):
        reply = Reply("o", "stop", Usage(3, 4), "m")  # type: ignore[arg-type]
        await replies.put(f"ours{n}", "far", "m", ask("x"), reply)
    assert await asyncio.to_thread(other.wait) == 0
    with sqlite3.connect(replies.path) as db:
        assert db.execute("SELECT count(*) FROM replies").fetchone()[0] == 201
    kept = await replies.get("k")
    assert isinstance(kept, Reply) and kept.text == "mine", "the first one stays"


def _not_a_database(path: Path) -> None:
    path.write_bytes(b"not a database, only words " * 100)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE notes (text)")


def _newer(path: Path) -> None:
    asyncio.run(Replies.open(path).close())
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (_not_a_database, "Delete it"),
        (_foreign, "another program"),
        (_newer, "newer"),
        (_folder, "replies.db"),
    ],
)
def test_a_file_that_can_not_be_used_is_one_clear_line(
    tmp_path: Path, spoil: Any, word: str
) -> None:
    path = tmp_path / "replies.db"
    spoil(path)
    with pytest.raises(StoreError) as caught:
        Replies.open(path)
    assert word in str(caught.value) and "\n" not in str(caught.value)


async def test_a_damaged_page_is_one_clear_line_too(tmp_path: Path) -> None:
    path = tmp_path / "replies.db"
    cache = Replies.open(path)
    for n in range(200):
        reply = Reply("words " * 50, "stop", Usage(), "m")  # type: ignore[arg-type]
        await cache.put(f"{n:04}", "far", "m", ask("x"), reply)
    await cache.close()
    whole = bytearray(path.read_bytes())
    whole[4096 * 2 :] = b"\x55" * (len(whole) - 4096 * 2)
    path.write_bytes(whole)
    with pytest.raises(StoreError, match="damaged"):
        cache = Replies.open(path)
        for n in range(200):
            await cache.get(f"{n:04}")


async def test_any_text_may_be_kept(replies: Replies) -> None:
    text = "half a pair \ud800, nothing \x00, 日本"
    reply = Reply(text, "stop", Usage(), "m\ud800")  # type: ignore[arg-type]
    await replies.put("k", "far", "m\ud800", ask(text), reply)
    kept = await replies.get("k")
    assert isinstance(kept, Reply) and kept.text == text


# ---------------------------------------------------------------- retries


@pytest.mark.parametrize("kind", list(Fault))
async def test_only_what_passes_is_tried_again(
    demo: LocalModel, replies: Replies, kind: Fault
) -> None:
    line = Line(demo, fault(kind), fault(kind))
    model = MeteredModel(line, replies=replies, meter=Meter(), policy=FAST)
    if kind in RETRIED:
        assert (await model.complete(ask("Once"))).text
        assert line.sent == 3
    else:
        with pytest.raises(LanguageModelError) as caught:
            await model.complete(ask("Once"))
        assert caught.value.fault is kind and line.sent == 1


async def test_tries_end_and_each_pause_is_told(demo: LocalModel, replies: Replies) -> None:
    told: list[tuple[Fault, float, int]] = []
    line = Line(demo, *[fault(Fault.SERVER)] * 9)
    model = MeteredModel(
        line,
        replies=replies,
        meter=Meter(),
        policy=FAST,
        on_wait=lambda *facts: told.append(facts),
    )
    with pytest.raises(LanguageModelError):
        [piece async for piece in model.stream(ask("Once"))]
    assert line.sent == 4
    assert [(kind, attempt) for kind, _, attempt in told] == [(Fault.SERVER, n) for n in (1, 2, 3)]


def test_pauses_grow_at_random_and_what_is_asked_for_is_waited_for() -> None:
    policy = RetryPolicy(base_seconds=1, cap_seconds=8, longest_seconds=60)
    for attempt, limit in ((1, 1), (2, 2), (3, 4), (4, 8), (9, 8)):
        pauses = [policy.pause(fault(Fault.SERVER), attempt) for _ in range(300)]
        assert 0 <= min(pauses) < limit / 4 and limit * 0.75 < max(pauses) <= limit
    asked = [policy.pause(fault(Fault.RATE_LIMIT, 7), 1) for _ in range(50)]
    assert min(asked) >= 7 and max(asked) <= 8 and len(set(asked)) > 1
    assert 60 <= policy.pause(fault(Fault.RATE_LIMIT, 9999), 1) <= 61
    assert policy.pause(fault(Fault.RATE_LIMIT, -5), 1) <= 1


async def test_a_broken_stream_starts_over_and_repeats_no_piece(
    demo: LocalModel, replies: Replies
) -> None:
    meter = Meter()
    line = Line(demo, 3, 5)
    model = MeteredModel(line, replies=replies, meter=meter, policy=FAST)
    words, reply = await pieces_of(model, ask("Once upon a time"))
    assert "".join(words) == reply.text and line.sent == 3
    # Three pieces and five pieces were written in vain, and are counted by estimate.
    wasted = meter.usage.output_tokens - reply.usage.output_tokens
    estimate = sum(demo.count_tokens("".join(words[:n])) for n in (3, 5))
    assert wasted == estimate >= 8 and not meter.usage.measured and meter.usage.requests == 3


async def test_where_a_restart_differs_nothing_more_is_shown_but_the_reply() -> None:
    takes = [["One", " two"], ["One", " three", " four"]]

    async def start() -> AsyncIterator[Delta | Reply]:
        take = takes.pop(0)
        for text in take:
            yield Delta(text)
        if takes:
            raise fault(Fault.STALLED)
        yield Reply("".join(take), "stop", Usage(), "m")  # type: ignore[arg-type]

    *deltas, reply = [piece async for piece in retried_stream(start, FAST)]
    assert [delta.text for delta in deltas] == ["One", " two"]
    assert isinstance(reply, Reply) and reply.text == "One three four"


# ---------------------------------------------------------------- meter and budget


async def test_the_meter_counts_tokens_and_money(demo: LocalModel, replies: Replies) -> None:
    meter = Meter(prices={"far:demo": Price(input=2.0, output=10.0)})
    model = MeteredModel(Line(demo), replies=replies, meter=meter)
    reply = await model.complete(ask("Once"))
    usage = meter.usage
    assert usage == reply.usage and usage.measured
    expected = (usage.input_tokens * 2 + usage.output_tokens * 10) / 1e6
    assert meter.money == pytest.approx(expected)
    unpriced = MeteredModel(Line(demo), replies=None, meter=meter, ref="openai:other")
    await unpriced.complete(ask("Once"))
    assert meter.money is None, "one price is not known, so the sum is not"
    local = Meter()
    await MeteredModel(demo, replies=None, meter=local).complete(ask("Once"))
    assert local.money == 0


async def test_a_budget_stops_before_it_is_passed(demo: LocalModel, replies: Replies) -> None:
    meter = Meter(budget=Budget(tokens=100))
    line = Line(demo)
    model = MeteredModel(line, replies=replies, meter=meter)
    answered = 0
    with pytest.raises(LanguageModelError) as caught:
        for number in range(100):
            await model.complete(ask(f"Once {number}", max_tokens=10))
            answered += 1
    assert caught.value.fault is Fault.BUDGET and caught.value.ends_run
    assert 0 < meter.usage.tokens <= 100 and line.sent == answered > 1
    assert "100" in caught.value.message and str(meter.usage.tokens) in caught.value.message
    # What was answered is still there for nothing.
    assert (await model.complete(ask("Once 0", max_tokens=10))).from_cache


async def test_requests_at_the_same_time_share_a_budget(demo: LocalModel) -> None:
    meter = Meter(budget=Budget(tokens=200))
    line = Line(demo)
    model = MeteredModel(line, replies=None, meter=meter, concurrency=8)
    results = await asyncio.gather(
        *(model.complete(ask(f"Once {n}", max_tokens=20)) for n in range(30)),
        return_exceptions=True,
    )
    refused = [r for r in results if isinstance(r, LanguageModelError)]
    answered = [r for r in results if isinstance(r, Reply)]
    assert len(refused) + len(answered) == 30 and refused and len(answered) == line.sent
    assert all(error.fault is Fault.BUDGET for error in refused)
    assert meter.usage.tokens <= 200
    # Nobody is refused while others have only set aside what they don't use.
    assert meter.usage.tokens + 20 + 40 > 200


async def test_a_budget_of_money_needs_prices(demo: LocalModel) -> None:
    line = Line(demo)
    bare = MeteredModel(line, replies=None, meter=Meter(budget=Budget(money=1.0)))
    with pytest.raises(LanguageModelError, match="no price") as caught:
        await bare.complete(ask("Once"))
    assert caught.value.fault is Fault.BUDGET and line.sent == 0
    meter = Meter(prices={"far:demo": Price(0.0, 1e6)}, budget=Budget(money=20.0))
    model = MeteredModel(line, replies=None, meter=meter)
    await model.complete(ask("Once", max_tokens=12))
    with pytest.raises(LanguageModelError, match="budget of 20"):
        await model.complete(ask("Twice", max_tokens=12))
    assert meter.money == pytest.approx(12.0)


async def test_a_reply_that_can_not_be_used_is_counted(demo: LocalModel) -> None:
    meter = Meter()
    model = MeteredModel(Line(demo), replies=None, meter=meter)
    with pytest.raises(LanguageModelError) as caught:
        await model.complete(ask("Numbers?", schema={"type": "object"}))
    assert caught.value.fault is Fault.MALFORMED
    assert meter.usage.output_tokens == 8 and not meter.usage.measured


async def test_so_many_at_once_and_no_more(demo: LocalModel) -> None:
    line = Line(demo)
    model = MeteredModel(line, replies=None, meter=Meter(), concurrency=2)

    async def one(number: int) -> None:
        _ = [piece async for piece in model.stream(ask(f"Once {number}", max_tokens=3))]

    await asyncio.gather(*(one(n) for n in range(6)))
    assert line.most_at_once == 2


async def test_what_a_backend_can_do_is_asked_once_a_day(
    demo: LocalModel, replies: Replies
) -> None:
    first = MeteredModel(Line(demo), replies=replies, meter=Meter())
    can = await first.capabilities()
    line = Line(demo)
    assert await MeteredModel(line, replies=replies, meter=Meter()).capabilities() == can
    assert line.sent == 0
    with sqlite3.connect(replies.path) as db:
        db.execute("UPDATE replies SET created_at = ?", (time.time() - 90_000,))
    away = Line(demo, *[fault(Fault.UNREACHABLE)] * 4)
    model = MeteredModel(away, replies=replies, meter=Meter(), policy=FAST)
    assert await model.capabilities() == can and away.sent == 4
    assert json.dumps(can.models) == '["demo"]'
