"""Reading published datasets: every form of every field, broken files, folders, one file."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import public_samples as samples
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.choices import Choices
from engine.engine import Engine
from engine.errors import NeuroglassError, UsageError
from engine.events import PipelineFailed
from engine.neuron import NeuronId
from engine.public_data import convert, decode
from engine.public_data.names import open_dataset
from engine.public_data.shapes import PublicNeuron
from engine.records import Fold, Group
from engine.score import ScoreStatus
from engine.simulation import Scale
from engine.splits import split_records

NEURON = NeuronId(1, 4)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def same(one: Any, other: Any) -> bool:
    """Equality of the formats' values, arrays included, NaN equal to NaN."""
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=True)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "__dataclass_fields__"):
        return all(same(getattr(one, n), getattr(other, n)) for n in one.__dataclass_fields__)
    return bool(one == other)


@pytest.mark.parametrize("form", samples.OLDER)
def test_every_form_of_the_fields_reads_alike(form: str) -> None:
    older = samples.OLDER[form]
    problems: list[str] = []
    activations = decode.activations(encoded(older(samples.activations())), problems)
    assert same(activations, decode.activations(encoded(samples.activations()), problems))
    explanations = decode.explanations(encoded(older(samples.explanations())), problems)
    assert same(explanations, decode.explanations(encoded(samples.explanations()), problems))
    assert not problems
    assert activations.neuron == explanations.neuron == NEURON
    (one,) = explanations.explanations
    assert one.text == "names of rivers" and one.ev_correlation == 0.92
    sequence = one.sequences[0]
    assert sequence.simulation.scale == "simulated_normalized_activations"
    assert sequence.simulation.probabilities[3] == (0.5, 0.5)


def test_all_numbers_and_tokens_are_those_of_the_file() -> None:
    given = samples.activations()
    found = decode.activations(encoded(given), [])
    assert [list(r.tokens) for r in found.top] == [
        r["tokens"] for r in given["most_positive_activation_records"]
    ]
    assert [r.activations.tolist() for r in found.random] == [
        r["activations"] for r in given["random_sample"]
    ]
    assert [len(band) for band in found.bands] == [3, 3, 3, 3]
    assert found.boundaries == (0.1, 0.3, 0.7, 0.9)
    assert (found.mean, found.variance, found.skewness, found.kurtosis) == (
        0.0425, 0.31, 4.5, 31.25,
    )  # fmt: skip


def test_what_is_null_is_missing_and_never_zero() -> None:
    given = samples.activations()
    given |= {"mean": None, "variance": float("nan"), "random_sample_by_quantile": None}
    given["most_positive_activation_records"][0]["activations"][2] = None
    del given["quantile_boundaries"], given["kurtosis"]
    found = decode.activations(encoded(given), [])
    assert found.mean is None and found.variance is None and found.kurtosis is None
    assert found.bands == () and np.isnan(found.top[0].activations[2])

    results = samples.explanations()
    scored = results["scored_explanations"][0]["scored_simulation"]
    scored["ev_correlation_score"] = None
    first = scored["scored_sequence_simulations"][0]
    first["simulation"]["distribution_values"] = []
    first["simulation"]["distribution_probabilities"] = []
    scored["scored_sequence_simulations"][1]["simulation"]["distribution_values"][4] = []
    (one,) = decode.explanations(encoded(results), []).explanations
    assert one.ev_correlation is None
    assert one.sequences[0].simulation.values == ()
    assert one.sequences[1].simulation.values[4] == ()


def broken(change: Any) -> bytes:
    given = copy.deepcopy(samples.activations())
    change(given)
    return encoded(given)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"<html>no</html>", "it is not JSON"),
        (encoded(samples.activations())[:3000], "ends in the middle"),
        (b"[1, 2]", "an object is missing"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"[" * 100_000, "too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "number too long"),
        (encoded(samples.token_table()), "calls itself 'TokenLookupTableSummaryOfNeuron'"),
        (broken(lambda g: g.update(mean="high")), "mean is no number"),
        (broken(lambda g: g.update(random_sample={})), "random is no list"),
        (broken(lambda g: g.update(random_sample=[{}] * 3000)), "more than are read"),
    ],
)
def test_what_is_no_such_file_says_why(data: bytes, why: str) -> None:
    with pytest.raises(decode.Unreadable, match=why):
        decode.activations(data, [])


