"""What a trip leads to is declared, and compares by what it says."""

from __future__ import annotations

import pytest

from guardgraph.guards import Escalate, Finish, Refuse, Retry


@pytest.mark.parametrize("times", [0, 1, 5])
def test_a_retry_may_be_allowed_any_number_of_times(times: int) -> None:
    assert Retry(times).times == times


def test_a_retry_is_allowed_once_by_default() -> None:
    assert Retry() == Retry(1)


def test_different_ends_are_different() -> None:
    assert len({Finish(), Escalate(), Refuse(), Retry(1), Retry(2), Finish()}) == 5
