"""``neuroglass show``: one neuron's passages, facts and explanations."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from tui.cli import output
from tui.cli.place import (
    NeuronArgument,
    Place,
    json_option,
    no_color_option,
    open_index,
    place_options,
)

if TYPE_CHECKING:
    from rich.console import Console

    from engine.engine import Engine
    from engine.index import Index
    from engine.neuron import NeuronId
    from engine.records import ActivationRecord, NeuronStatistics, TokenMeans
    from engine.store import StoredExplanation

GROUPS = ("top", "band-3", "band-2", "band-1", "band-0", "random", "bottom")
TOKENS = 12
#: A token seen less often says little by its mean.
COMMON = 5


@click.command("show", short_help="Show what a neuron fires on.")
@click.argument("names", nargs=-1, required=True, metavar="[SOURCE] NEURON")
@click.option(
    "--group",
    "groups",
    type=click.Choice((*GROUPS, "all")),
    multiple=True,
    help="Which records; may be repeated. Bands are quantiles of the window maximum.  "
    "[default: top]",
)
@click.option(
    "--limit", type=click.IntRange(1), default=8, show_default=True, help="Records per group."
)
@json_option
@no_color_option
@place_options
def command(
    place: Place,
    names: tuple[str, ...],
    groups: tuple[str, ...],
    limit: int,
    as_json: bool,
    no_color: bool,
) -> None:
    """Show what a neuron fires on: passages, tokens, statistics, explanations.

    NEURON is layer and index, such as 5:131. SOURCE, such as openai:gpt2-xl, is a published
    dataset that it is of; see: neuroglass open --help
    """
    if len(names) > 2 or (len(names) == 2 and place.source is not None):
        raise click.UsageError("Name one neuron, such as 5:131, and at most one source.")
    place.source = names[0] if len(names) == 2 else place.source
    neuron: NeuronId = NeuronArgument().convert(names[-1], None, None)
    chosen = GROUPS if "all" in groups else groups or ("top",)
    asyncio.run(_show(place, neuron, chosen, limit, as_json, no_color))


async def _show(
    place: Place,
    neuron: NeuronId,
    groups: Iterable[str],
    limit: int,
    as_json: bool,
    no_color: bool,
) -> None:
    async with await place.engine() as engine:
        if engine.dataset is not None:
            from tui.cli.show_public import show_public

            await show_public(
                engine, engine.dataset, neuron, groups, limit, as_json=as_json, no_color=no_color
            )
            return
        index = open_index(engine)
        from engine.records import Group

        record = index.neuron(neuron)
        kept = {name: record.group(Group(name))[:limit] for name in groups}
        if as_json:
            output.print_json(_as_json(engine, index, neuron, kept), indent=2)
        else:
            _print(engine, index, neuron, kept, no_color)


def _strongest_tokens(means: TokenMeans) -> list[tuple[bytes, float, int]]:
    """Token, mean activation and count, by mean; tokens seen too rarely are left out."""
    import numpy as np

    common = np.flatnonzero(means.counts >= COMMON)
    order = common[np.argsort(-means.means[common], kind="stable")][:TOKENS]
    return [(means.texts[i], float(means.means[i]), int(means.counts[i])) for i in order]


def _as_json(
    engine: Engine,
    index: Index,
    neuron: NeuronId,
    kept: dict[str, tuple[ActivationRecord, ...]],
) -> dict[str, Any]:
    from engine.store import Annotation

    statistics = index.statistics(neuron)
    annotation = engine.store.annotations(index.model_id, neuron.layer).get(neuron.index)
    return {
        **output.neuron_json(neuron),
        "model": index.model_name,
        "model_id": index.model_id,
        "index_id": index.index_id,
        "windows_scanned": index.windows_scanned,
        "windows_total": index.windows_total,
        "statistics": _statistics_json(statistics),
        "tokens": [
            {
                "token": token.decode("utf-8", "replace"),
                "mean": output.number(mean),
                "count": count,
            }
            for token, mean, count in _strongest_tokens(index.token_means(neuron))
        ],
        "records": [
            _record_json(group, record) for group, records in kept.items() for record in records
        ],
        "explanations": [
            output.explanation_json(stored)
            for stored in engine.store.explanations(index.model_id, neuron)
        ],
        **output.annotation_json(annotation or Annotation()),
    }


def _statistics_json(statistics: NeuronStatistics) -> dict[str, Any]:
    names = ("maximum", "minimum", "mean", "variance", "skewness", "kurtosis", "fraction_active")
    return {
        "tokens": statistics.tokens,
        **{name: output.number(getattr(statistics, name)) for name in names},
    }


def _record_json(group: str, record: ActivationRecord) -> dict[str, Any]:
    excerpt = record.excerpt
    return {
        "group": group,
        "fold": str(excerpt.fold),
        "document": excerpt.document_name,
        "offset": excerpt.offset,
        "window": excerpt.window,
        "peak": output.number(record.peak),
        "token_ids": excerpt.token_ids.tolist(),
        "tokens": output.texts(excerpt.tokens),
        "activations": output.numbers(record.activations),
    }


def _print(
    engine: Engine,
    index: Index,
    neuron: NeuronId,
    kept: dict[str, tuple[ActivationRecord, ...]],
    no_color: bool,
) -> None:
    from rich.text import Text

    from engine.glyphs import exact, inert
    from tui.cli import heat

    console = output.console(no_color=no_color)
    statistics = index.statistics(neuron)
    part = "" if index.complete else f" of {index.windows_total:,}, still growing"
    head = Text(str(neuron), "bold")
    head.append(f"  {inert(index.model_name)}, {index.windows_scanned:,} windows{part}", "not bold")
    console.print(head, soft_wrap=True)
    console.print(
        f"max {statistics.maximum:.3f}  min {statistics.minimum:.3f}  mean {statistics.mean:.4f}  "
        f"above zero on {statistics.fraction_active:.1%} of {statistics.tokens:,} tokens  "
        f"skewness {output.shown(statistics.skewness, '.1f')}  "
        f"kurtosis {output.shown(statistics.kurtosis, '.1f')}",
        soft_wrap=True,
    )
    print_annotation(engine, index.model_id, neuron)
    print_explanations(console, engine.store.explanations(index.model_id, neuron))
    console.print("\nTokens by mean activation (explain fold):", style="bold")
    tokens = _strongest_tokens(index.token_means(neuron))
    for line in output.columns(
        [f"{exact(token)} {mean:.3f} (n {count})" for token, mean, count in tokens],
        console.width,
    ):
        console.print(Text(line), soft_wrap=True)
    if not tokens:
        console.print("none was seen often enough")
    for group, records in kept.items():
        console.print(f"\n{group}, {len(records)} shown", style="bold")
        for record in records:
            heat.print_record(console, record, statistics.maximum, lowest=group == "bottom")
    console.print()
    console.print(heat.legend(console, statistics.maximum))


def print_explanations(console: Console, explanations: Sequence[StoredExplanation]) -> None:
    """Each with who wrote and scored it, and its scores."""
    from rich.text import Text

    from engine.glyphs import inert

    for stored in explanations:
        side = "" if stored.side == "positive" else "  (negative side)"
        console.print(Text(f"\n“{inert(stored.text)}”{side}"))
        console.print(
            Text(
                f"  {_name(stored)}; scored by {output.simulated_by(stored)}"
                if stored.simulator is not None
                else f"  {_name(stored)}; not scored"
            ),
            soft_wrap=True,
        )
        for score in stored.scores:
            console.print(Text("  " + output.score_line(score)), soft_wrap=True)
            if stored.id < 0 and score.message:
                console.print(Text("    " + inert(score.message)), soft_wrap=True)
        for judgement in stored.judgements:
            console.print(Text("  " + output.judgement_line(judgement)), soft_wrap=True)


def _name(stored: StoredExplanation) -> str:
    number = f"explanation {stored.id}, " if stored.id >= 0 else ""
    return number + output.explained_by(stored)


def print_annotation(engine: Engine, model: str, neuron: NeuronId) -> None:
    """Star, tags and note, where there is any of them."""
    from engine.glyphs import inert

    annotation = engine.store.annotations(model, neuron.layer).get(neuron.index)
    if annotation is None:
        return
    marks = ["★"] if annotation.starred else []
    marks += [f"#{inert(tag)}" for tag in annotation.tags]
    if marks:
        click.echo(" ".join(marks))
    if annotation.note:
        click.echo(f"note: {inert(annotation.note)}")
