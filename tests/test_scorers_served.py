"""Scorers through the vendors' SDKs and everything in front of them, against a local server.

The server's replies come from the questions.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback.server import Loopback, Seen, Status

from engine.explanation import Explanation
from engine.index import Index
from engine.judgement import Judgement, Scorer
from engine.lab import Lab
from engine.models.anthropic_api import AnthropicModel
from engine.models.budget import Meter
from engine.models.faults import Fault, LanguageModelError
from engine.models.metered import MeteredModel
from engine.models.model import LanguageModel
from engine.models.openai_api import OpenAIModel
from engine.models.replies import Replies
from engine.neuron import NeuronId
from engine.paths import read_pointer
from engine.score import ScoreStatus
from engine.scorers.detection import DetectionScorer
from engine.scorers.fuzzing import FuzzingScorer
from engine.scorers.generation import GenerationScorer
from engine.scorers.texts import TextPool
from engine.splits import split_records

NEURON = NeuronId(3, 276)
EXPLANATION = Explanation(NEURON, "places where it rains", "hand-written")


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@pytest.fixture(scope="module")
def lab(demo_home: Path) -> Iterator[Lab]:
    path = read_pointer(demo_home)
    assert path is not None
    lab = Lab.of(Index.open(path))
    yield lab
    asyncio.run(lab.close())


@pytest.fixture(scope="module")
def pool(demo_home: Path, lab: Lab) -> TextPool:
    path = read_pointer(demo_home)
    assert path is not None
    record = Index.open(path).neuron(NEURON)
    return TextPool(record, split_records(record), "valid", lab=lab)


def bare(server: Loopback, api: str) -> LanguageModel:
    if api == "anthropic":
        return AnthropicModel("tester", api_key="k", base_url=server.url)
    kind: Any = api
    return OpenAIModel("tester", api_key="k", base_url=f"{server.url}/v1", api=kind)


def connected(
    server: Loopback, api: str = "chat", replies: Replies | None = None, offline: bool = False
) -> MeteredModel:
    return MeteredModel(bare(server, api), replies=replies, meter=Meter(), offline=offline)


async def judged(scorer: Scorer) -> Judgement:
    *_, last = [piece async for piece in scorer.judge(EXPLANATION, None)]
    assert isinstance(last, Judgement)
    return last


def texts(seen: Seen) -> dict[str, str]:
    """The numbered texts of a question, whichever way the vendor wraps its words."""
    content = (seen.body.get("messages") or seen.body["input"])[-1]["content"]
    question = content if isinstance(content, str) else content[0]["text"]
    return {n: json.loads(t) for n, t in re.findall(r"^(\d+): (\".*\")$", question, re.MULTILINE)}


def constant(seen: Seen) -> str:
    return json.dumps(dict.fromkeys(texts(seen), 10))


@pytest.mark.parametrize("api", ["chat", "responses", "anthropic"])
@pytest.mark.parametrize("kind", [DetectionScorer, FuzzingScorer])
async def test_an_oracle_a_constant_and_garbage_at_the_other_end(
    kind: type[DetectionScorer | FuzzingScorer], api: str, server: Loopback, pool: TextPool
) -> None:
    server.brain = constant
    model = connected(server, api)
    found = await judged(kind(model, pool))
    assert {measure.value for measure in found.measures} == {0.5}
    assert found.usage.requests == len(server.requests) == 8
    assert found.usage.measured
    assert found.usage.input_tokens > 8 * 200
    key = {item.text: item.truth for item in found.items}

    def oracle(seen: Seen) -> str:
        return json.dumps({n: round(10 * key[t]) for n, t in texts(seen).items()})

    server.brain = oracle
    right = await judged(kind(model, pool))
    assert {measure.value for measure in right.measures} == {1.0}
    assert {(m.status, m.coverage) for m in right.measures} == {(ScoreStatus.OK, 1.0)}
    server.brain = lambda _seen: "It depends."
    nothing = await judged(kind(model, pool))
    assert (nothing.headline.status, nothing.headline.coverage) == (ScoreStatus.FAILED, 0)
    assert nothing.headline.value is None
    await model.close()


async def test_written_texts_go_to_the_subject_model(
    server: Loopback, pool: TextPool, lab: Lab
) -> None:
    written = [f"Line {number}: nothing to see." for number in range(10)]
    server.brain = lambda _seen: json.dumps({"texts": written})
    model = connected(server)
    found = await judged(GenerationScorer(model, lab, pool))
    assert found.headline.coverage == 1
    read = await lab.activations(NEURON, written)
    fires_at = (await pool.material()).thresholds.firing
    assert [item.truth for item in found.items] == [one.peak >= fires_at for one in read]
    assert [item.text for item in found.items] == written
    schema = server.requests[0].body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["texts"]
    await model.close()


async def test_a_finished_judgement_replays_without_a_request(
    server: Loopback, pool: TextPool, tmp_path: Path
) -> None:
    server.brain = constant
    replies = Replies.open(tmp_path / "replies.db")
    model = connected(server, replies=replies)
    first = await judged(DetectionScorer(model, pool))
    sent = len(server.requests)
    offline = connected(server, replies=replies, offline=True)
    again = await judged(DetectionScorer(offline, pool))
    assert len(server.requests) == sent
    assert again.measures == first.measures
    assert again.usage.requests == 0
    await model.close()
    await offline.close()
    await replies.close()


async def test_a_wrong_key_ends_the_judgement(server: Loopback, pool: TextPool) -> None:
    server.brain = lambda _seen: Status(401, "no such key")
    model = connected(server)
    with pytest.raises(LanguageModelError) as failure:
        await judged(DetectionScorer(model, pool))
    assert failure.value.fault is Fault.WRONG_KEY
    assert len(server.requests) <= 4
    await model.close()
