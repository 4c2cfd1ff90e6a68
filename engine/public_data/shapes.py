"""What the published files hold, as values.

Names follow the files; all texts in them are untrusted.  A number that a file gives as
null, or not at all, is NaN in an array and None elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from engine.neuron import NeuronId

Floats = NDArray[np.float64]
#: One list for each token; or none at all, where a simulator had no distribution.
Distribution = tuple[tuple[float, ...], ...]


class Kind(Enum):
    """The five kinds of files, each with its place below a dataset's root."""

    ACTIVATIONS = "collated-activations/{layer}/{index}.json"
    EXPLANATIONS = "explanations/{layer}/{index}.jsonl"
    RELATED_NEURONS = "related-neurons/weight-based/{layer}/{index}.json"
    TOKENS_BY_ACTIVATION = "related-tokens/activation-based/{layer}/{index}.json"
    TOKENS_BY_WEIGHT = "related-tokens/weight-based/{layer}/{index}.json"

    def path(self, neuron: NeuronId) -> str:
        """Where a neuron's file of this kind lies."""
        return self.value.format(layer=neuron.layer, index=neuron.index)


@dataclass(frozen=True, slots=True, eq=False)
class PublicRecord:
    """An excerpt and the neuron's raw activations on it, float64 [T]."""

    tokens: tuple[str, ...]
    activations: Floats


@dataclass(frozen=True, slots=True, eq=False)
class PublicActivations:
    """Excerpts of one neuron by group, and its moments (``NeuronRecord``).

    Attributes:
        neuron: As the file says; None where it says nothing.
        top: Strongest first.
        bands: Random excerpts in bands of the excerpt maximum, the lowest band first.
        boundaries: The maxima that part the bands.
        mean, variance, skewness, kurtosis: None where not known. The files don't say
            whether the kurtosis is reduced by 3.
    """

    neuron: NeuronId | None
    top: tuple[PublicRecord, ...]
    random: tuple[PublicRecord, ...]
    bands: tuple[tuple[PublicRecord, ...], ...]
    boundaries: tuple[float, ...]
    mean: float | None = None
    variance: float | None = None
    skewness: float | None = None
    kurtosis: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PublicSimulation:
    """Expected activations of one excerpt (``SequenceSimulation``).

    Attributes:
        expected: float64 [T], in units of ``scale``.
        scale: The file's word for its units. A simulation that was passed through without
            calibration is labelled ``neuron_activations`` too; only one with
            ``uncalibrated`` is known to be in them.
        values, probabilities: What the simulator held possible at each token.
    """

    tokens: tuple[str, ...]
    expected: Floats
    scale: str
    values: Distribution = ()
    probabilities: Distribution = ()
    uncalibrated: PublicSimulation | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PublicScored:
    """A simulation beside the true activations (``ScoredSequenceSimulation``)."""

    simulation: PublicSimulation
    activations: Floats
    ev_correlation: float | None
    rsquared: float | None
    absolute_dev_explained: float | None


@dataclass(frozen=True, slots=True, eq=False)
class PublicExplanation:
    """A sentence and how it scored (``ScoredExplanation`` with ``ScoredSimulation``)."""

    text: str
    sequences: tuple[PublicScored, ...]
    ev_correlation: float | None
    rsquared: float | None
    absolute_dev_explained: float | None


@dataclass(frozen=True, slots=True)
class PublicExplanations:
    """All explanations of one neuron (``NeuronSimulationResults``)."""

    neuron: NeuronId | None
    explanations: tuple[PublicExplanation, ...]


@dataclass(frozen=True, slots=True)
class TokenList:
    """Tokens, each with a weight or a mean activation; None where it has none."""

    tokens: tuple[str, ...] = ()
    values: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class WeightTokens:
    """Tokens that weights connect a neuron with (``WeightBasedSummaryOfNeuron``)."""

    input_positive: TokenList = TokenList()
    input_negative: TokenList = TokenList()
    output_positive: TokenList = TokenList()
    output_negative: TokenList = TokenList()


@dataclass(frozen=True, slots=True)
class RelatedNeurons:
    """Neurons that feed a neuron and that it feeds, each with its weight.

    Attributes:
        upstream, downstream: Positive connections, the strongest first; None at an edge
            of the model.
        upstream_against, downstream_against: Negative ones.
    """

    upstream: tuple[tuple[NeuronId, float], ...] | None = None
    upstream_against: tuple[tuple[NeuronId, float], ...] = ()
    downstream: tuple[tuple[NeuronId, float], ...] | None = None
    downstream_against: tuple[tuple[NeuronId, float], ...] = ()


@dataclass(frozen=True, slots=True)
class PublicNeuron:
    """All that a dataset has of one neuron.

    Attributes:
        problems: One line for each thing that could not be read, for people.
    """

    neuron: NeuronId
    activations: PublicActivations | None = None
    explanations: tuple[PublicExplanation, ...] = ()
    related_neurons: RelatedNeurons | None = None
    tokens_by_activation: TokenList | None = None
    tokens_by_weight: WeightTokens | None = None
    problems: tuple[str, ...] = ()
