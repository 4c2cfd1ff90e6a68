"""The report of one neuron."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine import __version__
from engine.exports.tables import model_of
from engine.glyphs import exact
from engine.index import Index
from engine.neuron import NeuronId
from engine.records import Group, NeuronRecord, NeuronStatistics, TokenMeans
from engine.reports import drawing, passages
from engine.reports.page import document, facts, folded, number, table, text
from engine.score import Score
from engine.store import Annotation, StoredExplanation, StoredSimulation

if TYPE_CHECKING:
    from engine.effects import Effects, Weighted
    from engine.judgement import Judgement

#: Excerpts of the group that is in sight, and of the others.
SHOWN, OTHERS = 12, 6
TOKENS = 15
#: A token seen less often says little by its mean.
COMMON = 5
#: Explanations told in full; the rest are lines of a table.
IN_FULL = 3
_GROUPS = {
    Group.TOP: "The strongest",
    Group.BAND_3: "Between the .99 and .999 quantiles of the window maximum",
    Group.BAND_2: "Between the .9 and .99 quantiles",
    Group.BAND_1: "Between the .5 and .9 quantiles",
    Group.BAND_0: "Below the median",
    Group.RANDOM: "Drawn at random",
    Group.BOTTOM: "The most negative",
}


def neuron_report(
    index: Index,
    neuron: NeuronId,
    explanations: Sequence[StoredExplanation],
    records: Callable[[StoredExplanation], Sequence[StoredSimulation]],
    annotation: Annotation,
    effects: Effects | None,
    when: str,
) -> str:
    """The whole page.

    Args:
        explanations: Best first.
        records: The scored records of an explanation.
        effects: None: left out.
        when: Day and time, UTC.
    """
    kept = index.neuron(neuron)
    body = [*_head(index, neuron, kept, annotation, when)]
    body += _explanations(index, explanations, records, kept.statistics)
    body += _excerpts(kept)
    body += _statistics(kept.statistics)
    body += _means(index.token_means(neuron))
    if effects is not None:
        body += _effects(effects)
    body += provenance(index, when)
    return document(f"Neuron {neuron} of {index.model_name}", body)


def _head(
    index: Index, neuron: NeuronId, kept: NeuronRecord, annotation: Annotation, when: str
) -> Iterator[str]:
    yield f"<h1>Neuron {neuron} of {text(index.model_name)}</h1>"
    part = "" if index.complete else f" of {index.windows_total:,}; the scan was not complete"
    yield (
        f'<p class="dim">Layer {neuron.layer}, neuron {neuron.index}, both from zero. '
        f"{index.windows_scanned:,} windows scanned{part}. {text(when[:10])}</p>"
    )
    marks = ['<span class="tag">★ starred</span>'] if annotation.starred else []
    marks += [f'<span class="tag">{text(tag)}</span>' for tag in annotation.tags]
    if marks:
        yield f"<p>{''.join(marks)}</p>"
    if annotation.note:
        yield f"<p>Note: {text(annotation.note)}</p>"


# ---------------------------------------------------------------- explanations


def _explanations(
    index: Index,
    explanations: Sequence[StoredExplanation],
    records: Callable[[StoredExplanation], Sequence[StoredSimulation]],
    statistics: NeuronStatistics,
) -> Iterator[str]:
    yield "<h2>Explanations</h2>"
    if not explanations:
        yield '<p class="dim">None was saved.</p>'
    for place, stored in enumerate(explanations[:IN_FULL]):
        side = "" if stored.side == "positive" else ' <span class="dim">(negative side)</span>'
        yield f"<blockquote>{text(stored.text)}{side}</blockquote>"
        yield f'<p class="small dim">Written by {_by(stored.explainer, stored.settings)}, '
        yield f"{text(stored.created_at[:10])}. {_scored_by(stored)}</p>"
        if stored.scores:
            yield from _scores(stored)
        if stored.judgements:
            yield _judgements(stored.judgements)
        yield from _held_out(index, stored, records(stored), statistics, opened=place == 0)
    if rest := explanations[IN_FULL:]:
        yield f"<h3>{len(rest)} more</h3>"
        yield table(
            ("explanation", "score", "written by"),
            ((text(s.text), number(s.ev_correlation), _by(s.explainer, s.settings)) for s in rest),
            numeric=(1,),
        )


def _by(name: str, settings: object) -> str:
    model = model_of(settings) if isinstance(settings, dict) else ""
    return text(f"{name} by {model}" if model else name)


def _scored_by(stored: StoredExplanation) -> str:
    if stored.simulator is None:
        return "Not scored."
    by = _by(stored.simulator, stored.simulator_settings)
    return f"Simulated by {by}, scored on the {text(stored.split)} split."


def _scores(stored: StoredExplanation) -> Iterator[str]:
    points = [_point(f"this, {score.scope}", score, False) for score in stored.scores]
    points += [
        _point(f"{baseline.name}, {score.scope}", score, True)
        for baseline in stored.baselines
        for score in baseline.scores
    ]
    yield drawing.dots(points, "Scores with their intervals; hollow: baselines")
    rows = [_score_row("this explanation", score) for score in stored.scores]
    for baseline in stored.baselines:
        rows += [_score_row(baseline.name, score) for score in baseline.scores]
    head = ("", "records", "correlation", "interval", "R²", "n", "tokens", "coverage", "status")
    yield folded("The numbers", [table(head, rows, numeric=(2, 3, 4, 5, 6, 7))])
    for baseline in stored.baselines:
        yield f'<p class="small dim">{text(baseline.name)}: {text(baseline.description)}</p>'


def _point(name: str, score: Score, chance: bool) -> drawing.Point:
    between = score.interval
    return drawing.Point(
        name,
        score.ev_correlation,
        between.low if between else None,
        between.high if between else None,
        chance,
    )


def _score_row(name: str, score: Score) -> tuple[str, ...]:
    between = score.interval
    interval = "—"
    if between is not None:
        interval = f"{number(between.low, '.2f')} to {number(between.high, '.2f')}"
        interval += f" at {between.level:.0%}"
    return (
        text(name),
        str(score.scope),
        number(score.ev_correlation),
        interval,
        number(score.rsquared),
        f"{score.records:,}",
        f"{score.tokens:,}",
        covered(score.coverage),
        text(f"{score.status}: {score.message}" if score.message else score.status),
    )


def covered(share: float | None) -> str:
    """A share of the tokens, never rounded up to all."""
    if share is None:
        return "—"
    return "100%" if share >= 1 else f"{min(99, round(100 * share))}%"


def _judgements(judgements: Sequence[Judgement]) -> str:
    rows = []
    for judgement in judgements:
        for measure in judgement.measures:
            other = [one.value for one in judgement.chance if one.of == measure.of]
            rows.append(
                (
                    text(judgement.scorer),
                    text(f"{measure.measured}, {measure.of}"),
                    number(measure.value),
                    number(other[0] if other else measure.chance),
                    f"{measure.items:,}",
                    covered(measure.coverage),
                )
            )
    head = ("scorer", "measure", "value", "another neuron’s, or chance", "items", "coverage")
    return table(head, rows, numeric=(2, 3, 4, 5))


def _held_out(
    index: Index,
    stored: StoredExplanation,
    records: Sequence[StoredSimulation],
    statistics: NeuronStatistics,
    *,
    opened: bool,
) -> Iterator[str]:
    if not records:
        return
    negative = stored.side == "negative"
    maximum = -statistics.minimum if negative else statistics.maximum
    same = stored.index_id == index.index_id
    shown = []
    for record in records:
        tokens = (
            index.vocabulary.decode(record.token_ids)
            if same
            else tuple(token.encode("utf-8", "replace") for token in record.tokens)
        )
        note = f"correlation {number(record.ev_correlation, '.2f')}, {record.role}"
        if record.message:
            note += f", {record.message}"
        shown.append(
            passages.excerpt(
                tokens,
                record.activations,
                maximum,
                f"{record.document_name}, token {record.offset:,}",
                expected=record.expected,
                normalised=record.scale.startswith("simulated"),
                note=note,
            )
        )
    turned = ", signs turned" if negative else ""
    summary = f"{len(shown)} held-out records, real above simulated{turned}"
    yield folded(summary, [passages.legend(maximum), *shown], opened=opened)


# ---------------------------------------------------------------- what the scan kept


def _excerpts(kept: NeuronRecord) -> Iterator[str]:
    maximum = kept.statistics.maximum
    yield "<h2>Excerpts</h2>"
    yield passages.legend(maximum)
    for group, name in _GROUPS.items():
        several = kept.group(group)
        shown = several[: SHOWN if group is Group.TOP else OTHERS]
        if not shown:
            continue
        body = [
            passages.excerpt(
                record.excerpt.tokens,
                record.activations,
                maximum,
                f"{record.excerpt.document_name}, token {record.excerpt.offset:,}, "
                f"{record.excerpt.fold} fold",
                lowest=group is Group.BOTTOM,
            )
            for record in shown
        ]
        head = f"{name}: {len(shown)} of {len(several)} kept"
        yield folded(head, body, opened=group is Group.TOP)


def _statistics(statistics: NeuronStatistics) -> Iterator[str]:
    yield "<h2>Statistics</h2>"
    yield facts(
        (
            ("tokens", f"{statistics.tokens:,}"),
            ("above zero", f"{statistics.fraction_active:.2%} of the tokens"),
            ("maximum", number(statistics.maximum)),
            ("minimum", number(statistics.minimum)),
            ("mean", number(statistics.mean, ".4f")),
            ("standard deviation", number(math.sqrt(statistics.variance), ".4f")),
            ("skewness", number(statistics.skewness, ".1f")),
            ("kurtosis", f"{number(statistics.kurtosis, '.1f')} (of a normal distribution 3)"),
        )
    )
    counts, edges = statistics.histogram, statistics.histogram_edges
    filled = np.flatnonzero(counts)
    if len(filled):
        part = slice(int(filled[0]), int(filled[-1]) + 1)
        total = int(counts.sum())
        yield drawing.histogram(
            counts[part].tolist(),
            float(edges[part.start]),
            float(edges[part.stop]),
            f"Histogram of {total:,} activations of a sample of the windows; "
            "heights by the logarithm of the count",
            unit="activation (heights by the logarithm of the count)",
            logarithmic=True,
        )


def _means(means: TokenMeans) -> Iterator[str]:
    yield "<h2>Tokens by mean activation</h2>"
    common = np.flatnonzero(means.counts >= COMMON)
    order = common[np.argsort(-means.means[common], kind="stable")][:TOKENS]
    if not len(order):
        yield '<p class="dim">None was seen often enough.</p>'
        return
    rows = (
        (text(exact(means.texts[i])), number(float(means.means[i])), f"{int(means.counts[i]):,}")
        for i in order
    )
    yield table(("token", "mean", "seen"), rows, numeric=(1, 2))
    yield f'<p class="small dim">Over the explain fold, where the mean is {number(means.mean)}.</p>'


def _effects(effects: Effects) -> Iterator[str]:
    yield "<h2>What its weights say</h2>"
    yield (
        '<p class="small dim">The direct path alone, on raw weights, without biases and norms.</p>'
    )
    columns: list[tuple[str, Sequence[Weighted]]] = [
        ("makes likelier", effects.output.promoted),
        ("makes unlikelier", effects.output.suppressed),
    ]
    for reading in effects.readings:
        name = f" ({reading.name})" if reading.name else ""
        columns += [
            (f"driven up by{name}", reading.activating),
            (f"driven down by{name}", reading.suppressing),
        ]
    for name, tokens in columns:
        several = ", ".join(f"{text(exact(t))} {number(w, '+.2f')}" for t, w in tokens)
        yield f"<p><strong>{text(name)}</strong> {several}</p>"


def provenance(index: Index, when: str) -> Iterator[str]:
    """What it all rests on."""
    yield "<h2>Where this comes from</h2>"
    settings = index.manifest["settings"]
    yield facts(
        (
            ("model", f"{text(index.model_name)}, weights {text(index.model_id)}"),
            ("text", f"{index.tokens_scanned:,} tokens, corpus {text(index.corpus_id)}"),
            ("index", text(index.index_id)),
            ("windows", f"{settings['window']} tokens, each after an end-of-text token"),
            ("written", f"{text(when)} by neuroglass {text(__version__)}"),
        )
    )
    yield (
        '<p class="small dim">Explanations are written from one half of the documents and scored '
        "on the other. The score is the correlation of simulated and true activations over all "
        "tokens of the records together; its interval is a bootstrap over whole records. A high "
        "score says that the sentence predicts the neuron on this text, not that the model uses "
        "the neuron for it. Method: Bills et al. 2023, “Language models can explain neurons in "
        "language models”.</p>"
    )
