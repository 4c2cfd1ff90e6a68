"""What an experiment on a prompt has shown: an ablation, or continuations side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from engine.glyphs import cells, exact
from tui.theme import LEVELS
from tui.widgets.pane import Pane, Span, between, fitted, merged, wrapped
from tui.wrapping import wrap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.change import Change
    from engine.experiments import Ablation
    from engine.neuron import NeuronId

#: From this width on the text stands beside the next tokens.
BESIDE = 66
_NEXT = 32


class LabResult(Pane, can_focus=True):
    """One result at a time; before there is any it says what can be done."""

    DEFAULT_CSS = "LabResult { height: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._ablation: Ablation | None = None
        self._title = ""
        self._changes: Sequence[Change] = ()
        self._written: list[list[bytes]] = []
        self._ended: Sequence[bool] = ()
        self._message: tuple[str, bool] = ("", False)

    @property
    def empty(self) -> bool:
        """Whether there is no result."""
        return self._ablation is None and not self._changes and not self._message[0]

    def say(self, text: str, *, error: bool = False) -> None:
        """Show a message in the place of a result; an empty one for none at all."""
        self._ablation, self._changes, self._message = None, (), (text, error)
        self.redraw()

    def show_ablation(self, found: Ablation) -> None:
        """Show what changing a neuron did."""
        self._ablation, self._changes, self._message = found, (), ("", False)
        self.redraw()

    def start_steering(self, neuron: NeuronId, changes: Sequence[Change], seed: int) -> None:
        """Begin to show continuations."""
        self._ablation, self._message = None, ("", False)
        self._title = f"{neuron} steered, seed {seed}"
        self._changes, self._written = changes, [[] for _ in changes]
        self._ended = [False] * len(changes)
        self.redraw()

    def steer(self, variant: int, token: bytes) -> None:
        """A continuation has got a token; drawn with the next :meth:`redraw`."""
        if variant < len(self._written):
            self._written[variant].append(token)

    def end_steering(self, ended: Sequence[bool]) -> None:
        """All is written."""
        self._ended = ended
        self.redraw()

    # -- drawing

    def build(self, width: int, height: int) -> list[list[Span]]:
        if self._ablation is not None:
            return self._ablated(self._ablation, width, height)
        if self._changes:
            return self._steered(width, height)
        text, failed = self._message
        style = self.palette.error if failed else self.palette.faint
        return [[(f" {line}", style)] for line in wrapped(text, width - 2)]

    def _ablated(self, found: Ablation, width: int, height: int) -> list[list[Span]]:
        import numpy as np

        palette = self.palette
        change = found.loss_after - found.loss_before
        defined = change[np.isfinite(change)]
        mean = float(defined.mean()) if len(defined) else float("nan")
        count = len(found.positions)
        where = "everywhere" if count == len(found.tokens) else f"at {count} of {len(found.tokens)}"
        head: list[Span] = [
            (f" {found.neuron} {found.change}", palette.strong),
            (f" {where}", palette.dim),
        ]
        loss = "–" if mean != mean else f"{mean:+.4f}"
        right: list[Span] = [
            ("  loss ", palette.dim),
            (loss, palette.accent),
            (f"  KL {float(found.kl.mean()):.1e}", palette.dim),
            (" nats a token " if width >= BESIDE else " ", palette.dim),
        ]
        rows = [between(head, right, width, palette.text)]
        beside = width >= BESIDE
        size = width - _NEXT if beside else width
        text = self._text(found, change, size - 1)
        following = self._next(found, _NEXT if beside else width)
        if not beside:
            return [*rows, *following[: max(height // 2, 2)], *text][:height]
        for y in range(min(max(len(text), len(following)), height - 1)):
            left = merged(text[y] if y < len(text) else [], size, palette.text)
            rows.append([*left, *(following[y] if y < len(following) else [])])
        return rows

    def _text(self, found: Ablation, change: NDArray[np.float64], width: int) -> list[list[Span]]:
        """The prompt, coloured by how its loss changes; the worst token says by how much."""
        import numpy as np

        palette = self.palette
        shown = cells(found.tokens)
        known = np.nan_to_num(change)
        most = float(np.abs(known).max())
        scaled = np.trunc(known / most * (LEVELS - 1) + np.sign(known) * 0.999) if most else known
        levels = np.clip(scaled, 1 - LEVELS, LEVELS - 1).astype(int).tolist()
        note = f" loss up to {most:.3f} "
        rows: list[list[Span]] = [
            [(note, palette.faint), (" worse ", palette.level(5)), (" better ", palette.level(-5))]
        ]
        for start, stop in wrap(shown, max(width - 1, 8)):
            spans: list[Span] = [(" ", palette.text)]
            for place in range(start, stop):
                text = shown[place].text
                if place == start and len(text) > 1 and text.startswith(" "):
                    text = text[1:]
                spans.append((text, palette.level(levels[place])))
            rows.append(spans)
        return rows

    def _next(self, found: Ablation, width: int) -> list[list[Span]]:
        palette = self.palette
        token = fitted(f"after {exact(found.tokens[found.position])}", width - 16)
        rows: list[list[Span]] = [
            [(f"  {token}", palette.faint), (f"{'before':>7}{'after':>7}", palette.faint)]
        ]
        for one in found.next:
            risen = one.after > one.before
            rows.append(
                [
                    (f"  {fitted(exact(one.token), width - 16)}", palette.text),
                    (f"{one.before:>7.1%}", palette.dim),
                    (f"{one.after:>7.1%}", palette.strong if risen else palette.text),
                ]
            )
        return rows

    def _steered(self, width: int, height: int) -> list[list[Span]]:
        palette = self.palette
        done = max((len(row) for row in self._written), default=0)
        rows: list[list[Span]] = [
            between(
                [(f" {self._title}", palette.strong)],
                [(f"{done} tokens, same dice " if width >= 40 else "", palette.faint)],
                width,
                palette.text,
            )
        ]
        across = max(1, min(len(self._changes), width // 18))
        size = width // across
        first = self._plain()
        for start in range(0, len(self._changes), across):
            several = range(start, min(start + across, len(self._changes)))
            columns = [self._continuation(i, first, size) for i in several]
            tall = max(map(len, columns))
            for y in range(tall):
                row: list[Span] = []
                for column in columns:
                    row += merged(column[y] if y < len(column) else [], size, palette.text)
                rows.append(row)
        return rows[:height]

    def _plain(self) -> list[bytes]:
        """What the unchanged neuron leads to, to compare with; else the first variant."""
        for change, row in zip(self._changes, self._written, strict=True):
            if str(change) == "×1":
                return row
        return self._written[0]

    def _continuation(self, place: int, first: list[bytes], size: int) -> list[list[Span]]:
        palette, row = self.palette, self._written[place]
        same = 0
        while same < min(len(row), len(first)) and row[same] == first[same]:
            same += 1
        if row is first:
            same = 0
        style = [palette.dim] * same + [palette.text] * (len(row) - same)
        end = "  ended" if self._ended[place] else ""
        rows: list[list[Span]] = [
            [(f" {self._changes[place]}", palette.accent), (end, palette.faint)]
        ]
        shown = cells(row)
        for start, stop in wrap(shown, max(size - 2, 8)):
            spans: list[Span] = [(" ", palette.text)]
            for number_, (one, places) in enumerate(groupby(range(start, stop), style.__getitem__)):
                text = "".join(shown[i].text for i in places)
                if not number_ and text.startswith(" "):
                    text = text[1:]
                spans.append((text, one))
            rows.append(spans)
        return rows
