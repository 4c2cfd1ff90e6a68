"""A token look-up table in one sentence.

The table says what a neuron does at each token; the sentence names the tokens that
matter most, by class where a whole class fires ("numbers"), singly where it doesn't.
Importance is the variance a token explains: its count times the square of what its
expected activation is above the default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.records import ActivationRecord
from engine.token_words import (
    Joins,
    Kind,
    classes_of,
    kind_of,
    listing,
    quoted,
    sign_name,
    space_name,
    token_text,
)

#: A token is strong if it is this share of the neuron's usual height above the default.
STRONG = 0.4
#: A class is named if its tokens, strong or not, average this share of that height ...
PURE = 0.5
#: ... and it holds this share of all that the table explains.
WORTH_NAMING = 0.07
WEAK_SHARE = 0.05
#: Below this share of explained variance the token hardly matters.
LITTLE_EXPLAINED = 0.1
#: Below this share of the table named, the sentence says that there is much else.
MUCH_ELSE = 0.3
PARTS = 3
EXAMPLES = 4

_ONE_AND_MANY = {
    Kind.WORD: ("the word", "the words", "words such as"),
    Kind.BEGINNING: ("words that begin with",) * 2 + ("beginnings of words such as",),
    Kind.ENDING: ("the word ending", "the word endings", "word endings such as"),
    Kind.PIECE: ("the piece of a word", "the pieces of words", "pieces of words such as"),
    Kind.LETTER: ("the letter", "the letters", "single letters such as"),
    Kind.NUMBER: ("the number", "the numbers", "numbers such as"),
    Kind.SIGN: ("the sign", "the signs", "signs such as"),
    Kind.SPACE: ("white space",) * 3,
    Kind.BYTES: ("parts of characters beyond ASCII",) * 3,
}


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The tokens a sentence is about.

    Attributes:
        texts: The bytes of each of M tokens.
        counts: float64 [M], occurrences.
        heights: float64 [M], expected activation less the default.
        explained: Share of the neuron's variance that the table explains, 0 to 1.
        joins: For some tokens, how they joined up with their neighbours.
    """

    texts: tuple[bytes, ...]
    counts: NDArray[np.float64]
    heights: NDArray[np.float64]
    explained: float
    joins: Mapping[bytes, Joins]


def seen_joins(records: Iterable[ActivationRecord]) -> dict[bytes, Joins]:
    """How each token of some records went on a word to its left and right."""
    texts: list[bytes] = []
    ends = []
    for record in records:
        texts += record.excerpt.tokens
        ends.append(len(texts))
    if not texts:
        return {}
    names = list(dict.fromkeys(texts))
    place = {text: i for i, text in enumerate(names)}
    at = np.array([place[text] for text in texts])
    opens, closes = np.array([_letters(text) for text in names]).T
    joined = closes[at[:-1]] & opens[at[1:]]
    joined[np.array(ends[:-1], dtype=np.int64) - 1] = False  # records are no neighbours
    size = len(names)
    counts = (
        np.bincount(at, minlength=size),
        np.bincount(at[1:][joined], minlength=size),
        np.bincount(at[:-1][joined], minlength=size),
    )
    return {
        name: Joins(*each)
        for name, *each in zip(names, *(column.tolist() for column in counts), strict=True)
    }


@lru_cache(maxsize=1 << 16)
def _letters(token: bytes) -> tuple[bool, bool]:
    """Whether a token begins, and whether it ends, with a letter."""
    text = token_text(token)
    return (text[0].isalpha(), text[-1].isalpha()) if text else (False, False)


@lru_cache(maxsize=4)
def class_members(texts: tuple[bytes, ...]) -> dict[str, NDArray[np.int64]]:
    """The tokens of each class with more than one; the same for all neurons of an index."""
    members: dict[str, list[int]] = {}
    for i, text in enumerate(texts):
        for name in classes_of(text):
            members.setdefault(name, []).append(i)
    return {name: np.array(found) for name, found in members.items() if len(found) > 1}


def describe(table: Table) -> str:
    """The sentence, without a final full stop. Deterministic; a millisecond or ten."""
    weight = table.counts * table.heights**2
    rising = weight[table.heights > 0].sum()
    falling = weight[table.heights < 0].sum()
    if rising + falling == 0:
        return "nothing: it does the same at every token"
    if falling > rising:
        found, _ = _found(table, -table.heights)
        text = f"nearly everything; least on {found}"
    else:
        found, share = _found(table, table.heights)
        text = found if share >= MUCH_ELSE else f"many different tokens, among them {found}"
    if table.explained < LITTLE_EXPLAINED:
        least = falling > rising
        text = f"no token in particular; {'least' if least else 'most'} on {found}"
    return text


def _found(table: Table, heights: NDArray[np.float64]) -> tuple[str, float]:
    """What stands out, and the share of the importance that it names."""
    chooser = _Chooser(table, heights)
    parts = chooser.classes()
    parts += chooser.singles(PARTS - len(parts))
    named = chooser.named
    weak = chooser.weaker()
    return "; ".join([*parts, *weak]), named


