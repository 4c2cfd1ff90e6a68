"""Writing the published formats: read back by somebody else's reader, every field equal."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import openai_reader as reader
import pytest
from click.testing import CliRunner
from store_samples import carded

from engine.engine import Engine
from engine.errors import NeuroglassError, UsageError
from engine.explanation import Explanation
from engine.index import Index
from engine.neuron import NeuronId
from engine.paths import write_pointer
from engine.public_data.export import Exported, export_neurons
from engine.public_data.names import open_dataset
from engine.records import Group
from engine.scoring import absolute_dev_explained, ev_correlation, rsquared
from tests.small_index import FOLDER
from tui.cli.root import cli

NEURON = NeuronId(2, 7)
EMPTY = NeuronId(0, 0)


async def filled(home: Path) -> Engine:
    """An engine on the small index, with explanations of one neuron."""
    engine = await Engine.open(home, index=FOLDER)
    async for event in engine.explain(NEURON):
        if type(event).__name__ == "Scored":
            await engine.save(event.explanation, event.card)
    await engine.save(engine.written(NEURON, "words of my own"))
    await engine.save(engine.written(NEURON, "the other side", side="negative"), carded(0.9))
    partial = Explanation(NEURON, "half of it", "human")
    await engine.save(partial, carded(0.25))
    return engine


async def export(engine: Engine, folder: Path, *neurons: NeuronId, **names: Any) -> Exported:
    assert engine.index is not None
    *_, last = [
        done async for done in export_neurons(engine.index, engine.store, folder, neurons, **names)
    ]
    return last


def null(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


async def test_every_field_is_read_back_by_another_reader(tmp_path: Path) -> None:
    async with await filled(tmp_path) as engine:
        index = engine.index
        assert index is not None
        out = tmp_path / "out"
        done = await export(engine, out, NEURON, EMPTY)
        assert (done.neurons, done.explanations, done.negative, done.unsimulated) == (2, 3, 1, 1)
        for neuron in (NEURON, EMPTY):
            check_activations(index, reader.neuron_record(out, *parts(neuron)), neuron)
            check_tokens(index, reader.tokens_by_activation(out, *parts(neuron)), neuron)
        assert not (out / "explanations/0/0.jsonl").exists()
        check_explanations(engine, reader.simulation_results(out, *parts(NEURON)))


def parts(neuron: NeuronId) -> tuple[int, int]:
    return neuron.layer, neuron.index


def check_activations(index: Index, found: dict[str, Any], neuron: NeuronId) -> None:
    kept = index.neuron(neuron)
    statistics = kept.statistics
    assert found["neuron_id"] == {"layer_index": neuron.layer, "neuron_index": neuron.index}
    for name in ("mean", "variance", "skewness", "kurtosis"):
        assert found[name] == null(getattr(statistics, name))
    assert found["quantile_boundaries"] == [
        null(v) for v in statistics.quantile_boundaries.tolist()
    ]
    groups = [(Group.TOP, found["most_positive_activation_records"])]
    groups.append((Group.RANDOM, found["random_sample"]))
    bands = (Group.BAND_0, Group.BAND_1, Group.BAND_2, Group.BAND_3)
    groups += zip(bands, found["random_sample_by_quantile"], strict=True)
    for group, records in groups:
        ours = kept.group(group)
        assert len(records) == len(ours)
        for one, record in zip(ours, records, strict=True):
            assert record["tokens"] == [t.decode("utf-8", "replace") for t in one.excerpt.tokens]
            assert record["activations"] == one.activations.tolist()


def check_tokens(index: Index, found: dict[str, Any], neuron: NeuronId) -> None:
    means = index.token_means(neuron)
    listed = sorted(
        (-float(mean), place)
        for place, (mean, count) in enumerate(zip(means.means, means.counts, strict=True))
        if count >= 5
    )[:50]
    assert found["average_activations"] == [-mean for mean, _ in listed]
    assert found["tokens"] == [means.texts[p].decode("utf-8", "replace") for _, p in listed]


def check_explanations(engine: Engine, found: dict[str, Any]) -> None:
    assert engine.index is not None
    saved = [
        one
        for one in engine.store.explanations(engine.index.model_id, NEURON)
        if one.side == "positive"
    ]
    assert [one["explanation"] for one in found["scored_explanations"]] == [s.text for s in saved]
    for ours, theirs in zip(saved, found["scored_explanations"], strict=True):
        scored = theirs["scored_simulation"]
        score = ours.score()
        assert scored["ev_correlation_score"] == (score.ev_correlation if score else None)
        assert scored["rsquared_score"] == (score.rsquared if score else None)
        explained = score.absolute_dev_explained if score else None
        assert scored["absolute_dev_explained_score"] == explained
        records = [one for one in engine.store.card(ours.id) if one.coverage > 0] if score else []
        assert len(scored["scored_sequence_simulations"]) == len(records)
        for record, sequence in zip(records, scored["scored_sequence_simulations"], strict=True):
            simulation = sequence["simulation"]
            assert simulation["tokens"] == list(record.tokens)
            assert simulation["expected_activations"] == [null(v) for v in record.expected.tolist()]
            assert simulation["activation_scale"] == str(record.scale)
            assert simulation["distribution_values"] == []
            assert simulation["uncalibrated_simulation"] is None
            assert sequence["true_activations"] == record.activations.tolist()
            known = np.isfinite(record.expected)
            y, x = record.activations[known], record.expected[known]
            assert sequence["ev_correlation_score"] == ev_correlation(y, x)
            assert sequence["rsquared_score"] == rsquared(y, x)
            assert sequence["absolute_dev_explained_score"] == absolute_dev_explained(y, x)


async def test_our_own_reader_takes_it_with_its_identity(tmp_path: Path) -> None:
    async with await filled(tmp_path) as engine:
        index = engine.index
        assert index is not None
        await export(engine, tmp_path / "out", NEURON)
        dataset = await open_dataset(str(tmp_path / "out"), tmp_path)
        assert (dataset.model_id, dataset.corpus_id) == (index.model_id, index.corpus_id)
        assert (dataset.n_layers, dataset.n_neurons) == (index.n_layers, index.n_neurons)
        assert list(dataset.present(2)) == [7] and not dataset.present(0)
        await dataset.prepare(NEURON)
        assert not dataset.public(NEURON).problems
        theirs, ours = dataset.neuron(NEURON), index.neuron(NEURON)
        assert theirs.statistics.mean == ours.statistics.mean
        peaks = [one.peak for one in theirs.group(Group.TOP)]
        assert peaks == [one.peak for one in ours.group(Group.TOP)]
        scores = [one.ev_correlation for one in dataset.published(NEURON)]
        saved = engine.store.explanations(index.model_id, NEURON)
        assert scores == [one.ev_correlation for one in saved if one.side == "positive"]
        # What is saved of the copy leaves what the store knows of the index alone.
        known = {facts.index_id: facts.path for facts in engine.store.indexes()}
        async with await Engine.open(tmp_path, source=str(tmp_path / "out")) as other:
            await other.save(other.written(NEURON, "about the copy"))
            facts = {one.index_id: one.path for one in other.store.indexes()}
        assert facts == {**known, f"export:{index.index_id}": str(tmp_path / "out")}


def test_from_the_command_line_with_weights(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    runner = CliRunner()
    args = ["export", "--format", "openai", "-o", str(out), "--neuron", "5:131", "--neuron", "0:3"]
    result = runner.invoke(cli, [*args, "--weights", "--json"])
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["neurons"], facts["weights"], facts["explanations"]) == (2, 2, 0)
    last, first = reader.related_neurons(out, 5, 131), reader.related_neurons(out, 0, 3)
    assert last["c_proj"] is None and first["c_fc"] is None
    assert len(first["c_proj"]["top_positive_neurons"]) == 10
    tokens = reader.tokens_by_weight(out, 0, 3)
    assert all(len(part["tokens"]) == 20 for part in tokens.values())
    assert tokens["input_positive"]["strengths"][0] > 0 > tokens["output_negative"]["strengths"][0]


async def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    write_pointer(home, FOLDER)
    async with await Engine.open(home) as engine:
        with pytest.raises(UsageError, match="no neuron 99:0"):
            await export(engine, tmp_path / "out", NeuronId(99, 0))
        assert not (tmp_path / "out").exists()
        (tmp_path / "out").write_text("a file")
        with pytest.raises(NeuroglassError, match="can't be written"):
            await export(engine, tmp_path / "out", NEURON)
