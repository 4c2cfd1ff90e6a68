"""Excerpts prepared for drawing: cells, levels, wrapped lines. Pure, without a widget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.glyphs import Cell, cells, inert
from tui.look import PLAIN, Look
from tui.session import GROUPS, HELD_OUT
from tui.theme import LEVELS
from tui.wrapping import wrap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.catalogue import Catalogue
    from engine.records import ActivationRecord
    from engine.score import ScoredRecord
    from engine.senses.model import Sense
    from engine.store import StoredSimulation
    from engine.vocabulary import Vocabulary
    from tui.session import NeuronView, Result

    Floats = NDArray[np.float32]

#: The level of a token that has no value; drawn as a question mark.
MISSING = LEVELS


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """One excerpt with what is to be seen on it.

    Attributes:
        window: Row of the window in its index.
        document: The document's name, made inert.
        values: True activations, float32 [T].
        expected: Simulated ones, or None outside the held-out group.
        normalised: Whether ``expected`` is in normalised units, 0 to 10.
        correlation, role, failure: Of the held-out record.
        fold: Which half of the text it is of; empty outside an index.
        token_ids: Of the model's vocabulary, one per token; empty if they are not known.
        marked: Tokens to underline, the one it is about last; empty for the strongest.
    """

    window: int
    document: str
    offset: int
    tokens: tuple[bytes, ...]
    values: Floats
    expected: Floats | None = None
    normalised: bool = False
    correlation: float | None = None
    role: str = ""
    failure: str = ""
    fold: str = ""
    token_ids: tuple[int, ...] = ()
    marked: tuple[int, ...] = ()

    def peak(self, *, negative: bool = False) -> int:
        """Position of the strongest token, or of the one it is about."""
        if self.marked:
            return self.marked[-1]
        import numpy as np

        if np.isnan(self.values).all():
            return 0
        return int(np.nanargmin(self.values) if negative else np.nanargmax(self.values))


def from_record(record: ActivationRecord) -> Passage:
    """A kept record as a passage."""
    excerpt = record.excerpt
    return Passage(
        window=excerpt.window,
        document=inert(excerpt.document_name),
        offset=excerpt.offset,
        tokens=excerpt.tokens,
        values=record.activations,
        fold=str(excerpt.fold),
        token_ids=tuple(excerpt.token_ids.tolist()),
    )


def of_sense(sense: Sense, *, negative: bool) -> list[Passage]:
    """The excerpts of one sense, with the tokens that it needs marked.

    Args:
        negative: The sense is of values below zero, which it has without their sign.
    """
    return [
        replace(
            from_record(record),
            values=-record.activations if negative else record.activations,
            marked=sense.needed(number),
        )
        for number, record in enumerate(sense.excerpts)
    ]


def from_scored(record: ScoredRecord) -> Passage:
    """A held-out record that was scored just now."""
    excerpt, simulation = record.simulation.excerpt, record.simulation
    return Passage(
        window=excerpt.window,
        document=inert(excerpt.document_name),
        offset=excerpt.offset,
        tokens=excerpt.tokens,
        values=record.activations,
        expected=simulation.expected,
        normalised=simulation.scale.startswith("simulated"),
        correlation=record.ev_correlation,
        role=record.role,
        failure=inert(simulation.message),
        fold=str(excerpt.fold),
        token_ids=tuple(excerpt.token_ids.tolist()),
    )


def from_stored(record: StoredSimulation, vocabulary: Vocabulary | None) -> Passage:
    """A held-out record as it was saved.

    Args:
        vocabulary: Has the exact bytes of the tokens; without one their text stands in.
    """
    return Passage(
        window=record.window,
        document=inert(record.document_name),
        offset=record.offset,
        tokens=tuple(token.encode("utf-8", "replace") for token in record.tokens)
        if vocabulary is None
        else vocabulary.decode(record.token_ids),
        values=record.activations,
        expected=record.expected,
        normalised=record.scale.startswith("simulated"),
        correlation=record.ev_correlation,
        role=record.role,
        failure=inert(record.message),
        fold="score",
        token_ids=tuple(int(one) for one in record.token_ids),
    )


def passages_of(
    view: NeuronView, group: str, result: Result | None, index: Catalogue | None
) -> list[Passage]:
    """The passages of a group; of the held-out one, the fresh result's or the saved one's."""
    from engine.records import Group

    if group != HELD_OUT:
        return [from_record(record) for record in view.record.group(Group(group))]
    if result is not None:
        return [from_scored(record) for record in result.records]
    if index is None:
        return []
    from engine.index import Index

    vocabulary = index.vocabulary if isinstance(index, Index) else None
    return [from_stored(record, vocabulary) for record in view.held_out]


def counts_of(view: NeuronView, result: Result | None) -> dict[str, int]:
    """How many passages each group has."""
    from engine.records import Fold, Group

    counts = {
        group.key: sum(len(view.record.records.get((f, Group(group.key)), ())) for f in Fold)
        for group in GROUPS
        if group.key != HELD_OUT
    }
    counts[HELD_OUT] = len(view.held_out) if result is None else len(result.records)
    return counts


def worst(passages: Sequence[Passage]) -> int | None:
    """The held-out passage with the lowest correlation; None if none has any."""
    defined = [(p.correlation, i) for i, p in enumerate(passages) if p.correlation is not None]
    return min(defined)[1] if defined else None


def levels(values: Floats, extreme: float) -> list[int]:
    """Signed levels, up to 8 or down to -8; NaN is :data:`MISSING`.

    Values of the other sign than ``extreme`` are level 0. For a maximum, with
    x = v / maximum, a value has position 0.05 + 0.95 log10(1 + 9 x) on the ramp: small
    activations stay visible beside rare huge ones. Below zero an activation function
    leaves a narrow range that is nearly always full, so there the ramp is linear.
    """
    import numpy as np

    if not abs(extreme) > 0:  # zero, or not known
        return np.where(np.isnan(values), MISSING, 0).tolist()
    share = np.clip(np.nan_to_num(values.astype(np.float64), nan=0.0) / extreme, 0, 1)
    place = share if extreme < 0 else 0.05 + 0.95 * np.log10(1 + 9 * share)
    level = np.minimum((place * LEVELS).astype(int), LEVELS - 1)
    out: list[int] = np.where(np.isnan(values), MISSING, level if extreme > 0 else -level).tolist()
    return out


def level_floor(level: int, extreme: float) -> float:
    """The smallest value that reaches a level: the inverse of :func:`levels`."""
    if level == 0:
        return 0.0
    if extreme < 0:
        return level / LEVELS * extreme
    share: float = (10 ** ((level / LEVELS - 0.05) / 0.95) - 1) / 9
    return max(share, 0.0) * extreme


def own_extreme(passage: Passage, extreme: float, look: Look) -> float:
    """The value at the end of a passage's colours; 0 if nothing in it has any."""
    if not look.per_excerpt:
        return extreme
    if extreme < 0:
        return min(float(passage.values.min()), 0.0)
    return max(float(passage.values.max()), 0.0)


