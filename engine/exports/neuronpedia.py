"""Neurons in the form of Neuronpedia's bulk data, one source per layer.

The form is that of https://docs.neuronpedia.org/api-and-data/exports and of the fields of
its public files: ``MODEL/LAYER-SET/`` with ``features``, ``explanations`` and
``activations`` in batches of 1,024 neurons, and one row each for model, release, source and
source set.  A Neuronpedia of one's own reads such folders from its admin panel.

What its documentation leaves open, and what is done here:

* Scores have no place in these files; none is written.
* ``typeName`` has a fixed list there; only what has a counterpart is renamed.
* ``creatorId`` and ``authorId`` are ids of accounts there: whoever uploads gives them.
* Lists about an autoencoder's features (alignment, correlation, vectors) stay empty, as do
  the tokens a neuron promotes, which need the model and not only the index.
* ``frac_nonzero`` is the share of tokens above zero, since GELU is hardly ever zero.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from engine.exports.tables import model_of
from engine.exports.writers import plain
from engine.index import Index
from engine.neuron import NeuronId
from engine.records import ActivationRecord, Group, NeuronStatistics
from engine.store import StoredExplanation

BATCH = 1024
Row = dict[str, Any]
#: Explainers that Neuronpedia knows, by its names for them.
TYPES = {"token-activation-pairs": "oai_token-act-pair", "human": "human"}
_BANDS = (Group.BAND_0, Group.BAND_1, Group.BAND_2, Group.BAND_3)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def write(
    folder: Path,
    index: Index,
    neurons: Sequence[NeuronId],
    explained: Callable[[NeuronId], Iterable[StoredExplanation]],
    *,
    model: str,
    name: str,
    creator: str,
    when: str,
    stop: Callable[[], bool],
) -> dict[str, int]:
    """Fill a folder; how many features, explanations and activations there are.

    Args:
        explained: The chosen explanations of a neuron.
        model: Neuronpedia's id of the model, such as ``gpt2-small``.
        name: Of the source set; a source is ``LAYER-NAME``.
        creator: Id of an account on Neuronpedia; may be empty.
        when: ISO 8601.
    """
    counts = {"features": 0, "explanations": 0, "activations": 0}
    by_layer: dict[int, list[NeuronId]] = {}
    for neuron in neurons:
        by_layer.setdefault(neuron.layer, []).append(neuron)
    for layer, several in by_layer.items():
        source = f"{layer}-{name}"
        place = folder / model / source
        place.mkdir(parents=True)
        for kind, row in _about(index, layer, model, name, creator, when).items():
            (place / f"{kind}.jsonl").write_bytes(_line(row))
        base = {"modelId": model, "layer": source}
        for number, batch in enumerate(_batches(several)):
            rows: dict[str, list[Row]] = {kind: [] for kind in counts}
            for neuron in batch:
                if stop():
                    return counts
                both = {**base, "index": str(neuron.index), "creatorId": creator}
                record = index.neuron(neuron)
                activations = [
                    _activation(both, group, kept, record.statistics, when)
                    for group in (Group.TOP, *_BANDS, Group.BOTTOM)
                    for kept in record.group(group)
                ]
                rows["activations"] += activations
                rows["features"].append(_feature(both, record.statistics, when))
                rows["explanations"] += [_explanation(both, one) for one in explained(neuron)]
            for kind, lines in rows.items():
                counts[kind] += len(lines)
                (place / kind).mkdir(exist_ok=True)
                _gzip(place / kind / f"batch-{number}.jsonl.gz", lines)
    return counts


def _about(
    index: Index, layer: int, model: str, name: str, creator: str, when: str
) -> dict[str, Row]:
    made = {"creatorId": creator, "createdAt": when}
    return {
        "model": {
            "id": model,
            "displayName": model,
            "displayNameShort": model,
            "layers": index.n_layers,
            "neuronsPerLayer": index.n_neurons,
            "instruct": False,
            "updatedAt": when,
            **made,
        },
        "release": {
            "name": name,
            "description": "MLP neurons, scanned with neuroglass",
            "descriptionShort": "MLP neurons",
            "urls": [],
            "creatorName": "",
            **made,
        },
        "sourceset": {
            "modelId": model,
            "name": name,
            "releaseName": name,
            "description": "MLP neurons",
            "visibility": "PUBLIC",
            "creatorName": "",
            **made,
        },
        "source": {
            "id": f"{layer}-{name}",
            "modelId": model,
            "setName": name,
            "visibility": "PUBLIC",
            "dataset": ", ".join(Path(source).name for source in index.sources),
            "num_prompts": index.windows_scanned,
            "num_tokens_in_prompt": index.manifest["settings"]["window"],
            **made,
        },
    }


def _feature(both: Row, statistics: NeuronStatistics, when: str) -> Row:
    edges, counts = statistics.histogram_edges.tolist(), statistics.histogram.tolist()
    above = [place for place in range(len(counts)) if edges[place] >= 0 and counts[place]]
    return {
        **both,
        "createdAt": when,
        "maxActApprox": statistics.maximum,
        "frac_nonzero": statistics.fraction_active,
        "freq_hist_data_bar_heights": [counts[place] for place in above],
        "freq_hist_data_bar_values": [(edges[p] + edges[p + 1]) / 2 for p in above],
        **{
            empty: []
            for empty in (
                "logits_hist_data_bar_heights",
                "logits_hist_data_bar_values",
                "pos_str",
                "pos_values",
                "neg_str",
                "neg_values",
                "neuron_alignment_indices",
                "neuron_alignment_values",
                "neuron_alignment_l1",
                "correlated_neurons_indices",
                "correlated_neurons_pearson",
                "correlated_neurons_l1",
                "correlated_features_indices",
                "correlated_features_pearson",
                "correlated_features_l1",
                "topkCosSimIndices",
                "topkCosSimValues",
                "vector",
            )
        },
        "hasVector": False,
        "vectorLabel": None,
        "hookName": None,
    }


def _activation(
    both: Row, group: Group, record: ActivationRecord, statistics: NeuronStatistics, when: str
) -> Row:
    excerpt, values = record.excerpt, record.activations
    low = high = share = None
    if group in _BANDS:
        band = _BANDS.index(group)
        limits = [statistics.minimum, *statistics.quantile_boundaries.tolist()]
        low, high = limits[band], limits[band + 1]
        windows = statistics.windows_in_band
        share = float(windows[band]) / max(int(windows.sum()), 1)
    return {
        "id": _id(both["modelId"], both["layer"], both["index"], str(group), excerpt.window),
        **both,
        "createdAt": when,
        "tokens": [token.decode("utf-8", "replace") for token in excerpt.tokens],
        "values": values.tolist(),
        "maxValue": record.peak,
        "maxValueTokenIndex": int(values.argmax()),
        "minValue": record.trough,
        "dataSource": excerpt.document_name,
        "binMin": low,
        "binMax": high,
        "binContains": share,
        "dfaValues": [],
        "dfaTargetIndex": None,
        "dfaMaxValue": None,
        "lossValues": [],
        "logitContributions": None,
    }


def _explanation(both: Row, stored: StoredExplanation) -> Row:
    return {
        "id": _id(both["modelId"], both["layer"], both["index"], stored.text, stored.created_at),
        **{name: both[name] for name in ("modelId", "layer", "index")},
        "description": stored.text,
        "typeName": TYPES.get(stored.explainer, stored.explainer),
        "explanationModelName": model_of(stored.settings) or None,
        "authorId": both["creatorId"],
        "createdAt": stored.created_at,
    }


def _id(*parts: object) -> str:
    """25 letters and digits, a letter first, as their ids are; the same for the same row."""
    digest = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).digest()
    number, text = int.from_bytes(digest, "big"), ""
    while len(text) < 24:
        number, digit = divmod(number, 36)
        text += _DIGITS[digit]
    return "c" + text


def _batches(neurons: Iterable[NeuronId]) -> Iterator[list[NeuronId]]:
    source = iter(neurons)
    while batch := list(islice(source, BATCH)):
        yield batch


def _gzip(path: Path, rows: Iterable[Row]) -> None:
    with gzip.GzipFile(path, "wb", compresslevel=6, mtime=0) as file:
        for row in rows:
            file.write(_line(row))


def _line(row: Row) -> bytes:
    return json.dumps(plain(row), allow_nan=False).encode("ascii") + b"\n"
