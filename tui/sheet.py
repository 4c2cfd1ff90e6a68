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
from typing import TYPE_CHECKING

from engine.errors import UsageError
from engine.glyphs import exact, inert
from tui import published
from tui.cli import heat, output
from tui.passages import Passage
from tui.session import HELD_OUT, NeuronView, Result
from tui.sheet_json import as_json, strongest_tokens

if TYPE_CHECKING:
    from rich.console import Console

    from engine.catalogue import Catalogue
    from engine.store import Annotation, StoredExplanation

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
    for problem in _problems(sheet.view):
        console.print(f"\nNot read: {problem}", soft_wrap=True)
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


# -- for people


def print_sheet(console: Console, sheet: Sheet) -> None:
    """The sheet as lines of text, in colour where the console has any."""
    from rich.text import Text

    index, view = sheet.index, sheet.view
    head = Text(str(view.record.neuron), "bold")
    head.append(f"  {inert(index.model_name)}, {_read(index)}", "not bold")
    console.print(head, soft_wrap=True)
    console.print(_statistics_line(view), soft_wrap=True)
    print_annotation(console, view.annotation)
    _print_words(console, _explanations(sheet))
    for title, entries in _lists(view):
        console.print(f"\n{title}:", style="bold")
        for line in output.columns(entries, console.width):
            console.print(Text(line), soft_wrap=True)
    for group, passages in sheet.groups.items():
        console.print(f"\n{group}, {len(passages)} shown", style="bold")
        for passage in passages:
            heat.print_passage(console, passage, sheet.maximum, lowest=group == "bottom")
    if sheet.maximum == sheet.maximum:  # of a published neuron it may not be known
        console.print()
        console.print(heat.legend(console, sheet.maximum))


def _lists(view: NeuronView) -> list[tuple[str, list[str]]]:
    """Titles and entries of the lists of tokens and neurons."""
    if view.public is not None:
        return list(published.lists(view.public))
    tokens = strongest_tokens(view.means)
    entries = [f"{exact(token)} {mean:.3f} (n {count})" for token, mean, count in tokens]
    title = "Tokens by mean activation (explain fold)"
    return [(title, entries or ["none was seen often enough"])]


def _problems(view: NeuronView) -> list[str]:
    """What of a published neuron's files can't be read."""
    return [] if view.public is None else [inert(one) for one in view.public.problems]


def _read(index: Catalogue) -> str:
    from engine.index import Index

    if not isinstance(index, Index):
        return "published"
    part = "" if index.complete else f" of {index.windows_total:,}, still growing"
    return f"{index.windows_scanned:,} windows{part}"


def _statistics_line(view: NeuronView) -> str:
    statistics = view.record.statistics
    if view.public is not None:
        return published.statistics_line(statistics)
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
    out += [f"- {one}" for one in re.split(r"  ", _statistics_line(view))]
    out += [f"- {_escaped(line)}" for line in _annotation_lines(view.annotation)]
    if found := _explanations(sheet):
        out += ["", "## Explanations"]
    for words, details in found:
        out += ["", f"> {_escaped(words)}", "", *(f"- {_escaped(line)}" for line in details)]
    out += _lists_markdown(view)
    plain = Console(file=io.StringIO(), no_color=True, color_system=None, width=WIDTH)
    for group, passages in sheet.groups.items():
        out += ["", f"## {HELD_OUT if group == HELD_OUT else group}, {len(passages)} shown"]
        if sheet.maximum == sheet.maximum:
            out += ["", f"{_escaped(heat.legend(plain, sheet.maximum).plain)}."]
        for passage in passages:
            out += ["", _escaped(heat.source(passage, lowest=group == "bottom").plain.strip()), ""]
            out += _fenced([line.plain for line in heat.lines_of(plain, passage, sheet.maximum)])
    out += [line for one in _problems(view) for line in ("", f"Not read: {_escaped(one)}")]
    return "\n".join(out) + "\n"


def _lists_markdown(view: NeuronView) -> list[str]:
    out: list[str] = []
    if view.public is not None:
        for title, entries in _lists(view):
            out += ["", f"## {title}", "", *(f"- {_code(entry)}" for entry in entries)]
        return out
    out += ["", "## Tokens by mean activation", "", "| token | mean | n |", "| --- | ---: | ---: |"]
    for token, mean, count in strongest_tokens(view.means):
        out.append(f"| {_code(exact(token))} | {mean:.3f} | {count:,} |")
    return out


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