def expected_values(passage: Passage, extreme: float) -> Floats | None:
    """Simulated activations in the neuron's own units, float32 [T]; None without any."""
    if passage.expected is None or not passage.normalised:
        return passage.expected
    return passage.expected * (abs(extreme) / 10)


def difference_levels(difference: Floats, extreme: float) -> list[int]:
    """Signed levels of real minus simulated, linear in ninths of the extreme's size."""
    import numpy as np

    size = abs(extreme) or 1.0
    place = np.clip(np.nan_to_num(difference.astype(np.float64)) / size, -1, 1) * LEVELS
    level = np.clip(np.trunc(place), -(LEVELS - 1), LEVELS - 1).astype(int)
    out: list[int] = np.where(np.isnan(difference), MISSING, level).tolist()
    return out


def figure(value: float, extreme: float, *, sign: bool = False) -> str:
    """A value as short as the scale allows: ``4.5``, ``.8``, ``-.17``, ``0``, ``?``."""
    if value != value:
        return "?"
    places = 2 if abs(extreme) < 1 else 1 if abs(extreme) < 100 else 0
    text = f"{value:{'+' if sign else ''}.{places}f}"
    if not float(text):
        return "0"
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A passage laid out for a width.

    Attributes:
        cells: One per token.
        levels: Signed level of each token.
        expected: Signed level of each simulated value; None without, or in a difference.
        lines: Token ranges, one per line of text.
        peak: The strongest token.
        figures: What stands below each token: values, or signed differences; or None.
        expected_figures: The same of the simulated values.
        room: Cells that each token takes at least.
    """

    passage: Passage
    cells: tuple[Cell, ...]
    levels: list[int]
    expected: list[int] | None
    lines: list[tuple[int, int]]
    peak: int
    figures: tuple[str, ...] | None = None
    expected_figures: tuple[str, ...] | None = None
    room: tuple[int, ...] | None = None

    def line_of(self, token: int) -> int:
        """Which line a token is on."""
        return next(n for n, (_, stop) in enumerate(self.lines) if token < stop)

    def shown(self, token: int, line: int) -> tuple[str, int]:
        """Text and width of a token on its line: no space at a line's start."""
        cell = self.cells[token]
        text, width = cell.text, cell.width
        if token == self.lines[line][0] and width > 1 and text.startswith(" "):
            text, width = text[1:], width - 1
        if self.room is not None and self.room[token] > width:
            text, width = text + " " * (self.room[token] - width), self.room[token]
        return text, width


