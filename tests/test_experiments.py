"""Experiments with typed prompts on the demo model, against plain hooks on transformers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.change import UNCHANGED, Change
from engine.demo import MODEL_DIR
from engine.engine import Engine
from engine.errors import IndexFormatError, MethodError, UsageError
from engine.experiments import Experiments
from engine.index import Index
from engine.lab import Lab
from engine.neuron import NeuronId
from engine.paths import read_pointer
from engine.steering import Steered, SteerFinished, SteerStarted
from tui.cli.root import cli

NEURON = NeuronId(2, 77)
TEXT = "The court held that the tenant owed nothing to the landlord, and in 1987 Zwölf — 数学."
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def plain() -> Any:
    """The demo model as transformers loads it, without anything of ours."""
    from transformers import GPT2LMHeadModel

    return GPT2LMHeadModel.from_pretrained(MODEL_DIR, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def shared_lab(demo_home: Path) -> Iterator[Lab]:
    path = read_pointer(demo_home)
    assert path is not None
    lab = Lab.of(Index.open(path))
    yield lab
    asyncio.run(lab.close())


@pytest.fixture
def experiments(shared_lab: Lab, demo_home: Path) -> Experiments:
    path = read_pointer(demo_home)
    assert path is not None
    return Experiments(shared_lab, Index.open(path))


@contextmanager
def hook(
    plain: Any, neuron: NeuronId, new: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[list[Floats]]:
    """The plainest possible replacement of one neuron; ``new`` gets [batch, position]."""
    seen: list[Floats] = []

    def before(_module: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        values = inputs[0].clone()
        seen.append(values[:, :, neuron.index].double().numpy().copy())
        values[:, :, neuron.index] = new(values[:, :, neuron.index])
        return (values,)

    handle = plain.transformer.h[neuron.layer].mlp.c_proj.register_forward_pre_hook(before)
    try:
        yield seen
    finally:
        handle.remove()


def log_probabilities(plain: Any, ids: list[int]) -> Floats:
    """After the end-of-text token and each token, float64 [1 + T, vocabulary]."""
    with torch.inference_mode():
        logits = plain(torch.tensor([[0, *ids]])).logits[0]
    found: Floats = logits.double().log_softmax(-1).numpy()
    return found


def losses(found: Floats, ids: list[int]) -> Floats:
    return -found[np.arange(len(ids)), ids]


# ---------------------------------------------------------------- reading


async def test_a_prompt_is_read_as_transformers_reads_it(
    experiments: Experiments, plain: Any
) -> None:
    reading = await experiments.read(TEXT, NEURON)
    assert b"".join(reading.tokens).decode() == TEXT
    ids = reading.token_ids.tolist()
    with hook(plain, NEURON, lambda own: own) as seen:
        expected = losses(log_probabilities(plain, ids), ids)
    np.testing.assert_allclose(reading.activations, seen[0][0, 1:], atol=1e-5)
    np.testing.assert_allclose(reading.surprise, expected, atol=1e-4)
    assert reading.cut == 0


async def test_without_a_token_before_it_the_first_token_surprises_nobody(
    demo_home: Path, plain: Any
) -> None:
    path = read_pointer(demo_home)
    assert path is not None
    index = Index.open(path)
    settings = {**index.manifest["settings"], "prepend_end_of_text": False}
    bare = Index(index.path, {**index.manifest, "settings": settings})
    lab = Lab.of(bare)
    experiments = Experiments(lab, bare)
    reading = await experiments.read(TEXT, NEURON)
    ablation = await experiments.ablate(TEXT, NEURON, Change("clamp", 5))
    await lab.close()
    ids = reading.token_ids.tolist()
    with torch.inference_mode():
        found = plain(torch.tensor([ids])).logits[0].double().log_softmax(-1).numpy()
        with hook(plain, NEURON, lambda own: torch.full_like(own, 5)):
            changed = plain(torch.tensor([ids])).logits[0].double().log_softmax(-1).numpy()
    for measured, expected in (
        (reading.surprise, found),
        (ablation.loss_before, found),
        (ablation.loss_after, changed),
    ):
        assert np.isnan(measured[0])
        np.testing.assert_allclose(measured[1:], losses(expected, ids[1:]), atol=1e-4)
    kl = (np.exp(found) * (found - changed)).sum(-1)
    np.testing.assert_allclose(ablation.kl, kl, atol=1e-6)


async def test_text_of_any_length_and_kind(experiments: Experiments) -> None:
    long = await experiments.read("one two three " * 300, NEURON)
    assert len(long.tokens) == 255 and long.cut > 500
    assert len(long.activations) == len(long.surprise) == 255
    one = await experiments.read("a", NEURON)
    assert len(one.tokens) == 1 and np.isfinite(one.surprise).all()
    # What a terminal sends for half of a surrogate pair, and a written end of text.
    odd = await experiments.read("half \ud83d <|endoftext|>\x1b[31m", NEURON)
    assert b"".join(odd.tokens).decode() == "half ? <|endoftext|>\x1b[31m"
    with pytest.raises(MethodError, match="empty"):
        await experiments.read("", NEURON)
    with pytest.raises(UsageError, match="There is no neuron"):
        await experiments.read("a", NeuronId(6, 0))


async def test_a_prompt_longer_than_a_block_of_distributions(
    experiments: Experiments, plain: Any
) -> None:
    """Distributions are made in blocks; nothing may be lost or doubled where they meet."""
    text = TEXT * 6
    found = await experiments.ablate(text, NEURON, Change("clamp", 4))
    ids = (await experiments.read(text, NEURON)).token_ids.tolist()
    assert len(ids) > 130
    before = log_probabilities(plain, ids)

    def clamp(own: torch.Tensor) -> torch.Tensor:
        own[:, 1:] = 4
        return own

    with hook(plain, NEURON, clamp):
        after = log_probabilities(plain, ids)
    np.testing.assert_allclose(found.loss_before, losses(before, ids), atol=1e-4)
    np.testing.assert_allclose(found.loss_after, losses(after, ids), atol=1e-4)
    kl = (np.exp(before) * (before - after)).sum(-1)[1:]
    np.testing.assert_allclose(found.kl, kl, atol=1e-5)


# ---------------------------------------------------------------- ranking


async def test_neurons_are_ranked_by_their_own_range(experiments: Experiments) -> None:
    index = experiments.index
    found = await experiments.firing(TEXT, 5, 30)
    assert len(found) == 30
    shares = [one.share for one in found]
    assert shares == sorted(shares, reverse=True)
    for one in found[:4]:
        reading = await experiments.read(TEXT, one.neuron)
        statistics = index.statistics(one.neuron)
        assert one.activation == pytest.approx(float(reading.activations[5]), abs=1e-4)
        assert one.share == pytest.approx(one.activation / statistics.maximum)
        spread = statistics.variance**0.5
        assert one.z == pytest.approx((one.activation - statistics.mean) / spread)
    # Nothing of a layer that was left out ranks higher.
    named = {one.neuron for one in found}
    layer = index.layer(3)
    for number in range(0, 1024, 41):
        if NeuronId(3, number) not in named:
            reading = await experiments.read(TEXT, NeuronId(3, number))
            assert reading.activations[5] / layer.maximum[number] <= shares[-1] + 1e-6


async def test_the_last_token_counts_from_the_end(experiments: Experiments) -> None:
    length = len((await experiments.read(TEXT, NEURON)).tokens)
    assert await experiments.firing(TEXT, -1, 3) == await experiments.firing(TEXT, length - 1, 3)
    for position in (length, -length - 1):
        with pytest.raises(UsageError, match="There is no token"):
            await experiments.firing(TEXT, position)


# ---------------------------------------------------------------- ablating


@pytest.mark.parametrize("change", ["zero", "mean", "=6", "x-2"])
async def test_ablation_is_a_plain_hook(experiments: Experiments, plain: Any, change: str) -> None:
    ids = (await experiments.read(TEXT, NEURON)).token_ids.tolist()
    found = await experiments.ablate(TEXT, NEURON, Change.parse(change), position=4)
    mean = experiments.index.statistics(NEURON).mean

    def changed(own: torch.Tensor) -> torch.Tensor:
        own[:, 1:] = {"zero": 0 * own, "mean": 0 * own + mean, "=6": 0 * own + 6, "x-2": -2 * own}[
            change
        ][:, 1:]
        return own

    before = log_probabilities(plain, ids)
    with hook(plain, NEURON, changed) as seen:
        after = log_probabilities(plain, ids)
    np.testing.assert_allclose(found.own, seen[0][0, 1:], atol=1e-5)
    np.testing.assert_allclose(found.loss_before, losses(before, ids), atol=1e-4)
    np.testing.assert_allclose(found.loss_after, losses(after, ids), atol=1e-4)
    kl = (np.exp(before) * (before - after)).sum(-1)[1:]
    np.testing.assert_allclose(found.kl, kl, atol=1e-6)
    p, q = np.exp(before[5]), np.exp(after[5])
    vocabulary = experiments.index.vocabulary
    named = {vocabulary.token(i): (p[i], q[i]) for i in range(8192) if vocabulary.token(i)}
    for one in found.next:
        assert (one.before, one.after) == pytest.approx(named[one.token], abs=1e-5)
    assert found.next[0].before == pytest.approx(p.max(), abs=1e-5) or (
        found.next[0].after == pytest.approx(q.max(), abs=1e-5)
    )
    assert {int(p.argmax()), int(q.argmax())} <= {
        i for i in range(8192) if vocabulary.token(i) in {one.token for one in found.next}
    }


async def test_chosen_tokens_alone_are_changed(experiments: Experiments) -> None:
    found = await experiments.ablate(TEXT, NEURON, Change("clamp", 8), positions=(3, -1, 3))
    last = len(found.tokens) - 1
    assert found.positions == (3, last)
    assert found.put[3] == found.put[last] == 8
    others = [i for i in range(last) if i != 3]
    np.testing.assert_array_equal(found.put[others], found.own[others])
    # No position is moved by what follows it.
    assert found.kl[:3].max() < 1e-12 < 1e-6 < found.kl[3]
    np.testing.assert_allclose(found.loss_after[:4], found.loss_before[:4], atol=1e-6)
    nothing = await experiments.ablate(TEXT, NEURON, Change("clamp", 8), positions=())
    assert nothing.kl.max() < 1e-12


async def test_unchanged_changes_nothing(experiments: Experiments) -> None:
    found = await experiments.ablate(TEXT, NEURON, UNCHANGED)
    assert found.kl.max() < 1e-9
    np.testing.assert_array_equal(found.own, found.put)


# ---------------------------------------------------------------- steering


async def steered(
    experiments: Experiments, changes: list[Change], **settings: Any
) -> tuple[list[list[Steered]], SteerFinished]:
    rows: list[list[Steered]] = [[] for _ in changes]
    events = [event async for event in experiments.steer(TEXT, NEURON, changes, **settings)]
    assert isinstance(events[0], SteerStarted) and events[0].changes == tuple(changes)
    for event in events[1:-1]:
        assert isinstance(event, Steered)
        assert event.number == len(rows[event.variant])
        rows[event.variant].append(event)
    assert isinstance(events[-1], SteerFinished)
    return rows, events[-1]


async def test_greedy_steering_is_the_plain_loop_with_a_hook(
    experiments: Experiments, plain: Any
) -> None:
    """Without a cache and one variant at a time: ours has a cache and all at once."""
    prompt = (await experiments.read(TEXT, NEURON)).token_ids.tolist()
    changes = [UNCHANGED, Change("zero"), Change("clamp", 25.0), Change("scale", -6.0)]
    rows, _ = await steered(experiments, changes, tokens=12, temperature=0)
    vocabulary = experiments.index.vocabulary
    texts = []
    for change, row in zip(changes, rows, strict=True):
        factor, constant = change.line(0.0)

        def new(own: torch.Tensor, f: float = factor, c: float = constant) -> torch.Tensor:
            own[:, 1:] = f * own[:, 1:] + c
            return own

        ids = list(prompt)
        with hook(plain, NEURON, new):
            for one in row:
                found = log_probabilities(plain, ids)[-1]
                chosen = int(found.argmax())
                assert one.token == vocabulary.token(chosen)
                assert one.probability == pytest.approx(float(np.exp(found[chosen])), abs=1e-4)
                ids.append(chosen)
        texts.append(b"".join(one.token for one in row))
    assert texts[2] != texts[0]


async def test_variants_share_their_random_numbers(experiments: Experiments) -> None:
    twice = [UNCHANGED, Change("zero"), UNCHANGED, Change("clamp", 25.0)]
    rows, _ = await steered(experiments, twice, tokens=16, seed=5)
    texts = [[one.token for one in row] for row in rows]
    assert texts[0] == texts[2] != texts[3]
    again, _ = await steered(experiments, twice[3:], tokens=16, seed=5)
    assert [one.token for one in again[0]] == texts[3]
    other, _ = await steered(experiments, twice[:1], tokens=16, seed=6)
    assert [one.token for one in other[0]] != texts[0]


async def test_sampling_follows_the_models_probabilities(experiments: Experiments) -> None:
    """The first token over many seeds, against the distribution that ablation reports."""
    likely = (await experiments.ablate(TEXT, NEURON, UNCHANGED)).next[0]
    hits = 0
    for seed in range(200):
        rows, _ = await steered(experiments, [UNCHANGED], tokens=1, temperature=1, seed=seed)
        hits += bool(rows[0]) and rows[0][0].token == likely.token
    spread = (likely.before * (1 - likely.before) / 200) ** 0.5
    assert abs(hits / 200 - likely.before) < 4 * spread + 0.005


async def test_steering_that_makes_no_sense_is_refused(experiments: Experiments) -> None:
    for settings, kind in (
        ({"tokens": 0}, UsageError),
        ({"temperature": -1.0}, UsageError),
        ({"temperature": float("nan")}, UsageError),
        ({"seed": -1}, UsageError),
        ({"tokens": 250}, MethodError),
    ):
        with pytest.raises(kind):
            await steered(experiments, [UNCHANGED], **settings)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        await steered(experiments, [])


async def test_leaving_a_stream_stops_it(experiments: Experiments) -> None:
    stream = experiments.steer(TEXT, NEURON, [UNCHANGED], tokens=150)
    async for event in stream:
        if isinstance(event, Steered) and event.number == 2:
            break
    await stream.aclose()
    task = asyncio.create_task(experiments.firing(TEXT * 4, -1))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len((await experiments.read("still here", NEURON)).tokens)


# ---------------------------------------------------------------- the rest


@pytest.mark.parametrize("family", ["llama", "opt", "phi3", "pythia", "gemma2", "bloom"])
async def test_other_families_are_steered_and_ablated(tmp_path: Path, family: str) -> None:
    """A cache, two readers, narrow embeddings: against the model's own head and a hook."""
    from test_families import FAMILIES, checkpoint

    from engine.demo import passages
    from engine.events import ScanFinished
    from engine.keep import Keep
    from engine.scan import run_scan
    from engine.scan_request import ScanRequest

    model = checkpoint(tmp_path / "model", family)
    text = tmp_path / "text.txt"
    text.write_text("\n".join(d.text for d in list(passages())[:6]), "utf-8")
    request = ScanRequest(model=str(tmp_path / "model"), sources=(str(text),), keep=Keep(top=4))
    *_, last = run_scan(replace(request, index=str(tmp_path / "index")), tmp_path / "home")
    assert isinstance(last, ScanFinished), last
    index = Index.open(tmp_path / "index")
    lab = Lab.of(index, device="cpu")
    experiments = Experiments(lab, index)
    neuron = NeuronId(1, 7)
    ablation = await experiments.ablate(TEXT, neuron, Change("clamp", 9.0))
    ids = (await experiments.read(TEXT, neuron)).token_ids.tolist()
    events = [
        event
        async for event in experiments.steer(
            TEXT, neuron, [UNCHANGED, Change("clamp", 9.0)], tokens=4, temperature=0
        )
    ]
    await lab.close()
    _, _, blocks, projection = FAMILIES[family]
    first = 0

    def before(_module: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        values = inputs[0].clone()
        flat = values.view(-1, values.shape[-1])
        flat[1:, neuron.index] = 9
        return (values,)

    def plain_losses(several: list[int]) -> tuple[Floats, Floats]:
        with torch.inference_mode():
            found = model(torch.tensor([[first, *several]])).logits[0].double().log_softmax(-1)
        return losses(found.numpy(), several), found.numpy()

    np.testing.assert_allclose(ablation.loss_before, plain_losses(ids)[0], atol=1e-4)
    part = model.get_submodule(blocks)[neuron.layer].get_submodule(projection)
    handle = part.register_forward_pre_hook(before)
    np.testing.assert_allclose(ablation.loss_after, plain_losses(ids)[0], atol=1e-4)
    tokens = [e.token for e in events if isinstance(e, Steered) and e.variant == 1]
    for token in tokens:
        chosen = int(plain_losses(ids)[1][-1].argmax())
        assert token == index.vocabulary.token(chosen)
        ids.append(chosen)
    handle.remove()


async def test_the_engine_hands_out_its_experiments(home: Path, tmp_path: Path) -> None:
    async with await Engine.open(home) as engine:
        experiments = await engine.experiments()
        assert await engine.experiments() is experiments
        assert len((await experiments.read("a b", NEURON)).tokens) == 2
    async with await Engine.open(tmp_path / "empty") as empty:
        with pytest.raises(IndexFormatError):
            await empty.experiments()


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("zero", Change("zero")),
        (" Mean ", Change("mean")),
        ("x2", Change("scale", 2)),
        ("×-0.5", Change("scale", -0.5)),
        ("* 3", Change("scale", 3)),
        ("=3.5", Change("clamp", 3.5)),
        ("-4", Change("clamp", -4)),
    ],
)
def test_changes_are_written_in_a_word(text: str, change: Change) -> None:
    assert Change.parse(text) == change
    assert Change.parse(str(change)) == change


