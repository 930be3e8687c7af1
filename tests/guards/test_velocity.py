"""Faster than the run's own median."""

from __future__ import annotations

import pytest

from guardgraph.guards import ModelCall, ToolCall, Velocity
from tests.guards.call_views import model_call, tool_call, view_of_call
from tests.guards.views import view_of_task

GUARD = Velocity(factor=3, per=60, least=2)


def steady(*counts: int, tokens: int = 0) -> list[ModelCall | ToolCall]:
    """Return so many calls in each minute before the last one, the latest minute first."""
    return [
        model_call("said", ago=60 * minute + 30 + n / 100, tokens=tokens)
        for minute, count in enumerate(counts, 1)
        for n in range(count)
    ]


@pytest.mark.parametrize(("now", "action"), [(5, "pass"), (6, "pass"), (7, "trip")])
def test_trips_above_factor_times_the_median_of_calls(now: int, action: str) -> None:
    history = [*steady(2, 1, 9), *(tool_call(ago=1) for _ in range(now - 1))]

    verdict = GUARD(view_of_call(tool_call(), run_calls=tuple(history)))

    assert verdict.action == action
    assert verdict.measured == now
    if action == "trip":
        assert (verdict.limit, verdict.reason) == (6, "7 calls in 60 s; the median of the run is 2")


@pytest.mark.parametrize(("tokens", "action"), [(299, "pass"), (300, "pass"), (301, "trip")])
def test_trips_above_factor_times_the_median_of_tokens(tokens: int, action: str) -> None:
    history = [*steady(1, 1, 1, tokens=100), model_call("long", ago=5, tokens=tokens)]

    assert GUARD(view_of_call(model_call(), run_calls=tuple(history))).action == action


@pytest.mark.parametrize(("minutes", "action"), [(2, "pass"), (3, "trip")])
def test_judges_nothing_before_three_windows_are_known(minutes: int, action: str) -> None:
    history = [*steady(*[1] * minutes), *(tool_call(ago=1) for _ in range(9))]

    assert GUARD(view_of_call(tool_call(), run_calls=tuple(history))).action == action


@pytest.mark.parametrize(("least", "action"), [(10, "trip"), (11, "pass")])
def test_judges_nothing_with_fewer_calls_than_least(least: int, action: str) -> None:
    history = [*steady(1, 1, 1), *(tool_call(ago=1) for _ in range(9))]

    assert Velocity(factor=3, least=least)(view_of_call(tool_call(), run_calls=tuple(history))).action == action


def test_a_pause_does_not_lower_the_median() -> None:
    history = [*steady(0, 0, 0, 4, 0, 4, 4), *(tool_call(ago=1) for _ in range(10))]

    assert GUARD(view_of_call(tool_call(), run_calls=tuple(history))).action == "pass"


def test_takes_the_calls_of_the_attempt_where_no_others_are_known() -> None:
    history = [*steady(1, 1, 1), *(tool_call(ago=1) for _ in range(9))]

    assert GUARD(view_of_call(tool_call(), history)).action == "trip"


def test_limits_just_above_none() -> None:
    assert (Velocity(factor=1.5, per=0.5).factor, Velocity(per=0.5).per) == (1.5, 0.5)


def test_what_is_no_call_passes() -> None:
    assert Velocity(least=1)(view_of_task()).action == "pass"


def test_calls_from_before_the_clock_was_set_back_are_not_those_of_the_last_window() -> None:
    ahead = [tool_call(ago=-60 * minute) for minute in range(1, 60)]
    history = [*steady(2, 2, 2), *ahead, tool_call(ago=-1)]

    verdict = GUARD(view_of_call(tool_call(), run_calls=tuple(history)))

    assert (verdict.action, verdict.measured) == ("pass", 2)
