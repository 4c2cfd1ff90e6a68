"""What weights and token tables say about neurons, against the plainest sums over them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from test_families import checkpoint

from engine.demo import MODEL_DIR
from engine.effects import Effects, Link, effects_of
from engine.engine import Engine
from engine.errors import IndexFormatError, UsageError
from engine.index import Index
from engine.neuron import NeuronId
from engine.subject import SubjectModel
from tui.cli.root import cli

NEURON = NeuronId(2, 77)
Weights = dict[str, NDArray[np.float64]]


def never() -> bool:
    return False


def raw(folder: Path) -> Weights:
    """A checkpoint's tensors as they lie in the file, in float64."""
    from safetensors.numpy import load_file

    found = load_file(folder / "model.safetensors")
    return {name.removeprefix("transformer."): v.astype(np.float64) for name, v in found.items()}


@pytest.fixture(scope="module")
def subject() -> SubjectModel:
    return SubjectModel.load("demo", device="cpu")


@pytest.fixture(scope="module")
def weights() -> Weights:
    return raw(MODEL_DIR)


@pytest.fixture
async def engine(home: Path) -> AsyncIterator[Engine]:
    async with await Engine.open(home) as engine:
        yield engine


def as_array(links: tuple[Link, ...], like: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.full_like(like, np.nan)
    for link in links:
        found[link.neuron.layer, link.neuron.index] = link.weight
    return found


def test_connections_are_the_direct_sums_over_raw_weights(
    subject: SubjectModel, weights: Weights
) -> None:
    """Every connection of a neuron in the middle, in both directions."""
    found = effects_of(subject, NEURON, 10_000, never)
    width = 256
    own_in = weights["h.2.mlp.c_fc.weight"][:, 77] * weights["h.2.ln_2.weight"]
    own_out = weights["h.2.mlp.c_proj.weight"][77]
    assert own_in.shape == own_out.shape == (width,)
    upstream = np.stack(
        [np.einsum("ni,i->n", weights[f"h.{n}.mlp.c_proj.weight"], own_in) for n in range(2)]
    )
    downstream = np.stack(
        [
            np.einsum(
                "i,i,in->n",
                own_out,
                weights[f"h.{n}.ln_2.weight"],
                weights[f"h.{n}.mlp.c_fc.weight"],
            )
            for n in range(3, 6)
        ]
    )
    [reading], [down] = found.readings, found.downstream
    both = as_array(reading.upstream + reading.upstream_against, upstream)
    assert np.abs(both - upstream).max() < 1e-6
    full = np.full((6, 1024), np.nan)
    both = as_array(down.excited + down.inhibited, full)
    assert np.isnan(both[:3]).all()
    assert np.abs(both[3:] - downstream).max() < 1e-6
    for links in (reading.upstream, down.excited):
        assert [one.weight for one in links] == sorted((o.weight for o in links), reverse=True)
        assert min(one.weight for one in links) > 0
    for links in (reading.upstream_against, down.inhibited):
        assert [one.weight for one in links] == sorted(one.weight for one in links)
        assert max(one.weight for one in links) < 0


def test_tokens_are_the_direct_sums_over_raw_weights(
    subject: SubjectModel, weights: Weights
) -> None:
    found = effects_of(subject, NEURON, 7, never)
    own = weights["h.2.mlp.c_fc.weight"][:, 77] * weights["h.2.ln_2.weight"]
    into = weights["wte.weight"] @ own
    out = weights["wte.weight"] @ (weights["h.2.mlp.c_proj.weight"][77] * weights["ln_f.weight"])
    [reading] = found.readings
    for tokens, expected in (
        (reading.activating, np.sort(into)[::-1]),
        (reading.suppressing, np.sort(into)),
        (found.output.promoted, np.sort(out)[::-1]),
        (found.output.suppressed, np.sort(out)),
    ):
        np.testing.assert_allclose([w for _, w in tokens], expected[:7], rtol=1e-5)
    best = int(into.argmax())
    assert reading.activating[0][0] == subject.vocabulary.token(best)


def test_the_ends_have_no_neighbours(subject: SubjectModel) -> None:
    first = effects_of(subject, NeuronId(0, 5), 3, never)
    last = effects_of(subject, NeuronId(5, 5), 3, never)
    assert first.readings[0].upstream == first.readings[0].upstream_against == ()
    assert last.downstream[0].excited == last.downstream[0].inhibited == ()
    assert len(first.downstream[0].excited) == len(last.readings[0].upstream) == 3


@pytest.mark.parametrize("family", ["llama", "gemma", "phi3", "opt", "pythia"])
def test_every_family_reads_by_its_own_parts(tmp_path: Path, family: str) -> None:
    """Against transformers' parameters by name; two readers with a gate, narrow embeddings."""
    checkpoint(tmp_path, family)
    named = {
        name.split(".", 1)[1] if name.startswith("model.") else name: v
        for name, v in raw(tmp_path).items()
    }
    plus_one = 1.0 if family == "gemma" else 0.0
    blocks, norm, out = {
        "llama": ("layers.{}", "post_attention_layernorm", "mlp.down_proj"),
        "gemma": ("layers.{}", "post_attention_layernorm", "mlp.down_proj"),
        "phi3": ("layers.{}", "post_attention_layernorm", "mlp.down_proj"),
        "opt": ("decoder.layers.{}", "final_layer_norm", "fc2"),
        "pythia": ("gpt_neox.layers.{}", "post_attention_layernorm", "mlp.dense_4h_to_h"),
    }[family]
    readers = {
        "llama": {"gate": "mlp.gate_proj", "up": "mlp.up_proj"},
        "gemma": {"gate": "mlp.gate_proj", "up": "mlp.up_proj"},
        "phi3": {"gate": "mlp.gate_up_proj", "up": "mlp.gate_up_proj"},
        "opt": {"": "fc1"},
        "pythia": {"": "mlp.dense_h_to_4h"},
    }[family]
    names = list(named)
    tokens = named[next(n for n in names if "embed_tokens" in n or "embed_in" in n)]

    def into(layer: int, which: str) -> NDArray[np.float64]:
        block = blocks.format(layer)
        weight = named[f"{block}.{readers[which]}.weight"]
        if family == "phi3":
            weight = weight[:48] if which == "gate" else weight[48:]
        return weight * (named[f"{block}.{norm}.weight"] + plus_one)

    subject = SubjectModel.load(str(tmp_path), device="cpu")
    found = effects_of(subject, NeuronId(1, 7), 10_000, never)
    assert [one.name for one in found.readings] == list(readers)
    assert [one.name for one in found.downstream] == list(readers)
    before = named[f"{blocks.format(0)}.{out}.weight"].T
    own = named[f"{blocks.format(1)}.{out}.weight"].T[7]
    for reading, down in zip(found.readings, found.downstream, strict=True):
        direction = into(1, reading.name)[7]
        upstream = (before @ direction)[None]
        both = as_array(reading.upstream + reading.upstream_against, upstream)
        np.testing.assert_allclose(both, upstream, atol=1e-6)
        downstream = into(2, down.name) @ own
        both = as_array(down.excited + down.inhibited, np.full((3, 48), np.nan))
        np.testing.assert_allclose(both[2], downstream, atol=1e-6)
        narrow = next((v for n, v in named.items() if "project_in" in n), None)
        expected = tokens @ (direction if narrow is None else direction @ narrow)
        np.testing.assert_allclose(
            [w for _, w in reading.activating[:5]], np.sort(expected)[::-1][:5], rtol=1e-4
        )


# ---------------------------------------------------------------- alike


async def test_alike_by_activation_is_the_weighted_correlation_of_token_means(
    engine: Engine,
) -> None:
    index = engine.index
    assert index is not None
    found = await engine.similar(NEURON, count=20)
    assert len(found.found) == 20 and found.by == "activation"
    own = index.token_means(NEURON)
    for one in found.found[:3]:
        assert one.neuron != NEURON
        other = index.token_means(one.neuron)
        covariance = np.cov(own.means, other.means, fweights=own.counts)
        expected = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
        assert one.likeness == pytest.approx(expected, abs=1e-4)
    values = [one.likeness for one in found.found]
    assert values == sorted(values, reverse=True)
    # Nothing that was left out is more alike.
    rng = np.random.default_rng(3)
    named = {one.neuron for one in found.found}
    for layer, number in zip(rng.integers(0, 6, 40), rng.integers(0, 1024, 40), strict=True):
        other_id = NeuronId(int(layer), int(number))
        if other_id not in named and other_id != NEURON:
            other = index.token_means(other_id)
            covariance = np.cov(own.means, other.means, fweights=own.counts)
            r = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
            assert r <= values[-1] + 1e-4


async def test_shared_windows_are_counted(engine: Engine) -> None:
    index = engine.index
    assert index is not None
    found = await engine.similar(NEURON, count=5)

    def windows(neuron: NeuronId) -> set[int]:
        from engine.records import Group

        return {r.excerpt.window for r in index.neuron(neuron).group(Group.TOP)}

    own = windows(NEURON)
    assert found.kept == len(own)
    assert [one.shared for one in found.found] == [
        len(own & windows(one.neuron)) for one in found.found
    ]


async def test_alike_by_weights_is_the_cosine(engine: Engine, weights: Weights) -> None:
    def cosines(vectors: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.float64]:
        product: NDArray[np.float64] = vectors @ own
        return product / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(own))

    scaled = [
        (weights[f"h.{n}.mlp.c_fc.weight"] * weights[f"h.{n}.ln_2.weight"][:, None]).T
        for n in range(6)
    ]
    wrote = [weights[f"h.{n}.mlp.c_proj.weight"] for n in range(6)]
    for by, vectors in (("input", scaled), ("output", wrote)):
        every = np.stack([cosines(one, vectors[2][77]) for one in vectors])
        every[2, 77] = -np.inf
        found = await engine.similar(NEURON, by, 4)  # type: ignore[arg-type]
        np.testing.assert_allclose(
            [one.likeness for one in found.found], np.sort(every.ravel())[::-1][:4], atol=1e-5
        )
        assert found.found[0].neuron == NeuronId(*divmod(int(every.argmax()), 1024))


