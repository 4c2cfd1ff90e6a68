"""Runs through the vendors' batch APIs: submitted, left, collected another day."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from loopback.server import Loopback, Says, Script, Seen, Status

from engine.choices import Choices, Price
from engine.engine import Engine
from engine.errors import UsageError
from engine.models import batch_desk
from engine.models.faults import LanguageModelError
from engine.models.retry import RetryPolicy
from engine.neuron import NeuronId
from engine.paths import write_pointer
from engine.triage import (
    NeuronFailed,
    Standing,
    TriageEvent,
    TriageFailed,
    TriageFinished,
    TriageRequest,
    TriageWaiting,
)
from tests.conftest import ROOT
from tests.small_index import FOLDER
from tui.cli.root import cli

SECRET = "sk-very-secret-31ab"
NEURONS = (NeuronId(1, 3), NeuronId(2, 5))
VENDORS = ("openai", "anthropic")


@pytest.fixture(autouse=True)
def vendors(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both vendors are the server on this machine."""
    monkeypatch.setenv("NEUROGLASS_OPENAI_BASE_URL", f"{loopback.url}/v1")
    monkeypatch.setenv("NEUROGLASS_ANTHROPIC_BASE_URL", loopback.url)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.setattr(batch_desk, "SETTLE", 0.0)
    monkeypatch.setattr(batch_desk, "POLICY", RetryPolicy(tries=2, base_seconds=0.01))
    loopback.brain = says


def says(seen: Seen) -> Script:
    """An explanation, or activations that depend on the text alone."""
    if "Responds to:" in seen.text:
        count = len(re.findall(r"^\d+\t", seen.text.rpartition("Text:")[2], re.M))
        shift = len(seen.text) % 3
        pairs = [[place, 1 + (place + shift) % 9] for place in range(0, count, 2)]
        return json.dumps({"activations": pairs})
    return f"words of length {len(seen.text) % 7}"


def choices(vendor: str, **more: Any) -> Choices:
    return Choices(
        explainer="summary",
        explainer_model=f"{vendor}:tester",
        simulator="json",
        **more,
    )


def asking(vendor: str, **more: Any) -> TriageRequest:
    return TriageRequest(neurons=NEURONS, choices=choices(vendor, **more), batch=True)


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Engine]:
    home.mkdir(exist_ok=True)
    write_pointer(home, FOLDER)
    async with await Engine.open(home) as engine:
        yield engine


async def begun(home: Path, request: TriageRequest) -> list[TriageEvent]:
    async with opened(home) as engine:
        return [event async for event in engine.triages().run(request)]


async def resumed(home: Path) -> list[TriageEvent]:
    async with opened(home) as engine:
        return [event async for event in engine.triages().run_again()]


async def to_the_end(
    home: Path, server: Loopback, rounds: int = 9
) -> tuple[list[TriageEvent], int]:
    """Resume until nothing waits; all events, and how many rounds it took."""
    events: list[TriageEvent] = []
    for number in range(1, rounds + 1):
        server.batches.work(seed=number)
        events += await resumed(home)
        if not isinstance(events[-1], TriageWaiting):
            return events, number
    raise AssertionError("it never ended")


async def found(home: Path, neurons: tuple[NeuronId, ...] = NEURONS) -> dict[NeuronId, Any]:
    """What the store has of each neuron, without what depends on the time."""
    results = {}
    async with opened(home) as engine:
        for neuron in neurons:
            [stored] = engine.store.explanations(engine.triages().index.model_id, neuron)
            whole = engine.store.explanation(stored.id)
            assert whole is not None
            cards = [
                (row.status, row.message, row.expected.tolist(), row.activations.tolist())
                for row in engine.store.card(stored.id)
            ]
            results[neuron] = (
                whole.text,
                dict(whole.settings),
                whole.scores,
                [(one.name, one.description, one.scores) for one in whole.baselines],
                cards,
            )
    return results


