"""Choices, the negative side, and another neuron's explanation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from method_samples import explanation, sample_means, sample_neuron

from engine.chance import other_explanation
from engine.choices import EXPLAINERS, RULES, SIMULATORS, Choices, Price
from engine.engine import Engine
from engine.errors import UsageError
from engine.events import Scored
from engine.neuron import NeuronId
from engine.records import Fold, Group
from engine.scan_request import ScanRequest
from engine.sides import means_of, record_of
from engine.splits import split_records


def test_choices_survive_a_round_trip() -> None:
    choices = Choices(
        explainer="summary",
        explainer_model="anthropic:some-model",
        simulator="json",
        scorers=("detection", "ablation"),
        samples=3,
        budget_money=1.5,
        prices={"anthropic:some-model": Price(3, 15)},
    )
    assert Choices.from_json(choices.to_json()) == choices
    newer = {**choices.to_json(), "of a later version": 1}
    assert Choices.from_json(newer) == choices


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"explainer": "psychic"}, "no explainer 'psychic'"),
        ({"simulator": ""}, "no simulator ''"),
        ({"scorers": ("taste",)}, "no scorer 'taste'"),
        ({"split": "train"}, "no split 'train'"),
        ({"calibration": "round"}, "no calibration 'round'"),
        ({"samples": 0}, "0 samples"),
        ({"revisions": 11}, "revise 11 times"),
        ({"explainer": "summary", "explainer_model": "vllm:b"}, "reads tables, not sentences"),
        ({"simulator": "json"}, "simulator needs a language model"),
        ({"scorers": ("detection",)}, "scorer needs a language model"),
        ({"revisions": 1}, "explainer needs a language model"),
        ({"simulator": "json", "simulator_model": "nobody:x"}, "no provider 'nobody'"),
    ],
)
def test_choices_that_can_not_be_carried_out_say_why(change: dict[str, object], line: str) -> None:
    with pytest.raises(UsageError, match=line) as caught:
        replace(Choices(), **change).check()  # type: ignore[arg-type]
    assert caught.value.remedy


def test_every_name_can_be_chosen_and_one_model_serves_all() -> None:
    for explainer, needs in EXPLAINERS.items():
        for simulator in SIMULATORS:
            if simulator in RULES and explainer != simulator:
                continue
            choices = Choices(explainer=explainer, explainer_model="vllm:y", simulator=simulator)
            choices.check()
            assert choices.models_needed().get("explainer") == ("vllm:y" if needs else None)
    both = Choices(
        explainer="summary", explainer_model="vllm:y", simulator="json", scorers=("detection",)
    )
    assert both.models_needed() == {
        "explainer": "vllm:y",
        "simulator": "vllm:y",
        "scorer": "vllm:y",
    }


def test_a_sentence_can_not_be_scored_by_the_token_table() -> None:
    with pytest.raises(UsageError, match="reads tables"):
        Choices().for_scoring(explanation())
    own = Choices(explainer="summary", explainer_model="vllm:y", simulator="json")
    assert own.for_scoring(explanation()).models_needed() == {"simulator": "vllm:y"}


def test_the_negative_side_is_a_neuron_of_its_own() -> None:
    record = sample_neuron()
    bottom = record.records[Fold.SCORE, Group.RANDOM]
    record = replace(record, records={**record.records, (Fold.SCORE, Group.BOTTOM): bottom})
    turned = record_of(record, "negative")
    for one, other in zip(turned.records[Fold.SCORE, Group.TOP], bottom, strict=True):
        assert one.excerpt is other.excerpt
        np.testing.assert_array_equal(one.activations, -other.activations)
    assert (Fold.EXPLAIN, Group.TOP) not in turned.records  # it has no bottom here
    assert turned.statistics.maximum == -record.statistics.minimum
    assert record_of(record, "positive") is record
    means = means_of(sample_means(), "negative")
    np.testing.assert_array_equal(means.means, -sample_means().means)
    edges = record.statistics.histogram_edges
    np.testing.assert_array_equal(turned.statistics.histogram_edges, -edges[::-1])


async def test_another_neurons_explanation_is_the_same_every_time(home: Path) -> None:
    async with await Engine.open(home) as engine:
        assert engine.index is not None
        first = await other_explanation(engine.index, NeuronId(1, 17), "positive")
        again = await other_explanation(engine.index, NeuronId(1, 17), "positive")
        assert first is not None and again is not None
        assert first.neuron == again.neuron != NeuronId(1, 17) and first.neuron.layer == 1
        assert first.text == again.text and first.rules


async def test_the_negative_side_is_explained_and_scored(home: Path) -> None:
    async with await Engine.open(home) as engine:
        assert engine.index is not None
        choices = Choices(side="negative")
        events = [event async for event in engine.explain(NeuronId(2, 40), choices)]
        last = events[-1]
        assert isinstance(last, Scored) and last.explanation.side == "negative"
        bottom = split_records(record_of(engine.index.neuron(NeuronId(2, 40)), "negative"))
        assert all(record.record.peak < 0.2 for record in bottom.valid if record.role == "top")
        top = [r for r in last.card.records if r.role == "top"]
        assert top and all(np.max(r.activations) > 0 for r in top)
        number = await engine.save(last.explanation, last.card)
        stored = engine.store.explanation(number)
        assert stored is not None and stored.side == "negative"
        positive = [event async for event in engine.explain(NeuronId(2, 40), Choices())][-1]
        assert isinstance(positive, Scored)
        assert await engine.save(positive.explanation, positive.card) != number


async def test_choices_are_remembered_in_the_home(home: Path) -> None:
    choices = Choices(simulator="json", simulator_model="openai:x", calibration="linear")
    async with await Engine.open(home) as engine:
        assert engine.choices == Choices()
        await engine.remember(choices)
        with pytest.raises(UsageError):
            await engine.remember(replace(choices, split="nowhere"))
    async with await Engine.open(home) as engine:
        assert engine.choices == choices


async def test_what_is_left_to_scan(home: Path, tmp_path: Path) -> None:
    async with await Engine.open(home) as engine:
        assert engine.index is not None
        assert engine.scan_to_do() is None
        assert engine.scan_to_do(engine.index.model_name, engine.index.sources) is None
        other = engine.scan_to_do(sources=("demo",))
        assert other == ScanRequest(sources=("demo",))
    async with await Engine.open(tmp_path / "empty") as engine:
        assert engine.scan_to_do() == ScanRequest()
        assert engine.scan_to_do("./other") == ScanRequest(model="./other")


def test_own_words_are_tidied() -> None:
    words = Engine.written(NeuronId(0, 1), "  words\nof   mine. ")
    assert (words.text, words.explainer) == ("words of mine", "human")
    with pytest.raises(UsageError, match="at least a word"):
        Engine.written(NeuronId(0, 1), " . ")
