"""The sliding window of a rate limit: never too much in any window, first come, first served."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.agents import RateLimit
from guardgraph.runtime.rates.window import LONGEST_LOG, Window


def grants(limit: RateLimit, calls: list[tuple[float, int]]) -> list[float]:
    """Return when calls are granted that come at some times, with some tokens each."""
    window, found = Window(), list[float]()
    for now, tokens in calls:
        window = Window.of(json.loads(json.dumps(window.since(limit.per, now).stored())))
        found.append(window.grant(limit, tokens, now))
        window = window.plus(limit, tokens, found[-1])
    return found


@pytest.mark.parametrize(("calls", "last"), [(2, 100.0), (3, 100.0), (4, 110.0), (6, 110.0), (7, 120.0)])
def test_who_comes_too_early_is_granted_a_later_time(calls: int, last: float) -> None:
    assert grants(RateLimit(calls=3, per=10), [(100.0, 0)] * calls)[-1] == last


def test_a_call_leaves_the_window_when_that_has_passed() -> None:
    assert grants(RateLimit(calls=1, per=10), [(100, 0), (109.9, 0), (121, 0)]) == [100, 110, 121]


def test_tokens_are_counted_and_what_is_larger_than_the_limit_gets_an_empty_window() -> None:
    limit = RateLimit(tokens=100, per=10)

    assert grants(limit, [(0, 60), (0, 40), (1, 1), (2, 500), (3, 1)]) == [0, 0, 10, 20, 30]


def test_what_is_given_back_or_corrected_makes_room() -> None:
    limit = RateLimit(calls=1, tokens=100, per=10)
    window = Window().plus(limit, 90, 5.0)

    assert window.grant(limit, 50, 6.0) == 15.0
    assert window.minus(limit, 90, 5.0) == Window()
    assert window.corrected([(5.0, -60)]).tokens == ((5.0, 30),)
    assert window.corrected([(5.0, -90)]).tokens == ()


times = st.lists(st.tuples(st.floats(0, 50), st.integers(0, 150)), max_size=60)


@given(times, st.integers(1, 5), st.integers(20, 100), st.sampled_from([1.0, 7.5]))
def test_no_window_ever_holds_more_and_nobody_is_overtaken(
    calls: list[tuple[float, int]], most: int, tokens: int, per: float
) -> None:
    calls.sort(key=lambda call: call[0])
    limit = RateLimit(calls=most, tokens=tokens, per=per)

    found = grants(limit, calls)

    assert found == sorted(found)
    assert all(at >= now for at, (now, _) in zip(found, calls, strict=True))
    granted = [(at, size) for at, (_, size) in zip(found, calls, strict=True)]
    for start in found:
        inside = [size for at, size in granted if start <= at < start + per]
        sizes = [size for size in inside if size]
        assert len(inside) <= most
        assert sum(sizes) <= tokens or len(sizes) == 1


def test_a_long_log_is_merged_and_never_lets_more_through() -> None:
    limit = RateLimit(calls=4 * LONGEST_LOG, per=100)
    coming = [(number / 100, 0) for number in range(4 * LONGEST_LOG)]

    window = Window()
    for now, _ in coming:
        window = window.since(limit.per, now)
        window = window.plus(limit, 0, window.grant(limit, 0, now))

    assert len(window.calls) <= LONGEST_LOG + 1
    assert sum(count for _, count in window.calls) == limit.calls
    granted = window.grant(limit, 0, coming[-1][0])
    assert 100 <= granted <= 101
