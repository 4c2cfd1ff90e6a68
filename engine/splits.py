"""Which records an explanation is written from and which it is tested on.

The method of Bills et al. 2023 deals one neuron's records in turns to train,
calibration, valid and test, by rank; nothing there keeps two records of one document
apart.  Here whole documents are dealt to an explain and a score fold before the scan,
train is taken from the first alone, and inside the score fold documents are again kept
whole.  Where every record has its own document the result is the method's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from engine.errors import MethodError, UsageError
from engine.neuron import NeuronId
from engine.records import ActivationRecord, Fold, Group, NeuronRecord

T = TypeVar("T")
Role = Literal["top", "random"]
#: The method's five top and five random records per split.
PER_SPLIT = 5
#: The splits of the score fold, in the order the method deals them.
HELD_OUT = ("calibration", "valid", "test")
_STARVED_ORDER = ("valid", "test", "calibration")
_REMEDY = "Scan more documents."


@dataclass(frozen=True, slots=True, eq=False)
class SplitRecord:
    """A held-out record and the half of its split it belongs to."""

    role: Role
    record: ActivationRecord


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """One neuron's records, split.

    Attributes:
        train: Explain-fold top records, strongest first.
        others: The explain fold's bands, random and bottom records.
        calibration, valid, test: Score-fold records, the top part (strongest first)
            followed by the random part. No document is in two of them.
        per_split: How many of each role were asked for.
    """

    neuron: NeuronId
    train: tuple[ActivationRecord, ...]
    others: tuple[ActivationRecord, ...]
    calibration: tuple[SplitRecord, ...]
    valid: tuple[SplitRecord, ...]
    test: tuple[SplitRecord, ...]
    per_split: int

    def held_out(self, name: str) -> tuple[SplitRecord, ...]:
        """One of the score fold's splits by name. UsageError for any other name."""
        if name == "calibration":
            return self.calibration
        if name == "valid":
            return self.valid
        if name == "test":
            return self.test
        raise UsageError(f"There is no split {name!r}.", f"Choose one of {', '.join(HELD_OUT)}.")

    def counts(self, name: str) -> dict[Role, int]:
        """How many records of each role a split got: at most :attr:`per_split`."""
        found = Counter(part.role for part in self.held_out(name))
        return {"top": found["top"], "random": found["random"]}


def interleave(items: Sequence[T], n_splits: int, per_split: int | None = None) -> list[list[T]]:
    """Deal items in turns: split k gets items k, k + n, k + 2n, ...

    Args:
        items: By rank.
        n_splits: How many splits.
        per_split: How many each gets; None: as many as all can get alike.

    Raises:
        MethodError: if there are not enough items.
    """
    if n_splits < 1 or (per_split is not None and per_split < 0):
        raise MethodError(f"Can't deal {per_split} records to each of {n_splits} splits.")
    count = len(items) // n_splits if per_split is None else per_split
    if len(items) < count * n_splits:
        raise MethodError(
            f"{count} records for each of {n_splits} splits need {count * n_splits}; "
            f"there are {len(items)}.",
            _REMEDY,
        )
    return [list(items[k : n_splits * count : n_splits]) for k in range(n_splits)]


def method_splits(
    top: Sequence[T], random: Sequence[T], per_split: int | None = PER_SPLIT
) -> dict[str, list[T]]:
    """The method's own four splits, for records that are in no fold (method: 1.2).

    Top records are dealt in turns to train, calibration, valid and test, random ones
    to the last three; each held-out split is its top part followed by its random part.

    Raises:
        MethodError: if there are not enough records of either kind.
    """
    train, *tops = interleave(top, 4, per_split)
    randoms = interleave(random, 3, per_split)
    held_out = {name: t + r for name, t, r in zip(HELD_OUT, tops, randoms, strict=True)}
    return {"train": train, **held_out}


