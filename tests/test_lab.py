"""Experiments on single neurons of the real demo model."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from engine.demo import MODEL_DIR
from engine.errors import MethodError, ModelError, UsageError
from engine.events import ScanFinished
from engine.index import Index
from engine.lab import Lab
from engine.neuron import NeuronId
from engine.records import Fold, Group
from engine.scan import run_scan
from engine.scan_request import ScanRequest

NEURON = NeuronId(2, 77)
TEXTS = (
    "The court held that the tenant owed nothing.",
    "for line in open(path):\n    print(line.strip())",
    "Zwölf Boxkämpfer jagen Viktor über den großen Sylter Deich — 数学 €",
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, demo_text: Path) -> Index:
    """Twelve documents, activations kept in float32: the scan's very values."""
    folder = tmp_path_factory.mktemp("lab")
    texts = folder / "text"
    texts.mkdir()
    for path in sorted(demo_text.glob("*.txt"))[:12]:
        shutil.copy(path, texts)
    request = ScanRequest(sources=(str(texts),), store_dtype="float32", index=str(folder / "index"))
    *_, last = run_scan(request, folder / "home")
    assert isinstance(last, ScanFinished), last
    return Index.open(folder / "index")


@pytest.fixture
async def lab(index: Index) -> AsyncIterator[Lab]:
    lab = Lab.of(index)
    yield lab
    await lab.close()


async def test_the_lab_reads_what_the_scan_read(lab: Lab, index: Index) -> None:
    kept = {
        record.excerpt.window: record
        for group in (Group.TOP, Group.RANDOM)
        for record in index.neuron(NEURON).records[Fold.SCORE, group]
    }
    read = await lab.sample(NEURON, 10_000)
    assert sorted(r.excerpt.window for r in read) == index.windows_of(Fold.SCORE).tolist()
    compared = 0
    for record in read:
        if (scanned := kept.get(record.excerpt.window)) is not None:
            np.testing.assert_allclose(record.activations, scanned.activations, atol=1e-4)
            compared += 1
    assert compared == len(kept) > 10


async def test_a_text_is_read_like_the_same_tokens_in_the_index(lab: Lab, index: Index) -> None:
    known = next(
        record
        for record in index.neuron(NEURON).records[Fold.SCORE, Group.TOP]
        if record.excerpt.offset == 0
    )
    start = known.excerpt.text[:60]
    [record] = await lab.activations(NEURON, [start])
    same = 0
    while record.excerpt.token_ids[same] == known.excerpt.token_ids[same]:
        same += 1
        if same == len(record.excerpt):
            break
    assert same >= 8
    np.testing.assert_allclose(record.activations[:same], known.activations[:same], atol=1e-4)
    assert (record.excerpt.window, record.excerpt.document) == (-1, -1)


async def test_a_batch_reads_like_one_text_at_a_time(lab: Lab) -> None:
    together = await lab.activations(NEURON, TEXTS * 8)
    for text, record in zip(TEXTS * 8, together, strict=True):
        [alone] = await lab.activations(NEURON, [text])
        assert b"".join(record.excerpt.tokens).decode() == text
        np.testing.assert_allclose(record.activations, alone.activations, atol=1e-5)


async def test_the_negative_side_turns_the_sign(lab: Lab) -> None:
    plus = await lab.activations(NEURON, TEXTS)
    minus = await lab.activations(NEURON, TEXTS, side="negative")
    for a, b in zip(plus, minus, strict=True):
        np.testing.assert_array_equal(a.activations, -b.activations)


async def test_long_texts_are_cut_at_the_scans_window(lab: Lab) -> None:
    [record] = await lab.activations(NEURON, ["one two three " * 300])
    assert len(record.excerpt) == 64
    [record] = await lab.activations(NEURON, ["one two three " * 300], limit=10_000)
    assert len(record.excerpt) == 255


async def test_an_empty_text_and_a_neuron_that_is_not_there_are_refused(lab: Lab) -> None:
    with pytest.raises(MethodError, match="Text 2 is empty"):
        await lab.activations(NEURON, ["a", ""])
    with pytest.raises(UsageError):
        await lab.activations(NeuronId(6, 0), ["a"])
    with pytest.raises(UsageError):
        await lab.promoted(NeuronId(0, 1024))


async def test_promoted_tokens_are_those_of_the_raw_weights(lab: Lab, index: Index) -> None:
    from safetensors.numpy import load_file

    weights = load_file(MODEL_DIR / "model.safetensors")
    named = {name.removeprefix("transformer."): value for name, value in weights.items()}
    written = named["h.2.mlp.c_proj.weight"][77].astype(np.float64)
    expected = named["wte.weight"].astype(np.float64) @ (written * named["ln_f.weight"])
    found = await lab.promoted(NEURON, 5)
    order = np.argsort(expected)
    assert [t for t, _ in found.promoted] == list(index.vocabulary.decode(order[::-1][:5]))
    assert [t for t, _ in found.suppressed] == list(index.vocabulary.decode(order[:5]))
    np.testing.assert_allclose([w for _, w in found.promoted], expected[order[::-1][:5]], rtol=1e-5)


