"""What a sheet says of a published neuron: what the files have, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from engine.glyphs import exact
from tui.cli import output

if TYPE_CHECKING:
    from engine.public_data.dataset import PublicDataset
    from engine.public_data.shapes import PublicNeuron, RelatedNeurons, TokenList
    from engine.records import NeuronStatistics

#: As many as a viewer shows of each list; JSON has all.
TOKENS, NEURONS = 12, 5


def as_json(dataset: PublicDataset, public: PublicNeuron) -> dict[str, Any]:
    """Where it is from, and its lists, as a structure for JSON."""
    weights = public.tokens_by_weight
    parts = ("input_positive", "input_negative", "output_positive", "output_negative")
    return {
        "source": dataset.origin.name,
        "tokens": _tokens_json(public.tokens_by_activation, "mean"),
        "tokens_by_weight": None
        if weights is None
        else {name: _tokens_json(getattr(weights, name), "weight") for name in parts},
        "related_neurons": _neurons_json(public.related_neurons),
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


def statistics_line(statistics: NeuronStatistics) -> str:
    """The moments that the files have; its parts stand two spaces apart."""
    return (
        f"max {output.shown(statistics.maximum, '.3f')}  "
        f"mean {output.shown(statistics.mean, '.4f')}  "
        f"variance {output.shown(statistics.variance, '.4f')}  "
        f"skewness {output.shown(statistics.skewness, '.1f')}  "
        f"kurtosis {output.shown(statistics.kurtosis, '.1f')}"
    )


def lists(public: PublicNeuron) -> Iterator[tuple[str, list[str]]]:
    """Title and entries, inert, of each list that has any."""
    weights = public.tokens_by_weight
    tokens = [("Tokens by mean activation", public.tokens_by_activation)]
    if weights is not None:
        tokens += [
            ("Input tokens that raise it, by weights", weights.input_positive),
            ("Input tokens that lower it", weights.input_negative),
            ("Output tokens that it raises", weights.output_positive),
            ("Output tokens that it lowers", weights.output_negative),
        ]
    for title, listed in tokens:
        if listed is not None and listed.tokens:
            pairs = list(zip(listed.tokens, listed.values, strict=True))[:TOKENS]
            yield (
                title,
                [
                    f"{exact(token.encode('utf-8', 'replace'))} {output.shown(value, '.3f')}"
                    for token, value in pairs
                ],
            )
    related = public.related_neurons
    if related is not None:
        for title, links in (
            ("Neurons that feed it", related.upstream),
            ("Neurons that it feeds", related.downstream),
        ):
            if links:
                yield title, [f"{neuron} {weight:+.2f}" for neuron, weight in links[:NEURONS]]
