"""A sheet as a structure for JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui import published
from tui.cli import output
from tui.passages import Passage, expected_values
from tui.session import Result

if TYPE_CHECKING:
    from engine.catalogue import Catalogue
    from engine.records import NeuronStatistics, TokenMeans
    from tui.sheet import Sheet

#: How many of the strongest tokens are listed.
TOKENS = 12
#: A token seen less often says little by its mean.
COMMON = 5


def strongest_tokens(means: TokenMeans) -> list[tuple[bytes, float, int]]:
    """Token, mean activation and count, by mean; tokens seen too rarely are left out."""
    import numpy as np

    common = np.flatnonzero(means.counts >= COMMON)
    order = common[np.argsort(-means.means[common], kind="stable")][:TOKENS]
    return [(means.texts[i], float(means.means[i]), int(means.counts[i])) for i in order]


def as_json(sheet: Sheet) -> dict[str, Any]:
    """Everything as a structure for JSON."""
    from engine.store import Annotation

    index, view = sheet.index, sheet.view
    record, public = view.record, view.public is not None
    return {
        **output.neuron_json(record.neuron),
        "model": index.model_name,
        "model_id": index.model_id,
        "index_id": index.index_id,
        **_windows_json(index),
        "statistics": _statistics_json(record.statistics, public=public),
        **_lists_json(sheet),
        "records": [
            _passage_json(group, passage, sheet.maximum, public=public)
            for group, passages in sheet.groups.items()
            for passage in passages
        ],
        "explanations": [
            {**({"published": stored.id < 0} if public else {}), **output.explanation_json(stored)}
            for stored in view.saved
        ],
        **_fresh_json(sheet.fresh),
        **output.annotation_json(view.annotation or Annotation()),
    }


def _windows_json(index: Catalogue) -> dict[str, int]:
    from engine.index import Index

    if not isinstance(index, Index):
        return {}
    return {"windows_scanned": index.windows_scanned, "windows_total": index.windows_total}


def _statistics_json(statistics: NeuronStatistics, *, public: bool) -> dict[str, Any]:
    names: tuple[str, ...] = ("maximum", "mean", "variance", "skewness", "kurtosis")
    if not public:
        names += ("minimum", "fraction_active")
    counted = {} if public else {"tokens": statistics.tokens}
    return {**counted, **{name: output.number(getattr(statistics, name)) for name in names}}


def _lists_json(sheet: Sheet) -> dict[str, Any]:
    from engine.catalogue import dataset_of

    dataset, public = dataset_of(sheet.index), sheet.view.public
    if dataset is not None and public is not None:
        return published.as_json(dataset, public)
    return {
        "tokens": [
            {
                "token": token.decode("utf-8", "replace"),
                "mean": output.number(mean),
                "count": count,
            }
            for token, mean, count in strongest_tokens(sheet.view.means)
        ]
    }


def _passage_json(group: str, passage: Passage, maximum: float, *, public: bool) -> dict[str, Any]:
    simulated = expected_values(passage, maximum)
    held_out = (
        {}
        if simulated is None
        else {
            "simulated": output.numbers(simulated),
            "ev_correlation": output.number(passage.correlation),
            "role": passage.role,
            "message": passage.failure,
        }
    )
    place = {
        "fold": passage.fold,
        "document": passage.document,
        "offset": passage.offset,
        "window": passage.window,
        "token_ids": list(passage.token_ids),
    }
    return {
        "group": group,
        **({} if public else place),
        "peak": output.number(float(passage.values.max())),
        "tokens": output.texts(passage.tokens),
        "activations": output.numbers(passage.values),
        **held_out,
    }


def _fresh_json(fresh: Result | None) -> dict[str, Any]:
    if fresh is None or fresh.explanation is None or fresh.saved is not None:
        return {}
    card = fresh.card
    return {
        "unsaved": {
            "text": fresh.explanation.text,
            "explainer": fresh.explanation.explainer,
            "scores": [] if card is None else [output.score_json(one) for one in card.scores],
        }
    }
