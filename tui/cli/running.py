"""Showing a run of the pipeline: for people as it happens, or as lines of JSON."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from tui.cli import output

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.estimate import Estimate
    from engine.events import PipelineEvent, Scored, Spent
    from engine.judgement import Judgement, Measure
    from engine.score import ScoreCard, ScoredRecord


async def show_run(
    engine: Engine, events: AsyncGenerator[PipelineEvent, None], *, save: bool, as_json: bool
) -> None:
    """Show the events, and save what comes out.

    Raises:
        MethodError: the run failed; exit status 9 where a language model was the reason.
    """
    from engine.errors import MethodError
    from engine.events import PipelineFailed, Scored

    write = _write_json if as_json else _Printer()
    result: Scored | None = None
    async with aclosing(events) as stream:
        try:
            async for event in stream:
                write(event)
                if isinstance(event, PipelineFailed):
                    failure = MethodError(event.message, event.remedy)
                    failure.exit_code = event.exit_code
                    raise failure
                if isinstance(event, Scored):
                    result = event
        except asyncio.CancelledError:  # Ctrl+c
            if isinstance(write, _Printer):
                write.stopped()
            raise
    if result is None or not save:
        return
    number = await engine.save(result.explanation, result.card, result.judgements)
    if as_json:
        output.print_json({"event": "Saved", "id": number})
    else:
        click.echo(f"Saved as explanation {number}.", err=True)


def say_caveats(engine: Engine) -> None:
    """What a score on a published dataset's excerpts is subject to, on standard error."""
    if engine.dataset is not None:
        for caveat in engine.dataset.caveats:
            click.echo(caveat, err=True)


def show_estimate(estimate: Estimate, *, as_json: bool) -> None:
    """What a run will ask for, step by step."""
    from engine.glyphs import inert

    if as_json:
        steps = [
            {
                "step": step.name,
                "model": step.model,
                "requests": step.requests,
                "input_tokens": step.input_tokens,
                "output_tokens": step.output_tokens,
                "money": output.number(step.money),
            }
            for step in estimate.steps
        ]
        output.print_json(
            {"steps": steps, "tokens": estimate.tokens, "money": output.number(estimate.money)}
        )
        return
    if not estimate.steps:
        click.echo("No language model is needed: nothing is sent, nothing is spent.")
        return
    click.echo(f"{'step':<16}{'requests':>9}{'input':>10}{'output':>9}{'money':>9}  model")
    for step in estimate.steps:
        money = output.shown(step.money, ".4f")
        click.echo(
            f"{step.name:<16}{step.requests:>9,}{step.input_tokens:>10,}"
            f"{step.output_tokens:>9,}{money:>9}  {inert(step.model)}"
        )
    money = output.shown(estimate.money, ".4f")
    click.echo(
        f"{estimate.requests:,} requests, about {estimate.tokens:,} tokens, money {money}. "
        "Replies that are kept from before cost nothing."
    )


class _Printer:
    """The events for people: the sentence as it arrives, then the scores."""

    def __init__(self) -> None:
        self._in_sentence = False
        self._counts = sys.stderr.isatty()
        self._spent: Spent | None = None

    def __call__(self, event: PipelineEvent) -> None:
        from engine import events
        from engine.glyphs import inert

        match event:
            case events.CandidateStarted(number, total, revision):
                self._end_sentence()
                what = "revision" if revision else "candidate"
                click.echo(f"{what} {number} of {total}", err=True)
            case events.Preparing(text, share):
                self._count(f"{text}: {share:.0%}")
            case events.Word(text):
                if not self._in_sentence:
                    self._count("")
                click.echo(inert(text), nl=False)
                self._in_sentence = True
            case events.CandidateScored(explanation=explanation):
                self._end_sentence()
                kept = ", the best so far" if event.kept else ""
                score = output.shown(event.ev_correlation)
                click.echo(f"  correlation on valid {score}{kept}", err=True)
            case events.CandidateFailed(message=message):
                self._end_sentence()
                click.echo(f"  {inert(message)}", err=True)
            case events.Explained(explanation):
                if self._in_sentence:
                    self._end_sentence()
                else:  # the words last shown may be another candidate's
                    click.echo("kept:", err=True)
                    click.echo(inert(explanation.text))
            case events.RecordSimulated(number, total):
                self._count(f"record {number} of {total}")
            case events.Judging(scorer, done, total):
                what = "another neuron's explanation: record" if scorer == "chance" else scorer
                self._count(f"{what} {done} of {total}")
            case events.JudgeFailed(scorer, message, remedy):
                self._count("")
                click.echo(f"{scorer}: {inert(message)} {inert(remedy)}", err=True)
            case events.Spent():
                self._spent = event
                if event.retry:
                    self._count("")
                    click.echo(inert(event.retry), err=True)
            case events.Scored(_, card, judgements):
                self._count("")
                _print_card(card)
                for judgement in judgements:
                    _print_judgement(judgement)
                self._print_spent()
            case events.PipelineFailed():
                self.stopped()

    def _end_sentence(self) -> None:
        if self._in_sentence:
            click.echo()
            self._in_sentence = False

    def stopped(self) -> None:
        """The run ended before its scores."""
        self._end_sentence()
        self._count("")
        self._print_spent("; the same command goes on from there")

    def _print_spent(self, more: str = "") -> None:
        spent = self._spent
        if spent is not None:
            answered = spent.usage.requests or spent.replayed
            click.echo(spent_line(spent) + (more if answered else ""), err=True)

    def _count(self, text: str) -> None:
        """Where standard error is a terminal: one line that is written over."""
        if not self._counts:
            return
        if text and self._spent is not None:
            text += f", {self._spent.usage.tokens:,} tokens so far"
        click.echo(f"\r\x1b[K{text}", nl=False, err=True)


