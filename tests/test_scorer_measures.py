"""The arithmetic of scorers, against scipy, simulation and worked cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engine.judgement import JudgedItem, Measured
from engine.score import ScoreStatus
from engine.scorers.ablation import effect_interval, effect_kept
from engine.scorers.measures import (
    auc,
    auc_interval,
    balanced_accuracy,
    balanced_accuracy_interval,
    told_apart,
    wilson,
)

ANSWERS = st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=2, max_size=40)


@given(ANSWERS)
@settings(max_examples=200, deadline=None)
def test_auc_is_the_mann_whitney_statistic_with_ties(answers: list[tuple[bool, int]]) -> None:
    truth = [fires for fires, _ in answers]
    sure = np.array([value / 10 for _, value in answers])
    value = auc(truth, sure)
    if all(truth) or not any(truth):
        assert value is None
        return
    y = np.array(truth)
    statistic = stats.mannwhitneyu(sure[y], sure[~y]).statistic
    assert value == pytest.approx(statistic / (y.sum() * (~y).sum()))


@given(ANSWERS)
@settings(max_examples=200, deadline=None)
def test_balanced_accuracy_and_intervals_hold_together(answers: list[tuple[bool, int]]) -> None:
    truth = [fires for fires, _ in answers]
    sure = [value / 10 for _, value in answers]
    yes = [value > 0.5 for value in sure]
    value = balanced_accuracy(truth, yes)
    if all(truth) or not any(truth):
        assert value is None
        assert balanced_accuracy_interval(truth, yes) is auc_interval(truth, sure) is None
        return
    hits = [s for t, s in zip(truth, yes, strict=True) if t]
    alarms = [s for t, s in zip(truth, yes, strict=True) if not t]
    assert value == pytest.approx((np.mean(hits) + 1 - np.mean(alarms)) / 2)
    # Yes is no and the other way round.
    assert balanced_accuracy(truth, [not one for one in yes]) == pytest.approx(1 - value)
    for number, between in (
        (value, balanced_accuracy_interval(truth, yes)),
        (auc(truth, sure), auc_interval(truth, sure)),
    ):
        assert between is not None
        assert number is not None
        assert 0 <= between.low <= number + 1e-12
        assert number - 1e-12 <= between.high <= 1
        assert between.high > between.low


@pytest.mark.parametrize(("count", "total"), [(0, 10), (3, 10), (10, 10), (1, 1), (57, 200)])
def test_wilson_is_scipys(count: int, total: int) -> None:
    theirs = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    ours = wilson(count, total)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_a_share_of_nothing_may_be_anything() -> None:
    between = wilson(0, 0)
    assert (between.low, between.high) == (0, 1)


def test_all_right_is_not_certain() -> None:
    truth = [True] * 20 + [False] * 20
    accuracy = balanced_accuracy_interval(truth, truth)
    area = auc_interval(truth, truth)
    assert accuracy is not None
    assert area is not None
    assert 0.85 < accuracy.low < 0.95
    assert 0.85 < area.low < 0.99
    assert accuracy.high == area.high == 1


@pytest.mark.parametrize(("size", "gap"), [(20, 1.0), (20, 0.0), (60, 0.5)])
def test_intervals_cover_what_they_say(size: int, gap: float) -> None:
    """Drawn from two normal distributions, whose true AUC and rates are known."""
    rng = np.random.default_rng(5)
    true_auc = stats.norm.cdf(gap / np.sqrt(2))
    true_accuracy = (stats.norm.sf(0.3 - gap) + stats.norm.cdf(0.3)) / 2
    truth = np.repeat([True, False], size)
    covered = np.zeros(2)
    tries = 400
    for _ in range(tries):
        sure = rng.normal(gap * truth)
        area, accuracy = auc_interval(truth, sure), balanced_accuracy_interval(truth, sure > 0.3)
        assert area is not None
        assert accuracy is not None
        covered += (
            area.low <= true_auc <= area.high,
            accuracy.low <= true_accuracy <= accuracy.high,
        )
    assert (covered / tries > 0.92).all(), covered / tries


def _item(truth: int, sure: float | None, band: str = "a") -> JudgedItem:
    yes = None if sure is None else float(sure > 0.5)
    return JudgedItem(1, "d", "t", band, truth, yes, sure, "" if sure is not None else "no reply")


def test_bands_are_set_against_all_silent_texts() -> None:
    items = [
        *[_item(1, 0.9, ".9-.99") for _ in range(5)],
        *[_item(1, 0.1, ".99-.999") for _ in range(5)],
        *[_item(0, 0.2, "0-.5") for _ in range(5)],
    ]
    found = {(one.measured, one.of): one for one in told_apart(items)}
    assert next(iter(found)) == (Measured.BALANCED_ACCURACY, "all")
    assert found[Measured.BALANCED_ACCURACY, "all"].value == 0.75
    assert found[Measured.BALANCED_ACCURACY, ".9-.99"].value == 1
    assert found[Measured.BALANCED_ACCURACY, ".99-.999"].value == 0.5
    assert found[Measured.AUC, "all"].value == 0.5
    assert found[Measured.AUC, ".99-.999"].value == 0
    assert found[Measured.AUC, ".9-.99"].items == 10
    assert all(one.chance == 0.5 and one.status is ScoreStatus.OK for one in found.values())


def test_a_band_with_both_kinds_stands_by_itself() -> None:
    items = [_item(1, 0.9), _item(0, 0.1), _item(0, 0.9, "b"), _item(1, 0.9, "b")]
    found = {(one.measured, one.of): one.value for one in told_apart(items)}
    assert found[Measured.BALANCED_ACCURACY, "a"] == 1
    assert found[Measured.BALANCED_ACCURACY, "b"] == 0.5


def test_missing_answers_are_neither_right_nor_wrong() -> None:
    whole = [_item(1, 0.9), _item(1, 0.1), _item(0, 0.1)]
    first = told_apart(whole)[0]
    gaps = told_apart([*whole, _item(0, None), _item(1, None)])[0]
    assert gaps.value == first.value == 0.75
    assert gaps.coverage == 0.6
    assert (gaps.status, gaps.items) == (ScoreStatus.PARTIAL, 5)
    assert "2 of 5" in gaps.message
    assert "no reply" in gaps.message


def test_no_answer_at_all_is_a_failure_and_one_class_is_undefined() -> None:
    nothing = told_apart([_item(1, None), _item(0, None)])[0]
    assert (nothing.status, nothing.value, nothing.coverage) == (ScoreStatus.FAILED, None, 0)
    half = told_apart([_item(1, 0.9), _item(0, None)])[0]
    assert (half.status, half.value, half.interval) == (ScoreStatus.UNDEFINED, None, None)
    assert half.coverage == 0.5


def test_effect_kept() -> None:
    assert effect_kept(0.0, 2.0, 10) == 1
    assert effect_kept(2.0, 2.0, 10) == 0
    assert effect_kept(3.0, 2.0, 10) == -0.5
    assert effect_kept(0.0, 0.0, 10) is None
    assert effect_kept(1e-12, 1e-12, 64) is None
    assert effect_kept(0.0, 0.0, 0) is None


def test_the_effects_interval_is_scipys_bootstrap() -> None:
    rng = np.random.default_rng(0)
    ablated = rng.gamma(2.0, size=30)
    replaced = ablated * rng.uniform(0.1, 0.9, size=30)
    ours = effect_interval(replaced, ablated, ["top"] * 30)
    theirs = stats.bootstrap(
        (replaced, ablated),
        lambda r, a, axis: 1 - r.sum(axis) / a.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert effect_interval(replaced[:2], ablated[:2], ["top"] * 2) is None
