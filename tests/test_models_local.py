"""Local models: exact log-probabilities, generation, and where both must stop."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from engine.demo import MODEL_DIR
from engine.models.faults import Fault, LanguageModelError
from engine.models.json_reply import first_json
from engine.models.local import LocalModel
from engine.models.request import Delta, Finish, Message, PromptRequest, Reply, Request

VALUES = tuple(str(number) for number in range(11))
RECORD = "Once upon a time\tunknown\n there\t3\n日本\t10\n<|endoftext|>\tunknown\n lived\t0\n"


@pytest.fixture(scope="module")
def shared() -> LocalModel:
    return LocalModel.load("demo")


@pytest.fixture
async def model() -> AsyncIterator[LocalModel]:
    """One that has read nothing before."""
    own = LocalModel.load("demo")
    yield own
    await own.close()


@pytest.fixture(scope="module")
def direct() -> Any:
    """(ids -> log-probabilities of all positions, the tokenizer), by transformers alone."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))
    tokenizer.encode_special_tokens = True

    def logprobs(ids: list[int]) -> Any:
        with torch.inference_mode():
            return network(torch.tensor([ids])).logits[0].double().log_softmax(-1)

    return logprobs, tokenizer


def ask(text: str, **settings: Any) -> Request:
    return Request((Message("user", text),), **settings)


def checkpoint(folder: Path, **changes: Any) -> str:
    """A copy of the demo model with other facts in its JSON files; weights are linked."""
    folder.mkdir()
    for path in MODEL_DIR.iterdir():
        if path.suffix == ".safetensors":
            (folder / path.name).symlink_to(path)
        elif path.suffix == ".json":
            facts = json.loads(path.read_text("utf-8"))
            facts.update(changes.get(path.stem, {}))
            (folder / path.name).write_text(json.dumps(facts), "utf-8")
    return str(folder)


# ---------------------------------------------------------------- log-probabilities


async def test_prompt_logprobs_equal_a_direct_computation(shared: LocalModel, direct: Any) -> None:
    logprobs, tokenizer = direct
    reply = await shared.prompt_logprobs(
        PromptRequest(RECORD, start=0, top_logprobs=15, values=VALUES)
    )
    ids = tokenizer.encode(RECORD).ids
    assert len(reply.tokens) == len(ids)
    assert reply.tokens[0].top == {}, "nothing stands before the first token"
    whole = logprobs(ids)
    worst = 0.0
    for place in range(1, len(ids)):
        row, token = whole[place - 1], reply.tokens[place]
        for value in VALUES:
            worst = max(worst, abs(token.top[value] - float(row[tokenizer.token_to_id(value)])))
        best = sorted((v for k, v in token.top.items() if k not in VALUES), reverse=True)
        assert len(token.top) >= 15
        assert best[0] <= float(row.max()) + 1e-4
        worst = max(worst, abs(max(token.top.values()) - float(row.max())))
    assert worst < 1e-4, worst
    assert reply.usage.input_tokens == len(ids) and reply.usage.requests == 1


async def test_tokens_of_a_prompt_join_to_its_bytes_and_know_their_places(
    shared: LocalModel,
) -> None:
    reply = await shared.prompt_logprobs(PromptRequest(RECORD, top_logprobs=0))
    raw = b"".join(
        token.text.encode().decode("unicode_escape").encode("latin-1")
        if token.text.startswith("\\x")
        else token.text.encode()
        for token in reply.tokens
    )
    assert raw.decode() == RECORD
    for token in reply.tokens:
        if not token.text.startswith("\\x"):
            assert RECORD.startswith(token.text, token.start)
    marks = [t for t in reply.tokens if t.text == "<|endoftext|>"]
    assert not marks, "a mark inside a text is only text"


async def test_distributions_begin_at_the_token_that_holds_the_character(
    shared: LocalModel,
) -> None:
    whole = (await shared.prompt_logprobs(PromptRequest(RECORD))).tokens
    for start in (RECORD.index("日"), RECORD.index("known"), RECORD.index("\t10") + 1, 9999):
        part = (await shared.prompt_logprobs(PromptRequest(RECORD, start=start))).tokens
        first = part[0]
        assert first.start <= start
        assert [t.text for t in part] == [t.text for t in whole[-len(part) :]]
        before = whole[-len(part) - 1]
        assert before.start < first.start, "all pieces of one character belong together"
        assert part[-1].top == pytest.approx(whole[-1].top, abs=1e-4)