def lay_out(passage: Passage, width: int, extreme: float, look: Look = PLAIN) -> Block:
    """Prepare a passage for ``width`` cells of text.

    Args:
        extreme: The neuron's maximum; or its minimum, to colour what is below zero and
            to call the lowest token the peak.
        look: What is drawn.
    """
    shown = cells(passage.tokens)
    end = own_extreme(passage, extreme, look)
    simulated = expected_values(passage, extreme)
    peak = passage.peak(negative=extreme < 0)
    if simulated is not None and look.difference:
        return _difference(passage, shown, width, end, simulated, look, peak)
    expected = expected_figures = figures = room = None
    if passage.expected is not None and simulated is not None:
        same = passage.normalised and end == extreme > 0
        expected = levels(passage.expected, 10.0) if same else levels(simulated, end)
    if look.numbers:
        figures = tuple(figure(value, extreme) for value in passage.values.tolist())
        room = tuple(len(text) + 1 for text in figures)
        if simulated is not None:
            expected_figures = tuple(figure(value, extreme) for value in simulated.tolist())
            room = tuple(map(max, room, (len(text) + 1 for text in expected_figures)))
    lines = wrap(shown, width, room)
    painted = levels(passage.values, end)
    return Block(passage, shown, painted, expected, lines, peak, figures, expected_figures, room)


def _difference(
    passage: Passage,
    shown: tuple[Cell, ...],
    width: int,
    extreme: float,
    simulated: Floats,
    look: Look,
    peak: int,
) -> Block:
    difference = passage.values - simulated
    room = None
    if look.numbers:
        figures = tuple(figure(value, extreme, sign=True) for value in difference.tolist())
        room = tuple(len(text) + 1 for text in figures)
    else:
        figures = tuple(map(_tenths, (difference / (abs(extreme) or 1.0)).tolist()))
    painted = difference_levels(difference, extreme)
    lines = wrap(shown, width, room)
    return Block(passage, shown, painted, None, lines, peak, figures, room=room)


def _tenths(share: float) -> str:
    """``+3``, ``-10``, nothing below a tenth, ``?`` without a value."""
    if share != share:
        return "?"
    tenths = int(10 * share)
    return f"{tenths:+}" if tenths else ""
