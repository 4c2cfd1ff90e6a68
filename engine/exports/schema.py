"""The files of a published dataset: what each line has, by name and kind.

The same description makes the dataset's own list of features, so that the ``datasets``
library need not guess types, and says what an import may find.  Structures whose keys differ
from row to row (settings, rules, versions) are JSON in a text, as they are in the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from engine.judgement import Measured
from engine.score import Scope, ScoreStatus
from engine.simulation import Scale, SimulationStatus

#: Version of the layout; a reader refuses a greater one.
VERSION = 1
FORMAT = "neuroglass-dataset"
MANIFEST = "neuroglass.json"
CHECKSUMS = "SHA256SUMS"
CARD = "README.md"

#: ``json`` is a JSON object in a text; ``list`` has rows of its own.
Kind = Literal["text", "int", "float", "json", "texts", "ints", "floats", "list"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a line.

    Attributes:
        empty: Whether it may be null.
        fields: Of the rows of a ``list``.
        among: The only texts it may be; empty: any.
        meaning: For people; empty where the name says it.
    """

    name: str
    kind: Kind
    meaning: str = ""
    empty: bool = False
    fields: tuple[Field, ...] = ()
    among: tuple[str, ...] = ()


_USAGE = (
    Field("seconds", "float", "How long it took", empty=True),
    Field("input_tokens", "int", "What a language model used"),
    Field("output_tokens", "int"),
    Field("cached_input_tokens", "int"),
    Field("requests", "int"),
    Field("versions", "json", "Versions of the programs"),
    Field("created_at", "text", "UTC"),
)
_INTERVAL = (
    Field("interval_low", "float", "Bootstrap interval", empty=True),
    Field("interval_high", "float", empty=True),
    Field("interval_level", "float", empty=True),
    Field("interval_resamples", "int", empty=True),
)
_STATUS = Field("status", "text", "ok, partial, undefined or failed", among=tuple(ScoreStatus))
SCORE = (
    Field("scope", "text", "top-and-random or random-only", among=tuple(Scope)),
    _STATUS,
    Field("ev_correlation", "float", "Of simulated and true activations", empty=True),
    *_INTERVAL,
    Field("rsquared", "float", "1 - E(y-x)^2 / E(y^2)", empty=True),
    Field("absolute_dev_explained", "float", "1 - E|y-x| / E|y|", empty=True),
    Field("records", "int"),
    Field("tokens", "int"),
    Field("coverage", "float", "Share of the tokens that were simulated"),
    Field("message", "text"),
)
_NEURON = (
    Field("model", "text", "Hash of the model's weights"),
    Field("layer", "int", "From zero"),
    Field("neuron", "int", "Within the layer, from zero"),
)
#: Of an explanation's line, what an import leaves aside: it is in the other files, too.
HEADLINE = (
    Field("score", "float", "Top-and-random correlation of its scoring", empty=True),
    Field("interval_low", "float", "Bootstrap interval", empty=True),
    Field("interval_high", "float", empty=True),
    Field("status", "text", "Of the score; null if never scored", empty=True),
    Field("coverage", "float", "Share of the tokens that were simulated", empty=True),
    Field("records", "int", "Records the score covers", empty=True),
    Field("tokens", "int", "Tokens the score covers", empty=True),
    Field("simulator", "text", "What predicted the activations", empty=True),
    Field("split", "text", "Which held-out split", empty=True),
)
EXPLANATIONS = (
    Field("id", "text", "Hash of what it says; the key of the other files"),
    *_NEURON,
    Field("index", "text", "Hash of the scan"),
    Field("explanation", "text", "What the neuron fires on, in words"),
    Field("side", "text", "positive or negative", among=("positive", "negative")),
    Field("explainer", "text", "What wrote it"),
    Field("settings", "json", "Of the explainer"),
    Field(
        "sources",
        "list",
        "Windows it was written from",
        fields=(
            Field("window", "int"),
            Field("document", "text", empty=True),
            Field("offset", "int", empty=True),
        ),
    ),
    *_USAGE,
    *HEADLINE,
)
RULES = (
    Field("explanation", "text", "Its id"),
    Field("rules", "json", "What a simulator applies by itself"),
)
SCORINGS = (
    Field("id", "text", "Hash of what it says"),
    Field("explanation", "text", "Its id"),
    Field("index", "text", "Hash of the scan"),
    Field("simulator", "text"),
    Field("settings", "json", "Of the simulator"),
    Field("split", "text"),
    Field("records_hash", "text", "Of its records"),
    *_USAGE,
    Field("scores", "list", fields=SCORE),
    Field(
        "baselines",
        "list",
        "The same for what knows nothing, or little",
        fields=(Field("name", "text"), Field("description", "text"), *SCORE),
    ),
)
RECORDS = (
    Field("explanation", "text", "Its id"),
    Field("scoring", "text", "Its id"),
    Field("position", "int", "In the order scored"),
    Field("role", "text", "top or random"),
    Field("window", "int"),
    Field("document_name", "text"),
    Field("document_offset", "int", "First token within the document"),
    Field("status", "text", "ok, partial or failed", among=tuple(SimulationStatus)),
    Field("message", "text"),
    Field("coverage", "float"),
    Field("ev_correlation", "float", "Over this record alone", empty=True),
    Field("scale", "text", "Units of expected", among=tuple(Scale)),
    Field("text", "text"),
    Field("token_ids", "ints"),
    Field("tokens", "texts"),
    Field("expected", "floats", "Simulated activations; null where there is none"),
    Field("activations", "floats", "True activations"),
)
JUDGEMENTS = (
    Field("id", "text", "Hash of what it says"),
    Field("explanation", "text", "Its id"),
    Field("index", "text", "Hash of the scan"),
    Field("scorer", "text"),
    Field("model", "text", "Language model that judged"),
    Field("settings", "json", "Of the scorer"),
    Field("split", "text"),
    Field("chance_text", "text", "The other neuron's explanation"),
    *_USAGE,
    Field(
        "measures",
        "list",
        fields=(
            Field("explanation_of", "text", among=("this neuron", "another neuron")),
            Field("measured", "text", among=tuple(Measured)),
            Field("part", "text"),
            Field("value", "float", empty=True),
            *_INTERVAL,
            Field("chance", "float", empty=True),
            Field("items", "int"),
            Field("coverage", "float"),
            _STATUS,
            Field("message", "text"),
        ),
    ),
    Field(
        "items",
        "list",
        "Texts that were judged",
        fields=(
            Field("position", "int"),
            Field("window", "int"),
            Field("document_name", "text"),
            Field("text", "text"),
            Field("band", "text"),
            Field("truth", "float", empty=True),
            Field("prediction", "float", empty=True),
            Field("probability", "float", empty=True),
            Field("message", "text"),
        ),
    ),
)
NEURONS = (
    *_NEURON,
    Field("maximum", "float", "Largest activation"),
    Field("minimum", "float", "Smallest activation"),
    Field("mean", "float"),
    Field("variance", "float"),
    Field("skewness", "float", empty=True),
    Field("kurtosis", "float", "Of a normal distribution 3", empty=True),
    Field("fraction_active", "float", "Share of tokens above zero"),
    Field("starred_at", "text", "When somebody starred it", empty=True),
    Field("tags", "texts"),
    Field("note", "text", empty=True),
)
#: Of the manifest's models and scans.
MODEL = (
    Field("hash", "text"),
    Field("name", "text"),
    Field("layers", "int"),
    Field("neurons", "int"),
)
INDEX = (
    Field("hash", "text"),
    Field("model", "text"),
    Field("corpus", "text"),
    Field("tokens", "int"),
    Field("windows", "int"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """One file of lines."""

    path: str
    fields: tuple[Field, ...]
    meaning: str


PARTS: Mapping[str, Part] = {
    "explanations": Part(
        "data/explanations.jsonl", EXPLANATIONS, "One explanation a line, with its score"
    ),
    "neurons": Part("data/neurons.jsonl", NEURONS, "Statistics of the neurons over the text"),
    "scorings": Part("data/scorings.jsonl", SCORINGS, "Every scoring, with scores and baselines"),
    "judgements": Part("data/judgements.jsonl", JUDGEMENTS, "What further scorers found"),
    "rules": Part("data/rules.jsonl.gz", RULES, "What simulators without a model apply"),
    "records": Part(
        "data/records.jsonl.gz", RECORDS, "Every simulated record: text, true and simulated"
    ),
}
