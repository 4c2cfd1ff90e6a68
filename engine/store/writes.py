"""What one write does to the tables; each function runs inside one transaction."""

from __future__ import annotations

import functools
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from engine.explanation import Explanation
from engine.judgement import Judgement
from engine.models.request import Usage
from engine.neuron import NeuronId
from engine.records import Excerpt
from engine.score import Score, ScoreCard, ScoredRecord
from engine.store import codec, identity
from engine.store.deletion import restore
from engine.store.judgements import save as save_judgement
from engine.store.kinds import IndexFacts

if TYPE_CHECKING:
    from sqlite_utils import Database


def save_index(db: Database, facts: IndexFacts) -> int:
    """Insert the index or bring its facts up to date (a scan goes on); its row id."""
    model = _id(
        db,
        "INSERT INTO models (hash, name, n_layers, n_neurons, created_at) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (hash) DO UPDATE SET "
        "name = excluded.name, n_layers = excluded.n_layers, n_neurons = excluded.n_neurons "
        "RETURNING id",
        facts.model_id,
        codec.clean(facts.model_name),
        facts.n_layers,
        facts.n_neurons,
        codec.now(),
    )
    return _id(
        db,
        "INSERT INTO indexes (model_id, hash, corpus_hash, path, tokens, windows, settings, "
        "created_at, updated_at) VALUES (:model, :hash, :corpus, :path, :tokens, :windows, "
        ":settings, :now, :now) ON CONFLICT (hash) DO UPDATE SET path = excluded.path, "
        "tokens = excluded.tokens, windows = excluded.windows, settings = excluded.settings, "
        "updated_at = excluded.updated_at RETURNING id",
        model=model,
        hash=facts.index_id,
        corpus=facts.corpus_id,
        path=codec.clean(facts.path),
        tokens=int(facts.tokens),
        windows=int(facts.windows),
        settings=codec.dump(facts.settings),
        now=codec.now(),
    )


def save_explanation(
    db: Database,
    facts: IndexFacts,
    explanation: Explanation,
    card: ScoreCard | None,
    evidence: Sequence[Excerpt],
    judgements: Sequence[Judgement] = (),
) -> int:
    """Insert what is not there yet of an explanation and its scoring; its row id.

    The same sentence from the same records and settings is the same explanation, so
    saving it again adds nothing; a card adds a scoring if any number in it is new.
    """
    index = save_index(db, facts)
    neuron = neuron_row(db, facts.model_id, explanation.neuron)
    windows = [int(window) for window in explanation.windows]
    content = identity.explanation_hash(
        facts.model_id,
        facts.index_id,
        explanation.neuron.layer,
        explanation.neuron.index,
        explanation.explainer,
        explanation.settings,
        explanation.text,
        explanation.rules,
        windows,
        explanation.side,
    )
    row = find(db, "SELECT id FROM explanations WHERE content_hash = ?", content)
    if row is not None:
        restore(db, [row])
    else:
        row = insert(
            db,
            "explanations",
            {
                "neuron_id": neuron,
                "index_id": index,
                "content_hash": content,
                "text": codec.clean(explanation.text),
                "explainer": codec.clean(explanation.explainer),
                "settings": codec.dump(explanation.settings),
                "rules": None if explanation.rules is None else codec.dump(explanation.rules),
                "seconds": codec.number(explanation.seconds),
                "side": explanation.side,
                **usage_columns(explanation.usage),
                "versions": codec.dump(versions()),
                "created_at": codec.now(),
            },
        )
        known = {excerpt.window: excerpt for excerpt in evidence}
        db.table("explanation_records").insert_all(
            {
                "explanation_id": row,
                "position": position,
                "window": window,
                "document_name": codec.clean(known[window].document_name)
                if window in known
                else None,
                "document_offset": int(known[window].offset) if window in known else None,
            }
            for position, window in enumerate(windows)
        )
    if card is not None:
        _save_card(db, row, index, facts.index_id, card)
    for judgement in judgements:
        save_judgement(db, row, index, facts.index_id, judgement)
    return row


def remember(db: Database, name: str, value: Any) -> None:
    """Keep a JSON value by name, in place of an earlier one."""
    db.execute(
        "INSERT INTO remembered (name, value, updated_at) VALUES (?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        [name, codec.dump(value), codec.now()],
    )


def neuron_row(db: Database, model: str, neuron: NeuronId) -> int:
    """The neuron's row, made when new; so is the model's, by its hash alone."""
    db.execute(
        "INSERT INTO models (hash, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
        [model, codec.now()],
    )
    key = [model, int(neuron.layer), int(neuron.index)]
    db.execute(
        "INSERT INTO neurons (model_id, layer, neuron_index, name) "
        "SELECT id, ?2, ?3, ?4 FROM models WHERE hash = ?1 ON CONFLICT DO NOTHING",
        [*key, str(neuron)],
    )
    return _id(
        db,
        "SELECT neurons.id FROM neurons JOIN models ON models.id = neurons.model_id "
        "WHERE models.hash = ? AND layer = ? AND neuron_index = ?",
        *key,
    )


def set_note(db: Database, model: str, neuron: NeuronId, text: str) -> None:
    """Write the neuron's note; blank text removes it."""
    row = neuron_row(db, model, neuron)
    text = codec.clean(text)
    if not text.strip():
        db.execute("DELETE FROM notes WHERE neuron_id = ?", [row])
        return
    db.execute(
        "INSERT INTO notes (neuron_id, text, created_at, updated_at) "
        "VALUES (:neuron, :text, :now, :now) ON CONFLICT (neuron_id) DO UPDATE SET "
        "text = excluded.text, updated_at = excluded.updated_at "
        "WHERE text IS NOT excluded.text",
        {"neuron": row, "text": text, "now": codec.now()},
    )


