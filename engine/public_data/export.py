"""One's own index and store as files in the published formats.

What the formats can't hold is left out and counted: explanations of the negative side,
and simulations without a single value.  Folds are not in the formats: the top list is
both folds together, strongest first, so what the stride of the published splits picks
from it (:mod:`.convert`) is not what was explained from and scored on here; the stored
simulations are.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import NeuroglassError
from engine.index import Index
from engine.neuron import NeuronId
from engine.public_data import encode
from engine.public_data.origins import ABOUT
from engine.public_data.shapes import (
    Kind,
    PublicActivations,
    PublicExplanation,
    PublicRecord,
    PublicScored,
    PublicSimulation,
    RelatedNeurons,
    TokenList,
    WeightTokens,
)
from engine.records import ActivationRecord, Group, TokenMeans
from engine.scoring import absolute_dev_explained, ev_correlation, rsquared
from engine.simulation import Scale

if TYPE_CHECKING:
    from engine.effects import Effects
    from engine.store import Store, StoredExplanation, StoredSimulation

#: Tokens of the table by activation, and by weight; related neurons (method: 3.1).
TOKENS, TOKENS_BY_WEIGHT, RELATED = 50, 20, 10
#: A token that was seen less often says little by its mean.
COMMON = 5
#: Neurons that one step in a thread writes.
STEP = 32
BANDS = (Group.BAND_0, Group.BAND_1, Group.BAND_2, Group.BAND_3)
NOTES = (
    "kurtosis is not reduced by 3: a normal distribution has 3",
    "a token that is no whole character is written as U+FFFD",
    "most_positive_activation_records are both folds together; a scored sequence that can't "
    "be found among them was held out",
)


@dataclass(slots=True)
class Exported:
    """How much has been written.

    Attributes:
        neurons, total: Done, and to do.
        explanations: Written ones.
        negative: Explanations of the negative side, which were left out.
        unsimulated: Scored excerpts without any value, which were left out.
        weights: Neurons with related tokens by weight and related neurons.
    """

    total: int
    neurons: int = 0
    files: int = 0
    bytes: int = 0
    explanations: int = 0
    negative: int = 0
    unsimulated: int = 0
    weights: int = 0


async def export_neurons(
    index: Index,
    store: Store,
    folder: Path,
    neurons: Sequence[NeuronId],
    effects: Callable[[NeuronId], Awaitable[Effects]] | None = None,
) -> AsyncGenerator[Exported, None]:
    """Write the files of some neurons, telling from time to time how far it is.

    A file that is there already is replaced, each in one step; others stay.

    Args:
        effects: Gives an awaitable of a neuron's effects; None: nothing by weights.

    Raises:
        NeuroglassError: the folder can't be written.
        UsageError: no such neuron.
    """
    for neuron in neurons:
        index.check(neuron)
    done = Exported(len(neurons))
    await asyncio.to_thread(_begin, folder, index)
    for start in range(0, len(neurons), STEP):
        some = neurons[start : start + STEP]
        await asyncio.to_thread(_write_all, index, store, folder, some, done)
        if effects is not None:
            for neuron in some:
                found = await effects(neuron)
                await asyncio.to_thread(_write_effects, index, folder, neuron, found, done)
        yield done


def _begin(folder: Path, index: Index) -> None:
    about = {
        "format": "neuroglass-openai",
        "version": 1,
        "model_name": index.model_name,
        "model_id": index.model_id,
        "index_id": index.index_id,
        "corpus_id": index.corpus_id,
        "n_layers": index.n_layers,
        "n_neurons": index.n_neurons,
        "windows": index.windows_scanned,
        "tokens": index.tokens_scanned,
        "complete": index.complete,
        "notes": list(NOTES),
    }
    _put(folder / ABOUT, json.dumps(about, indent=1).encode() + b"\n")


def _write_all(
    index: Index, store: Store, folder: Path, neurons: Sequence[NeuronId], done: Exported
) -> None:
    for neuron in neurons:
        _write(folder, Kind.ACTIVATIONS, neuron, activations_json(index, neuron), done)
        table = token_table(index.token_means(neuron))
        _write(folder, Kind.TOKENS_BY_ACTIVATION, neuron, encode.token_list(table), done)
        found = explanations_of(index, store, neuron, done)
        if found:
            value = encode.explanations(neuron, found)
            _write(folder, Kind.EXPLANATIONS, neuron, value, done)
        done.neurons += 1


def activations_json(index: Index, neuron: NeuronId) -> dict[str, Any]:
    """All that the index kept of a neuron's excerpts, as a ``NeuronRecord``."""
    kept = index.neuron(neuron)
    statistics = kept.statistics

    def records(group: Group) -> tuple[PublicRecord, ...]:
        return tuple(_record(record) for record in kept.group(group))

    given = PublicActivations(
        neuron,
        records(Group.TOP),
        records(Group.RANDOM),
        tuple(records(band) for band in BANDS),
        tuple(statistics.quantile_boundaries.tolist()),
        statistics.mean,
        statistics.variance,
        statistics.skewness,
        statistics.kurtosis,
    )
    return encode.activations(neuron, given)