def nodes(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value, as container and key."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found: list[tuple[Any, Any]] = []
    for key, one in inner:
        found.append((value, key))
        if isinstance(one, dict | list):
            found += nodes(one)
    return found


SCRAPS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3),
    st.sampled_from([10**400, "0_1", [], {}, [[1.0]], [None], {"tokens": ["a"]}]),
)  # fmt: skip
READERS = {
    decode.activations: samples.activations,
    decode.explanations: samples.explanations,
    decode.token_list: samples.token_table,
    decode.weight_tokens: samples.weight_table,
    decode.related_neurons: samples.neighbours,
}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_stands_in_a_file_it_is_read_or_refused(data: st.DataObject) -> None:
    parts: dict[str, Any] = {}
    problems: list[str] = []
    names = ("activations", "explanations", "tokens_by_activation", "tokens_by_weight")
    for name, (read, make) in zip((*names, "related_neurons"), READERS.items(), strict=True):
        value = make()
        places = nodes(value)
        for _ in range(data.draw(st.integers(1, 3))):
            # Near the top there is more to break than among a thousand numbers.
            place = data.draw(st.integers(0, min(len(places), 400) - 1))
            container, key = places[place]
            container[key] = data.draw(SCRAPS)
        try:
            part = read(encoded(value), problems)
        except decode.Unreadable as problem:
            assert "\n" not in str(problem)
        else:
            parts[name] = part.explanations if name == "explanations" else part
    neuron = PublicNeuron(NEURON, **parts)
    record = convert.neuron_record(neuron)
    assert record.statistics.maximum != 0 and convert.token_means(neuron).complete is False
    for one in neuron.explanations:
        for score in convert.published_scores(one, convert.scored_records(one)):
            assert score.ev_correlation is None or np.isfinite(score.ev_correlation)
    assert all("\n" not in problem for problem in problems)


async def test_a_side_without_excerpts_or_tokens_is_not_explained(tmp_path: Path) -> None:
    async with Engine.open(tmp_path, source=str(samples.write_dataset(tmp_path / "x"))) as engine:
        for neuron, side in ((NEURON, "negative"), (NeuronId(1, 5), "positive")):
            choices = Choices(side=side)  # type: ignore[arg-type]
            *_, last = [event async for event in engine.explain(neuron, choices)]
            assert isinstance(last, PipelineFailed)
            assert last.message == "The dataset has no token table of this side of the neuron."


