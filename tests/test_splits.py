"""Splits: the method's numbers, and that nothing leaks between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from method_samples import neuron, record

from engine.errors import MethodError, UsageError
from engine.records import Fold, Group
from engine.splits import HELD_OUT, Splits, interleave, method_splits, split_records


def _windows(splits: Splits, name: str, role: str) -> list[int]:
    return [held.record.excerpt.window for held in splits.held_out(name) if held.role == role]


def _named(letter: str, numbers: str) -> list[str]:
    return [letter + number for number in numbers.split()]


def test_the_methods_own_splits_of_twenty_top_and_fifteen_random() -> None:
    splits = method_splits(_named("t", " ".join(map(str, range(20)))), [f"r{i}" for i in range(15)])
    assert splits == {
        "train": _named("t", "0 4 8 12 16"),
        "calibration": _named("t", "1 5 9 13 17") + _named("r", "0 3 6 9 12"),
        "valid": _named("t", "2 6 10 14 18") + _named("r", "1 4 7 10 13"),
        "test": _named("t", "3 7 11 15 19") + _named("r", "2 5 8 11 14"),
    }


def test_the_methods_own_splits_of_eleven_top_and_ten_random() -> None:
    top, random = [f"t{i}" for i in range(11)], [f"r{i}" for i in range(10)]
    assert method_splits(top, random, None) == {
        "train": ["t0", "t4"],
        "calibration": ["t1", "t5", "r0", "r3", "r6"],
        "valid": ["t2", "t6", "r1", "r4", "r7"],
        "test": ["t3", "t7", "r2", "r5", "r8"],
    }
    with pytest.raises(MethodError, match=r"need 20; there are 11"):
        method_splits(top, random, 5)
    with pytest.raises(MethodError, match=r"need 15; there are 10"):
        method_splits([*top, *top], random, 5)


@given(st.lists(st.integers()), st.integers(1, 6))
def test_interleaving_deals_each_item_at_most_once_and_in_order(items: list[int], n: int) -> None:
    parts = interleave(list(enumerate(items)), n)
    assert len({len(part) for part in parts}) == 1
    dealt = sorted(item for part in parts for item in part)
    assert dealt == list(enumerate(items))[: len(items) // n * n]


def test_a_document_for_every_record_gives_the_plain_stride() -> None:
    top = [record(w) for w in range(20)]
    random = [record(w) for w in range(100, 118)]
    splits = split_records(
        neuron({(Fold.SCORE, Group.TOP): top, (Fold.SCORE, Group.RANDOM): random})
    )
    for k, name in enumerate(HELD_OUT):
        assert _windows(splits, name, "top") == list(range(k, 15, 3))
        assert _windows(splits, name, "random") == list(range(100 + k, 115, 3))
        roles = [held.role for held in splits.held_out(name)]
        assert roles == ["top"] * 5 + ["random"] * 5
        assert splits.counts(name) == {"top": 5, "random": 5}


def test_train_is_the_explain_folds_top_list_and_nothing_of_the_score_fold() -> None:
    explain = [record(w, fold=Fold.EXPLAIN) for w in range(20)]
    band = [record(30, fold=Fold.EXPLAIN)]
    bottom = [record(31, fold=Fold.EXPLAIN)]
    splits = split_records(
        neuron(
            {
                (Fold.EXPLAIN, Group.TOP): explain,
                (Fold.EXPLAIN, Group.BAND_2): band,
                (Fold.EXPLAIN, Group.BOTTOM): bottom,
                (Fold.SCORE, Group.BAND_3): [record(200)],
                (Fold.SCORE, Group.TOP): [record(w) for w in range(100, 106)],
            }
        )
    )
    assert [kept.excerpt.window for kept in splits.train] == list(range(20))
    assert [kept.excerpt.window for kept in splits.others] == [30, 31]


def test_records_of_one_document_stay_in_one_split() -> None:
    top = [record(w, document=d) for w, d in enumerate([1, 1, 1, 2, 2, 3, 4, 5, 6])]
    random = [record(100 + d, document=d) for d in (3, 2, 1)]
    splits = split_records(
        neuron({(Fold.SCORE, Group.TOP): top, (Fold.SCORE, Group.RANDOM): random})
    )
    assert _windows(splits, "calibration", "top") == [0, 1, 2]
    assert _windows(splits, "valid", "top") == [3, 4, 7]
    assert _windows(splits, "test", "top") == [5, 6, 8]
    assert _windows(splits, "calibration", "random") == [101]
    assert _windows(splits, "valid", "random") == [102]
    assert _windows(splits, "test", "random") == [103]


def test_a_window_in_both_lists_is_used_once_as_top() -> None:
    top = [record(w) for w in range(6)]
    random = [record(w) for w in (4, 100, 101, 102, 1)]
    splits = split_records(
        neuron({(Fold.SCORE, Group.TOP): top, (Fold.SCORE, Group.RANDOM): random})
    )
    used = [
        w for name in HELD_OUT for role in ("top", "random") for w in _windows(splits, name, role)
    ]
    assert sorted(used) == [0, 1, 2, 3, 4, 5, 100, 101, 102]


def test_a_single_document_is_spent_on_the_split_that_is_scored() -> None:
    top = [record(w, document=1) for w in range(4)]
    splits = split_records(neuron({(Fold.SCORE, Group.TOP): top}))
    assert splits.counts("valid") == {"top": 4, "random": 0}
    assert splits.counts("calibration") == splits.counts("test") == {"top": 0, "random": 0}


def test_a_document_in_both_folds_is_an_error() -> None:
    shared = {
        (Fold.EXPLAIN, Group.BAND_1): [record(0, document=9, fold=Fold.EXPLAIN)],
        (Fold.SCORE, Group.TOP): [record(1, document=9), record(2), record(3)],
    }
    with pytest.raises(MethodError, match="Document 9 is in the train and the calibration split"):
        split_records(neuron(shared))


def test_an_unknown_split_is_a_usage_error() -> None:
    splits = split_records(neuron({}))
    with pytest.raises(UsageError, match="no split 'train'"):
        splits.held_out("train")


kept = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=25)


@given(kept, kept, st.one_of(st.none(), st.integers(0, 6)))
def test_no_document_is_shared_and_no_window_used_twice(
    top: list[tuple[int, int]], random: list[tuple[int, int]], per_split: int | None
) -> None:
    def made(rows: list[tuple[int, int]]) -> list:  # type: ignore[type-arg]
        # A window belongs to one document, and is in a group once.
        return [record(w * 13 + d, document=d) for w, d in dict.fromkeys(rows)]

    splits = split_records(
        neuron({(Fold.SCORE, Group.TOP): made(top), (Fold.SCORE, Group.RANDOM): made(random)}),
        per_split,
    )
    owners: dict[int, str] = {}
    windows: list[int] = []
    for name in HELD_OUT:
        if per_split is not None:
            assert max(splits.counts(name).values()) <= per_split
        for held in splits.held_out(name):
            assert owners.setdefault(held.record.excerpt.document, name) == name
            windows.append(held.record.excerpt.window)
    assert len(windows) == len(set(windows))