def spent_line(spent: Spent) -> str:
    """What language models used, in one line."""
    usage = spent.usage
    about = "" if usage.measured else "about "
    parts = [
        f"{usage.requests:,} requests",
        f"{about}{usage.input_tokens:,} tokens in and {usage.output_tokens:,} out",
    ]
    if spent.money is not None:
        parts.append(f"money {spent.money:.4f}")
    if spent.replayed:
        parts.append(f"{spent.replayed:,} replies kept from before")
    return ", ".join(parts)


def _print_card(card: ScoreCard) -> None:
    from engine.glyphs import inert

    click.echo(f"\nScored on the {inert(card.split)} split, simulated by {inert(card.simulator)}:")
    for score in card.scores:
        click.echo(f"  {output.score_line(score)}")
        if score.message:
            click.echo(f"    {inert(score.message)}")
    for baseline in card.baselines:
        click.echo(f"Baseline {inert(baseline.name)} ({inert(baseline.description)}):")
        for score in baseline.scores:
            click.echo(f"  {output.score_line(score)}")


def _print_judgement(judgement: Judgement) -> None:
    from engine.glyphs import inert

    by = f", asked {inert(judgement.model)}" if judgement.model else ""
    click.echo(f"{judgement.scorer} on the {judgement.split} split{by}:")
    for measure in judgement.measures:
        click.echo(f"  {measure_line(measure)}")
    for measure in judgement.chance[:2]:
        click.echo(f"  another neuron's explanation: {measure_line(measure)}")


def measure_line(measure: Measure) -> str:
    """One number of a further scorer: never the number alone."""
    parts = [f"{measure.measured} ({measure.of})", output.shown(measure.value, ".3f")]
    if measure.interval is not None:
        parts.append(f"[{measure.interval.low:.3f}, {measure.interval.high:.3f}]")
    if measure.chance is not None:
        parts.append(f"chance {measure.chance:.3g}")
    # An effect is measured over the tokens of the held-out records.
    unit = "tokens" if measure.measured == "effect kept" else "texts"
    parts.append(f"{measure.items:,} {unit}")
    if gaps := output.covered(measure.coverage):
        parts.append(gaps)
    if measure.message:
        from engine.glyphs import inert

        parts.append(inert(measure.message))
    return "  ".join(parts)


def _write_json(event: PipelineEvent) -> None:
    output.print_json({"event": type(event).__name__, **_facts(event)})


def _facts(event: PipelineEvent) -> dict[str, Any]:
    from engine import events

    match event:
        case events.PipelineStarted(neuron, explainer, simulator, records):
            return {
                **output.neuron_json(neuron),
                "explainer": explainer,
                "simulator": simulator,
                "records": records,
            }
        case events.Preparing(text, share):
            return {"text": text, "share": output.number(share)}
        case events.Word(text):
            return {"text": text}
        case events.CandidateStarted(number, total, revision):
            return {"number": number, "total": total, "revision": revision}
        case events.CandidateScored(number, total, explanation, score, kept):
            return {
                "number": number,
                "total": total,
                "text": explanation.text,
                "ev_correlation": output.number(score),
                "kept": kept,
            }
        case events.CandidateFailed(number, total, message):
            return {"number": number, "total": total, "message": message}
        case events.Explained(explanation):
            return {
                "text": explanation.text,
                "explainer": explanation.explainer,
                "settings": dict(explanation.settings),
                "side": explanation.side,
            }
        case events.RecordSimulated(number, total, record):
            return {"number": number, "total": total, **_record_json(record)}
        case events.Judging(scorer, done, total):
            return {"scorer": scorer, "done": done, "total": total}
        case events.Judged(judgement):
            return output.judgement_json(judgement)
        case events.JudgeFailed(scorer, message, remedy):
            return {"scorer": scorer, "message": message, "remedy": remedy}
        case events.Spent(usage, money, replayed, retry):
            return {
                **output.usage_json(usage),
                "money": output.number(money),
                "replayed": replayed,
                "retry": retry,
            }
        case events.Scored(explanation, card, judgements):
            return {
                "text": explanation.text,
                "explainer": explanation.explainer,
                "side": explanation.side,
                "simulator": card.simulator,
                "simulator_settings": card.simulator_settings,
                "split": card.split,
                "scores": [output.score_json(score) for score in card.scores],
                "baselines": [output.baseline_json(baseline) for baseline in card.baselines],
                "judgements": [output.judgement_json(one) for one in judgements],
                "usage": output.usage_json(explanation.usage + card.usage),
                "seconds": output.number(card.seconds),
            }
        case events.PipelineFailed(stage, message, remedy, exit_code):
            return {
                "stage": stage,
                "message": message,
                "remedy": remedy,
                "exit_code": exit_code,
            }


def _record_json(record: ScoredRecord) -> dict[str, Any]:
    simulation = record.simulation
    return {
        "role": record.role,
        "window": simulation.excerpt.window,
        "document": simulation.excerpt.document_name,
        "offset": simulation.excerpt.offset,
        "status": str(simulation.status),
        "message": simulation.message,
        "coverage": output.number(simulation.coverage),
        "scale": str(simulation.scale),
        "ev_correlation": output.number(record.ev_correlation),
        "tokens": output.texts(simulation.excerpt.tokens),
        "expected": output.numbers(simulation.expected),
        "activations": output.numbers(record.activations),
    }
