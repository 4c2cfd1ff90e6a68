"""Reading compact JSON replies: what is missing, what is zero, what can't be relied on."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.simulators.compact_reply import MalformedReply, read_reply

NAN = math.nan


def reply(*pairs: object) -> str:
    return json.dumps({"activations": pairs})


def same(values: object, wanted: list[float]) -> bool:
    return bool(np.array_equal(np.asarray(values), np.array(wanted, np.float32), equal_nan=True))


@given(st.lists(st.integers(0, 10), min_size=1, max_size=80))
def test_what_was_left_out_is_zero(activations: list[int]) -> None:
    pairs = [[i, value] for i, value in enumerate(activations) if value]
    values, message = read_reply(reply(*pairs), len(activations))
    assert values.tolist() == activations and values.dtype == np.float32
    assert message == ""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # The method's own cases (5, TDB JSON parse) in this format.
        (reply([0, 1], [1, 10], [2, 2.5]), [1, 10, 2.5]),
        (reply([0, -1], [1, 11], [2, None]), [NAN, NAN, NAN]),  # there 0, 0, 0
        (reply([0, "7"]), [7, 0, 0]),
        ('{"activations": [[0, "x"], [1, NaN], [2, true]]}', [NAN, NAN, NAN]),  # 0, nan, 1
        ("```json\n" + reply([1, 4]) + "\n```", [0, 4, 0]),  # there zeros
        ("```\n" + reply([1, 4]), [0, 4, 0]),
        ("Here {it} is: " + reply([1, 4]) + " Good?", [0, 4, 0]),
        (reply([0, 4.5]), [4.5, 0, 0]),  # in the separator format 0
        ('{"activations": [[0, Infinity], [1, 1e999], [2, -0.0]]}', [NAN, NAN, 0]),
        (reply([0, 10**400], [1, [2]], [2, {}]), [NAN, NAN, NAN]),
        ('{"activations": []}', [0, 0, 0]),
    ],
)
def test_values(text: str, wanted: list[float]) -> None:
    values, message = read_reply(text, 3)
    assert same(values, wanted), values
    assert bool(message) == any(math.isnan(value) for value in wanted)


def test_what_is_wrong_is_counted() -> None:
    text = reply([0, 12], [1, 3], [1, 3], [3, 5], [-1, 5], [2, 9])
    values, message = read_reply(text, 3)
    assert same(values, [NAN, NAN, 9])
    assert message == (
        "activations: 1 no number from 0 to 10, 1 given twice, "
        "2 for a token that the text hasn't got"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("not json", "no JSON object"),
        ("", "no JSON object"),
        ('{"foo": 1}', "no list"),
        ("[1]", "no JSON object"),
        ('{"activations": 3}', "no list"),
        ('{"activations": {"0": 3}}', "no list"),
        ('{"activations": [1]}', "not a pair"),
        ('{"activations": [[1]]}', "not a pair"),
        ('{"activations": [[1, 2, 3]]}', "not a pair"),
        ('{"activations": [["a", 2]]}', "not a whole number"),
        ('{"activations": [[true, 2]]}', "not a whole number"),
        ('{"activations": [[1, 2]', "not valid JSON"),
        ('{"activations": ' + "[" * 20000, "not valid JSON"),
        ("{" * 5000, "not valid JSON"),
    ],
)
def test_a_malformed_reply_is_never_zeros(text: str, why: str) -> None:
    with pytest.raises(MalformedReply, match=why):
        read_reply(text, 3)


def test_a_reply_that_was_cut_off_is_missing_after_its_last_token() -> None:
    text = '{"activations": [[1, 4], [3, 10], [4'
    values, message = read_reply(text, 6, cut=True)
    assert same(values, [0, 4, 0, 10, NAN, NAN])
    assert message == "activations: 2 missing because the reply was cut off"
    values, _ = read_reply('{"activations": [[3, 4], [1, 10], [4, ', 5, cut=True)
    assert same(values, [NAN, 10, NAN, 4, NAN])  # in no order: nothing is known to be zero
    with pytest.raises(MalformedReply):
        read_reply('{"activations": [', 3, cut=True)
    values, message = read_reply(reply([0, 2]), 3, cut=True)  # it was just long enough
    assert same(values, [2, 0, 0]) and message == ""


@given(st.text(max_size=60), st.booleans())
def test_any_reply_is_read_or_refused(text: str, cut: bool) -> None:
    for candidate in (text, '{"activations": [' + text, '{"activations": [[0,' + text + "]]}"):
        try:
            values, _ = read_reply(candidate, 4, cut=cut)
        except MalformedReply:
            continue
        found = values[np.isfinite(values)]
        assert values.shape == (4,) and ((found >= 0) & (found <= 10)).all()
