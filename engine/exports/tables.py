"""Results as flat tables: one row per explanation, neuron, simulated record or excerpt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.index import Index
from engine.neuron import NeuronId
from engine.records import Group
from engine.score import Scope, Score
from engine.store import Annotation, Selection, Store, StoredExplanation, reads, selecting

Table = Literal["explanations", "neurons", "records", "excerpts"]
TABLES: tuple[Table, ...] = ("explanations", "neurons", "records", "excerpts")

#: ``texts``, ``ints`` and ``floats`` are lists; ``json`` is any JSON value.
Kind = Literal["int", "float", "text", "bool", "texts", "ints", "floats", "json"]
Row = dict[str, Any]
#: Explanations read at a time.
PAGE = 500


@dataclass(frozen=True, slots=True)
class Column:
    """A column, what it holds, and what it means."""

    name: str
    kind: Kind
    meaning: str = ""


_NEURON = (
    Column("model", "text", "Name of the model"),
    Column("model_id", "text", "Hash of its weights"),
    Column("layer", "int", "Layer, from zero"),
    Column("neuron", "int", "Neuron within the layer, from zero"),
)
_ANNOTATION = (
    Column("starred", "bool", "Whether somebody starred the neuron"),
    Column("tags", "texts", "Its tags"),
)
EXPLANATIONS: tuple[Column, ...] = (
    Column("explanation_id", "int", "Row in neuroglass.db"),
    *_NEURON,
    Column("explanation", "text", "What the neuron fires on, in words"),
    Column("side", "text", "positive, or negative for what drives it below zero"),
    Column("explainer", "text", "What wrote it"),
    Column("explainer_model", "text", "The language model that wrote it, if one did"),
    Column("score", "float", "Correlation of simulated and true activations, top and random"),
    Column("interval_low", "float", "Its bootstrap interval"),
    Column("interval_high", "float"),
    Column("interval_level", "float"),
    Column("status", "text", "ok, partial, undefined or failed; empty if never scored"),
    Column("message", "text", "Why, where the status is not ok"),
    Column("coverage", "float", "Share of the tokens that were simulated"),
    Column("records", "int", "Records the score covers"),
    Column("tokens", "int", "Tokens the score covers"),
    Column("rsquared", "float", "1 - E(y-x)^2 / E(y^2)"),
    Column("absolute_dev_explained", "float", "1 - E|y-x| / E|y|"),
    Column("random_score", "float", "The correlation on random records alone"),
    Column("random_interval_low", "float"),
    Column("random_interval_high", "float"),
    Column("random_status", "text"),
    Column("simulator", "text", "What predicted the activations"),
    Column("simulator_model", "text", "The language model that did, if one did"),
    Column("split", "text", "Which held-out split"),
    Column("baselines", "json", "What knows nothing, or little, scores on the same records"),
    Column("judgements", "json", "What further scorers found"),
    *_ANNOTATION,
    Column("created_at", "text", "When it was written, UTC"),
    Column("scored_at", "text", "When it was scored, UTC"),
)
NEURONS: tuple[Column, ...] = (
    *_NEURON,
    Column("tokens_scanned", "int", "Tokens the statistics cover"),
    Column("maximum", "float", "Largest activation"),
    Column("minimum", "float", "Smallest activation"),
    Column("mean", "float"),
    Column("variance", "float"),
    Column("skewness", "float"),
    Column("kurtosis", "float", "Of a normal distribution 3"),
    Column("fraction_active", "float", "Share of tokens with an activation above zero"),
    Column("best_score", "float", "Best top-and-random correlation of its explanations"),
    *_ANNOTATION,
    Column("note", "text", "What somebody noted about the neuron"),
)
_EXCERPT = (
    Column("document", "text", "Name of the document"),
    Column("offset", "int", "First token within the document"),
    Column("token_ids", "ints"),
    Column("tokens", "texts", "Tokens as text; a part of a character reads U+FFFD"),
    Column("activations", "floats", "True activations"),
)
RECORDS: tuple[Column, ...] = (
    Column("explanation_id", "int", "Row in neuroglass.db"),
    *_NEURON,
    Column("role", "text", "top or random"),
    *_EXCERPT,
    Column("expected", "floats", "Simulated activations; null where there is none"),
    Column("scale", "text", "Units of expected"),
    Column("status", "text", "ok, partial or failed"),
    Column("message", "text"),
    Column("coverage", "float"),
    Column("ev_correlation", "float", "Over this record alone"),
)
EXCERPTS: tuple[Column, ...] = (
    *_NEURON,
    Column("group", "text", "Why it was kept: top, a band of quantiles, random, bottom"),
    Column("fold", "text", "explain or score"),
    Column("window", "int", "Window of the index"),
    *_EXCERPT,
)
COLUMNS: Mapping[Table, tuple[Column, ...]] = {
    "explanations": EXPLANATIONS,
    "neurons": NEURONS,
    "records": RECORDS,
    "excerpts": EXCERPTS,
}


class Rows:
    """The rows of each table for one selection, in the order of the neurons."""

    def __init__(self, store: Store, index: Index, only: Selection) -> None:
        self._store, self._index, self._only = store, index, only
        self._layers: dict[int, dict[int, Annotation]] = {}

    def of(self, table: Table, stop: Callable[[], bool] = bool) -> Iterator[Row]:
        """Rows of a table, each with every column; ends early when ``stop`` becomes true."""
        rows = {
            "explanations": self._explanations,
            "neurons": self._neurons,
            "records": self._records,
            "excerpts": self._excerpts,
        }[table]()
        for row in rows:
            if stop():
                return
            yield row

    def chosen(self) -> list[NeuronId]:
        """The neurons of the selection, by layer and index."""
        only, model = self._only, self._index.model_id
        if only.about_explanations:
            return list(dict.fromkeys(neuron for _, neuron in self.explained()))
        if only.starred or only.tag:
            return self._store.read(lambda db: selecting.neurons(db, model, only))
        if only.neurons:
            return sorted(n for n in only.neurons if not only.layers or n.layer in only.layers)
        layers = only.layers or range(self._index.n_layers)
        return [NeuronId(layer, n) for layer in layers for n in range(self._index.n_neurons)]

    def scored(self) -> list[tuple[int, NeuronId, float | None]]:
        """Row ids of the chosen explanations, neurons, scores; by neuron, best first."""
        return self._store.read(
            lambda db: selecting.explanations(db, self._index.model_id, self._only)
        )

    def explained(self) -> list[tuple[int, NeuronId]]:
        """The same without the scores."""
        return [(row, neuron) for row, neuron, _ in self.scored()]

    def stored(self, ids: Sequence[int]) -> Iterator[StoredExplanation]:
        """Explanations by row id, in that order."""
        for start in range(0, len(ids), PAGE):
            page = ids[start : start + PAGE]
            yield from self._store.read(lambda db, page=page: reads.load(db, page))  # type: ignore[misc]

    def _stored(self) -> Iterator[StoredExplanation]:
        return self.stored([row for row, _ in self.explained()])

    def _explanations(self) -> Iterator[Row]:
        for stored in self._stored():
            yield {**self._named(stored.neuron), **explanation_row(stored)} | self._annotated(
                stored.neuron
            )

    def _neurons(self) -> Iterator[Row]:
        scores: dict[int, dict[int, float]] = {}
        layer, columns = -1, None
        for neuron in self.chosen():
            if neuron.layer != layer:
                layer = neuron.layer
                columns = self._index.layer(layer)
                scores = {layer: self._store.best_scores(self._index.model_id, layer)}
            assert columns is not None
            annotation = self._annotation(neuron)
            place = neuron.index
            yield {
                **self._named(neuron),
                "tokens_scanned": self._index.tokens_scanned,
                **{
                    name: float(getattr(columns, name)[place])
                    for name in (
                        "maximum",
                        "minimum",
                        "mean",
                        "variance",
                        "skewness",
                        "kurtosis",
                        "fraction_active",
                    )
                },
                "best_score": scores[layer].get(place),
                **self._annotated(neuron),
                "note": annotation.note,
            }

    def _records(self) -> Iterator[Row]:
        for stored in self._stored():
            if stored.scoring_id is None:
                continue
            for record in self._store.card(stored.id, stored.scoring_id):
                yield {
                    "explanation_id": stored.id,
                    **self._named(stored.neuron),
                    "role": record.role,
                    "document": record.document_name,
                    "offset": record.offset,
                    "token_ids": record.token_ids.tolist(),
                    "tokens": list(record.tokens),
                    "activations": record.activations.tolist(),
                    "expected": record.expected.tolist(),
                    "scale": str(record.scale),
                    "status": str(record.status),
                    "message": record.message,
                    "coverage": record.coverage,
                    "ev_correlation": record.ev_correlation,
                }

    def _excerpts(self) -> Iterator[Row]:
        for neuron in self.chosen():
            kept = self._index.neuron(neuron)
            for group in Group:
                for record in kept.group(group):
                    excerpt = record.excerpt
                    yield {
                        **self._named(neuron),
                        "group": str(group),
                        "fold": str(excerpt.fold),
                        "window": excerpt.window,
                        "document": excerpt.document_name,
                        "offset": excerpt.offset,
                        "token_ids": excerpt.token_ids.tolist(),
                        "tokens": [token.decode("utf-8", "replace") for token in excerpt.tokens],
                        "activations": record.activations.tolist(),
                    }

    def _named(self, neuron: NeuronId) -> Row:
        return {
            "model": self._index.model_name,
            "model_id": self._index.model_id,
            "layer": neuron.layer,
            "neuron": neuron.index,
        }

    def _annotation(self, neuron: NeuronId) -> Annotation:
        if neuron.layer not in self._layers:
            found = self._store.annotations(self._index.model_id, neuron.layer)
            self._layers[neuron.layer] = found
        return self._layers[neuron.layer].get(neuron.index, Annotation())

    def _annotated(self, neuron: NeuronId) -> Row:
        annotation = self._annotation(neuron)
        return {"starred": annotation.starred, "tags": list(annotation.tags)}


def explanation_row(stored: StoredExplanation) -> Row:
    """What a row of ``explanations`` has beside the neuron and its annotation."""
    both, random = stored.score(), stored.score(Scope.RANDOM_ONLY)
    between = both.interval if both else None
    return {
        "explanation_id": stored.id,
        "explanation": stored.text,
        "side": stored.side,
        "explainer": stored.explainer,
        "explainer_model": model_of(stored.settings),
        "score": both.ev_correlation if both else None,
        "interval_low": between.low if between else None,
        "interval_high": between.high if between else None,
        "interval_level": between.level if between else None,
        "status": str(both.status) if both else "",
        "message": both.message if both else "",
        "coverage": both.coverage if both else None,
        "records": both.records if both else None,
        "tokens": both.tokens if both else None,
        "rsquared": both.rsquared if both else None,
        "absolute_dev_explained": both.absolute_dev_explained if both else None,
        "random_score": random.ev_correlation if random else None,
        "random_interval_low": random.interval.low if random and random.interval else None,
        "random_interval_high": random.interval.high if random and random.interval else None,
        "random_status": str(random.status) if random else "",
        "simulator": stored.simulator or "",
        "simulator_model": model_of(stored.simulator_settings or {}),
        "split": stored.split or "",
        "baselines": [
            {"name": baseline.name, "description": baseline.description, **_score(score)}
            for baseline in stored.baselines
            for score in baseline.scores
        ],
        "judgements": [
            {
                "scorer": judgement.scorer,
                "model": judgement.model,
                "split": judgement.split,
                "measured": str(judgement.headline.measured),
                "value": judgement.headline.value,
                "coverage": judgement.headline.coverage,
                "items": judgement.headline.items,
                "status": str(judgement.headline.status),
                "chance": judgement.headline.chance,
                "another_neuron": judgement.chance[0].value if judgement.chance else None,
            }
            for judgement in stored.judgements
            if judgement.measures
        ],
        "created_at": stored.created_at,
        "scored_at": stored.scored_at or "",
    }


def model_of(settings: Mapping[str, Any]) -> str:
    """The language model in some settings; a calibrated simulator has it further inside."""
    model = settings.get("model")
    if isinstance(model, str):
        return model
    inner = settings.get("simulator_settings")
    return model_of(inner) if isinstance(inner, Mapping) else ""


def as_text(value: Any) -> str:
    """A list or a structure in one cell, as JSON that is printable ASCII."""
    return json.dumps(value)


def _score(score: Score) -> Row:
    return {
        "scope": str(score.scope),
        "score": score.ev_correlation,
        "status": str(score.status),
        "coverage": score.coverage,
    }


def names(columns: Sequence[Column]) -> list[str]:
    """The columns' names."""
    return [column.name for column in columns]