def test_token_tables_by_the_layer_are_those_by_the_neuron(demo_home: Path) -> None:
    from engine.paths import read_pointer

    path = read_pointer(demo_home)
    assert path is not None
    index = Index.open(path)
    several = index.token_means_of(4, slice(10, 20))
    for row, number in enumerate(range(10, 20)):
        np.testing.assert_array_equal(several[row], index.token_means(NeuronId(4, number)).means)
    assert (index.token_counts() == index.token_means(NeuronId(0, 0)).counts).all()
    with pytest.raises(UsageError):
        index.token_means_of(6, slice(0, 1))


async def test_an_index_that_still_grows_knows_who_is_alike(tmp_path: Path) -> None:
    """Its tables are sums, laid out the other way round."""
    from dataclasses import replace

    from engine.demo import passages
    from engine.events import ScanPublished
    from engine.scan import run_scan
    from engine.scan_request import ScanRequest

    text = tmp_path / "text.jsonl"
    text.write_text("\n".join(json.dumps({"text": d.text}) for d in passages()), "utf-8")
    events = run_scan(replace(ScanRequest(), sources=(str(text),)), tmp_path / "home")
    for event in events:
        if isinstance(event, ScanPublished):
            break
    async with await Engine.open(tmp_path / "home") as engine:
        assert engine.index is not None and not engine.index.complete
        growing = await engine.similar(NEURON)
    events.close()
    assert len(growing.found) == 10
    assert growing.found[0].likeness > 0.3


