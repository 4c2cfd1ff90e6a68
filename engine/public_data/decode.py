"""Bytes of a published file to values; every name that a field ever had is understood.

Field names, old names and old classes are those of openai/automated-interpretability and
openai/transformer-debugger.  The files are foreign: what is read is bounded, a part that
makes no sense is left out with one line that says why, and a file that is something else
is refused with :class:`Unreadable`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from engine.neuron import NeuronId
from engine.public_data.shapes import (
    Distribution,
    Floats,
    PublicActivations,
    PublicExplanation,
    PublicExplanations,
    PublicRecord,
    PublicScored,
    PublicSimulation,
    RelatedNeurons,
    TokenList,
    WeightTokens,
)

#: Bounds of what is read; the published files are far below.
MAX_BYTES = 64 << 20
MAX_RECORDS = 2000
MAX_TOKENS = 20_000
MAX_LISTED = 10_000
MAX_TEXT = 20_000
#: No number that means anything is larger; float32 ends here.
LARGEST = 1e38

T = TypeVar("T")
Problems = list[str]
_MISSING = object()


class Unreadable(ValueError):
    """A file, or a part of it, is not what it should be; the text says why."""


def activations(data: bytes, problems: Problems) -> PublicActivations:
    """Read a ``NeuronRecord``. Raises Unreadable."""
    item = _object(_parsed(data))
    if not {"most_positive_activation_records", "random_sample"} & item.keys():
        raise Unreadable(f"it holds no activation records{_called(item)}")

    def records(value: Any, what: str) -> tuple[PublicRecord, ...]:
        return _each(_list(value, what, MAX_RECORDS), what, _record, problems)

    bands = _list(item.get("random_sample_by_quantile"), "random_sample_by_quantile", 100)
    boundaries = _list(item.get("quantile_boundaries"), "quantile_boundaries", 100)
    return PublicActivations(
        neuron=_neuron_of(item, problems),
        top=records(item.get("most_positive_activation_records"), "top"),
        random=records(item.get("random_sample"), "random"),
        bands=tuple(records(band, f"band {number}") for number, band in enumerate(bands)),
        boundaries=tuple(_float(value, "quantile_boundaries") for value in boundaries),
        **{
            name: _number(item.get(name), name)
            for name in ("mean", "variance", "skewness", "kurtosis")
        },
    )


def explanations(data: bytes, problems: Problems) -> PublicExplanations:
    """Read ``NeuronSimulationResults``, the first line of a JSON Lines file."""
    lines = [line for line in data.splitlines() if line.strip()]
    if not lines:
        raise Unreadable("it is empty")
    try:
        item = _object(_parsed(lines[0]))
    except Unreadable:
        if len(lines) == 1:
            raise
        item, lines = _object(_parsed(data)), lines[:1]  # JSON on several lines
    if len(lines) > 1:
        problems.append(f"{len(lines)} lines, of which only the first is read")
    found = _field(
        item, "scored_explanations", "scored_explanation_or_baseline_list", default=_MISSING
    )
    if found is _MISSING:
        raise Unreadable(f"it holds no explanations{_called(item)}")
    listed = _list(found, "scored_explanations", MAX_RECORDS)
    return PublicExplanations(
        _neuron_of(item, problems),
        _each(listed, "explanation", lambda one: _explanation(one, problems), problems),
    )


def token_list(data: bytes, problems: Problems) -> TokenList:
    """Read a ``TokenLookupTableSummaryOfNeuron``."""
    item = _object(_parsed(data))
    if "average_activations" not in item:
        raise Unreadable(f"it holds no average activations{_called(item)}")
    return _tokens_with(item, "average_activations")


def weight_tokens(data: bytes, problems: Problems) -> WeightTokens:
    """Read a ``WeightBasedSummaryOfNeuron``."""
    item = _object(_parsed(data))
    names = ("input_positive", "input_negative", "output_positive", "output_negative")
    if not item.keys() & set(names):
        raise Unreadable(f"it holds no tokens by weight{_called(item)}")
    parts: dict[str, TokenList] = {}
    for name in names:
        try:
            if item.get(name) is not None:
                parts[name] = _tokens_with(_object(item[name]), "strengths")
        except Unreadable as problem:
            problems.append(f"{name}: {problem}; left out")
    return WeightTokens(**parts)


def related_neurons(data: bytes, problems: Problems) -> RelatedNeurons:
    """Read the object with ``c_fc`` and ``c_proj``; either may be null."""
    item = _object(_parsed(data))
    if not item.keys() & {"c_fc", "c_proj"}:
        raise Unreadable(f"it holds no related neurons{_called(item)}")
    up = item.get("c_fc")
    down = item.get("c_proj")
    return RelatedNeurons(
        None if up is None else _links(_object(up), "positive"),
        () if up is None else _links(_object(up), "negative"),
        None if down is None else _links(_object(down), "positive"),
        () if down is None else _links(_object(down), "negative"),
    )


# -- parts


def _record(value: Any) -> PublicRecord:
    item = _object(value)
    tokens = _tokens(item.get("tokens"))
    values = _floats(item.get("activations"), "activations")
    if len(values) != len(tokens):
        pairs = len(tokens) * (len(tokens) + 1) // 2
        if len(tokens) > 1 and len(values) == pairs:
            raise Unreadable("it has a value for each pair of tokens, as attention heads have")
        raise Unreadable(f"{len(values)} activations for {len(tokens)} tokens")
    if not tokens:
        raise Unreadable("it has no tokens")
    return PublicRecord(tokens, values)


def _explanation(value: Any, problems: Problems) -> PublicExplanation:
    item = _object(value)
    text = _field(item, "explanation", "explanation_or_baseline")
    if not isinstance(text, str):
        raise Unreadable("its text is missing")
    given = item.get("scored_simulation")
    scored: Mapping[str, Any] = {} if given is None else _object(given)
    listed = _list(scored.get("scored_sequence_simulations"), "sequences", MAX_RECORDS)
    # The published sentences keep the space they were completed after.
    return PublicExplanation(
        " ".join(text[:MAX_TEXT].split()).removesuffix("."),
        _each(listed, "simulated sequence", _scored, problems),
        **_scores(scored),
    )


def _scored(value: Any) -> PublicScored:
    item = _object(value)
    simulation = _simulation(_field(item, "simulation", "sequence_simulation"))
    true = _floats(item.get("true_activations"), "true_activations")
    if len(true) != len(simulation.tokens):
        raise Unreadable(f"{len(true)} true activations for {len(simulation.tokens)} tokens")
    return PublicScored(simulation, true, **_scores(item))


def _simulation(value: Any, depth: int = 0) -> PublicSimulation:
    item = _object(value)
    tokens = _tokens(item.get("tokens"))
    expected = _floats(item.get("expected_activations"), "expected_activations")
    if len(expected) != len(tokens):
        raise Unreadable(f"{len(expected)} expected activations for {len(tokens)} tokens")
    inner = item.get("uncalibrated_simulation")
    scale = _field(item, "activation_scale", "unit")
    return PublicSimulation(
        tokens,
        expected,
        scale if isinstance(scale, str) else "",
        _distribution(item.get("distribution_values"), len(tokens)),
        _distribution(item.get("distribution_probabilities"), len(tokens)),
        None if inner is None or depth else _simulation(inner, depth + 1),
    )


def _scores(item: Mapping[str, Any]) -> dict[str, float | None]:
    return {
        "ev_correlation": _number(item.get("ev_correlation_score"), "ev_correlation_score"),
        "rsquared": _number(item.get("rsquared_score"), "rsquared_score"),
        "absolute_dev_explained": _number(
            item.get("absolute_dev_explained_score"), "absolute_dev_explained_score"
        ),
    }


def _distribution(value: Any, tokens: int) -> Distribution:
    rows = _list(value, "distribution", MAX_TOKENS)
    if not rows:
        return ()
    if len(rows) != tokens:
        raise Unreadable(f"{len(rows)} distributions for {tokens} tokens")
    return tuple(
        tuple(_float(one, "distribution") for one in _list(row, "distribution", 1000))
        for row in rows
    )


def _tokens_with(item: Mapping[str, Any], name: str) -> TokenList:
    tokens = _tokens(item.get("tokens"), MAX_LISTED)
    values = [_number(one, name) for one in _list(item.get(name), name, MAX_LISTED)]
    if len(values) != len(tokens):
        raise Unreadable(f"{len(values)} {name} for {len(tokens)} tokens")
    return TokenList(tokens, tuple(values))


def _links(item: Mapping[str, Any], sign: str) -> tuple[tuple[NeuronId, float], ...]:
    names = _list(item.get(f"top_{sign}_neurons"), "neurons", MAX_LISTED)
    weights = _list(item.get(f"top_{sign}_weights"), "weights", MAX_LISTED)
    found = []
    for place, name in enumerate(names):
        layer, _, index = str(name).partition("_")
        if not (layer.isdecimal() and index.isdecimal() and len(layer + index) < 13):
            raise Unreadable(f"{str(name)[:20]!r} is not a neuron")
        weight = weights[place] if place < len(weights) else None
        found.append((NeuronId(int(layer), int(index)), _float(weight, "weights")))
    return tuple(found)


def _neuron_of(item: Mapping[str, Any], problems: Problems) -> NeuronId | None:
    value = item.get("neuron_id")
    if not isinstance(value, Mapping):
        return None
    layer = _field(value, "layer_index", "layer")
    index = _field(value, "neuron_index", "idx")
    try:
        found = NeuronId(int(layer), int(index))  # some files have the layer as a string
    except (TypeError, ValueError, OverflowError):
        problems.append("its neuron_id makes no sense and is ignored")
        return None
    return found if found.layer >= 0 and found.index >= 0 else None


# -- JSON


def _parsed(data: bytes) -> Any:
    if len(data) > MAX_BYTES:
        raise Unreadable(f"it has {len(data):,} bytes, more than are read")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        if not data.strip():
            raise Unreadable("it is empty") from None
        if isinstance(error, json.JSONDecodeError):
            why = error.msg
        elif isinstance(error, UnicodeDecodeError):
            why = "not text in UTF-8"
        else:
            why = "a number too long or lists too deep"
        cut = isinstance(error, json.JSONDecodeError) and error.pos >= len(data.rstrip()) - 1
        if cut or why.startswith("Unterminated"):
            raise Unreadable("it ends in the middle: it was not written or loaded whole") from None
        raise Unreadable(f"it is not JSON ({why})") from None


def _called(item: Mapping[str, Any]) -> str:
    name = item.get("dataclass_name")
    return f", but calls itself {name[:40]!r}" if isinstance(name, str) else ""


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Unreadable("an object is missing")
    return value


def _field(item: Mapping[str, Any], *names: str, default: Any = None) -> Any:
    """The first of several names that is there."""
    return next((item[name] for name in names if name in item), default)


def _list(value: Any, what: str, most: int) -> Sequence[Any]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Unreadable(f"{what} is no list")
    if len(value) > most:
        raise Unreadable(f"{what} has {len(value):,} entries, more than are read")
    return value


def _tokens(value: Any, most: int = MAX_TOKENS) -> tuple[str, ...]:
    found = _list(value, "tokens", most)
    if not all(isinstance(token, str) for token in found):
        raise Unreadable("a token is no text")
    return tuple(found)


def _floats(value: Any, what: str) -> Floats:
    return np.array([_float(one, what) for one in _list(value, what, 4_000_000)], dtype=np.float64)


def _float(value: Any, what: str) -> float:
    """NaN for null and for what is not finite."""
    found = _number(value, what)
    return math.nan if found is None else found


def _number(value: Any, what: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable(f"{what} is no number")
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if abs(found) < LARGEST else None  # False for NaN


def _each(
    items: Sequence[Any], what: str, read: Callable[[Any], T], problems: Problems
) -> tuple[T, ...]:
    """What can be read of a list; the rest is a problem, told once for all alike."""
    found: list[T] = []
    why: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        try:
            found.append(read(item))
        except Unreadable as problem:
            why.setdefault(str(problem), []).append(number)
    for reason, numbers in why.items():
        which = (
            str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} and {len(numbers) - 1} more"
        )
        problems.append(f"{what} {which}: {reason}; left out")
    return tuple(found)
