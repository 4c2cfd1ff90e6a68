"""Numbers, JSON and text as the command line prints them."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

    from engine.engine import Engine
    from engine.judgement import Judgement, Measure
    from engine.models.request import Usage
    from engine.neuron import NeuronId
    from engine.score import Baseline, Interval, Score
    from engine.store import Annotation, StoredExplanation

#: Columns where the output is no terminal, so that a pipe gets whole lines of text.
PIPE_WIDTH = 100


def print_json(value: Mapping[str, Any], *, indent: int | None = None) -> None:
    """One JSON object. Everything outside printable ASCII is escaped, so it is inert."""
    click.echo(json.dumps(value, indent=indent, allow_nan=False))


def console(*, no_color: bool = False, stderr: bool = False) -> Console:
    """A rich console that interprets no mark-up and guesses no highlights."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream,
        no_color=True if no_color else None,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if stream.isatty() else PIPE_WIDTH,
    )


def number(value: float | None, digits: int = 6) -> float | None:
    """A JSON number with ``digits`` significant digits; None if it has no value."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def numbers(values: NDArray[np.floating[Any]]) -> list[float | None]:
    """JSON numbers of an array; NaN becomes null."""
    return [number(value) for value in values.tolist()]


def shown(value: float | None, form: str = "+.3f") -> str:
    """A number for people, a dash when it has no value."""
    return "—" if value is None or not math.isfinite(value) else format(value, form)


def cut(line: str) -> str:
    """A line cut to the width of the terminal, where a list has one line per row."""
    import shutil

    from rich.text import Text

    text = Text(line)
    text.truncate(shutil.get_terminal_size().columns, overflow="ellipsis")
    return text.plain


def texts(tokens: Sequence[bytes]) -> list[str]:
    """Tokens for JSON; bytes that are no UTF-8 by themselves become U+FFFD."""
    return [token.decode("utf-8", "replace") for token in tokens]


def columns(entries: Sequence[str], width: int) -> Iterator[str]:
    """Entries side by side, none of them broken over two lines."""
    from wcwidth import wcswidth

    line = ""
    for entry in entries:
        if line and wcswidth(line) + 3 + wcswidth(entry) > width:
            yield line
            line = ""
        line = f"{line}   {entry}" if line else entry
    if line:
        yield line


def weighted_json(tokens: Sequence[tuple[bytes, float]]) -> list[dict[str, Any]]:
    """Tokens with a weight each."""
    return [
        {"token": token.decode("utf-8", "replace"), "weight": number(weight)}
        for token, weight in tokens
    ]


def known_as(engine: Engine, neuron: NeuronId, width: int) -> str:
    """The words of a neuron's best saved explanation, inert and cut; empty without one."""
    from wcwidth import wcswidth

    assert engine.index is not None
    saved = engine.store.explanations(engine.index.model_id, neuron)
    words = text_line(saved[0]) if saved else ""
    while words and wcswidth(words) > max(width, 20):
        words = words[:-2].rstrip() + "…"
    return words


def neuron_json(neuron: NeuronId) -> dict[str, Any]:
    """A neuron's name and its parts."""
    return {"neuron": str(neuron), "layer": neuron.layer, "index": neuron.index}


def score_json(score: Score) -> dict[str, Any]:
    """A score with all that it rests on."""
    return {
        "scope": str(score.scope),
        "status": str(score.status),
        "ev_correlation": number(score.ev_correlation),
        "interval": interval_json(score.interval),
        "rsquared": number(score.rsquared),
        "absolute_dev_explained": number(score.absolute_dev_explained),
        "records": score.records,
        "tokens": score.tokens,
        "coverage": number(score.coverage),
        "message": score.message,
    }


def baseline_json(baseline: Baseline) -> dict[str, Any]:
    """A baseline with its scores."""
    return {
        "name": baseline.name,
        "description": baseline.description,
        "scores": [score_json(score) for score in baseline.scores],
    }


def usage_json(usage: Usage) -> dict[str, Any]:
    """What language models used."""
    return {
        "requests": usage.requests,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "measured": usage.measured,
    }


def interval_json(interval: Interval | None) -> dict[str, Any] | None:
    """A confidence interval; null where there is none."""
    if interval is None:
        return None
    return {
        "low": number(interval.low),
        "high": number(interval.high),
        "level": interval.level,
        "resamples": interval.resamples,
    }