async def test_mistakes_are_told(engine: Engine, tmp_path: Path) -> None:
    for call in (engine.effects(NeuronId(6, 0)), engine.similar(NeuronId(0, 4096))):
        with pytest.raises(UsageError, match="There is no neuron"):
            await call
    with pytest.raises(UsageError, match="alike by 'name'"):
        await engine.similar(NEURON, "name")  # type: ignore[arg-type]
    async with await Engine.open(tmp_path / "empty") as empty:
        with pytest.raises(IndexFormatError, match="Nothing has been scanned"):
            await empty.similar(NEURON)


async def test_cancelling_lets_the_model_go(engine: Engine) -> None:
    task = asyncio.create_task(engine.effects(NEURON))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    found = await engine.effects(NEURON, 2)
    assert isinstance(found, Effects) and len(found.output.promoted) == 2


# ---------------------------------------------------------------- command line


def run(*args: str) -> str:
    result = CliRunner().invoke(cli, list(args), prog_name="neuroglass")
    assert result.exit_code == 0, result.output
    return result.stdout


def test_effects_on_the_command_line(home: Path) -> None:
    facts = json.loads(run("effects", "2:77", "--limit", "3", "--json"))
    assert facts["neuron"] == "2:77"
    [reading] = facts["readings"]
    assert len(facts["promoted"]) == len(reading["upstream"]) == 3
    assert {"neuron", "layer", "index", "weight"} <= set(reading["upstream"][0])
    text = run("effects", "2:77", "--limit", "3")
    for link in reading["upstream"]:
        assert f"{link['neuron']:<10} {link['weight']:+.3f}" in text
    assert "Promotes" in text and "Downstream excited" in text
    assert "none: there is no layer" in run("effects", "0:1", "--limit", "1")


def test_similar_on_the_command_line(home: Path) -> None:
    facts = json.loads(run("similar", "2:77", "--limit", "4", "--json"))
    assert facts["by"] == "activation" and len(facts["similar"]) == 4
    text = run("similar", "2:77", "--limit", "4")
    for one in facts["similar"]:
        assert one["neuron"] in text
    by_weight = json.loads(run("similar", "2:77", "--by", "output", "--limit", "1", "--json"))
    assert -1 <= by_weight["similar"][0]["likeness"] <= 1


def test_tokens_are_shown_inertly(home: Path) -> None:
    """The vocabulary holds control characters and bytes that are no text."""
    text = run("effects", "2:77", "--limit", "1000")
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "\x1b" not in text
