"""``neuroglass show`` of a published dataset's neuron: what the files have, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from tui.cli import output

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.neuron import NeuronId
    from engine.public_data.dataset import PublicDataset
    from engine.public_data.shapes import PublicNeuron, RelatedNeurons, TokenList
    from engine.records import ActivationRecord
    from engine.store import StoredExplanation

#: As many as a viewer shows of each list; JSON has all.
TOKENS, NEURONS = 12, 5


async def show_public(
    engine: Engine,
    dataset: PublicDataset,
    neuron: NeuronId,
    groups: Iterable[str],
    limit: int,
    *,
    as_json: bool,
    no_color: bool,
) -> None:
    """Load a neuron and print it."""
    from engine.known import explanations_of
    from engine.records import Group

    await dataset.prepare(neuron)
    record = dataset.neuron(neuron)
    kept = {name: record.group(Group(name))[:limit] for name in groups}
    saved = await asyncio.to_thread(explanations_of, dataset, engine.store, neuron)
    if as_json:
        output.print_json(_as_json(engine, dataset, neuron, kept, saved), indent=2)
        return
    _print(engine, dataset, neuron, kept, saved, no_color)


def _as_json(
    engine: Engine,
    dataset: PublicDataset,
    neuron: NeuronId,
    kept: dict[str, tuple[ActivationRecord, ...]],
    saved: Sequence[StoredExplanation],
) -> dict[str, Any]:
    from engine.store import Annotation

    public, statistics = dataset.public(neuron), dataset.neuron(neuron).statistics
    annotation = engine.store.annotations(dataset.model_id, neuron.layer).get(neuron.index)
    names = ("maximum", "mean", "variance", "skewness", "kurtosis")
    weights = public.tokens_by_weight
    parts = ("input_positive", "input_negative", "output_positive", "output_negative")
    return {
        **output.neuron_json(neuron),
        "model": dataset.model_name,
        "model_id": dataset.model_id,
        "index_id": dataset.index_id,
        "source": dataset.origin.name,
        "statistics": {name: output.number(getattr(statistics, name)) for name in names},
        "tokens": _tokens_json(public.tokens_by_activation, "mean"),
        "tokens_by_weight": None
        if weights is None
        else {name: _tokens_json(getattr(weights, name), "weight") for name in parts},
        "related_neurons": _neurons_json(public.related_neurons),
        "records": [
            {
                "group": group,
                "peak": output.number(record.peak),
                "tokens": output.texts(record.excerpt.tokens),
                "activations": output.numbers(record.activations),
            }
            for group, records in kept.items()
            for record in records
        ],
        "explanations": [
            {"published": one.id < 0, **output.explanation_json(one)} for one in saved
        ],
        **output.annotation_json(annotation or Annotation()),
        "problems": list(public.problems),
        "caveats": list(dataset.caveats),
        "notes": list(dataset.notes),
    }


def _tokens_json(tokens: TokenList | None, name: str) -> list[dict[str, Any]] | None:
    if tokens is None:
        return None
    return [
        {"token": token, name: output.number(value)}
        for token, value in zip(tokens.tokens, tokens.values, strict=True)
    ]


def _neurons_json(related: RelatedNeurons | None) -> dict[str, Any] | None:
    if related is None:
        return None
    names = ("upstream", "upstream_against", "downstream", "downstream_against")
    found: dict[str, Any] = {}
    for name in names:
        links = getattr(related, name)
        found[name] = links and [
            {"neuron": str(neuron), "weight": output.number(weight)} for neuron, weight in links
        ]
    return found


def _print(
    engine: Engine,
    dataset: PublicDataset,
    neuron: NeuronId,
    kept: dict[str, tuple[ActivationRecord, ...]],
    saved: Sequence[StoredExplanation],
    no_color: bool,
) -> None:
    from rich.text import Text

    from engine.glyphs import inert
    from tui.cli import heat
    from tui.passages import from_record
    from tui.sheet import print_annotation, print_explanations

    console = output.console(no_color=no_color)
    public, statistics = dataset.public(neuron), dataset.neuron(neuron).statistics
    head = Text(str(neuron), "bold")
    head.append(f"  {inert(dataset.model_name)}, published", "not bold")
    console.print(head, soft_wrap=True)
    console.print(
        f"max {output.shown(statistics.maximum, '.3f')}  "
        f"mean {output.shown(statistics.mean, '.4f')}  "
        f"variance {output.shown(statistics.variance, '.4f')}  "
        f"skewness {output.shown(statistics.skewness, '.1f')}  "
        f"kurtosis {output.shown(statistics.kurtosis, '.1f')}",
        soft_wrap=True,
    )
    annotations = engine.store.annotations(dataset.model_id, neuron.layer)
    print_annotation(console, annotations.get(neuron.index))
    print_explanations(console, saved)
    _print_related(console.width, public)
    for group, records in kept.items():
        console.print(f"\n{group}, {len(records)} shown", style="bold")
        for record in records:
            heat.print_passage(console, from_record(record), statistics.maximum)
    if statistics.maximum > 0:
        console.print()
        console.print(heat.legend(console, statistics.maximum))
    for note in dataset.notes:
        click.echo(f"Note: {inert(note)}.", err=True)
    for problem in public.problems:
        click.echo(f"neuroglass: {inert(problem)}", err=True)


def _print_related(width: int, public: PublicNeuron) -> None:
    from engine.glyphs import exact

    def tokens(title: str, listed: TokenList | None) -> None:
        if listed is None or not listed.tokens:
            return
        pairs = list(zip(listed.tokens, listed.values, strict=True))[:TOKENS]
        entries = [
            f"{exact(token.encode('utf-8', 'replace'))} {output.shown(value, '.3f')}"
            for token, value in pairs
        ]
        click.echo(f"\n{title}:")
        for line in output.columns(entries, width):
            click.echo(line)

    tokens("Tokens by mean activation", public.tokens_by_activation)
    weights = public.tokens_by_weight
    if weights is not None:
        tokens("Input tokens that raise it, by weights", weights.input_positive)
        tokens("Input tokens that lower it", weights.input_negative)
        tokens("Output tokens that it raises", weights.output_positive)
        tokens("Output tokens that it lowers", weights.output_negative)
    related = public.related_neurons
    if related is None:
        return
    for title, links in (
        ("Neurons that feed it", related.upstream),
        ("Neurons that it feeds", related.downstream),
    ):
        if links:
            entries = [f"{neuron} {weight:+.2f}" for neuron, weight in links[:NEURONS]]
            click.echo(f"\n{title}:")
            for line in output.columns(entries, width):
                click.echo(line)
