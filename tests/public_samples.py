"""A small made-up dataset in the published layout, and its files in older forms."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Words of the made-up excerpts; the neuron fires on names of rivers.
WORDS = " The river| Rhine| flows| past| Basel|,| and| the| Po| past| Turin|.|\n| Boats| wait|."
RIVERS = {" Rhine", " Po", " Loire", " Elbe"}
OTHERS = (" Loire", " Elbe", " Rhine", " street", " market", " bridge", " Po")


def tokens(number: int) -> list[str]:
    """Sixteen tokens, no two numbers alike."""
    found = WORDS.split("|")
    found[1] = OTHERS[number % len(OTHERS)]
    found[8] = OTHERS[(3 * number + 1) % len(OTHERS)]
    found[13] = f" {number}"
    return found


def record(number: int, strength: float = 1.0) -> dict[str, Any]:
    listed = tokens(number)
    values = [
        round(strength * (2.5 + 0.01 * place) if token in RIVERS else -0.1 + 0.01 * place, 4)
        for place, token in enumerate(listed)
    ]
    return named({"tokens": listed, "activations": values}, "ActivationRecord")


def named(value: dict[str, Any], name: str) -> dict[str, Any]:
    return {**value, "dataclass_name": name}


def neuron_id(layer: int, index: int) -> dict[str, Any]:
    return named({"layer_index": layer, "neuron_index": index}, "NeuronId")


def activations(layer: int = 1, index: int = 4) -> dict[str, Any]:
    return named(
        {
            "neuron_id": neuron_id(layer, index),
            "random_sample": [record(100 + n, 0.4) for n in range(15)],
            "random_sample_by_quantile": [
                [record(200 + 10 * band + n, 0.1 + 0.2 * band) for n in range(3)]
                for band in range(4)
            ],
            "quantile_boundaries": [0.1, 0.3, 0.7, 0.9],
            "mean": 0.0425,
            "variance": 0.31,
            "skewness": 4.5,
            "kurtosis": 31.25,
            "most_positive_activation_records": [record(n, 2 - 0.05 * n) for n in range(20)],
        },
        "NeuronRecord",
    )


def simulation(number: int, *, calibrated: bool = False) -> dict[str, Any]:
    listed = tokens(number)
    expected = [8.0 if token in RIVERS else 0.0 for token in listed]
    value = {
        "tokens": listed,
        "expected_activations": expected,
        "activation_scale": "simulated_normalized_activations",
        "distribution_values": [[0.0, 8.0] for _ in listed],
        "distribution_probabilities": [[0.5, 0.5] for _ in listed],
        "uncalibrated_simulation": None,
    }
    if calibrated:
        inner = named(value, "SequenceSimulation")
        value = {
            **value,
            "expected_activations": [0.3 * one for one in expected],
            "activation_scale": "neuron_activations",
            "uncalibrated_simulation": inner,
        }
    return named(value, "SequenceSimulation")


def scored(number: int, strength: float = 1.0, **settings: Any) -> dict[str, Any]:
    return named(
        {
            "simulation": simulation(number, **settings),
            "true_activations": record(number, strength)["activations"],
            "ev_correlation_score": 0.9,
            "rsquared_score": 0.5,
            "absolute_dev_explained_score": 0.4,
        },
        "ScoredSequenceSimulation",
    )


def explanation(text: str, score: float | None, **settings: Any) -> dict[str, Any]:
    numbers = [
        *((n, 2 - 0.05 * n) for n in (2, 6, 10, 14, 18)),
        *((100 + n, 0.4) for n in (1, 4, 7, 10, 13)),
    ]
    return named(
        {
            "explanation": text,
            "scored_simulation": named(
                {
                    "scored_sequence_simulations": [scored(*one, **settings) for one in numbers],
                    "ev_correlation_score": score,
                    "rsquared_score": 0.51,
                    "absolute_dev_explained_score": 0.42,
                },
                "ScoredSimulation",
            ),
        },
        "ScoredExplanation",
    )


def explanations(layer: int = 1, index: int = 4) -> dict[str, Any]:
    return named(
        {
            "neuron_id": neuron_id(layer, index),
            "scored_explanations": [explanation(" names of rivers.", 0.92)],
        },
        "NeuronSimulationResults",
    )


def token_table() -> dict[str, Any]:
    return named(
        {
            "tokens": [" Rhine", " Loire", " Po", " \x1b[31m"],
            "average_activations": [2.6, 2.4, 1.5, None],
        },
        "TokenLookupTableSummaryOfNeuron",
    )


def weight_table() -> dict[str, Any]:
    def part(*listed: tuple[str, float]) -> dict[str, Any]:
        return named(
            {"tokens": [one for one, _ in listed], "strengths": [value for _, value in listed]},
            "TokensAndWeights",
        )

    return named(
        {
            "input_positive": part((" river", 1.25), (" Rhine", 1.125)),
            "input_negative": part((" desert", -0.75)),
            "output_positive": part((" water", 0.5), (" bank", 0.25)),
            "output_negative": part((" dry", -0.5)),
        },
        "WeightBasedSummaryOfNeuron",
    )


def neighbours() -> dict[str, Any]:
    return {
        "c_fc": {
            "top_positive_neurons": ["0_7", "0_2"],
            "top_positive_weights": [3.5, 2.25],
            "top_negative_neurons": ["0_1"],
            "top_negative_weights": [-1.5],
        },
        "c_proj": None,
    }


def put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    path.write_bytes(data)


FILES: dict[str, Callable[[], Any]] = {
    "related-neurons/weight-based/{}/{}.json": neighbours,
    "related-tokens/activation-based/{}/{}.json": token_table,
    "related-tokens/weight-based/{}/{}.json": weight_table,
}


def write_neuron(root: Path, layer: int, index: int) -> None:
    put(root / f"collated-activations/{layer}/{index}.json", activations(layer, index))
    put(root / f"explanations/{layer}/{index}.jsonl", explanations(layer, index))
    for place, make in FILES.items():
        put(root / place.format(layer, index), make())


def write_dataset(root: Path) -> Path:
    """Layers 0 and 1, some neurons each, with what can be wrong among them."""
    for layer, index in ((0, 2), (0, 7), (1, 4), (1, 5), (1, 9)):
        write_neuron(root, layer, index)
    # 1:9 was broken off while it was copied, 1:5 has no excerpts at all.
    cut = root / "collated-activations/1/9.json"
    cut.write_bytes(cut.read_bytes()[:2000])
    (root / "collated-activations/1/5.json").unlink()
    return root


# -- older forms


def rename(value: Any, changes: dict[str, str]) -> Any:
    """Fields under other names, everywhere."""
    if isinstance(value, list):
        return [rename(one, changes) for one in value]
    if isinstance(value, dict):
        return {changes.get(name, name): rename(one, changes) for name, one in value.items()}
    return value


def without_names(value: Any) -> Any:
    """No object says what class it is of."""
    if isinstance(value, list):
        return [without_names(one) for one in value]
    if isinstance(value, dict):
        return {n: without_names(one) for n, one in value.items() if n != "dataclass_name"}
    return value


def with_response(value: Any) -> Any:
    """The oldest simulations have the model's response, too."""
    if isinstance(value, list):
        return [with_response(one) for one in value]
    if isinstance(value, dict):
        more = {"response": {"choices": []}} if "expected_activations" in value else {}
        return {**{n: with_response(one) for n, one in value.items()}, **more}
    return value