def set_star(db: Database, model: str, neuron: NeuronId, starred: bool) -> None:
    """Star the neuron, keeping the time of an earlier star, or take the star away."""
    db.execute(
        "UPDATE neurons SET starred_at = CASE WHEN ? THEN coalesce(starred_at, ?) END WHERE id = ?",
        [int(starred), codec.now(), neuron_row(db, model, neuron)],
    )


def set_tags(db: Database, model: str, neuron: NeuronId, tags: Sequence[str]) -> None:
    """Make these the neuron's tags; blank ones and repetitions are left out."""
    row = neuron_row(db, model, neuron)
    db.execute("DELETE FROM neuron_tags WHERE neuron_id = ?", [row])
    for tag in dict.fromkeys(" ".join(codec.clean(tag).split()) for tag in tags):
        if not tag:
            continue
        db.execute("INSERT INTO tags (name) VALUES (?) ON CONFLICT DO NOTHING", [tag])
        db.execute(
            "INSERT INTO neuron_tags (neuron_id, tag_id) SELECT ?, id FROM tags WHERE name = ?",
            [row, tag],
        )
    db.execute("DELETE FROM tags WHERE id NOT IN (SELECT tag_id FROM neuron_tags)")


def _save_card(
    db: Database, explanation: int, index: int, index_hash: str, card: ScoreCard
) -> None:
    simulations = [_simulation(number, record) for number, record in enumerate(card.records)]
    scores = [_score(score) for score in card.scores]
    baselines = [
        {
            "name": codec.clean(baseline.name),
            "description": codec.clean(baseline.description),
            **_score(score),
        }
        for baseline in card.baselines
        for score in baseline.scores
    ]
    settings = codec.dump(card.simulator_settings)
    records = identity.records_hash(simulations)
    content = identity.scoring_hash(
        index_hash, card.simulator, settings, card.split, records, scores, baselines
    )
    if find(
        db,
        "SELECT id FROM scorings WHERE explanation_id = ? AND content_hash = ?",
        explanation,
        content,
    ):
        return
    scoring = insert(
        db,
        "scorings",
        {
            "explanation_id": explanation,
            "index_id": index,
            "content_hash": content,
            "records_hash": records,
            "simulator": codec.clean(card.simulator),
            "settings": settings,
            "split": codec.clean(card.split),
            "seconds": codec.number(card.seconds),
            **usage_columns(card.usage),
            "versions": codec.dump(versions()),
            "created_at": codec.now(),
        },
    )
    for table, rows in (
        ("simulations", simulations),
        ("scores", scores),
        ("baselines", baselines),
    ):
        db.table(table).insert_all({"scoring_id": scoring, **row} for row in rows)


def _simulation(position: int, record: ScoredRecord) -> dict[str, Any]:
    simulation, excerpt = record.simulation, record.simulation.excerpt
    return {
        "position": position,
        "role": codec.clean(record.role),
        "window": int(excerpt.window),
        "document_name": codec.clean(excerpt.document_name),
        "document_offset": int(excerpt.offset),
        "status": str(simulation.status),
        "message": codec.clean(simulation.message),
        "coverage": float(simulation.coverage),
        "ev_correlation": codec.number(record.ev_correlation),
        "scale": str(simulation.scale),
        "text": codec.clean(excerpt.text),
        "token_ids": codec.dump(excerpt.token_ids),
        "tokens": codec.dump([token.decode("utf-8", "replace") for token in excerpt.tokens]),
        "expected": codec.dump_floats(simulation.expected),
        "activations": codec.dump_floats(record.activations),
    }


def _score(score: Score) -> dict[str, Any]:
    interval = score.interval
    return {
        "scope": str(score.scope),
        "status": str(score.status),
        "ev_correlation": codec.number(score.ev_correlation),
        "interval_low": codec.number(interval.low) if interval else None,
        "interval_high": codec.number(interval.high) if interval else None,
        "interval_level": float(interval.level) if interval else None,
        "interval_resamples": int(interval.resamples) if interval else None,
        "rsquared": codec.number(score.rsquared),
        "absolute_dev_explained": codec.number(score.absolute_dev_explained),
        "records": int(score.records),
        "tokens": int(score.tokens),
        "coverage": float(score.coverage),
        "message": codec.clean(score.message),
    }


def usage_columns(usage: Usage) -> dict[str, int]:
    """The columns of every table that says what language models used."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "requests": usage.requests,
    }


@functools.cache
def versions() -> dict[str, str | None]:
    """What wrote a row, for whoever wonders about a number years later."""

    def version(name: str) -> str | None:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return None

    names = ("neuroglass", "numpy", "torch", "transformers")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def insert(db: Database, table: str, row: dict[str, Any]) -> int:
    """Insert one row; its id."""
    key = db.table(table).insert(row, pk="id").last_pk
    assert isinstance(key, int)
    return key


def find(db: Database, sql: str, *values: Any) -> int | None:
    row = db.execute(sql, values).fetchone()
    return None if row is None else int(row[0])


def _id(db: Database, sql: str, *values: Any, **named: Any) -> int:
    # All rows are fetched: a RETURNING that is not run to its end keeps the statement
    # open, and with it the transaction.
    rows = db.execute(sql, named or values).fetchall()
    return int(rows[0][0])