def sent_twice(server: Loopback) -> list[str]:
    asked = server.batches.asked
    return [one for one in set(asked) if asked.count(one) > 1]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_batch_finds_what_asking_directly_finds(
    vendor: str, loopback: Loopback, tmp_path: Path
) -> None:
    request = asking(vendor)
    direct = await begun(tmp_path / "direct", replace(request, batch=False))
    assert isinstance(direct[-1], TriageFinished)
    one_by_one = len(loopback.requests)
    home = tmp_path / "batch"
    events = await begun(home, request)
    waiting = events[-1]
    assert isinstance(waiting, TriageWaiting)
    assert (waiting.batches, waiting.requests, waiting.left) == (1, len(NEURONS), len(NEURONS))
    async with opened(home) as engine:
        status = engine.triages().status()
        assert status is not None and status.standing is Standing.WAITING and status.resumable
        assert f"at {vendor}: 0 of 2 requests answered" in status.stored.note
    # Still running: nothing is sent, and how far it is is told.
    loopback.batches.work(0.5)
    again = (await resumed(home))[-1]
    assert isinstance(again, TriageWaiting)
    assert again.answered == (1 if vendor == "openai" else 0)  # Anthropic doesn't say before
    events, rounds = await to_the_end(home, loopback)
    assert rounds == 2 and isinstance(events[-1], TriageFinished)
    assert len(loopback.requests) == one_by_one  # nothing went another way
    assert not sent_twice(loopback)
    assert len(loopback.batches.asked) == one_by_one
    assert await found(home) == await found(tmp_path / "direct")
    async with opened(home) as engine:
        status = engine.triages().status()
        assert status is not None and status.standing is Standing.FINISHED
        assert status.stored.usage.requests == one_by_one
    async with opened(tmp_path / "direct") as engine:
        before = engine.triages().status()
        assert before is not None
        assert status.stored.usage.tokens == before.stored.usage.tokens
    written = b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
    assert SECRET.encode() not in written


async def test_the_best_of_several_is_chosen_as_if_asked_directly(
    loopback: Loopback, tmp_path: Path
) -> None:
    request = asking("anthropic", samples=2, calibration="linear")
    loopback.brain = lambda seen: says(seen) if "Responds" in seen.text else drawn(seen)
    await begun(tmp_path / "direct", replace(request, batch=False))
    one_by_one = len(loopback.requests)
    home = tmp_path / "batch"
    await begun(home, request)
    events, rounds = await to_the_end(home, loopback)
    # Explanations; their scores on valid; calibration, test and another neuron's.
    assert rounds == 3 and isinstance(events[-1], TriageFinished)
    assert not [one for one in sent_twice(loopback) if "Responds" in one]
    assert len(loopback.batches.asked) == one_by_one
    assert await found(home) == await found(tmp_path / "direct")


def drawn(seen: Seen) -> Script:
    return f"words of length {len(seen.text) % 7}"


# ------------------------------------------------------------------ killed at any point


COMMAND = [sys.executable, "-m", "tui", "triage", *map(str, NEURONS), "--batch", "--json"]


