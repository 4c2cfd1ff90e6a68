"""The card of a dataset: what it is, what it rests on, how its scores lie, how to load it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from engine.exports.browsing import DATABASE, METADATA
from engine.exports.schema import PARTS, Field
from engine.glyphs import inert

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
)
_TYPES = {"text": "string", "json": "string", "int": "int64", "float": "float64"}
_LISTS = {"texts": "string", "ints": "int64", "floats": "float32"}


def text(
    facts: Mapping[str, Any],
    scores: Mapping[int, Sequence[float | None]],
    methods: Mapping[tuple[str, str, str], int],
) -> str:
    """The whole card.

    Args:
        facts: The manifest.
        scores: By layer those of all explanations.
        methods: How many explanations by explainer, simulator and split.
    """
    return "\n".join([*_front(facts), *_body(facts, scores, methods)]) + "\n"


def _front(facts: Mapping[str, Any]) -> Iterator[str]:
    """YAML, in the part of it that is JSON wherever a text is not ours."""
    count = facts["counts"]["explanations"]
    size = next((name for limit, name in _SIZES if count < limit), "n>1M")
    yield "---"
    yield f"license: {json.dumps(facts['licence'])}"
    yield f"pretty_name: {json.dumps(facts['title'])}"
    yield "size_categories:"
    yield f"- {size}"
    yield "tags:"
    yield from ("- interpretability", "- mechanistic-interpretability", "- neurons", "- neuroglass")
    present = {name: part for name, part in PARTS.items() if facts["counts"][name]}
    if present:
        yield "configs:"
        for place, (name, part) in enumerate(present.items()):
            yield f"- config_name: {name}"
            yield f"  data_files: {part.path}"
            if not place:
                yield "  default: true"
        yield "dataset_info:"
        for name, part in present.items():
            yield f"- config_name: {name}"
            yield "  features:"
            yield from _features(part.fields, "  ")
    yield "---"


def _features(fields: Iterable[Field], indent: str) -> Iterator[str]:
    for one in fields:
        yield f"{indent}- name: {one.name}"
        if one.kind == "list":
            yield f"{indent}  list:"
            yield from _features(one.fields, indent + "  ")
        elif one.kind in _LISTS:
            yield f"{indent}  list: {_LISTS[one.kind]}"
        else:
            yield f"{indent}  dtype: {_TYPES[one.kind]}"


def _body(
    facts: Mapping[str, Any],
    scores: Mapping[int, Sequence[float | None]],
    methods: Mapping[tuple[str, str, str], int],
) -> Iterator[str]:
    counts = facts["counts"]
    yield f"# {_plain(facts['title'])}"
    yield ""
    for model in facts["models"]:
        yield (
            f"{counts['explanations']:,} explanations of MLP neurons of {_code(model['name'])}, "
            "each with the score that it got on text it was not written from. Made with "
            f"neuroglass {facts['neuroglass']} by the method of Bills et al. 2023, *Language "
            "models can explain neurons in language models*."
        )
    yield ""
    yield "## What it rests on"
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    for model in facts["models"]:
        shape = f"{model['layers']} layers of {model['neurons']:,}"
        yield f"| model | {_code(model['name'])}, {shape} |"
        yield f"| its weights | {_code(model['hash'])} |"
    for index in facts["indexes"]:
        yield f"| corpus | {_code(index['corpus'])}: {index['tokens']:,} tokens |"
        yield f"| scan | {_code(index['hash'])}: {index['windows']:,} windows |"
        yield f"| its settings | {_code(json.dumps(index['settings']))} |"
    yield ""
    yield "| explainer | simulator | split | explanations |"
    yield "| --- | --- | --- | ---: |"
    for (explainer, simulator, split), count in sorted(methods.items()):
        names = [_code(name) if name else "—" for name in (explainer, simulator, split)]
        yield f"| {' | '.join(names)} | {count:,} |"
    yield ""
    yield "The settings of every explainer and simulator stand with each row."
    yield ""
    yield "## Scores by layer"
    yield ""
    yield "Correlation of simulated and true activations on top and random records, held out."
    yield ""
    yield "| layer | explanations | scored | mean | median |"
    yield "| ---: | ---: | ---: | ---: | ---: |"
    for layer in sorted(scores):
        known = [score for score in scores[layer] if score is not None]
        mean = f"{fmean(known):.3f}" if known else "—"
        middle = f"{median(known):.3f}" if known else "—"
        yield f"| {layer} | {len(scores[layer]):,} | {len(known):,} | {mean} | {middle} |"
    yield ""
    yield (
        "A score without its interval, coverage and baselines says little; they stand beside it. "
        "A value that could not be had is null, never zero. A high score says that the sentence "
        "predicts the neuron on this text, not that the model uses the neuron for it."
    )
    yield ""
    yield "## Files"
    yield ""
    for name, part in PARTS.items():
        if counts[name]:
            yield f"- `{part.path}`: {part.meaning.lower()} ({counts[name]:,} lines)"
    yield f"- `{DATABASE}` and `{METADATA}`: explanations and neurons for Datasette"
    yield "- `SHA256SUMS`: checksums, for `sha256sum -c SHA256SUMS`"
    yield ""
    yield "```python"
    yield "from datasets import load_dataset"
    yield ""
    yield 'explanations = load_dataset("FOLDER OR HUB NAME", "explanations", split="train")'
    yield "```"
    yield ""
    yield "```"
    yield f"datasette {DATABASE} -m {METADATA}"
    yield "neuroglass import FOLDER"
    yield "```"
    if counts["records"] or counts["judgements"]:
        yield ""
        yield "Records hold excerpts of the scanned text, which has a licence of its own."
    for name, part in PARTS.items():
        if counts[name]:
            yield ""
            yield f"### {name}"
            yield ""
            yield "| field | type | |"
            yield "| --- | --- | --- |"
            for one in part.fields:
                empty = ", may be null" if one.empty else ""
                yield f"| `{one.name}` | {one.kind}{empty} | {one.meaning} |"


def _code(value: str) -> str:
    """Untrusted text as code: nothing in it is mark-up."""
    return "`" + inert(value).replace("`", "'").replace("|", "¦") + "`"


def _plain(value: str) -> str:
    """A title of one's own, without what Markdown or HTML would act on."""
    return "".join(
        char if char.isalnum() or char in " .,:;-_()'/+" else "·" for char in inert(value)
    )