@given(st.text(max_size=12))
def test_any_other_word_is_refused_with_a_remedy(text: str) -> None:
    try:
        change = Change.parse(text)
    except UsageError as error:
        assert error.remedy
    else:
        assert np.isfinite(change.value)


# ---------------------------------------------------------------- command line


def run(*args: str, **settings: Any) -> str:
    result = CliRunner().invoke(cli, list(args), prog_name="neuroglass", **settings)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_prompt_on_the_command_line(home: Path) -> None:
    facts = json.loads(run("prompt", TEXT, "--neuron", "2:77", "--at", "-1", "--json"))
    assert len(facts["tokens"]) == len(facts["activations"]) == len(facts["surprise"])
    assert facts["position"] == len(facts["tokens"]) - 1 and len(facts["firing"]) == 10
    text = run("prompt", TEXT, "--neuron", "2:77", "--tokens", "--at", "1")
    assert "2:77  strongest" in text and 'Firing at token 1, " court"' in text
    assert sum(" tenant" in line or ' "' in line for line in text.splitlines()) >= 10
    ranked = json.loads(run("prompt", "-", "--json", input=TEXT + "\n"))
    assert ranked["firing"] == facts["firing"] and "activations" not in ranked


def test_ablating_on_the_command_line(home: Path) -> None:
    facts = json.loads(run("ablate", "2:77", TEXT, "--to", "=20", "--at", "2", "--json"))
    assert facts["change"] == "=20" and facts["positions"] == [2]
    assert facts["put"][2] == 20 and facts["kl"][2] > facts["kl"][1]
    assert facts["loss_after"][:2] == pytest.approx(facts["loss_before"][:2], abs=1e-5)
    text = run("ablate", "2:77", TEXT, "--to", "=20", "--at", "2", "--after", "2")
    assert "2:77 to =20 at 1 of" in text and 'Next after token 2, " held"' in text


