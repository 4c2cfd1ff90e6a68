"""What the store takes and gives back, as values.

A score, a baseline and a neuron are the engine's own types, so that a front end
draws a stored score with the same code as a fresh one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.explanation import Explanation, Side
from engine.judgement import Judgement
from engine.models.request import Usage
from engine.neuron import NeuronId
from engine.score import Baseline, Scope, Score
from engine.simulation import Scale, SimulationStatus

#: Orders of :meth:`engine.store.Store.list_explanations`.
Order = Literal["best", "newest", "neuron"]


@dataclass(frozen=True, slots=True, eq=False)
class IndexFacts:
    """Which index, and so which model and corpus, a result rests on.

    Attributes:
        model_id, index_id, corpus_id: Hashes, stable between runs.
        model_name: For people. Untrusted text.
        n_neurons: Neurons per layer.
        path: Where the index lay when it was used.
        tokens, windows: How many had been scanned.
        settings: The scan's settings, JSON values.
    """

    model_id: str
    model_name: str
    n_layers: int
    n_neurons: int
    index_id: str
    corpus_id: str
    path: str
    tokens: int
    windows: int
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredSource:
    """A record that an explanation was written from.

    Attributes:
        window: Row of the window in the explanation's index.
        document_name: Untrusted text; None when it was not known at saving.
        offset: First token within the document; None when it was not known.
    """

    window: int
    document_name: str | None
    offset: int | None


@dataclass(frozen=True, slots=True, eq=False)
class StoredExplanation:
    """An explanation as it was saved, with the scoring that speaks for it.

    The scoring is the newest one that has a top-and-random correlation, or, when
    none has, the newest one.

    Attributes:
        model: Hash of the model's weights.
        index_id: Hash of the index whose windows ``windows`` names.
        created_at: ISO 8601, UTC, ending in ``Z``.
        versions: Versions of the programs that wrote it.
        scoring_id, simulator, simulator_settings, split, scored_at,
            scoring_seconds: Of the scoring; None when it was never scored.
        scores, baselines: Of the scoring; empty when it was never scored.
        usage, scoring_usage: Tokens that language models used to write and to score it.
        judgements: The newest of each further scorer, without the items judged.
        deleted_at: As created_at; None unless it was deleted and can be brought back.
    """

    id: int
    model: str
    index_id: str
    neuron: NeuronId
    text: str
    explainer: str
    settings: Mapping[str, Any]
    rules: Mapping[str, Any] | None
    windows: tuple[int, ...]
    seconds: float | None
    versions: Mapping[str, Any]
    created_at: str
    scoring_id: int | None = None
    simulator: str | None = None
    simulator_settings: Mapping[str, Any] | None = None
    split: str | None = None
    scored_at: str | None = None
    scoring_seconds: float | None = None
    scores: tuple[Score, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    side: Side = "positive"
    usage: Usage = field(default_factory=Usage)
    scoring_usage: Usage = field(default_factory=Usage)
    judgements: tuple[Judgement, ...] = ()
    deleted_at: str | None = None

    def score(self, scope: Scope = Scope.TOP_AND_RANDOM) -> Score | None:
        """The score of one scope; None when there is none."""
        return next((score for score in self.scores if score.scope is scope), None)

    @property
    def ev_correlation(self) -> float | None:
        """The top-and-random correlation; None when undefined or never scored."""
        score = self.score()
        return None if score is None else score.ev_correlation

    @property
    def explanation(self) -> Explanation:
        """The engine's value again, to be simulated or scored anew."""
        return Explanation(
            neuron=self.neuron,
            text=self.text,
            explainer=self.explainer,
            settings=self.settings,
            rules=self.rules,
            windows=self.windows,
            seconds=self.seconds or 0.0,
            side=self.side,
            usage=self.usage,
        )


@dataclass(frozen=True, slots=True, eq=False)
class StoredSimulation:
    """One scored record as it was saved.

    Attributes:
        window: Row of the window in the index of the scoring.
        document_name, tokens: Untrusted text. A token that is no whole UTF-8
            sequence reads U+FFFD here; ``token_ids`` are exact.
        offset: First token within the document.
        role: ``top`` or ``random``.
        token_ids: int32 [T].
        expected: float32 [T], in units of ``scale``; NaN where nothing was simulated.
        activations: float32 [T], the true ones.
        coverage: Share of the tokens with an expected value.
        ev_correlation: Over this record; None when undefined.
        message: Why something is missing; empty when ``OK``.
    """

    window: int
    document_name: str
    offset: int
    role: str
    scale: Scale
    status: SimulationStatus
    message: str
    coverage: float
    ev_correlation: float | None
    token_ids: NDArray[np.int32]
    tokens: tuple[str, ...]
    expected: NDArray[np.float32]
    activations: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Annotation:
    """What people added to a neuron. Tags and note are untrusted text."""

    starred: bool = False
    tags: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A place where the searched words stand.

    Attributes:
        kind: What ``text`` is.
        model, model_name: Hash and name of the model; the name may be unknown.
        text: All of the explanation or note. Untrusted.
        snippet: The part of it around the match, without mark-up.
        score: The explanation's top-and-random correlation; None for a note and
            where it is undefined.
        explanation_id: None for a note.
    """

    kind: Literal["explanation", "note"]
    neuron: NeuronId
    model: str
    model_name: str | None
    text: str
    snippet: str
    score: float | None
    explanation_id: int | None


@dataclass(frozen=True, slots=True)
class SavedPatterns:
    """What a saved explanation by patterns says, as JSON; see :mod:`engine.patterns`.

    Attributes:
        model: Hash of the neuron's model.
        explanation: Its row.
        text: Of the explanation. Untrusted, as the rest is.
        score: Its top-and-random correlation; None when undefined or not scored.
        patterns, settings: JSON arrays, or ``null``.
    """

    model: str
    neuron: NeuronId
    explanation: int
    text: str
    score: float | None
    patterns: str
    settings: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How much the database holds, of one model or of all."""

    models: int
    indexes: int
    explanations: int
    explained_neurons: int
    scorings: int
    simulations: int
    notes: int
    starred: int