async def test_a_common_start_is_read_once_and_changes_nothing(model: LocalModel) -> None:
    prefix = "The neuron looks for places.\n" + "".join(f"word{n}\t{n % 3}\n" for n in range(20))
    texts = [prefix + f"Record {n}:\n London\tunknown\n is\tunknown\n" for n in range(4)]
    fresh = LocalModel.load("demo")
    worst = 0.0
    for number, text in enumerate(texts):
        request = PromptRequest(text, start=len(prefix), values=VALUES)
        reused = await model.prompt_logprobs(request)
        # Another text in between, so that nothing is shared.
        await fresh.prompt_logprobs(PromptRequest("zzz"))
        alone = await fresh.prompt_logprobs(request)
        assert alone.usage.cached_input_tokens == 0
        if number:
            assert reused.usage.cached_input_tokens >= model.count_tokens(prefix) - 1
        assert [t.text for t in reused.tokens] == [t.text for t in alone.tokens]
        for one, other in zip(reused.tokens, alone.tokens, strict=True):
            worst = max(worst, *(abs(one.top[v] - other.top[v]) for v in VALUES))
    assert worst < 1e-4, worst
    await fresh.close()


async def test_values_of_several_tokens_are_followed_up(tmp_path: Path, direct: Any) -> None:
    logprobs, _ = direct
    facts = json.loads((MODEL_DIR / "tokenizer.json").read_text("utf-8"))["model"]
    facts["merges"] = [m for m in facts["merges"] if m not in (["1", "0"], "1 0")]
    name = checkpoint(tmp_path / "no-ten", tokenizer={"model": facts})
    model = LocalModel.load(name)
    try:
        assert model.unscored(VALUES) == ()
        text = "1 2 3 4 5 6 7 8 9 10\n5\t10\n7\t10\n8\t"
        reply = await model.prompt_logprobs(PromptRequest(text + "1", values=VALUES))
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(f"{name}/tokenizer.json")
        ids = tokenizer.encode(text).ids
        one, zero = tokenizer.token_to_id("1"), tokenizer.token_to_id("0")
        first = math.exp(float(logprobs(ids)[-1][one]))
        ten = first * math.exp(float(logprobs([*ids, one])[-1][zero]))
        top = reply.tokens[-1].top
        assert math.exp(top["10"]) == pytest.approx(ten, abs=1e-6, rel=1e-3)
        assert math.exp(top["1"]) == pytest.approx(first - ten, abs=1e-6, rel=1e-3)
        # The cache was cut back meanwhile: the next text must not notice.
        again = await model.prompt_logprobs(PromptRequest(text + "1", values=VALUES))
        assert again.tokens[-1].top == pytest.approx(top, abs=1e-4)
    finally:
        await model.close()


async def test_a_text_that_does_not_fit_is_refused_with_both_numbers(shared: LocalModel) -> None:
    text = "word " * 400
    count = shared.count_tokens(text)
    for work in (
        shared.prompt_logprobs(PromptRequest(text)),
        shared.complete(ask(text)),
    ):
        with pytest.raises(LanguageModelError) as caught:
            await work
        assert caught.value.fault is Fault.TOO_LONG
        assert "256" in caught.value.message
    assert count > 256 and str(count) in str((await _error(shared, text)).message)


async def _error(model: LocalModel, text: str) -> LanguageModelError:
    with pytest.raises(LanguageModelError) as caught:
        await model.prompt_logprobs(PromptRequest(text))
    return caught.value


# ---------------------------------------------------------------- generation


async def test_pieces_arrive_one_by_one_and_make_the_reply(shared: LocalModel) -> None:
    pieces = [p async for p in shared.stream(ask("Once upon a time", max_tokens=20))]
    *deltas, reply = pieces
    assert isinstance(reply, Reply) and all(isinstance(d, Delta) for d in deltas)
    assert len(deltas) > 5
    assert "".join(d.text for d in deltas if isinstance(d, Delta)) == reply.text
    assert reply.usage.output_tokens == 20 and reply.finish is Finish.LENGTH


