"""What is known of a neuron on one sheet: text, Markdown, JSON or SVG.

The command line prints it, and the app writes what is on its screen to a file.  All text
from elsewhere is inert; in Markdown it stands in fences, where nothing is mark-up.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UsageError
from engine.glyphs import exact, inert
from tui.cli import heat, output
from tui.passages import Passage, expected_values
from tui.session import HELD_OUT, NeuronView, Result

if TYPE_CHECKING:
    from rich.console import Console

    from engine.catalogue import Catalogue
    from engine.records import NeuronStatistics, TokenMeans
    from engine.store import Annotation, StoredExplanation

#: How many of the strongest tokens are listed.
TOKENS = 12
#: A token seen less often says little by its mean.
COMMON = 5
WIDTH = 100
FORMATS = ("text", "markdown", "json", "svg")
_ENDINGS = {".txt": "text", ".text": "text", ".md": "markdown", ".json": "json", ".svg": "svg"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """One neuron.

    Attributes:
        index: Of which it is.
        view: What index and store have of it.
        groups: Passages by the name of their group, in order.
        fresh: An explanation that is not saved, if there is one.
    """

    index: Catalogue
    view: NeuronView
    groups: Mapping[str, Sequence[Passage]]
    fresh: Result | None = None

    @property
    def maximum(self) -> float:
        """The end of the colours."""
        return float(self.view.record.statistics.maximum)


def render(sheet: Sheet, form: str) -> str:
    """The sheet in one of :data:`FORMATS`."""
    if form == "json":
        return json.dumps(as_json(sheet), indent=2, allow_nan=False) + "\n"
    if form == "markdown":
        return _markdown(sheet)
    from rich.console import Console

    svg = form == "svg"
    console = Console(
        file=io.StringIO(),
        record=True,
        width=WIDTH,
        no_color=not svg,
        color_system="truecolor" if svg else None,
        force_terminal=svg,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    print_sheet(console, sheet)
    if svg:
        return console.export_svg(title=f"neuron {sheet.view.record.neuron}")
    return console.export_text(styles=False)


def format_of(path: Path) -> str:
    """The format that a file name asks for by its ending. UsageError for another ending."""
    form = _ENDINGS.get(path.suffix.lower())
    if form is None:
        raise UsageError(
            f"The name {inert(path.name)!r} does not say which format.",
            "End it in .txt, .md, .json or .svg.",
        )
    return form


def write(path: Path, text: str) -> int:
    """Write a file whole or not at all; its size in bytes.

    Raises:
        FileError: no such folder, a full disk and the like.
    """
    from engine.exports.files import output as whole

    data = text.encode("utf-8", "replace")
    with whole(path) as file:
        file.write(data)
    return len(data)


# -- JSON


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
    record = view.record
    return {
        **output.neuron_json(record.neuron),
        "model": index.model_name,
        "model_id": index.model_id,
        "index_id": index.index_id,
        **_windows_json(index),
        "statistics": _statistics_json(record.statistics),
        "tokens": [
            {
                "token": token.decode("utf-8", "replace"),
                "mean": output.number(mean),
                "count": count,
            }
            for token, mean, count in strongest_tokens(view.means)
        ],
        "records": [
            _passage_json(group, passage, sheet.maximum)
            for group, passages in sheet.groups.items()
            for passage in passages
        ],
        "explanations": [output.explanation_json(stored) for stored in view.saved],
        **_fresh_json(sheet.fresh),
        **output.annotation_json(view.annotation or Annotation()),
    }


def _windows_json(index: Catalogue) -> dict[str, int]:
    from engine.index import Index

    if not isinstance(index, Index):
        return {}
    return {"windows_scanned": index.windows_scanned, "windows_total": index.windows_total}


def _statistics_json(statistics: NeuronStatistics) -> dict[str, Any]:
    names = ("maximum", "minimum", "mean", "variance", "skewness", "kurtosis", "fraction_active")
    return {
        "tokens": statistics.tokens,
        **{name: output.number(getattr(statistics, name)) for name in names},
    }


def _passage_json(group: str, passage: Passage, maximum: float) -> dict[str, Any]:
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
    return {
        "group": group,
        "fold": passage.fold,
        "document": passage.document,
        "offset": passage.offset,
        "window": passage.window,
        "peak": output.number(float(passage.values.max())),
        "token_ids": list(passage.token_ids),
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


# -- for people


def print_sheet(console: Console, sheet: Sheet) -> None:
    """The sheet as lines of text, in colour where the console has any."""
    from rich.text import Text

    index, view = sheet.index, sheet.view
    head = Text(str(view.record.neuron), "bold")
    head.append(f"  {inert(index.model_name)}, {_read(index)}", "not bold")
    console.print(head, soft_wrap=True)
    console.print(_statistics_line(view.record.statistics), soft_wrap=True)
    print_annotation(console, view.annotation)
    _print_words(console, _explanations(sheet))
    console.print("\nTokens by mean activation (explain fold):", style="bold")
    tokens = strongest_tokens(view.means)
    for line in output.columns(
        [f"{exact(token)} {mean:.3f} (n {count})" for token, mean, count in tokens],
        console.width,
    ):
        console.print(Text(line), soft_wrap=True)
    if not tokens:
        console.print("none was seen often enough")
    for group, passages in sheet.groups.items():
        console.print(f"\n{group}, {len(passages)} shown", style="bold")
        for passage in passages:
            heat.print_passage(console, passage, sheet.maximum, lowest=group == "bottom")
    console.print()
    console.print(heat.legend(console, sheet.maximum))


def _read(index: Catalogue) -> str:
    from engine.index import Index

    if not isinstance(index, Index):
        return "published"
    part = "" if index.complete else f" of {index.windows_total:,}, still growing"
    return f"{index.windows_scanned:,} windows{part}"


def _statistics_line(statistics: NeuronStatistics) -> str:
    return (
        f"max {output.shown(statistics.maximum, '.3f')}  "
        f"min {output.shown(statistics.minimum, '.3f')}  "
        f"mean {output.shown(statistics.mean, '.4f')}  "
        f"above zero on {output.shown(statistics.fraction_active, '.1%')} "
        f"of {statistics.tokens:,} tokens  "
        f"skewness {output.shown(statistics.skewness, '.1f')}  "
        f"kurtosis {output.shown(statistics.kurtosis, '.1f')}"
    )


def print_annotation(console: Console, annotation: Annotation | None) -> None:
    """Star, tags and note, where there is any of them."""
    from rich.text import Text

    for line in _annotation_lines(annotation):
        console.print(Text(line), soft_wrap=True)


def _annotation_lines(annotation: Annotation | None) -> list[str]:
    if annotation is None:
        return []
    marks = ["★"] if annotation.starred else []
    marks += [f"#{inert(tag)}" for tag in annotation.tags]
    lines = [" ".join(marks)] if marks else []
    return [*lines, f"note: {inert(annotation.note)}"] if annotation.note else lines


def print_explanations(console: Console, explanations: Sequence[StoredExplanation]) -> None:
    """Each with who wrote and scored it, and its scores."""
    _print_words(console, [_told(stored) for stored in explanations])


def _print_words(console: Console, found: Sequence[tuple[str, list[str]]]) -> None:
    from rich.text import Text

    for words, details in found:
        console.print(Text(f"\n{words}"))
        for line in details:
            console.print(Text(f"  {line}"), soft_wrap=True)


def _explanations(sheet: Sheet) -> list[tuple[str, list[str]]]:
    """Words of each explanation, and lines about it."""
    found = []
    fresh = sheet.fresh
    if fresh is not None and fresh.explanation is not None and fresh.saved is None:
        lines = [f"not saved, by {inert(fresh.explanation.explainer)}"]
        lines += [output.score_line(score) for score in (fresh.card.scores if fresh.card else ())]
        found.append((f"“{inert(fresh.explanation.text)}”", lines))
    return found + [_told(stored) for stored in sheet.view.saved]


def _told(stored: StoredExplanation) -> tuple[str, list[str]]:
    number = f"explanation {stored.id}, " if stored.id >= 0 else ""  # published ones are below
    scored = "not scored"
    if stored.simulator is not None:
        scored = f"scored by {output.simulated_by(stored)}"
    lines = [f"{number}{output.explained_by(stored)}; {scored}"]
    for score in stored.scores:
        lines.append(output.score_line(score))
        if stored.id < 0 and score.message:
            lines.append(f"  {inert(score.message)}")
    lines += [output.judgement_line(one) for one in stored.judgements]
    side = "" if stored.side == "positive" else "  (negative side)"
    return f"“{inert(stored.text)}”{side}", lines


# -- Markdown


def _markdown(sheet: Sheet) -> str:
    from rich.console import Console

    index, view = sheet.index, sheet.view
    out = [f"# Neuron {view.record.neuron}", ""]
    out += [f"{_escaped(inert(index.model_name))}, {_read(index)}", ""]
    out += [f"- {one}" for one in re.split(r"  ", _statistics_line(view.record.statistics))]
    out += [f"- {_escaped(line)}" for line in _annotation_lines(view.annotation)]
    if found := _explanations(sheet):
        out += ["", "## Explanations"]
    for words, details in found:
        out += ["", f"> {_escaped(words)}", "", *(f"- {_escaped(line)}" for line in details)]
    out += ["", "## Tokens by mean activation", "", "| token | mean | n |", "| --- | ---: | ---: |"]
    for token, mean, count in strongest_tokens(view.means):
        out.append(f"| {_code(exact(token))} | {mean:.3f} | {count:,} |")
    plain = Console(file=io.StringIO(), no_color=True, color_system=None, width=WIDTH)
    for group, passages in sheet.groups.items():
        out += ["", f"## {HELD_OUT if group == HELD_OUT else group}, {len(passages)} shown"]
        out += ["", f"{_escaped(heat.legend(plain, sheet.maximum).plain)}."]
        for passage in passages:
            out += ["", _escaped(heat.source(passage, lowest=group == "bottom").plain.strip()), ""]
            out += _fenced([line.plain for line in heat.lines_of(plain, passage, sheet.maximum)])
    return "\n".join(out) + "\n"


def _escaped(text: str) -> str:
    """Text in which Markdown and HTML find no mark-up."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&$-])", r"\\\1", text)


def _longest(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _code(text: str) -> str:
    ticks = "`" * (_longest(text) + 1)
    return f"{ticks} {text} {ticks}".replace("|", "\\|")


def _fenced(lines: Sequence[str]) -> list[str]:
    fence = "`" * max(3, _longest("\n".join(lines)) + 1)
    return [f"{fence}text", *lines, fence]
