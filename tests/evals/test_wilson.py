"""Wilson's interval, against scipy's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from guardgraph.evals import Interval, wilson
from guardgraph.state import BadInput


@given(st.data(), st.integers(1, 5_000), st.floats(0.01, 0.999))
def test_it_is_the_one_that_scipy_computes(data: st.DataObject, total: int, confidence: float) -> None:
    passed = data.draw(st.integers(0, total))

    ours = wilson(passed, total, confidence=confidence)
    theirs = binomtest(passed, total).proportion_ci(confidence_level=confidence, method="wilson")

    assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert 0 <= ours.low <= passed / total <= ours.high <= 1


def test_nothing_measured_is_nothing_known() -> None:
    assert wilson(0, 0) == Interval(0, 1)


def test_all_and_none_reach_the_end_exactly() -> None:
    assert wilson(7, 7).high == 1
    assert wilson(0, 7).low == 0


@pytest.mark.parametrize(("passed", "total"), [(-1, 3), (4, 3), (0, -1)])
def test_impossible_counts_are_refused(passed: int, total: int) -> None:
    with pytest.raises(BadInput, match=rf"`passed` must be between 0 and `total`, got {passed} of {total}"):
        wilson(passed, total)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_outside_0_and_1_is_refused(confidence: float) -> None:
    with pytest.raises(BadInput, match=f"`confidence` must be between 0 and 1, got {confidence}"):
        wilson(1, 2, confidence=confidence)