async def test_the_likeliest_tokens_are_taken_without_a_temperature(
    shared: LocalModel, direct: Any
) -> None:
    logprobs, tokenizer = direct
    reply = await shared.complete(ask("The king of", max_tokens=8, top_logprobs=3))
    ids = tokenizer.encode("User: The king of\n\nAssistant:").ids
    for token in reply.tokens:
        row = logprobs(ids)[-1]
        best = int(row.argmax())
        assert max(token.top.values()) == pytest.approx(float(row[best]), abs=1e-4)
        assert len(token.top) == 3
        ids.append(best)
    assert reply.text == tokenizer.decode(ids[-8:])


async def test_a_seed_repeats_a_draw_whatever_was_asked_before(
    shared: LocalModel, model: LocalModel
) -> None:
    request = ask("Once upon a time", max_tokens=24, temperature=1.0, seed=7)
    first = await shared.complete(request)
    await shared.complete(ask("Once upon a", max_tokens=5))
    assert (await shared.complete(request)).text == first.text
    assert (await model.complete(request)).text == first.text
    others = {
        (
            await shared.complete(ask("Once upon a time", max_tokens=24, temperature=1.0, seed=s))
        ).text
        for s in range(4)
    }
    assert len(others | {first.text}) == 5


async def test_top_p_of_nothing_is_greedy(shared: LocalModel) -> None:
    greedy = await shared.complete(ask("Once upon a time", max_tokens=12))
    narrow = await shared.complete(
        ask("Once upon a time", max_tokens=12, temperature=1.5, top_p=0.0, seed=1)
    )
    wide = await shared.complete(ask("Once upon a time", max_tokens=12, temperature=1.5, seed=1))
    assert narrow.text == greedy.text != wide.text


async def test_a_stop_ends_the_reply_and_never_shows(shared: LocalModel) -> None:
    whole = await shared.complete(ask("Once upon a time", max_tokens=30, temperature=1.0, seed=3))
    # Two letters across a border of words: they come in different tokens.
    at = whole.text.index(" ", len(whole.text) // 2)
    stop = whole.text[at - 1 : at + 2]
    request = ask("Once upon a time", max_tokens=30, temperature=1.0, seed=3, stop=(stop,))
    pieces = [p async for p in shared.stream(request)]
    reply = pieces[-1]
    assert isinstance(reply, Reply) and reply.finish is Finish.STOP
    assert reply.text == whole.text[: whole.text.index(stop)]
    assert "".join(p.text for p in pieces[:-1]) == reply.text
    assert reply.usage.output_tokens < whole.usage.output_tokens


async def test_closing_a_stream_frees_the_thread(shared: LocalModel) -> None:
    request = ask("Once upon a time", max_tokens=200, temperature=1.0, seed=0)
    started = time.perf_counter()
    await shared.complete(request)
    whole = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(3):
        async with aclosing(shared.stream(request)) as pieces:
            async for _piece in pieces:
                break
    await shared.prompt_logprobs(PromptRequest("after"))
    assert time.perf_counter() - started < max(whole, 0.3)


async def test_the_event_loop_is_never_blocked(shared: LocalModel) -> None:
    longest, before = 0.0, time.perf_counter()
    work = asyncio.create_task(shared.complete(ask("Once", max_tokens=100)))
    while not work.done():
        await asyncio.sleep(0.001)
        longest, before = max(longest, time.perf_counter() - before), time.perf_counter()
    assert longest < 0.5
    assert (await work).usage.output_tokens <= 100


async def test_many_callers_may_await_at_once(shared: LocalModel) -> None:
    request = PromptRequest(RECORD, values=VALUES)
    alone = await shared.prompt_logprobs(request)
    several = await asyncio.gather(
        *(shared.prompt_logprobs(request) for _ in range(3)),
        shared.complete(ask("Once", max_tokens=5)),
        shared.prompt_logprobs(request),
    )
    for reply in (several[0], several[4]):
        assert reply.tokens[-1].top == pytest.approx(alone.tokens[-1].top, abs=1e-4)


# ---------------------------------------------------------------- conversations and JSON


TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('no system message') }}{% endif %}"
    "<|endoftext|>{{ m.role }}: {{ m.content | trim }}\n{% endfor %}assistant:"
)