def judgement_json(judgement: Judgement) -> dict[str, Any]:
    """What a further scorer found."""

    def measures(several: Sequence[Measure]) -> list[dict[str, Any]]:
        return [
            {
                "measured": str(one.measured),
                "of": one.of,
                "value": number(one.value),
                "interval": interval_json(one.interval),
                "chance": one.chance,
                "items": one.items,
                "coverage": number(one.coverage),
                "status": str(one.status),
                "message": one.message,
            }
            for one in several
        ]

    return {
        "scorer": judgement.scorer,
        "model": judgement.model,
        "split": judgement.split,
        "measures": measures(judgement.measures),
        "another_neuron": measures(judgement.chance),
        "usage": usage_json(judgement.usage),
        "seconds": number(judgement.seconds),
    }


def annotation_json(annotation: Annotation) -> dict[str, Any]:
    """What people added to a neuron."""
    return {
        "starred": annotation.starred,
        "tags": list(annotation.tags),
        "note": annotation.note,
    }


def explanation_json(stored: StoredExplanation) -> dict[str, Any]:
    """A saved explanation with the scoring that speaks for it."""
    return {
        "id": stored.id,
        **neuron_json(stored.neuron),
        "text": stored.text,
        "explainer": stored.explainer,
        "settings": dict(stored.settings),
        "created_at": stored.created_at,
        "simulator": stored.simulator,
        "simulator_settings": dict(stored.simulator_settings or {}),
        "split": stored.split,
        "scores": [score_json(score) for score in stored.scores],
        "baselines": [baseline_json(baseline) for baseline in stored.baselines],
        "side": stored.side,
        "judgements": [judgement_json(one) for one in stored.judgements],
        "usage": usage_json(stored.usage + stored.scoring_usage),
    }


def explained_by(stored: StoredExplanation) -> str:
    """Who wrote it, as ``summary by openai:NAME``; inert."""
    return _by(stored.explainer, stored.settings)


def simulated_by(stored: StoredExplanation) -> str:
    """Who simulated it, and on which split; inert."""
    if stored.simulator is None:
        return "not scored"
    if stored.id < 0:
        return "its authors"
    return f"{_by(stored.simulator, stored.simulator_settings or {})}, {stored.split}"


def _by(name: str, settings: Mapping[str, Any]) -> str:
    from engine.glyphs import inert

    model = _model(settings)
    return inert(f"{name} by {model}" if model else name)


def _model(settings: Mapping[str, Any]) -> str:
    """The model in some settings; a calibrated simulator has its own one inside."""
    model = settings.get("model")
    if isinstance(model, str):
        return model
    inner = settings.get("simulator_settings")
    return _model(inner) if isinstance(inner, Mapping) else ""


def text_line(stored: StoredExplanation) -> str:
    """An explanation's words, with its side unless that is the usual one; inert."""
    from engine.glyphs import inert

    return inert(stored.text if stored.side == "positive" else f"(negative) {stored.text}")


def covered(coverage: float | None) -> str:
    """Said wherever a number doesn't cover everything; else empty."""
    if coverage is None or coverage >= 1:
        return ""
    # Never rounded up to all.
    return f"{min(99, round(100 * coverage))}% covered"


def judgement_line(judgement: Judgement) -> str:
    """A further scorer's headline, beside it what another neuron's explanation gets."""
    from engine.glyphs import inert

    one = judgement.headline
    parts = [f"{inert(judgement.scorer)} {shown(one.value, '.2f')} ({one.measured})"]
    if judgement.chance:
        parts.append(f"another neuron's {shown(judgement.chance[0].value, '.2f')}")
    elif one.chance is not None:
        parts.append(f"chance {one.chance:.2g}")
    if gaps := covered(one.coverage):
        parts.append(gaps)
    return ", ".join(parts)


def score_line(score: Score) -> str:
    """One score for people: never the number alone."""
    parts = [f"{score.scope!s:<15}"]
    if score.ev_correlation is None:
        parts.append(f"no score ({score.status})")
    else:
        parts.append(f"correlation {shown(score.ev_correlation)}")
        if score.interval is not None:
            low, high = shown(score.interval.low), shown(score.interval.high)
            parts.append(f"[{low}, {high}] at {score.interval.level:.0%}")
        parts.append(f"R² {shown(score.rsquared)}")
        parts.append(f"abs. dev. {shown(score.absolute_dev_explained)}")
    parts.append(f"{score.records} records, {score.tokens:,} tokens")
    if gaps := covered(score.coverage):
        parts.append(gaps)
    return "  ".join(parts)