def split_records(record: NeuronRecord, per_split: int | None = PER_SPLIT) -> Splits:
    """Split one neuron's records by fold, role and document.

    Train is the explain fold's whole top list.  The method deals every fourth record to
    train because its four splits share one list; here no scored record competes with it,
    and more ranks are only more evidence.  An explainer whose prompt holds fewer may
    pick among them.

    In the score fold each document belongs to the split that its first record is dealt
    to, walking the top list by rank and then the random one; a document not seen before
    goes to the split with the fewest records of that role so far, in the method's order.
    With a document for every record that is the plain stride of three.  If there are
    fewer documents than splits, valid and test come before calibration.  A window
    that is in a split as a top record is not repeated in its random part, so a number
    over top and random counts no token twice.

    Args:
        per_split: Records of each role per split; fewer where the fold has not got
            them (see :meth:`Splits.counts`). None: a third of what was kept.

    Raises:
        MethodError: if a document is in both folds; the index can't be right then.
    """
    train = record.records.get((Fold.EXPLAIN, Group.TOP), ())
    others = tuple(
        kept
        for group in Group
        if group is not Group.TOP
        for kept in record.records.get((Fold.EXPLAIN, group), ())
    )
    top = record.records.get((Fold.SCORE, Group.TOP), ())
    random = record.records.get((Fold.SCORE, Group.RANDOM), ())
    documents = {kept.excerpt.document for kept in (*top, *random)}
    enough = len(documents) >= len(HELD_OUT)
    order = HELD_OUT if enough else _STARVED_ORDER
    asked = len(top) // len(HELD_OUT) if per_split is None else per_split

    owner: dict[int, str] = {}
    tops = _deal(top, order, owner, lambda _split, _kept: True)
    tops = {name: tops[name][:asked] for name in HELD_OUT}
    used = {name: {kept.excerpt.window for kept in tops[name]} for name in HELD_OUT}
    randoms = _deal(
        random, order, owner, lambda split, kept: kept.excerpt.window not in used[split]
    )
    asked_random = len(random) // len(HELD_OUT) if per_split is None else per_split
    parts = {
        name: (
            *(SplitRecord("top", kept) for kept in tops[name]),
            *(SplitRecord("random", kept) for kept in randoms[name][:asked_random]),
        )
        for name in HELD_OUT
    }
    splits = Splits(record.neuron, tuple(train), others, **parts, per_split=asked)
    check_disjoint(splits)
    return splits


def check_disjoint(splits: Splits) -> None:
    """Raise MethodError if a document is in two parts, or a window twice in one.

    Train and the other explain-fold records count as one part.
    """
    explain = {kept.excerpt.document for kept in (*splits.train, *splits.others)}
    seen: dict[int, str] = dict.fromkeys(explain, "train")
    for name in HELD_OUT:
        part = splits.held_out(name)
        windows = [held.record.excerpt.window for held in part]
        if len(set(windows)) < len(windows):
            raise MethodError(
                f"A window is in the {name} split of neuron {splits.neuron} twice.",
                "Scan the text again.",
            )
        for held in part:
            excerpt = held.record.excerpt
            where = seen.setdefault(excerpt.document, name)
            if where != name:
                raise MethodError(
                    f"Document {excerpt.document} is in the {where} and the {name} split "
                    f"of neuron {splits.neuron}.",
                    "Scan the text again.",
                )


def _deal(
    records: Iterable[ActivationRecord],
    order: Sequence[str],
    owner: dict[int, str],
    wanted: Callable[[str, ActivationRecord], bool],
) -> dict[str, list[ActivationRecord]]:
    """Deal records to splits by document, adding new documents to ``owner``."""
    parts: dict[str, list[ActivationRecord]] = {name: [] for name in order}
    for kept in records:
        document = kept.excerpt.document
        split = owner.get(document)
        if split is None:
            split = min(order, key=lambda name: len(parts[name]))
            owner[document] = split
        if wanted(split, kept):
            parts[split].append(kept)
    return parts
