"""A real OpenAI-compatible server that this project did not write: ``transformers serve``."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.choices import Choices
from engine.demo import MODEL_DIR
from engine.engine import Engine
from engine.events import RecordSimulated, Scored
from engine.models.connect import connect
from engine.models.faults import Fault, LanguageModelError
from engine.models.request import Delta, Finish, Message, Reply, Request
from engine.neuron import NeuronId
from engine.score import ScoreStatus
from engine.simulation import SimulationStatus

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
ASK = Request((Message("system", "Be brief."), Message("user", "Hello there")), max_tokens=9)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights and a chat template, built on the spot."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("served") / "tiny"
    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR, local_files_only=True)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def served(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's model as a user names it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cache = tmp_path_factory.mktemp("hub")
    log = cache / "serve.log"
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(checkpoint)]
    with log.open("w") as out:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(cache), "COLUMNS": "200"},
            stdout=out,
            stderr=out,
        )
    try:
        for _ in range(600):
            assert server.poll() is None, log.read_text()[-2000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        else:
            pytest.fail(f"it never answered:\n{log.read_text()[-2000:]}")
        yield f"http://127.0.0.1:{port}/v1#{checkpoint}"
    finally:
        server.terminate()
        server.wait(10)


async def test_it_streams_counts_and_stops_at_the_limit(served: str) -> None:
    model = connect(served)
    pieces = [piece async for piece in model.stream(ASK)]
    await model.close()
    reply = pieces[-1]
    assert isinstance(reply, Reply) and reply.finish is Finish.LENGTH
    assert len(pieces) > 3
    assert "".join(p.text for p in pieces if isinstance(p, Delta)) == reply.text
    assert reply.usage.output_tokens == 9 and reply.usage.input_tokens > 5


async def test_what_it_can_not_do_is_found_out(served: str, checkpoint: Path) -> None:
    model = connect(served)
    can = await model.capabilities()
    assert not can.prompt_logprobs
    with pytest.raises(LanguageModelError) as caught:
        await model.complete(Request(ASK.messages, max_tokens=2, top_logprobs=3))
    await model.close()
    assert caught.value.fault is Fault.UNSUPPORTED
    other = connect(served.replace(str(checkpoint), "/nowhere/at-all"))
    with pytest.raises(LanguageModelError) as caught:
        await other.complete(ASK)
    await other.close()
    assert caught.value.fault is Fault.UNKNOWN_MODEL


async def test_nonsense_is_explained_and_its_failures_are_no_zeros(served: str, home: Path) -> None:
    """A model with random weights writes words, but no JSON: a failed score, not a bad one."""
    choices = Choices(explainer="summary", explainer_model=served, simulator="json", chance=False)
    async with await Engine.open(home) as engine:
        events = [event async for event in engine.explain(NeuronId(1, 17), choices)]
    last = events[-1]
    assert isinstance(last, Scored) and last.explanation.text
    records = [event.record for event in events if isinstance(event, RecordSimulated)]
    assert {r.simulation.status for r in records} == {SimulationStatus.FAILED}
    assert last.card.score().status is ScoreStatus.FAILED
    assert last.card.score().coverage == 0 and last.card.score().ev_correlation is None
    assert last.card.usage.requests >= 2 * len(records)