def test_steering_on_the_command_line(home: Path) -> None:
    args = ("steer", "2:77", TEXT, "--to", "x1", "--to", "=40", "--tokens", "6")
    facts = json.loads(run(*args, "--json"))
    plain, pushed = facts["continuations"]
    assert (plain["change"], pushed["change"]) == ("×1", "=40")
    assert len(plain["tokens"]) == len(plain["probabilities"]) == 6
    assert plain["text"] != pushed["text"]
    text = run(*args)
    assert "2:77 ×1" in text and "2:77 =40" in text
    assert run("steer", "2:77", TEXT, "--tokens", "1").count("2:77") == 4


def test_mistakes_on_the_command_line(home: Path) -> None:
    for args, words in (
        (("ablate", "2:77", TEXT, "--to", "twice"), "is no change of a neuron"),
        (("ablate", "2:77", "a", "--at", "7"), "There is no token 7"),
        (("prompt", ""), "The prompt is empty"),
        (("steer", "9:1", "a"), "There is no neuron 9:1"),
    ):
        result = CliRunner().invoke(cli, list(args), prog_name="neuroglass")
        assert result.exit_code and words in result.output
        assert "Traceback" not in result.output


def test_what_the_model_says_is_shown_inertly(home: Path) -> None:
    odd = "\x1b[31m red \x9b \u202e turned \x07\r\n"
    for args in (
        ("prompt", odd, "--neuron", "2:77", "--tokens", "--at", "0"),
        ("ablate", "2:77", odd),
        ("steer", "2:77", odd, "--to", "=90", "--temperature", "5"),
    ):
        text = run(*args)
        assert all(char.isprintable() or char == "\n" for char in text)