def submitting(home: Path, vendor: str) -> subprocess.Popen[bytes]:
    """The command, in a process that can be killed."""
    home.mkdir(exist_ok=True)
    write_pointer(home, FOLDER)
    options = ["--explainer", "summary", "--simulator", "json", "--model", f"{vendor}:tester"]
    return subprocess.Popen(
        [*COMMAND, *options, "--home", str(home)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )


async def test_killed_between_submission_and_collection(loopback: Loopback, tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = submitting(home, "anthropic")
    assert loopback.batches.taken.wait(60)
    # It is killed while it waits for nothing any more, or after its end: alike.
    process.send_signal(signal.SIGKILL)
    process.communicate()
    events, _ = await to_the_end(home, loopback)
    assert isinstance(events[-1], TriageFinished) and events[-1].done == len(NEURONS)
    assert not sent_twice(loopback)
    assert not loopback.requests


@pytest.mark.parametrize("vendor", VENDORS)
async def test_killed_between_the_vendors_acceptance_and_our_note(
    vendor: str, loopback: Loopback, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    loopback.batches.hold = threading.Event()  # it is taken, and the answer never comes
    process = submitting(home, vendor)
    assert loopback.batches.taken.wait(60)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    loopback.batches.hold.set()
    loopback.batches.hold = None
    assert len(loopback.batches.held) == 1
    async with opened(home) as engine:
        status = engine.triages().status()
        assert status is not None and status.standing is Standing.INTERRUPTED
    waiting = (await resumed(home))[-1]
    assert isinstance(waiting, TriageWaiting) and waiting.requests == len(NEURONS)
    assert len(loopback.batches.held) == 1  # found again
    events, _ = await to_the_end(home, loopback)
    assert isinstance(events[-1], TriageFinished) and events[-1].done == len(NEURONS)
    assert not sent_twice(loopback)


async def test_killed_before_the_vendor_took_it(loopback: Loopback, tmp_path: Path) -> None:
    home = tmp_path / "home"
    loopback.batches.refuse.append((500, "down", "api_error"))
    [*_, failed] = await begun(home, asking("openai"))
    assert isinstance(failed, TriageFailed) and "not known whether it took" in failed.message
    events, _ = await to_the_end(home, loopback)
    assert isinstance(events[-1], TriageFinished) and events[-1].done == len(NEURONS)
    assert not sent_twice(loopback)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_an_answer_that_was_lost(vendor: str, loopback: Loopback, tmp_path: Path) -> None:
    home = tmp_path / "home"
    loopback.batches.lose = 1
    [*_, failed] = await begun(home, asking(vendor))
    assert isinstance(failed, TriageFailed)
    assert "not known whether it took the batch" in failed.message
    assert "nothing twice" in failed.remedy
    events, _ = await to_the_end(home, loopback)
    assert isinstance(events[-1], TriageFinished) and events[-1].done == len(NEURONS)
    assert not sent_twice(loopback)


async def test_somebody_elses_batch_of_the_same_size_is_told_apart(
    loopback: Loopback, tmp_path: Path
) -> None:
    home, desk = tmp_path / "home", loopback.batches
    desk.refuse.append((500, "down", "api_error"))
    [*_, failed] = await begun(home, asking("anthropic"))
    assert isinstance(failed, TriageFailed)
    body = {"model": "tester", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    others = [{"custom_id": f"other-{n}", "params": body} for n in range(len(NEURONS))]
    desk.post("/v1/messages/batches", {}, json.dumps({"requests": others}).encode())
    waiting = (await resumed(home))[-1]
    assert isinstance(waiting, TriageWaiting)
    assert "its results will tell" in waiting.note and len(desk.held) == 1
    desk.work()
    waiting = (await resumed(home))[-1]  # it was not ours, so ours is sent
    assert isinstance(waiting, TriageWaiting) and len(desk.held) == 2
    events, _ = await to_the_end(home, loopback)
    assert isinstance(events[-1], TriageFinished) and events[-1].done == len(NEURONS)
    assert not [one for one in sent_twice(loopback) if '"hi"' not in one]


# ------------------------------------------------------------------ what goes wrong in parts


@pytest.mark.parametrize("vendor", VENDORS)
async def test_what_a_batch_has_not_answered_is_queued_again(
    vendor: str, loopback: Loopback, tmp_path: Path
) -> None:
    home, desk = tmp_path / "home", loopback.batches
    await begun(home, asking(vendor))
    desk.work()
    waiting = (await resumed(home))[-1]
    assert isinstance(waiting, TriageWaiting)
    first = waiting.requests
    asked = len(desk.asked)
    fates: list[Script | None] = ["expired", Status(500, "down", "api_error"), "canceled"]

    def fate(seen: Seen) -> Script | None:
        return fates.pop() if fates else None

    desk.fate = fate
    desk.work()
    waiting = (await resumed(home))[-1]
    assert isinstance(waiting, TriageWaiting) and waiting.requests == 3
    assert f"{first - 3} replies collected, 3 requests queued again" in waiting.note
    assert len(desk.asked) == asked + 3
    events, _ = await to_the_end(home, loopback)
    assert isinstance(events[-1], TriageFinished) and events[-1].done == len(NEURONS)
    assert all(desk.asked.count(one) <= 2 for one in desk.asked)
    for whole in (await found(home)).values():
        assert all(score.coverage == 1 for score in whole[2])


async def test_a_batch_that_expired_half_done(loopback: Loopback, tmp_path: Path) -> None:
    home, desk = tmp_path / "home", loopback.batches
    await begun(home, asking("openai"))
    desk.work()
    waiting = (await resumed(home))[-1]
    assert isinstance(waiting, TriageWaiting)
    desk.work(0.5, end="expired")
    again = (await resumed(home))[-1]
    assert isinstance(again, TriageWaiting)
    assert again.requests == waiting.requests - round(waiting.requests / 2)
    assert "queued again (openai did not get to this request within a day" in again.note
    events, _ = await to_the_end(home, loopback)
    assert isinstance(events[-1], TriageFinished) and events[-1].done == len(NEURONS)


async def test_a_request_that_always_fails_is_given_up(loopback: Loopback, tmp_path: Path) -> None:
    home, desk = tmp_path / "home", loopback.batches
    unlucky: list[str] = []

    def fate(seen: Seen) -> Script | None:
        if "Responds to:" in seen.text:
            return None
        unlucky.append(seen.text)
        return Status(500, "down", "api_error") if seen.text == unlucky[0] else None

    desk.fate = fate
    await begun(home, asking("anthropic"))
    events, rounds = await to_the_end(home, loopback)
    assert rounds == 3 and isinstance(events[-1], TriageFinished)
    assert (events[-1].done, events[-1].failed) == (1, 1)
    [failed] = [event for event in events if isinstance(event, NeuronFailed)]
    assert "has a fault of its own: down" in failed.message
    assert unlucky.count(unlucky[0]) == 3
    # A new run asks once more.
    desk.fate = lambda seen: None
    await begun(home, asking("anthropic"))
    events, _ = await to_the_end(home, loopback)
    assert isinstance(events[-1], TriageFinished) and events[-1].done == 1


async def test_what_a_model_refuses_is_left_out_from_then_on(
    loopback: Loopback, tmp_path: Path
) -> None:
    home, desk = tmp_path / "home", loopback.batches

    def fate(seen: Seen) -> Script | None:
        if "temperature" not in seen.body:
            return None
        words = "Unsupported parameter: 'temperature' is not supported with this model."
        return Status(400, words, "invalid_request_error", param="temperature")

    desk.fate = fate
    await begun(home, asking("openai"))
    events, rounds = await to_the_end(home, loopback)
    # One round to learn it; the next processes know it already.
    assert (
        rounds == 3 and isinstance(events[-1], TriageFinished) and events[-1].done == len(NEURONS)
    )
    assert sum('"temperature"' in one for one in desk.asked) == len(NEURONS)


async def test_a_model_that_thinks_gets_room(loopback: Loopback, tmp_path: Path) -> None:
    home = tmp_path / "home"

    def brain(seen: Seen) -> Script:
        return says(seen) if seen.body["max_tokens"] > 4000 else Says("", finish="length")

    loopback.brain = brain
    await begun(home, asking("anthropic"))
    events, rounds = await to_the_end(home, loopback)
    assert (
        rounds == 3 and isinstance(events[-1], TriageFinished) and events[-1].done == len(NEURONS)
    )
    async with opened(home) as engine:
        status = engine.triages().status()
        assert status is not None
        assert status.stored.usage.requests == len(loopback.batches.asked)  # all are paid for


async def test_a_batch_that_is_too_large_is_split(
    loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setattr("engine.models.anthropic_batch.AnthropicBatches.most_requests", 20)
    monkeypatch.setattr("engine.models.openai_batch.OpenAIBatches.most_bytes", 40_000)
    await begun(home, asking("anthropic"))
    loopback.batches.work()
    waiting = (await resumed(home))[-1]
    assert isinstance(waiting, TriageWaiting)
    assert waiting.batches == -(-waiting.requests // 20)
    await to_the_end(home, loopback)
    other = tmp_path / "other"
    await begun(other, asking("openai"))
    loopback.batches.work()
    waiting = (await resumed(other))[-1]
    assert isinstance(waiting, TriageWaiting) and waiting.batches > 1
    await to_the_end(other, loopback)
    assert await found(other) != {}


async def test_two_vendors_in_one_run(
    loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, desk = tmp_path / "home", loopback.batches
    both = choices("openai", simulator_model="anthropic:tester", scorers=())
    await begun(home, TriageRequest(neurons=NEURONS, choices=both, batch=True))
    # One explanation is late, so both vendors have a batch at the same time.
    late = ["expired"]
    desk.fate = lambda seen: late.pop() if late else None
    desk.work()
    waiting = (await resumed(home))[-1]
    assert isinstance(waiting, TriageWaiting) and waiting.batches == 2
    assert "at anthropic, openai:" in waiting.note
    desk.work()
    # One of them can't be reached: the other's replies are filed all the same.
    monkeypatch.setenv("NEUROGLASS_ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    [*_, failed] = await resumed(home)
    assert isinstance(failed, TriageFailed) and "anthropic can't be reached" in failed.message
    monkeypatch.setenv("NEUROGLASS_ANTHROPIC_BASE_URL", loopback.url)
    events, rounds = await to_the_end(home, loopback)
    assert rounds == 2 and isinstance(events[-1], TriageFinished)
    assert events[-1].done == len(NEURONS)
    assert all(desk.asked.count(one) <= 1 + ("Responds" not in one) for one in desk.asked)


async def test_a_waiting_run_is_found_behind_a_finished_one(
    loopback: Loopback, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    await begun(home, asking("openai"))
    other = await begun(home, TriageRequest(neurons=(NeuronId(3, 3),)))
    assert isinstance(other[-1], TriageFinished)
    async with opened(home) as engine:
        status = engine.triages().status()
        assert status is not None and status.standing is Standing.WAITING
    # The same run, asked for once more, sends nothing either.
    assert isinstance((await begun(home, asking("openai")))[-1], TriageWaiting)
    assert len(loopback.batches.held) == 1
    events, _ = await to_the_end(home, loopback)
    assert isinstance(events[-1], TriageFinished) and not sent_twice(loopback)


# ------------------------------------------------------------------ limits and refusals


async def test_a_budget_is_never_passed(loopback: Loopback, tmp_path: Path) -> None:
    home = tmp_path / "home"
    prices = {"openai:tester": Price(1000.0, 1000.0)}
    await begun(home, asking("openai", budget_money=6.0, prices=prices))
    spent = 0.0
    for _ in range(30):
        loopback.batches.work()
        last = (await resumed(home))[-1]
        async with opened(home) as engine:
            status = engine.triages().status()
            assert status is not None and status.stored.money is not None
            spent = status.stored.money
            tokens = status.stored.usage.tokens
        assert spent == pytest.approx(tokens * 500 / 1e6)  # half the price
        assert spent <= 6.0
        if not isinstance(last, TriageWaiting):
            break
    assert isinstance(last, TriageFailed) and "budget of 6 would be passed" in last.message
    assert spent > 4.0
    assert not sent_twice(loopback)


async def test_refusals_are_one_clear_line(
    loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROGLASS_VLLM_BASE_URL", f"{loopback.url}/v1")
    home = tmp_path / "home"
    with pytest.raises(LanguageModelError, match=r"vllm has no batch API.*--batch"):
        await begun(home, asking("vllm"))
    with pytest.raises(UsageError, match="A batch needs a language model"):
        await begun(home, TriageRequest(neurons=NEURONS, batch=True))
    with pytest.raises(UsageError, match="can't be sent offline"):
        await begun(home, replace(asking("openai"), offline=True))
    monkeypatch.setattr(batch_desk, "POLICY", RetryPolicy(tries=1))
    loopback.batches.refuse.append((401, f"Incorrect API key: {SECRET}", "authentication_error"))
    [*_, failed] = await begun(home, asking("anthropic"))
    assert isinstance(failed, TriageFailed) and failed.exit_code == 9
    assert "does not accept the key" in failed.message and SECRET not in failed.message
    loopback.batches.refuse.append((429, "slow down", "rate_limit_error"))
    [*_, failed] = await resumed(home)
    assert isinstance(failed, TriageFailed) and "fewer requests: slow down" in failed.message
    waiting = (await resumed(home))[-1]
    assert isinstance(waiting, TriageWaiting) and len(loopback.batches.held) == 1
    monkeypatch.setenv("NEUROGLASS_ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    [*_, failed] = await resumed(home)
    assert isinstance(failed, TriageFailed) and "anthropic can't be reached" in failed.message
    monkeypatch.setenv("NEUROGLASS_ANTHROPIC_BASE_URL", loopback.url)
    events, _ = await to_the_end(home, loopback)
    assert isinstance(events[-1], TriageFinished) and not sent_twice(loopback)


async def test_a_batch_that_the_vendor_refuses_as_a_whole(
    loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    await begun(home, asking("openai"))
    [held] = loopback.batches.held.values()
    held.phase = "failed"
    held.reason = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached."}
    monkeypatch.setattr(batch_desk, "POLICY", RetryPolicy(tries=1))
    [*_, failed] = await resumed(home)
    assert isinstance(failed, TriageFailed)
    assert "took no batch: Enqueued token limit" in failed.message
    events, _ = await to_the_end(home, loopback)
    assert isinstance(events[-1], TriageFinished) and events[-1].done == len(NEURONS)


async def test_a_batch_that_the_vendor_does_not_know(loopback: Loopback, tmp_path: Path) -> None:
    home = tmp_path / "home"
    await begun(home, asking("openai"))
    loopback.batches.held.clear()
    [*_, failed] = await resumed(home)
    assert isinstance(failed, TriageFailed)
    assert "does not know the batch batch_1" in failed.message and "--cancel" in failed.remedy
    async with opened(home) as engine:
        assert await engine.triages().cancel() == 0
    loopback.batches.asked.clear()
    assert isinstance((await resumed(home))[-1], TriageWaiting)
    events, _ = await to_the_end(home, loopback)
    assert isinstance(events[-1], TriageFinished)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_batch_that_was_canceled_is_collected_as_far_as_it_came(
    vendor: str, loopback: Loopback, tmp_path: Path
) -> None:
    home, desk = tmp_path / "home", loopback.batches
    await begun(home, asking(vendor))
    desk.work()
    await resumed(home)
    [held] = [one for one in desk.held.values() if one.phase == "running"]
    desk.work(0.5)
    async with opened(home) as engine:
        assert await engine.triages().cancel() == 1
        status = engine.triages().status()
        assert status is not None and status.standing is Standing.STOPPED
        assert status.resumable and "canceled" in status.stored.note
    assert held.phase == "canceling"
    waiting = (await resumed(home))[-1]  # it takes some minutes
    assert isinstance(waiting, TriageWaiting) and "1 being canceled" in waiting.note
    asked = len(desk.asked)
    desk.work()
    waiting = (await resumed(home))[-1]
    assert isinstance(waiting, TriageWaiting)
    answered = held.count("succeeded")
    assert 0 < answered < len(held.requests)
    assert waiting.requests == len(desk.asked) - asked == len(held.requests) - answered
    events, _ = await to_the_end(home, loopback)
    assert isinstance(events[-1], TriageFinished) and events[-1].done == len(NEURONS)


# ------------------------------------------------------------------ the command line


def test_the_command_line(loopback: Loopback, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    write_pointer(home, FOLDER)
    model = ["--explainer", "summary", "--simulator", "json", "--model", "openai:tester"]
    prices = ["--price", "2/8"]

    def run(*args: str) -> Result:
        found = CliRunner().invoke(cli, ["triage", *args, "--home", str(home)], prog_name="n")
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found

    halves = [
        json.loads(run("1:3", *model, *prices, *more, "--estimate", "--json").stdout)["money"]
        for more in ([], ["--batch"])
    ]
    assert halves[1] == pytest.approx(halves[0] / 2, rel=1e-3)
    told = run("1:3", *model, *prices, "--batch", "--estimate").stdout
    assert "at the price of a batch" in told and "within a day" in told
    sent = run("1:3", "2:5", *model, "--batch")
    assert sent.exit_code == 0, sent.output
    assert "1 batch at openai: 0 of 2 requests answered" in sent.stderr
    assert "collect with: neuroglass triage --resume" in sent.stderr
    status = run("--status")
    assert ": waiting" in status.stdout and "0 of 2 requests answered" in status.stdout
    assert json.loads(run("--status", "--json").stdout)["standing"] == "waiting"
    loopback.batches.work()
    collected = run("--resume", "--json")
    last = json.loads(collected.stdout.splitlines()[-1])
    assert last["event"] == "TriageWaiting" and last["requests"] > 10
    assert run("--cancel").exit_code == 0
    assert "stopped" in run("--status").stdout
    loopback.batches.work()
    run("--resume")
    loopback.batches.work()
    done = run("--resume")
    assert "2 explained in" in done.stderr, done.output
    assert "No batch is under way" in run("--cancel").stderr
    assert ": finished" in run("--status").stdout
    for wrong in (["--resume", "--batch"], ["--cancel", "1:3"], ["--cancel", "--stop"]):
        assert run(*wrong).exit_code == 2
    assert run("1:3", "--batch").exit_code == 2  # no model at all
    assert "no batch API" in run("5:1", *model[:-1], "vllm:m", "--batch").stderr
