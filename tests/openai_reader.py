"""A strict reader of OpenAI's published formats, and a maker of files in every old form.

Written from the description of the formats alone, and sharing no line with the engine:
what the engine writes has to satisfy somebody else's code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NUMBER = (int, float)
#: Class name to its fields, and what each holds.
CLASSES: dict[str, dict[str, Any]] = {
    "NeuronId": {"layer_index": int, "neuron_index": int},
    "ActivationRecord": {"tokens": [str], "activations": [NUMBER]},
    "NeuronRecord": {
        "neuron_id": "NeuronId",
        "random_sample": ["ActivationRecord"],
        "random_sample_by_quantile": [["ActivationRecord"]],
        "quantile_boundaries": [NUMBER],
        "mean": NUMBER,
        "variance": NUMBER,
        "skewness": NUMBER,
        "kurtosis": NUMBER,
        "most_positive_activation_records": ["ActivationRecord"],
    },
    "SequenceSimulation": {
        "tokens": [str],
        "expected_activations": [NUMBER],
        "activation_scale": str,
        "distribution_values": [[NUMBER]],
        "distribution_probabilities": [[NUMBER]],
        "uncalibrated_simulation": "SequenceSimulation",
    },
    "ScoredSequenceSimulation": {
        "simulation": "SequenceSimulation",
        "true_activations": [NUMBER],
        "ev_correlation_score": NUMBER,
        "rsquared_score": NUMBER,
        "absolute_dev_explained_score": NUMBER,
    },
    "ScoredSimulation": {
        "scored_sequence_simulations": ["ScoredSequenceSimulation"],
        "ev_correlation_score": NUMBER,
        "rsquared_score": NUMBER,
        "absolute_dev_explained_score": NUMBER,
    },
    "ScoredExplanation": {"explanation": str, "scored_simulation": "ScoredSimulation"},
    "NeuronSimulationResults": {
        "neuron_id": "NeuronId",
        "scored_explanations": ["ScoredExplanation"],
    },
    "TokensAndWeights": {"tokens": [str], "strengths": [NUMBER]},
    "WeightBasedSummaryOfNeuron": dict.fromkeys(
        ("input_positive", "input_negative", "output_positive", "output_negative"),
        "TokensAndWeights",
    ),
    "TokenLookupTableSummaryOfNeuron": {"tokens": [str], "average_activations": [NUMBER]},
}
NULLABLE = {
    "random_sample_by_quantile",
    "quantile_boundaries",
    "mean",
    "variance",
    "skewness",
    "kurtosis",
    "uncalibrated_simulation",
    "ev_correlation_score",
    "rsquared_score",
    "absolute_dev_explained_score",
    "expected_activations",
    "strengths",
    "average_activations",
}


def load(value: Any, name: str) -> dict[str, Any]:
    """A value as the class ``name``; TypeError for a missing, foreign or odd field."""
    if not isinstance(value, dict) or value.get("dataclass_name") != name:
        raise TypeError(f"no {name}: {str(value)[:80]}")
    fields = CLASSES[name]
    if value.keys() - {"dataclass_name"} != fields.keys():
        raise TypeError(f"{name} has fields {sorted(value)}")
    return {
        field: _value(value[field], kind, field in NULLABLE, f"{name}.{field}")
        for field, kind in fields.items()
    }


def _value(value: Any, kind: Any, nullable: bool, where: str) -> Any:
    if value is None:
        if nullable:
            return None
        raise TypeError(f"{where} is null")
    if isinstance(kind, str):
        return load(value, kind)
    if isinstance(kind, list):
        if not isinstance(value, list):
            raise TypeError(f"{where} is no list")
        return [_value(one, kind[0], nullable, where) for one in value]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{where} is {value!r}")
    return value


def neuron_record(folder: Path, layer: int, index: int) -> dict[str, Any]:
    text = (folder / "collated-activations" / str(layer) / f"{index}.json").read_text("utf-8")
    return load(json.loads(text), "NeuronRecord")


def simulation_results(folder: Path, layer: int, index: int) -> dict[str, Any]:
    path = folder / "explanations" / str(layer) / f"{index}.jsonl"
    lines = [line for line in path.read_text("utf-8").split("\n") if line]
    assert len(lines) == 1
    return load(json.loads(lines[0]), "NeuronSimulationResults")


def tokens_by_activation(folder: Path, layer: int, index: int) -> dict[str, Any]:
    path = folder / "related-tokens" / "activation-based" / str(layer) / f"{index}.json"
    return load(json.loads(path.read_text("utf-8")), "TokenLookupTableSummaryOfNeuron")


def tokens_by_weight(folder: Path, layer: int, index: int) -> dict[str, Any]:
    path = folder / "related-tokens" / "weight-based" / str(layer) / f"{index}.json"
    return load(json.loads(path.read_text("utf-8")), "WeightBasedSummaryOfNeuron")


def related_neurons(folder: Path, layer: int, index: int) -> dict[str, Any]:
    path = folder / "related-neurons" / "weight-based" / str(layer) / f"{index}.json"
    value = json.loads(path.read_text("utf-8"))
    assert value.keys() == {"c_fc", "c_proj"}
    for part in value.values():
        if part is not None:
            assert len(part["top_positive_neurons"]) == len(part["top_positive_weights"])
            assert len(part["top_negative_neurons"]) == len(part["top_negative_weights"])
    return value
