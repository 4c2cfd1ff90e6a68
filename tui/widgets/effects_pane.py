"""A neuron's effects as a grid of short lists; a cursor stands on one of their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.glyphs import exact
from engine.neuron import NeuronId
from tui.find import holds
from tui.widgets.pane import Pane, Span, fitted, merged, wrapped

if TYPE_CHECKING:
    from engine.effects import Effects, Link, Weighted
    from engine.similarity import SimilarNeurons

#: From this width on four lists stand side by side, else two.
WIDE = 104
#: Rows that a list needs, with its title and a blank one.
LEAST = 6
ROOMY = 30


@dataclass(frozen=True, slots=True)
class Entry:
    """A row: a token or a neuron, and its weight."""

    weight: float
    token: bytes = b""
    neuron: NeuronId | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """A titled list.

    Attributes:
        group: Which of :data:`GROUPS` it belongs to.
        missing: What to say when it is empty.
    """

    group: int
    title: str
    entries: tuple[Entry, ...]
    missing: str = "…"


GROUPS = ("tokens", "connections", "similar neurons")


def _tokens(group: int, title: str, tokens: Sequence[Weighted]) -> Section:
    return Section(group, title, tuple(Entry(weight, token=token) for token, weight in tokens))


def _links(title: str, links: Sequence[Link], missing: str) -> Section:
    entries = tuple(Entry(link.weight, neuron=link.neuron) for link in links)
    return Section(1, title, entries, missing)


def sections_of(
    effects: Effects | None, similar: Mapping[str, SimilarNeurons], missing: str = "…"
) -> list[Section]:
    """The lists in the order they are shown; what has not come yet is empty.

    Args:
        similar: By measure.
        missing: What a list says that has not come.
    """
    found: list[Section] = []
    if effects is None:
        found += [Section(0, title, (), missing) for title in ("promotes", "suppresses")]
        found += [Section(0, title, (), missing) for title in ("tokens for it", "tokens against")]
        for title in ("upstream for it", "upstream against", "excites later", "inhibits later"):
            found.append(Section(1, title, (), missing))
    else:
        found += [
            _tokens(0, "promotes", effects.output.promoted),
            _tokens(0, "suppresses", effects.output.suppressed),
        ]
        for one in effects.readings:
            of = f" ({one.name})" if one.name else ""
            found.append(_tokens(0, f"tokens for it{of}", one.activating))
            found.append(_tokens(0, f"tokens against{of}", one.suppressing))
        for one in effects.readings:
            of = f" ({one.name})" if one.name else ""
            found.append(_links(f"upstream for it{of}", one.upstream, "no earlier layer"))
            found.append(_links(f"upstream against{of}", one.upstream_against, "no earlier layer"))
        for later in effects.downstream:
            of = f" ({later.name})" if later.name else ""
            found.append(_links(f"excites later{of}", later.excited, "no later layer"))
            found.append(_links(f"inhibits later{of}", later.inhibited, "no later layer"))
    for by, title in (
        ("activation", "alike by activation"),
        ("input", "alike by input"),
        ("output", "alike by output"),
    ):
        entries: tuple[Entry, ...] = ()
        if by in similar:
            entries = tuple(Entry(o.likeness, neuron=o.neuron) for o in similar[by].found)
        found.append(Section(2, title, entries, missing))
    return found


class EffectsPane(Pane, can_focus=True):
    """The grid; where not all fits, one group at a time."""

    DEFAULT_CSS = "EffectsPane { width: 100%; height: 100%; }"

    def __init__(self) -> None:
        super().__init__(id="effects")
        self.neuron = NeuronId(0, 0)
        self.sections: list[Section] = sections_of(None, {})
        self.hints: Mapping[NeuronId, str] = {}
        self.remark = ("", False)
        self.section = 0
        self.row = 0
        self._columns = 4
        self._shown = 1
        #: The first row in sight of the list under the cursor; others show their first rows.
        self._top = 0

    @property
    def current(self) -> Entry | None:
        """The row under the cursor."""
        entries = self.sections[self.section].entries
        return entries[self.row] if self.row < len(entries) else None

    def show(self, sections: Sequence[Section]) -> None:
        """Replace the lists; the cursor stays where it is."""
        self.sections = list(sections)
        self.section = min(self.section, len(self.sections) - 1)
        self.redraw()

    def neurons(self) -> Iterable[NeuronId]:
        """Every neuron in the lists."""
        for section in self.sections:
            for entry in section.entries:
                if entry.neuron is not None:
                    yield entry.neuron

    # -- moving

    def move(self, key: str) -> None:
        """Move the cursor: ``up``, ``down``, ``left``, ``right``, ``group``, ``-group``."""
        if key in ("left", "right"):
            self._enter(self.section + (1 if key == "right" else -1), self.row)
        elif key in ("group", "-group"):
            here = self.sections[self.section].group
            self.to_group((here + (1 if key == "group" else -1)) % len(GROUPS) + 1)
        elif key == "home":
            self.row = 0
        elif key == "end":
            self.row = self._last(self.section)
        else:
            for _ in range(1 if key in ("down", "up") else self._shown):
                self._step(1 if "down" in key else -1)
        self.redraw()

    @property
    def place(self) -> object:
        return self.section, self.row

    def found(self, text: str) -> Sequence[tuple[int, int]]:
        return [
            (number, row)
            for number, section in enumerate(self.sections)
            for row, entry in enumerate(section.entries)
            if holds(self._text_of(entry), text)
        ]

    def _text_of(self, entry: Entry) -> str:
        if entry.neuron is None:
            return exact(entry.token)
        return f"{entry.neuron} {self.hints.get(entry.neuron, '')}"

    def show_place(self, place: tuple[int, int]) -> None:
        self._enter(*place)
        self.redraw()

    def to_group(self, number: int) -> None:
        """Put the cursor on a group, counted from 1."""
        wanted = min(number, len(GROUPS)) - 1
        place = next(i for i, one in enumerate(self.sections) if one.group == wanted)
        self._enter(place, 0)
        self.redraw()

    def to_row(self, number: int) -> None:
        """Put the cursor on a row of the list, counted from 1."""
        self._enter(self.section, number - 1)
        self.redraw()

    def _step(self, by: int) -> None:
        row = self.row + by
        if 0 <= row <= self._last(self.section):
            self.row = row
            return
        grid = self._grid()
        line = next(i for i, several in enumerate(grid) if self.section in several)
        column = grid[line].index(self.section)
        if 0 <= line + by < len(grid):
            below = grid[line + by]
            section = below[min(column, len(below) - 1)]
            self._enter(section, 0 if by > 0 else self._last(section))

    def _grid(self) -> list[list[int]]:
        """The lists line by line: of those that are there now, not of those last drawn."""
        grid: list[list[int]] = []
        for group in range(len(GROUPS)):
            mine = [i for i, one in enumerate(self.sections) if one.group == group]
            grid += [mine[i : i + self._columns] for i in range(0, len(mine), self._columns)]
        return grid

    def _last(self, section: int) -> int:
        return max(len(self.sections[section].entries) - 1, 0)

    def _enter(self, section: int, row: int) -> None:
        if 0 <= section < len(self.sections):
            self.section = section
            self.row = min(row, self._last(section))

    # -- drawing

    def build(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        self._columns = 4 if width >= WIDE else 2
        text, failed = self.remark
        rows: list[list[Span]]
        if failed:
            rows = [[(f" {line}", palette.error)] for line in wrapped(text, width - 2)]
        else:
            text = text or "Beside a neuron: its explanation, or the token it likes best."
            rows = [[(f" {fitted(text, width - 2)}".rstrip(), palette.faint)]]
        if height >= ROOMY:
            rows.append([])
        room = height - len(rows)
        grid = self._grid()
        if room // len(grid) < LEAST:
            here = self.sections[self.section].group
            rows.append(self._tabs(here))
            grid = [line for line in grid if self.sections[line[0]].group == here]
            room -= 1
        each = max(room // len(grid), 3)
        self._shown = each - 2
        self.row = min(self.row, self._last(self.section))
        most = max(self._last(self.section) + 1 - self._shown, 0)
        self._top = min(max(self._top, self.row - self._shown + 1), self.row, most)
        for line in grid:
            rows += self._line(line, width // self._columns, each)
        return rows[:height]

    def _tabs(self, here: int) -> list[Span]:
        palette = self.palette
        spans: list[Span] = []
        for number, name in enumerate(GROUPS):
            style = palette.accent if number == here else palette.faint
            spans.append((f" {number + 1} {name} ", style))
        return spans

    def _line(self, line: Sequence[int], size: int, height: int) -> list[list[Span]]:
        fill = self.palette.text
        cells = [self._section(i, size) for i in line]
        rows: list[list[Span]] = []
        for y in range(height):
            row: list[Span] = []
            for cell in cells:
                row += merged(cell[y] if y < len(cell) else [], size, fill)
            rows.append(row)
        return rows

    def _section(self, place: int, size: int) -> list[list[Span]]:
        palette, section = self.palette, self.sections[place]
        here = place == self.section
        title = palette.accent if here else palette.dim
        top = self._top if here else 0
        rows: list[list[Span]] = [[(f" {section.title}", title)]]
        if top:
            rows[0].append((f" {self.row + 1} of {len(section.entries)}", palette.dim))
        if not section.entries:
            mark = "▌" if here else " "
            rows.append([(mark, palette.accent), (section.missing, palette.faint)])
        for number, entry in enumerate(section.entries[top : top + self._shown], top):
            rows.append(self._entry(entry, size - 1, here and number == self.row))
        return rows

    def _entry(self, entry: Entry, size: int, here: bool) -> list[Span]:
        palette = self.palette
        style = palette.selected if here else palette.text
        quiet = palette.selected if here else palette.dim
        mark = ("▌" if here else " ", palette.accent)
        weight = f"{entry.weight:+.3f}"
        if entry.neuron is None:
            room = size - 2 - len(weight)
            return [mark, (fitted(exact(entry.token), room), style), (f" {weight}", quiet)]
        name = f"{entry.neuron!s:<8}"
        room = size - 3 - len(name) - len(weight)
        hint = fitted(self.hints.get(entry.neuron, ""), max(room, 0))
        return [mark, (name, style), (f" {weight} ", quiet), (hint, quiet)]
