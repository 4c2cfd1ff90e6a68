"""Values to the published formats, such that the published readers take them.

Every object ends with its ``dataclass_name``, has all the fields of its class and no
other, and a number that has no value is null.  A scored sequence holds its simulation as
``simulation``: the older reader knows no other name, the newer one takes both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.neuron import NeuronId
from engine.public_data.shapes import (
    PublicActivations,
    PublicExplanation,
    PublicRecord,
    PublicScored,
    PublicSimulation,
    RelatedNeurons,
    TokenList,
    WeightTokens,
)


def dumped(value: Mapping[str, Any]) -> bytes:
    """One line of JSON."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )


def activations(neuron: NeuronId, given: PublicActivations) -> dict[str, Any]:
    """A ``NeuronRecord``."""
    return {
        "neuron_id": _neuron(neuron),
        "random_sample": _records(given.random),
        "random_sample_by_quantile": [_records(band) for band in given.bands],
        "quantile_boundaries": [number(value) for value in given.boundaries],
        "mean": number(given.mean),
        "variance": number(given.variance),
        "skewness": number(given.skewness),
        "kurtosis": number(given.kurtosis),
        "most_positive_activation_records": _records(given.top),
        "dataclass_name": "NeuronRecord",
    }


def explanations(neuron: NeuronId, given: Sequence[PublicExplanation]) -> dict[str, Any]:
    """``NeuronSimulationResults``."""
    return {
        "neuron_id": _neuron(neuron),
        "scored_explanations": [
            {
                "explanation": one.text,
                "scored_simulation": {
                    "scored_sequence_simulations": [_scored(each) for each in one.sequences],
                    **_scores(one),
                    "dataclass_name": "ScoredSimulation",
                },
                "dataclass_name": "ScoredExplanation",
            }
            for one in given
        ],
        "dataclass_name": "NeuronSimulationResults",
    }


def token_list(given: TokenList) -> dict[str, Any]:
    """A ``TokenLookupTableSummaryOfNeuron``."""
    return {
        "tokens": list(given.tokens),
        "average_activations": [number(value) for value in given.values],
        "dataclass_name": "TokenLookupTableSummaryOfNeuron",
    }


def weight_tokens(given: WeightTokens) -> dict[str, Any]:
    """A ``WeightBasedSummaryOfNeuron``."""

    def part(tokens: TokenList) -> dict[str, Any]:
        return {
            "tokens": list(tokens.tokens),
            "strengths": [number(value) for value in tokens.values],
            "dataclass_name": "TokensAndWeights",
        }

    return {
        "input_positive": part(given.input_positive),
        "input_negative": part(given.input_negative),
        "output_positive": part(given.output_positive),
        "output_negative": part(given.output_negative),
        "dataclass_name": "WeightBasedSummaryOfNeuron",
    }


def related_neurons(given: RelatedNeurons) -> dict[str, Any]:
    """The object of the related neurons, which has no published class."""
    return {
        "c_fc": _links(given.upstream, given.upstream_against),
        "c_proj": _links(given.downstream, given.downstream_against),
    }


def number(value: float | None) -> float | None:
    """Null where there is no value, or none that is finite."""
    return None if value is None or not math.isfinite(value) else float(value)


def _numbers(values: Any) -> list[float | None]:
    listed: list[float | None] = values.tolist()
    if not np.isfinite(values).all():
        return [number(value) for value in listed]
    return listed


def _neuron(neuron: NeuronId) -> dict[str, Any]:
    return {
        "layer_index": neuron.layer,
        "neuron_index": neuron.index,
        "dataclass_name": "NeuronId",
    }


def _records(records: Iterable[PublicRecord]) -> list[dict[str, Any]]:
    return [
        {
            "tokens": list(record.tokens),
            "activations": _numbers(record.activations),
            "dataclass_name": "ActivationRecord",
        }
        for record in records
    ]


def _scores(one: PublicExplanation | PublicScored) -> dict[str, float | None]:
    return {
        "ev_correlation_score": number(one.ev_correlation),
        "rsquared_score": number(one.rsquared),
        "absolute_dev_explained_score": number(one.absolute_dev_explained),
    }


def _scored(one: PublicScored) -> dict[str, Any]:
    return {
        "simulation": _simulation(one.simulation),
        "true_activations": _numbers(one.activations),
        **_scores(one),
        "dataclass_name": "ScoredSequenceSimulation",
    }


def _simulation(one: PublicSimulation) -> dict[str, Any]:
    return {
        "tokens": list(one.tokens),
        "expected_activations": _numbers(one.expected),
        "activation_scale": one.scale,
        "distribution_values": [list(row) for row in one.values],
        "distribution_probabilities": [list(row) for row in one.probabilities],
        "uncalibrated_simulation": None
        if one.uncalibrated is None
        else _simulation(one.uncalibrated),
        "dataclass_name": "SequenceSimulation",
    }


def _links(
    positive: Sequence[tuple[NeuronId, float]] | None, negative: Sequence[tuple[NeuronId, float]]
) -> dict[str, Any] | None:
    if positive is None:
        return None

    def names(links: Sequence[tuple[NeuronId, float]]) -> list[str]:
        return [f"{neuron.layer}_{neuron.index}" for neuron, _ in links]

    return {
        "top_positive_neurons": names(positive),
        "top_positive_weights": [number(weight) for _, weight in positive],
        "top_negative_neurons": names(negative),
        "top_negative_weights": [number(weight) for _, weight in negative],
    }