def layer_as_text(value: Any) -> Any:
    if isinstance(value, list):
        return [layer_as_text(one) for one in value]
    if isinstance(value, dict):
        return {
            n: str(one) if n == "layer_index" else layer_as_text(one) for n, one in value.items()
        }
    return value


def old_classes(value: Any) -> Any:
    text = json.dumps(value).replace('"ScoredExplanation"', '"ScoredExplanationOrBaseline"')
    return rename(
        json.loads(text),
        {
            "scored_explanations": "scored_explanation_or_baseline_list",
            "explanation": "explanation_or_baseline",
        },
    )


OLDER: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda value: value,
    "idx and layer": lambda v: rename(v, {"layer_index": "layer", "neuron_index": "idx"}),
    "layer as text": layer_as_text,
    "sequence_simulation": lambda v: rename(v, {"simulation": "sequence_simulation"}),
    "unit": lambda v: rename(v, {"activation_scale": "unit"}),
    "response": with_response,
    "explanation or baseline": old_classes,
    "no class names": without_names,
    "all at once": lambda v: without_names(
        old_classes(
            rename(
                with_response(v),
                {
                    "layer_index": "layer",
                    "neuron_index": "idx",
                    "simulation": "sequence_simulation",
                    "activation_scale": "unit",
                },
            )
        )
    ),
}


def finite(values: list[Any]) -> list[Any]:
    return [None if isinstance(v, float) and not math.isfinite(v) else v for v in values]
