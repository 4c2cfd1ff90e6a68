"""A published neuron as the records and explanations that the rest of the program reads.

The published splits are strides over ranks (method: Bills et al. 2023, 1.2): top records
0, 4, 8, ... were shown to the explainer, the others, and all random ones, are for
calibration, valid and test.  Putting the first into the explain fold and the rest into
the score fold makes :func:`engine.splits.split_records` deal exactly those strides.

The files don't say which document an excerpt is from.  Each distinct text counts as a
document of its own here, so one text is never in two splits, but two excerpts of one
document may be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from engine.neuron import NeuronId
from engine.public_data.shapes import (
    PublicActivations,
    PublicExplanation,
    PublicNeuron,
    PublicRecord,
    PublicScored,
    TokenList,
)
from engine.records import (
    ActivationRecord,
    Excerpt,
    Fold,
    Group,
    NeuronRecord,
    NeuronStatistics,
    TokenMeans,
)
from engine.score import Scope, Score, ScoredRecord, ScoreStatus
from engine.scoring import ev_correlation, score_records
from engine.simulation import Scale, Simulation, SimulationStatus

#: Who wrote and who simulated what a dataset came with.
PUBLISHED = "published"
#: Every so many top records one was shown to the explainer.
STRIDE = 4
#: The published scorings have so many top records, then the random ones (method: 3.1).
TOP_SCORED = 5
BANDS = (Group.BAND_0, Group.BAND_1, Group.BAND_2, Group.BAND_3)
#: A published score and the one computed from its own sequences may differ by rounding.
ROUNDING = 0.005


def token_id(token: bytes) -> int:
    """A stand-in for the id that the files don't have: 31 bits of a hash of the token."""
    return int.from_bytes(hashlib.blake2b(token, digest_size=4).digest(), "big") >> 1


def bytes_of(tokens: Iterable[str]) -> tuple[bytes, ...]:
    """Tokens as the rest of the program has them; lone surrogates become U+FFFD."""
    return tuple(token.encode("utf-8", "replace") for token in tokens)


class _Texts:
    """Numbers of distinct texts in a neuron's files, in the order of their appearance."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[int, Fold]] = {}

    def excerpt(self, tokens: tuple[str, ...], fold: Fold) -> Excerpt:
        """The excerpt of a text; its fold is the one it was first seen in."""
        number, fold = self._known.setdefault(tokens, (len(self._known), fold))
        parts = bytes_of(tokens)
        ids = np.array([token_id(part) for part in parts], dtype=np.int32)
        return Excerpt(number, number, "", 0, fold, ids, parts)


def neuron_record(neuron: PublicNeuron) -> NeuronRecord:
    """Excerpts by group and fold, and the statistics that the file has."""
    given = neuron.activations
    records: dict[tuple[Fold, Group], list[ActivationRecord]] = {}
    if given is None:
        return NeuronRecord(neuron.neuron, _statistics(None, ()), {}, 0)
    texts = _Texts()

    def add(group: Group, record: PublicRecord, fold: Fold) -> None:
        excerpt = texts.excerpt(record.tokens, fold)
        values = record.activations.astype(np.float32)
        records.setdefault((excerpt.fold, group), []).append(ActivationRecord(excerpt, values))

    for rank, record in enumerate(given.top):
        add(Group.TOP, record, Fold.SCORE if rank % STRIDE else Fold.EXPLAIN)
    for record in given.random:
        add(Group.RANDOM, record, Fold.SCORE)
    for group, band in zip(BANDS, given.bands, strict=False):
        for record in band:
            add(group, record, Fold.EXPLAIN)
    kept = {key: tuple(part) for key, part in records.items()}
    every = [*given.top, *given.random, *(one for band in given.bands for one in band)]
    return NeuronRecord(neuron.neuron, _statistics(given, every), kept, 0)


def _statistics(
    given: PublicActivations | None, records: Sequence[PublicRecord]
) -> NeuronStatistics:
    nan = float("nan")

    def known(name: str) -> float:
        value = getattr(given, name, None)
        return nan if value is None else float(value)

    peaks = [peak for record in records if not np.isnan(peak := _peak(record))]
    boundaries = np.full(4, nan, dtype=np.float32)
    listed = given.boundaries[:4] if given is not None else ()
    boundaries[: len(listed)] = listed
    return NeuronStatistics(
        tokens=0,
        mean=known("mean"),
        variance=known("variance"),
        skewness=known("skewness"),
        kurtosis=known("kurtosis"),
        fraction_active=nan,
        maximum=max(peaks, default=nan),
        minimum=nan,
        histogram=np.zeros(0, dtype=np.int64),
        histogram_edges=np.zeros(1, dtype=np.float32),
        quantile_boundaries=boundaries,
        windows_in_band=np.zeros(5, dtype=np.int64),
    )


def _peak(record: PublicRecord) -> float:
    finite = record.activations[np.isfinite(record.activations)]
    return float(finite.max()) if len(finite) else float("nan")


def token_means(neuron: PublicNeuron) -> TokenMeans:
    """The published table of mean activations: its highest tokens alone, without counts."""
    table = neuron.tokens_by_activation or TokenList()
    known = [(t, v) for t, v in zip(table.tokens, table.values, strict=True) if v is not None]
    texts = bytes_of(token for token, _ in known)
    mean = neuron.activations.mean if neuron.activations is not None else None
    return TokenMeans(
        token_ids=np.array([token_id(text) for text in texts], dtype=np.int32),
        counts=np.ones(len(known), dtype=np.int64),
        means=np.array([value for _, value in known], dtype=np.float32),
        mean=float("nan") if mean is None else mean,
        texts=texts,
        complete=False,
    )


def scored_records(explanation: PublicExplanation) -> tuple[ScoredRecord, ...]:
    """The published simulations beside the true activations, in the file's order."""
    texts = _Texts()
    return tuple(
        _scored_record(texts, place, sequence)
        for place, sequence in enumerate(explanation.sequences)
    )