async def test_a_chat_template_is_used_and_its_marks_in_a_message_stay_text(
    tmp_path: Path, direct: Any
) -> None:
    _, tokenizer = direct
    name = checkpoint(tmp_path / "chat", tokenizer_config={"chat_template": TEMPLATE})
    model = LocalModel.load(name)
    try:
        plain = await model.complete(ask("Once upon", max_tokens=1, top_logprobs=1))
        assert plain.usage.input_tokens == 1 + model.count_tokens("user: Once upon\nassistant:")
        marked = await model.complete(ask("A<|endoftext|>B", max_tokens=1, top_logprobs=1))
        as_text = len(tokenizer.encode("<|endoftext|>").ids)
        assert as_text > 3
        bare = await model.complete(ask("AB", max_tokens=1, top_logprobs=1))
        assert marked.usage.input_tokens >= bare.usage.input_tokens + as_text - 1
        # A template without system messages gets it in the first of the user's.
        system = Request(
            (Message("system", "Be brief."), Message("user", "Hi")), max_tokens=1, top_logprobs=1
        )
        joined = await model.complete(ask("Be brief.\n\nHi", max_tokens=1, top_logprobs=1))
        assert (await model.complete(system)).usage.input_tokens == joined.usage.input_tokens
    finally:
        await model.close()


async def test_a_reply_without_json_is_malformed(shared: LocalModel) -> None:
    with pytest.raises(LanguageModelError) as caught:
        await shared.complete(ask("Numbers?", max_tokens=10, schema={"type": "object"}))
    assert caught.value.fault is Fault.MALFORMED and not caught.value.retried


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ('{"a": 1}', "object", '{"a": 1}'),
        ('Sure:\n```json\n{"a": [1, 2]}\n```\nDone {"b": 2}', "object", '{"a": [1, 2]}'),
        ("[1] and {}", "object", "{}"),
        ("see [1, 2", "array", None),
        ("{not json} {}", "object", "{}"),
        ('{"a": NaN} {"a": 0}', "object", '{"a": 0}'),
        ("no", "object", None),
        ("[" * 100_000, "array", None),
        ("[1," * 900 + "x" * 100_000, "array", None),
    ],
    ids=range(9),
)
def test_the_first_json_value_of_a_reply(text: str, kind: str, found: str | None) -> None:
    started = time.perf_counter()
    assert first_json(text, {"type": kind}) == found
    assert time.perf_counter() - started < 5


# ---------------------------------------------------------------- loading


async def test_what_can_not_be_loaded_is_an_unknown_model(tmp_path: Path) -> None:
    unweighed = tmp_path / "unweighed"
    unweighed.mkdir()
    shutil.copy(MODEL_DIR / "config.json", unweighed)
    for name, word in (
        (str(tmp_path / "nothing"), "no checkpoint"),
        (str(unweighed), "safetensors"),
        ("someone/not-in-the-cache", "HF_HUB_OFFLINE"),
    ):
        model = LocalModel(name)
        with pytest.raises(LanguageModelError) as caught:
            await model.capabilities()
        assert caught.value.fault is Fault.UNKNOWN_MODEL and caught.value.ends_run
        assert word in caught.value.message
        await model.close()


async def test_what_it_can_do_and_who_it_is(shared: LocalModel, tmp_path: Path) -> None:
    can = await shared.capabilities()
    assert can.prompt_logprobs and can.context == 256 and not can.schema
    assert can.top_logprobs == 8192
    same = LocalModel(checkpoint(tmp_path / "other", config={"layer_norm_epsilon": 1e-4}))
    assert same.identity != shared.identity == LocalModel("demo").identity
    await same.close()


async def test_a_closed_model_says_so_to_all_who_wait() -> None:
    model = LocalModel.load("demo")
    running = asyncio.create_task(model.complete(ask("Hello", max_tokens=60)))
    waiting = asyncio.create_task(model.complete(ask("Hello")))

    async def read() -> list[Delta | Reply]:
        return [piece async for piece in model.stream(ask("Hello"))]

    streaming = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    await model.close()
    later = asyncio.create_task(read())
    for task in (waiting, streaming, later):
        with pytest.raises(LanguageModelError, match="closed"):
            await asyncio.wait_for(task, 20)
    assert (await running).text