def test_a_broken_record_is_left_out_and_the_rest_goes_on() -> None:
    given = samples.activations()
    top = given["most_positive_activation_records"]
    top[3]["activations"].append(1.0)
    top[5]["activations"] = [0.5] * (16 * 17 // 2)  # an attention head's pairs
    given["random_sample"][0] = "nothing"
    problems: list[str] = []
    found = decode.activations(encoded(given), problems)
    assert len(found.top) == 18 and len(found.random) == 14
    assert problems == [
        "top 3: 17 activations for 16 tokens; left out",
        "top 5: it has a value for each pair of tokens, as attention heads have; left out",
        "random 0: an object is missing; left out",
    ]
    more = encoded(samples.explanations()) + b"\n\n" + encoded(samples.explanations())
    problems.clear()
    assert len(decode.explanations(more, problems).explanations) == 1
    assert problems == ["2 lines, of which only the first is read"]


async def test_a_folder_is_read_neuron_by_neuron(tmp_path: Path) -> None:
    root = samples.write_dataset(tmp_path / "data")
    for named in (root, tmp_path, root / "explanations"):
        dataset = await open_dataset(str(named), tmp_path)
        assert list(dataset.present(0)) == [2, 7] and list(dataset.present(1)) == [4, 5, 9]
        assert (dataset.n_layers, dataset.n_neurons, dataset.first()) == (2, 10, NeuronId(0, 2))
        await dataset.close()
    dataset = await open_dataset(str(root), tmp_path)
    assert np.isnan(dataset.layer(1).maximum).all()
    await dataset.prepare(NEURON)
    columns = dataset.layer(1)
    assert columns.maximum[4] == pytest.approx(5.16) and np.isnan(columns.maximum[5])
    assert np.isnan(columns.fraction_active).all() and np.isnan(columns.minimum).all()
    record = dataset.neuron(NEURON)
    assert record.statistics.mean == 0.0425 and record.statistics.tokens == 0
    assert [len(record.group(group)) for group in Group] == [20, 3, 3, 3, 3, 15, 0]
    assert record.group(Group.TOP)[0].excerpt.text.startswith(" The river")
    means = dataset.token_means(NEURON)
    assert means.texts == (b" Rhine", b" Loire", b" Po") and not means.complete
    public = dataset.public(NEURON)
    assert public.related_neurons is not None and public.tokens_by_weight is not None
    assert public.related_neurons.upstream == ((NeuronId(0, 7), 3.5), (NeuronId(0, 2), 2.25))
    assert public.related_neurons.downstream is None
    assert public.tokens_by_weight.output_negative.values == (-0.5,)
    with pytest.raises(UsageError, match="no files of neuron 1:6"):
        await dataset.prepare(NeuronId(1, 6))
    with pytest.raises(UsageError, match="Layers are 0 to 1"):
        await dataset.prepare(NeuronId(2, 0))


async def test_one_broken_file_takes_nothing_else_with_it(tmp_path: Path) -> None:
    dataset = await open_dataset(str(samples.write_dataset(tmp_path)), tmp_path)
    cut = NeuronId(1, 9)
    await dataset.prepare(cut)
    public = dataset.public(cut)
    assert public.activations is None and len(public.explanations) == 1
    assert public.problems == (
        "collated-activations/1/9.json: it ends in the middle: it was not written or loaded whole",
    )
    assert not dataset.neuron(cut).records and np.isnan(dataset.neuron(cut).statistics.maximum)
    samples.put(tmp_path / "explanations/1/9.jsonl", b"{")
    again = await open_dataset(str(tmp_path), tmp_path)
    with pytest.raises(NeuroglassError, match=r"1:9 of .* can't be read: collated-activations"):
        await again.prepare(cut)
    samples.put(tmp_path / "collated-activations/0/2.json", samples.activations(0, 3))
    await again.prepare(NeuronId(0, 2))
    assert again.public(NeuronId(0, 2)).problems == (
        "collated-activations/0/2.json: it says that it is of neuron 0:3",
    )


async def test_a_file_by_itself(tmp_path: Path) -> None:
    samples.put(tmp_path / "a.json", samples.activations())
    dataset = await open_dataset(str(tmp_path / "a.json"), tmp_path)
    assert dataset.first() == NEURON
    await dataset.prepare(NEURON)
    assert dataset.neuron(NEURON).group(Group.TOP) and not dataset.published(NEURON)
    samples.put(tmp_path / "b.jsonl", samples.explanations())
    dataset = await open_dataset(str(tmp_path / "b.jsonl"), tmp_path)
    await dataset.prepare(NEURON)
    assert [one.text for one in dataset.published(NEURON)] == ["names of rivers"]
    # In its place in a dataset it brings along what belongs to the same neuron.
    root = samples.write_dataset(tmp_path / "all")
    dataset = await open_dataset(str(root / "explanations/1/4.jsonl"), tmp_path)
    await dataset.prepare(NEURON)
    assert dataset.neuron(NEURON).records and list(dataset.present(0)) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("openai:gpt5", "no published dataset 'openai:gpt5'"),
        ("nothing/here", "There is no nothing/here"),
        (".", "no dataset in OpenAI's formats"),
        ("foreign.json", "foreign.json can't be read: it holds no activation records"),
    ],
)
async def test_names_that_are_no_dataset(
    name: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "foreign.json").write_text('{"rows": []}')
    with pytest.raises(NeuroglassError, match=why):
        await open_dataset(name, tmp_path)


