"""How long a backoff waits."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.agents import Backoff
from guardgraph.state import BadGraph


@pytest.mark.parametrize(("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (10**6, 60)])
def test_each_wait_is_longer_up_to_the_longest(failures: int, seconds: float) -> None:
    assert Backoff(jitter=0).seconds(failures, key="") == seconds


def test_a_constant_wait_stays_what_it_is() -> None:
    assert [Backoff(first=3, factor=1, jitter=0).seconds(count, key="") for count in (1, 50, 2_000)] == [3, 3, 3]


@given(st.text(), st.integers(1, 2_000), st.sampled_from([0.25, 1.0]))
def test_jitter_shortens_a_wait_by_its_part_at_most(key: str, failures: int, jitter: float) -> None:
    longest = Backoff(jitter=0).seconds(failures, key=key)
    found = Backoff(jitter=jitter).seconds(failures, key=key)

    assert longest is not None
    assert found is not None
    assert longest * (1 - jitter) <= found <= longest
    assert found == Backoff(jitter=jitter).seconds(failures, key=key), "a replay waits as long"


def test_jitter_spreads_agents_that_fail_together() -> None:
    found = [Backoff(first=10).seconds(1, key=f"agent {number}") or 0 for number in range(500)]

    assert 4 < fmean(found) < 6
    assert min(found) < 0.5
    assert max(found) > 9.5


@pytest.mark.parametrize(
    ("retry_after", "seconds"), [(None, 1), (0, 1), (0.5, 1), (7.5, 7.5), (60, 60), (60.1, None), (1e9, None)]
)
def test_a_server_that_asks_for_longer_gets_it_up_to_the_longest(
    retry_after: float | None, seconds: float | None
) -> None:
    assert Backoff(jitter=0).seconds(1, key="", retry_after=retry_after) == seconds


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"first": 0}, "`first` must be above 0"),
        ({"first": -1}, "`first` must be above 0"),
        ({"first": float("nan")}, "`first` must be above 0"),
        ({"factor": 0.5}, "`factor` must be from 1"),
        ({"factor": float("inf")}, "`factor` must be from 1"),
        ({"first": 61}, "`most` must be at least `first`"),
        ({"most": float("inf")}, "`most` must be at least `first` and at most"),
        ({"jitter": 1.1}, "`jitter` must be from 0 to 1"),
        ({"jitter": float("nan")}, "`jitter` must be from 0 to 1"),
        ({"calls": -1}, "`calls` must not be negative"),
        ({"first": "1"}, "`first` must be"),
    ],
)
def test_what_is_no_wait_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadGraph, match=reason):
        Backoff(**given)