def _scored_record(texts: _Texts, place: int, sequence: PublicScored) -> ScoredRecord:
    given = sequence.simulation
    expected = given.expected.astype(np.float32)
    found = np.isfinite(expected)
    status, message = SimulationStatus.OK, ""
    if not found.all():
        status = SimulationStatus.PARTIAL if found.any() else SimulationStatus.FAILED
        message = "some tokens have no published value"
    simulation = Simulation(
        texts.excerpt(given.tokens, Fold.SCORE), expected, scale_of(sequence), status, message
    )
    activations = sequence.activations.astype(np.float32)
    both = found & np.isfinite(activations)
    own = ev_correlation(activations[both], expected[both])
    role = "top" if place < TOP_SCORED else "random"
    return ScoredRecord(role, simulation, activations, own)


def scale_of(sequence: PublicScored) -> Scale:
    """The units of a simulation: the neuron's only where a calibration shows in the file."""
    given = sequence.simulation
    own = given.scale == str(Scale.NEURON) and given.uncalibrated is not None
    return Scale.NEURON if own else Scale.NORMALISED


def published_scores(
    explanation: PublicExplanation, records: Sequence[ScoredRecord]
) -> tuple[Score, ...]:
    """The published score with the interval and the random-only score that its own
    sequences give; where they give another score, the message says so."""
    published = explanation.ev_correlation
    if not records:
        if published is None:
            return ()
        note = "as published; the file has no simulations that it rests on"
        return (
            Score(
                Scope.TOP_AND_RANDOM, ScoreStatus.OK, published, None, explanation.rsquared,
                explanation.absolute_dev_explained, 0, 0, 1.0, note,
            ),
        )  # fmt: skip
    both, random = score_records(records)
    changes: dict[str, Any] = {}
    if both.rsquared is None:
        changes["rsquared"] = explanation.rsquared
        changes["absolute_dev_explained"] = explanation.absolute_dev_explained
    if published is not None:
        found = both.ev_correlation
        if found is None or abs(found - published) > ROUNDING:
            own = "give none" if found is None else f"give {found:.2f}"
            changes["message"] = f"published as {published:.2f}; its sequences here {own}"
            changes["status"] = ScoreStatus.PARTIAL
            changes["interval"] = None
        changes["ev_correlation"] = published
    return (_changed(both, changes), random)


def _changed(score: Score, changes: dict[str, Any]) -> Score:
    from dataclasses import replace

    if score.status is ScoreStatus.FAILED and "ev_correlation" in changes:
        changes = {"status": ScoreStatus.PARTIAL, **changes}
    return replace(score, **changes)


def neurons_named(neurons: Iterable[tuple[NeuronId, float]]) -> list[tuple[str, float]]:
    """Related neurons as names with weights."""
    return [(str(neuron), weight) for neuron, weight in neurons]