async def test_replacing_a_neuron_by_itself_changes_nothing(lab: Lab) -> None:
    records = await lab.activations(NEURON, TEXTS)
    excerpts = [record.excerpt for record in records]
    own = [record.activations for record in records]
    far = [record.activations + 5 for record in records]
    nothing = [np.full(len(excerpt), np.nan) for excerpt in excerpts]
    found = await lab.replaced(NEURON, excerpts, {"own": own, "far": far, "kept": nothing})
    for number, excerpt in enumerate(excerpts):
        assert found["own"][number].js.shape == (len(excerpt),)
        assert found["own"][number].js.max() < 1e-9
        assert found["kept"][number].kl.max() == 0
        assert 1e-4 < found["far"][number].js.mean() <= np.log(2)


async def test_divergences_are_those_of_the_models_own_probabilities(index: Index) -> None:
    """Against transformers with the neuron's output weights set to zero.

    That takes the neuron away at every position, the first one too, so here no
    end-of-text token, whose activation the lab leaves alone, is put before the text.
    """
    import torch
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import entropy
    from transformers import GPT2LMHeadModel

    settings = {**index.manifest["settings"], "prepend_end_of_text": False}
    lab = Lab.of(Index(index.path, {**index.manifest, "settings": settings}))
    records = await lab.activations(NEURON, TEXTS)
    excerpts = [record.excerpt for record in records]
    zero = [np.zeros(len(excerpt)) for excerpt in excerpts]
    found = (await lab.replaced(NEURON, excerpts, {"zero": zero}))["zero"]
    await lab.close()
    model = GPT2LMHeadModel.from_pretrained(MODEL_DIR, dtype=torch.float32).eval()

    def probabilities() -> list[np.ndarray]:
        with torch.inference_mode():
            return [
                model(torch.from_numpy(excerpt.token_ids[None].astype(np.int64)))
                .logits[0]
                .double()
                .softmax(-1)
                .numpy()
                for excerpt in excerpts
            ]

    before = probabilities()
    model.transformer.h[2].mlp.c_proj.weight.data[77] = 0
    for p, q, measured in zip(before, probabilities(), found, strict=True):
        js = [jensenshannon(a, b) ** 2 for a, b in zip(p, q, strict=True)]
        np.testing.assert_allclose(measured.js, js, rtol=1e-2, atol=1e-9)
        np.testing.assert_allclose(measured.kl, entropy(p, q, axis=1), rtol=1e-2, atol=1e-9)


async def test_a_position_is_not_moved_by_what_follows_it(lab: Lab) -> None:
    [record] = await lab.activations(NEURON, TEXTS[:1])
    late = np.full(len(record.excerpt), np.nan)
    late[4] = 8.0
    [found] = (await lab.replaced(NEURON, [record.excerpt], {"late": [late]}))["late"]
    assert found.js[:4].max() < 1e-12 < 1e-6 < found.js[4]


async def test_values_that_fit_no_text_are_refused(lab: Lab) -> None:
    [record] = await lab.activations(NEURON, ["a b c"])
    with pytest.raises(MethodError, match="one value for each token"):
        await lab.replaced(NEURON, [record.excerpt], {"short": [np.zeros(1)]})


async def test_other_weights_than_those_scanned_are_refused(index: Index, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MODEL_DIR, folder)
    import safetensors.numpy as safetensors

    path = folder / "model.safetensors"
    weights = safetensors.load_file(path)
    weights = {name: value + 1 for name, value in weights.items()}
    safetensors.save_file(weights, path, metadata={"format": "pt"})
    manifest = {**index.manifest, "model": {**index.manifest["model"], "name": str(folder)}}
    lab = Lab.of(Index(index.path, manifest))
    with pytest.raises(ModelError, match="not those that were scanned") as failure:
        await lab.activations(NEURON, ["a"])
    assert failure.value.remedy
    await lab.close()


async def test_the_event_loop_is_free_while_the_model_reads(lab: Lab) -> None:
    worst = 0.0
    done = asyncio.Event()

    async def watch() -> None:
        nonlocal worst
        while not done.is_set():
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            worst = max(worst, time.perf_counter() - before)

    watching = asyncio.create_task(watch())
    await lab.activations(NEURON, TEXTS * 30)
    done.set()
    await watching
    assert worst < 1.0


async def test_cancelling_and_closing_let_go(index: Index) -> None:
    lab = Lab.of(index)
    await lab.activations(NEURON, ["warm"])
    task = asyncio.create_task(lab.sample(NEURON, 10_000))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [record] = await lab.activations(NEURON, ["still here"])
    assert len(record.excerpt)
    await lab.close()
    with pytest.raises(ModelError, match="closed"):
        await lab.activations(NEURON, ["a"])
    assert not [t for t in threading.enumerate() if t.name.startswith("lab")]