def _record(record: ActivationRecord) -> PublicRecord:
    return PublicRecord(
        _texts(record.excerpt.tokens), np.asarray(record.activations, dtype=np.float64)
    )


def _texts(tokens: Sequence[bytes]) -> tuple[str, ...]:
    return tuple([token.decode("utf-8", "replace") for token in tokens])


def token_table(means: TokenMeans) -> TokenList:
    """The tokens with the highest mean activation, of those that are common."""
    common = np.flatnonzero(means.counts >= COMMON)
    order = common[np.argsort(-means.means[common], kind="stable")][:TOKENS]
    return TokenList(
        _texts([means.texts[place] for place in order]), tuple(means.means[order].tolist())
    )


def explanations_of(
    index: Index, store: Store, neuron: NeuronId, done: Exported
) -> list[PublicExplanation]:
    """The saved explanations of a neuron, best first, with their scored excerpts."""
    found = []
    for saved in store.explanations(index.model_id, neuron):
        if saved.side == "positive":
            found.append(_explanation(saved, store.card(saved.id) if saved.scores else (), done))
        else:
            done.negative += 1
    done.explanations += len(found)
    return found


def _explanation(
    saved: StoredExplanation, records: Sequence[StoredSimulation], done: Exported
) -> PublicExplanation:
    whole = [record for record in records if record.coverage > 0]
    done.unsimulated += len(records) - len(whole)
    score = saved.score()
    return PublicExplanation(
        saved.text,
        tuple(_scored(record) for record in whole),
        None if score is None else score.ev_correlation,
        None if score is None else score.rsquared,
        None if score is None else score.absolute_dev_explained,
    )


def _scored(record: StoredSimulation) -> PublicScored:
    expected = record.expected.astype(np.float64)
    true = record.activations.astype(np.float64)
    both = np.isfinite(expected) & np.isfinite(true)
    y, x = true[both], expected[both]
    own = record.scale is Scale.NEURON
    return PublicScored(
        PublicSimulation(tuple(record.tokens), expected, str(record.scale)),
        true,
        ev_correlation(y, x),
        rsquared(y, x) if own else None,
        absolute_dev_explained(y, x) if own else None,
    )


def _write_effects(
    index: Index, folder: Path, neuron: NeuronId, effects: Effects, done: Exported
) -> None:
    reading, later = effects.readings[0], effects.downstream[0]
    tokens = WeightTokens(
        *(
            TokenList(_texts([token for token, _ in part]), tuple(weight for _, weight in part))
            for part in (
                reading.activating[:TOKENS_BY_WEIGHT],
                reading.suppressing[:TOKENS_BY_WEIGHT],
                effects.output.promoted[:TOKENS_BY_WEIGHT],
                effects.output.suppressed[:TOKENS_BY_WEIGHT],
            )
        )
    )
    _write(folder, Kind.TOKENS_BY_WEIGHT, neuron, encode.weight_tokens(tokens), done)
    up, against, down, inhibited = (
        tuple((link.neuron, link.weight) for link in part[:RELATED])
        for part in (reading.upstream, reading.upstream_against, later.excited, later.inhibited)
    )
    related = RelatedNeurons(
        None if neuron.layer == 0 else up,
        against,
        None if neuron.layer == index.n_layers - 1 else down,
        inhibited,
    )
    _write(folder, Kind.RELATED_NEURONS, neuron, encode.related_neurons(related), done)
    done.weights += 1


def _write(
    folder: Path, kind: Kind, neuron: NeuronId, value: dict[str, Any], done: Exported
) -> None:
    data = encode.dumped(value) + (b"\n" if kind is Kind.EXPLANATIONS else b"")
    _put(folder / kind.path(neuron), data)
    done.files += 1
    done.bytes += len(data)


def _put(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(data)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise NeuroglassError(
            f"{path} can't be written: {error.strerror}.",
            "Name another folder, or make room and start again.",
        ) from error
