"""``neuroglass explain``: explain one neuron, simulate, score, save."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from tui.cli import output
from tui.cli.place import Place, json_option, neuron_argument, open_index, place_options

if TYPE_CHECKING:
    from engine.events import PipelineEvent
    from engine.neuron import NeuronId
    from engine.score import ScoreCard, ScoredRecord


@click.command("explain", short_help="Explain a neuron and score the explanation.")
@neuron_argument
@click.option("--explainer", default="token-lookup", show_default=True, help="Who explains.")
@click.option(
    "--simulator", default="token-lookup", show_default=True, help="Who predicts from it."
)
@click.option(
    "--split",
    type=click.Choice(("valid", "test", "calibration")),
    default="valid",
    show_default=True,
    help="Held-out records to score on; keep test for the end.",
)
@click.option("--save/--no-save", default=True, show_default=True, help="Keep the result.")
@json_option
@place_options
def command(
    place: Place,
    neuron: NeuronId,
    explainer: str,
    simulator: str,
    split: str,
    save: bool,
    as_json: bool,
) -> None:
    """Explain a neuron and score the explanation on text it was not written from.

    With --json, prints each event as a line of JSON as it happens.
    """
    asyncio.run(_explain(place, neuron, explainer, simulator, split, save, as_json))


async def _explain(
    place: Place,
    neuron: NeuronId,
    explainer: str,
    simulator: str,
    split: str,
    save: bool,
    as_json: bool,
) -> None:
    from engine.errors import MethodError
    from engine.events import PipelineFailed, Scored

    async with await place.engine() as engine:
        open_index(engine)
        write = _write_json if as_json else _Printer()
        result: Scored | None = None
        events = engine.explain(neuron, explainer=explainer, simulator=simulator, split=split)
        async with aclosing(events):
            async for event in events:
                write(event)
                if isinstance(event, PipelineFailed):
                    raise MethodError(event.message, event.remedy)
                if isinstance(event, Scored):
                    result = event
        if result is None or not save:
            return
        number = await engine.save(result.explanation, result.card)
        if as_json:
            output.print_json({"event": "Saved", "id": number})
        else:
            click.echo(f"Saved as explanation {number}.", err=True)


class _Printer:
    """The events for people: the sentence as it arrives, then the scores."""

    def __init__(self) -> None:
        self._in_sentence = False
        self._counts = sys.stderr.isatty()

    def __call__(self, event: PipelineEvent) -> None:
        from engine.events import Explained, PipelineFailed, RecordSimulated, Scored
        from engine.explanation import Word
        from engine.glyphs import inert

        match event:
            case Word(text):
                click.echo(inert(text), nl=False)
                self._in_sentence = True
            case Explained(explanation):
                click.echo("" if self._in_sentence else inert(explanation.text))
                self._in_sentence = False
            case RecordSimulated(number, total):
                self._count(f"record {number} of {total}")
            case Scored(_, card):
                self._count("")
                _print_card(card)
            case PipelineFailed():
                if self._in_sentence:
                    click.echo()
                self._count("")

    def _count(self, text: str) -> None:
        if self._counts:
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)


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


def _write_json(event: PipelineEvent) -> None:
    output.print_json({"event": type(event).__name__, **_facts(event)})


def _facts(event: PipelineEvent) -> dict[str, Any]:
    from engine.events import Explained, PipelineFailed, PipelineStarted, RecordSimulated, Scored
    from engine.explanation import Word

    match event:
        case PipelineStarted(neuron, explainer, simulator, records):
            return {
                **output.neuron_json(neuron),
                "explainer": explainer,
                "simulator": simulator,
                "records": records,
            }
        case Word(text):
            return {"text": text}
        case Explained(explanation):
            return {"text": explanation.text, "explainer": explanation.explainer}
        case RecordSimulated(number, total, record):
            return {"number": number, "total": total, **_record_json(record)}
        case Scored(explanation, card):
            return {
                "text": explanation.text,
                "simulator": card.simulator,
                "split": card.split,
                "scores": [output.score_json(score) for score in card.scores],
                "baselines": [output.baseline_json(baseline) for baseline in card.baselines],
                "seconds": output.number(card.seconds),
            }
        case PipelineFailed(stage, message, remedy):
            return {"stage": stage, "message": message, "remedy": remedy}


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