async def test_the_splits_are_the_published_strides(tmp_path: Path) -> None:
    dataset = await open_dataset(str(samples.write_dataset(tmp_path)), tmp_path)
    await dataset.prepare(NEURON)
    splits = split_records(dataset.neuron(NEURON))

    def ranks(name: str, role: str) -> list[int]:
        return [
            int(held.record.excerpt.tokens[13])
            for held in splits.held_out(name)
            if held.role == role
        ]

    assert [int(one.excerpt.tokens[13]) for one in splits.train] == [0, 4, 8, 12, 16]
    assert ranks("calibration", "top") == [1, 5, 9, 13, 17]
    assert ranks("valid", "top") == [2, 6, 10, 14, 18]
    assert ranks("test", "top") == [3, 7, 11, 15, 19]
    assert ranks("calibration", "random") == [100, 103, 106, 109, 112]
    assert ranks("valid", "random") == [101, 104, 107, 110, 113]
    assert ranks("test", "random") == [102, 105, 108, 111, 114]


async def test_a_text_shown_to_the_explainer_is_never_scored_on(tmp_path: Path) -> None:
    given = samples.activations()
    given["random_sample"][1] = given["most_positive_activation_records"][4]
    given["random_sample"][2] = given["most_positive_activation_records"][2]
    samples.put(tmp_path / "collated-activations/1/4.json", given)
    dataset = await open_dataset(str(tmp_path), tmp_path)
    await dataset.prepare(NEURON)
    record = dataset.neuron(NEURON)
    splits = split_records(record)
    train = {one.excerpt.text for one in splits.train}
    held = [
        one.record.excerpt.text
        for n in ("calibration", "valid", "test")
        for one in splits.held_out(n)
    ]
    assert not train & set(held) and len(held) == len(set(held))
    assert len(record.records[Fold.EXPLAIN, Group.RANDOM]) == 1


async def test_a_published_score_keeps_its_number_and_says_what_it_rests_on(tmp_path: Path) -> None:
    results = samples.explanations()
    results["scored_explanations"] = [
        samples.explanation(" names of rivers.", 0.92),
        samples.explanation("waters", None, calibrated=True),
    ]
    bare = samples.explanation("no simulations", 0.31)
    bare["scored_simulation"]["scored_sequence_simulations"] = []
    results["scored_explanations"].append(bare)
    samples.put(tmp_path / "explanations/1/4.jsonl", results)
    dataset = await open_dataset(str(tmp_path), tmp_path)
    await dataset.prepare(NEURON)
    rivers, waters, lonely = dataset.published(NEURON)
    assert (rivers.id, waters.id, lonely.id) == (-1, -2, -3)
    own = waters.score()
    assert own is not None and own.ev_correlation is not None and own.interval is not None
    assert own.records == 10 and own.coverage == 1 and own.status is ScoreStatus.OK
    published = rivers.score()
    assert published is not None and published.ev_correlation == 0.92
    assert published.status is ScoreStatus.PARTIAL
    assert published.message == (
        f"published as 0.92; its sequences here give {own.ev_correlation:.2f}"
    )
    alone = lonely.score()
    assert alone is not None and (alone.ev_correlation, alone.records) == (0.31, 0)
    first = dataset.published_simulations(NEURON, -1)
    assert [one.role for one in first] == ["top"] * 5 + ["random"] * 5
    assert first[0].scale is Scale.NORMALISED
    assert dataset.published_simulations(NEURON, -2)[0].scale is Scale.NEURON
    assert dataset.published_scores(1) == {4: 0.92}
