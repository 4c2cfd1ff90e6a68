"""Deleting that can be undone: an explanation is hidden first, and forgotten later.

A deleted explanation keeps its row, its scorings and its records for ``KEPT_DAYS``; every
read but those that ask for it leaves it out.  It is forgotten for good by a later deletion,
never by reading or by opening the file.  Saving the same explanation again brings it back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from engine.store import codec

if TYPE_CHECKING:
    from sqlite_utils import Database

#: How long a deleted explanation can be brought back, days.
KEPT_DAYS = 30

SCHEMA = """
ALTER TABLE explanations ADD COLUMN deleted_at TEXT;
CREATE INDEX explanations_deleted_at ON explanations(deleted_at) WHERE deleted_at IS NOT NULL;

DROP VIEW best_explanation_per_neuron;
DROP VIEW explanations_with_scores;
DROP VIEW judgements_with_measures;

CREATE VIEW explanations_with_scores AS
SELECT
    explanations.id AS explanation_id,
    models.hash AS model_hash,
    models.name AS model,
    neurons.id AS neuron_id,
    neurons.name AS neuron,
    neurons.layer,
    neurons.neuron_index,
    explanations.text AS explanation,
    explanations.explainer,
    scorings.simulator,
    scorings.split,
    both.status,
    both.ev_correlation,
    both.interval_low,
    both.interval_high,
    both.rsquared,
    both.absolute_dev_explained,
    both.records,
    both.tokens,
    both.coverage,
    both.message,
    random.ev_correlation AS random_only_ev_correlation,
    random.status AS random_only_status,
    explanations.created_at,
    scorings.created_at AS scored_at,
    explanations.side
FROM explanations
JOIN neurons ON neurons.id = explanations.neuron_id
JOIN models ON models.id = neurons.model_id
JOIN current_scorings ON current_scorings.explanation_id = explanations.id
LEFT JOIN scorings ON scorings.id = current_scorings.scoring_id
LEFT JOIN scores AS both ON both.scoring_id = scorings.id AND both.scope = 'top-and-random'
LEFT JOIN scores AS random ON random.scoring_id = scorings.id AND random.scope = 'random-only'
WHERE explanations.deleted_at IS NULL;

CREATE VIEW best_explanation_per_neuron AS
SELECT * FROM (
    SELECT *, row_number() OVER (
        PARTITION BY neuron_id
        ORDER BY ev_correlation IS NULL, ev_correlation DESC, explanation_id DESC
    ) AS place
    FROM explanations_with_scores
) WHERE place = 1;

CREATE VIEW judgements_with_measures AS
SELECT
    judgements.id AS judgement_id,
    judgements.explanation_id,
    models.name AS model,
    neurons.name AS neuron,
    explanations.text AS explanation,
    judgements.scorer,
    judgements.model AS judge,
    judgements.split,
    measures.explanation_of,
    measures.measured,
    measures.part,
    measures.value,
    measures.interval_low,
    measures.interval_high,
    measures.chance,
    measures.items,
    measures.coverage,
    measures.status,
    measures.message,
    judgements.created_at
FROM measures
JOIN judgements ON judgements.id = measures.judgement_id
JOIN explanations ON explanations.id = judgements.explanation_id
JOIN neurons ON neurons.id = explanations.neuron_id
JOIN models ON models.id = neurons.model_id
WHERE explanations.deleted_at IS NULL;
"""


def delete(db: Database, ids: Sequence[int]) -> list[int]:
    """Hide explanations; the ids of those that were there.

    What was hidden longer than ``KEPT_DAYS`` ago is forgotten by the way.
    """
    rows = db.execute(
        "UPDATE explanations SET deleted_at = ? WHERE deleted_at IS NULL "
        "AND id IN (SELECT value FROM json_each(?)) RETURNING id",
        [codec.now(), json.dumps(list(ids))],
    ).fetchall()
    limit = codec.now(timedelta(days=KEPT_DAYS))
    db.execute("DELETE FROM explanations WHERE deleted_at < ?", [limit])
    return sorted(row[0] for row in rows)


def restore(db: Database, ids: Sequence[int] | None) -> list[int]:
    """Bring explanations back, or what was deleted last; the ids of those brought back."""
    chosen = "deleted_at = (SELECT max(deleted_at) FROM explanations)"
    values: list[str] = []
    if ids is not None:
        chosen = "deleted_at IS NOT NULL AND id IN (SELECT value FROM json_each(?))"
        values = [json.dumps(list(ids))]
    rows = db.execute(
        f"UPDATE explanations SET deleted_at = NULL WHERE {chosen} RETURNING id", values
    ).fetchall()
    return sorted(row[0] for row in rows)


def forget(db: Database, ids: Sequence[int]) -> list[int]:
    """Delete explanations for good, hidden ones too; the ids of those that were there."""
    rows = db.execute(
        "DELETE FROM explanations WHERE id IN (SELECT value FROM json_each(?)) RETURNING id",
        [json.dumps(list(ids))],
    ).fetchall()
    return sorted(row[0] for row in rows)
