"""The report of all explained neurons: how scores lie, and the best and the worst of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from engine.exports.tables import model_of
from engine.index import Index
from engine.records import ActivationRecord, Group
from engine.reports import drawing, passages
from engine.reports.neuron import covered, provenance
from engine.reports.page import document, folded, number, table, text
from engine.store import StoredExplanation

#: Excerpts of a neuron, and tokens to each side of the peak.
EXCERPTS, AROUND = 3, 14
BINS = 20


def triage_report(
    index: Index,
    chosen: Sequence[tuple[int, float | None]],
    load: Callable[[Sequence[int]], Sequence[StoredExplanation]],
    limit: int,
    described: str,
    when: str,
) -> str:
    """The whole page.

    Args:
        chosen: Layer and score of each neuron's best explanation, best score first.
        load: Gives the explanations at some places of ``chosen``.
        limit: How many neurons are told about, from the best down.
        described: What was chosen, text; empty for everything.
    """
    scores = np.array([score for _, score in chosen if score is not None], dtype=np.float64)
    body = [f"<h1>Explained neurons of {text(index.model_name)}</h1>"]
    total = index.n_layers * index.n_neurons
    what = f" {text(described)}." if described else ""
    body.append(
        f'<p class="dim">{len(chosen):,} of {total:,} neurons, each by its best explanation; '
        f"{len(scores):,} have a score.{what} {text(when[:10])}</p>"
    )
    if not chosen:
        body.append("<p>Nothing that was saved is like that.</p>")
    if len(scores):
        body += _distribution(scores)
        body += _by_layer(index, chosen)
    if chosen:
        body += _neurons(index, load(range(min(limit, len(chosen)))), limit, len(chosen))
    left = len(chosen) - limit
    if left > 0:
        lowest = range(max(limit, len(chosen) - min(20, limit)), len(chosen))
        body.append("<h2>The lowest</h2>")
        body.append(_table(index, load(lowest)))
    body += provenance(index, when)
    return document(f"Explained neurons of {index.model_name}", body)


def _distribution(scores: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Iterator[str]:
    low = min(0.0, float(np.floor(scores.min() * 10) / 10))
    counts, _ = np.histogram(scores, bins=BINS, range=(low, 1.0))
    mean, median = float(scores.mean()), float(np.median(scores))
    yield "<h2>Scores</h2>"
    yield (
        f"<p>Mean {number(mean, '.2f')}, median {number(median, '.2f')}, standard deviation "
        f"{number(float(scores.std()), '.2f')}; {np.mean(scores > 0.5):.0%} above 0.5.</p>"
    )
    yield drawing.histogram(
        counts.tolist(),
        low,
        1.0,
        f"Distribution of {len(scores):,} scores; mean {mean:.2f}, median {median:.2f}",
        unit="correlation on top and random records",
        marks=(("median", median),),
    )


def _by_layer(index: Index, chosen: Sequence[tuple[int, float | None]]) -> Iterator[str]:
    yield "<h2>By layer</h2>"
    rows = []
    for layer in range(index.n_layers):
        several = [score for at, score in chosen if at == layer]
        known = np.array([score for score in several if score is not None])
        if not several:
            continue
        counts, _ = np.histogram(known.clip(0, 1), bins=10, range=(0, 1))
        rows.append(
            (
                str(layer),
                f"{len(several):,}",
                f"{len(known):,}",
                number(float(known.mean()), ".2f") if len(known) else "—",
                number(float(np.median(known)), ".2f") if len(known) else "—",
                drawing.spark(
                    counts.tolist(),
                    f"Scores of layer {layer} by tenths from 0 to 1: "
                    + " ".join(map(str, counts.tolist())),
                ),
            )
        )
    head = ("layer", "neurons", "scored", "mean", "median", "from 0 to 1")
    yield table(head, rows, numeric=(0, 1, 2, 3, 4))


def _neurons(
    index: Index, stored: Sequence[StoredExplanation], limit: int, total: int
) -> Iterator[str]:
    shown = f"the best {limit:,} of {total:,}" if total > limit else "all, the best first"
    yield f"<h2>Neurons: {shown}</h2>"
    yield passages.legend()
    for place, one in enumerate(stored, start=1):
        kept = index.neuron(one.neuron)
        maximum = kept.statistics.maximum
        score = one.score()
        parts = [f"<strong>{one.neuron}</strong>", number(one.ev_correlation, "+.2f")]
        if score is not None and score.interval is not None:
            low, high = number(score.interval.low, ".2f"), number(score.interval.high, ".2f")
            parts.append(f'<span class="dim">[{low}, {high}]</span>')
        if score is not None and score.coverage < 1:
            parts.append(f'<span class="warn">{covered(score.coverage)} covered</span>')
        side = "" if one.side == "positive" else "(negative side) "
        yield f"<h3>{place}. {' '.join(parts)}</h3><p>{text(side + one.text)}</p>"
        active = kept.statistics.fraction_active
        facts = f"active at {active:.2%}, maximum {number(maximum, '.2f')}, {_written(one)}"
        group = Group.TOP if one.side == "positive" else Group.BOTTOM
        body = [_cut(record, maximum, group) for record in kept.group(group)[:EXCERPTS]]
        yield folded(f"{facts}: {len(body)} strongest excerpts", body)


def _cut(record: ActivationRecord, maximum: float, group: Group) -> str:
    values, lowest = record.activations, group is Group.BOTTOM
    peak = int(values.argmin() if lowest else values.argmax())
    part = slice(max(0, peak - AROUND), peak + AROUND + 1)
    excerpt = record.excerpt
    return passages.excerpt(
        excerpt.tokens[part],
        values[part],
        maximum,
        f"{excerpt.document_name}, token {excerpt.offset + part.start:,}",
        lowest=lowest,
    )


def _written(one: StoredExplanation) -> str:
    model = model_of(one.settings)
    return text(f"{one.explainer} by {model}" if model else one.explainer)


def _table(index: Index, stored: Sequence[StoredExplanation]) -> str:
    rows = []
    for one in stored:
        statistics = index.statistics(one.neuron)
        score = one.score()
        rows.append(
            (
                str(one.neuron),
                number(one.ev_correlation, "+.2f"),
                covered(score.coverage if score else None),
                f"{statistics.fraction_active:.2%}",
                number(statistics.maximum, ".2f"),
                text(one.text),
            )
        )
    head = ("neuron", "score", "coverage", "active", "maximum", "explanation")
    return table(head, rows, numeric=(1, 2, 3, 4))