class _Chooser:
    """Chooses what to name, the most important first, nothing twice."""

    def __init__(self, table: Table, heights: NDArray[np.float64]) -> None:
        self._table = table
        height = np.maximum(heights, 0.0)
        weight = table.counts * height**2
        self._weight = weight / weight.sum()
        self._ratio = height / float(self._weight @ height)
        self._strong = self._ratio >= STRONG
        self._left = np.ones(len(height), dtype=np.bool_)
        self._named_classes: list[str] = []
        self._members = class_members(table.texts)
        self.named = 0.0

    def _purity(self, members: NDArray[np.int64]) -> float:
        # By the root of the count: neither one common token nor many rare ones decide.
        share = np.sqrt(self._table.counts[members])
        return float(share @ np.minimum(self._ratio[members], 1)) / float(share.sum())

    def classes(self) -> list[str]:
        """Up to PARTS - 1 classes that fire as a whole, with their strongest examples."""
        parts: list[str] = []
        while len(parts) < PARTS - 1:
            best, best_gain = "", 0.0
            for name, members in self._members.items():
                gain = float(self._weight[members[self._left[members]]].sum())
                purity = self._purity(members)
                if gain < WORTH_NAMING or purity < PURE or gain * purity <= best_gain:
                    continue
                if self._strong[members].sum() >= min(3, len(members)):
                    best, best_gain = name, gain * purity
            if not best:
                break
            parts.append(self._class_part(best))
        return parts

    def _class_part(self, name: str) -> str:
        members = self._members[name]
        fresh = members[self._left[members]]
        self.named += float(self._weight[fresh].sum())
        self._left[members] = False
        self._named_classes.append(name)
        chosen = self._distinct(fresh[self._strong[fresh]], 3)
        shown = [self._table.texts[i] for i in chosen]
        if any(kind_of(text) in (Kind.SPACE, Kind.BYTES) for text in shown) or len(shown) < 2:
            return name
        return f"{name}, above all {listing(map(quoted, shown))}"

    def singles(self, parts: int) -> list[str]:
        """The most important strong tokens not yet named, gathered by kind."""
        left = np.flatnonzero(self._left & self._strong)
        kinds: dict[Kind, list[int]] = {}
        for i in left[np.argsort(-self._weight[left], kind="stable")]:
            text = self._table.texts[i]
            kinds.setdefault(kind_of(text, self._table.joins.get(text)), []).append(int(i))
        mass = {kind: float(self._weight[tokens].sum()) for kind, tokens in kinds.items()}
        best = max(mass.values(), default=0.0)
        said: list[str] = []
        for kind in sorted(mass, key=lambda kind: -mass[kind])[: max(parts, 1)]:
            # A kind that is hardly there is not worth a part of the sentence.
            if mass[kind] < max(WEAK_SHARE, best / 4) and (said or self._named_classes):
                break
            chosen = self._distinct(np.array(kinds[kind]), EXAMPLES - bool(said))
            self._left[chosen] = False
            share = float(self._weight[chosen].sum())
            self.named += share
            said.append(self._single_part(kind, chosen, share >= mass[kind] / 2))
        return said

    def _single_part(self, kind: Kind, chosen: Sequence[int], most: bool) -> str:
        one, several, such_as = _ONE_AND_MANY[kind]
        if kind is Kind.BYTES:
            return one
        texts = [self._table.texts[i] for i in chosen]
        if kind is Kind.SPACE:
            return listing(dict.fromkeys(map(space_name, texts)))
        names: list[str] = []
        if kind is Kind.SIGN:
            names = list(dict.fromkeys(name for name in map(sign_name, texts) if name))
            texts = [text for text in texts if not sign_name(text)]
            if not texts:
                return listing(names)
        lead = such_as if not most else one if len(texts) == 1 else several
        return listing([*names, f"{lead} {listing(map(quoted, texts))}"])

    def weaker(self) -> list[str]:
        """A class that fires as a whole, but weakly."""
        best, best_gain = "", WEAK_SHARE
        for name, members in self._members.items():
            fresh = members[self._left[members]]
            if name in self._named_classes or len(fresh) < 4:
                continue
            gain = float(self._weight[fresh].sum())
            if gain > best_gain and STRONG / 4 < self._purity(fresh) < PURE:
                rising = (self._ratio[fresh] > STRONG / 4).mean()
                if rising > 0.7:
                    best, best_gain = name, gain
        if not best:
            return []
        other = "other " if not self._left[self._members[best]].all() else ""
        return [f"weaker on {other}{best}"]

    def _distinct(self, candidates: NDArray[np.int64], limit: int) -> list[int]:
        """The most important candidates, one for each word whatever its case or space."""
        chosen: dict[str, int] = {}
        for i in candidates[np.argsort(-self._weight[candidates], kind="stable")]:
            key = quoted(self._table.texts[i]).casefold()
            if key not in chosen and len(chosen) == limit:
                break
            chosen.setdefault(key, int(i))
        return list(chosen.values())
