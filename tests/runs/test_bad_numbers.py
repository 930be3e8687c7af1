"""The numbers that a `Runner` is given: what makes no sense is refused, and the error names the argument."""

from __future__ import annotations

from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest

from guardgraph.runs import Runner
from guardgraph.state import Allowance, BadInput

BAD = [-1, -0.5, nan, inf, -inf, True, "3", "", None, 10**400, Decimal("NaN"), [], {}, object]


@pytest.mark.parametrize("method", ["budgets", "costs", "breakers", "list_runs", "list_reputations"])
def test_how_many_are_listed_is_a_whole_number(method: str, sqlite_url: str) -> None:
    with Runner(sqlite_url) as runner:
        for wrong in (*BAD, 1.5):
            with pytest.raises(BadInput, match="`limit` must be a whole number that is not negative, got "):
                getattr(runner, method)(limit=wrong)

        assert getattr(runner, method)(limit=0) == []


@pytest.mark.parametrize(("method", "name"), [("history", "limit"), ("events", "limit"), ("events", "after")])
def test_so_is_what_is_read_of_a_thread(method: str, name: str, sqlite_url: str) -> None:
    with Runner(sqlite_url) as runner:
        for wrong in (one for one in BAD if one is not None or method == "history"):
            with pytest.raises(BadInput, match=f"`{name}` must be a whole number"):
                getattr(runner, method)("thread", **{name: wrong})


@pytest.mark.parametrize("name", ["wait_seconds", "lease_seconds"])
def test_times_are_seconds_above_zero(name: str, sqlite_url: str) -> None:
    for wrong in (*BAD, 0, 366 * 86_400 + 1):
        with pytest.raises(BadInput, match=f"`{name}` must be a number of seconds above 0, at most 31622400; got "):
            Runner(sqlite_url, **{name: wrong})


async def test_the_time_for_a_cancellation_is_seconds_from_zero(sqlite_url: str) -> None:
    with Runner(sqlite_url) as runner:
        for wrong in BAD:
            with pytest.raises(BadInput, match="`timeout` must be a number of seconds from 0"):
                runner.cancel("thread", timeout=wrong)
            with pytest.raises(BadInput, match="`timeout` must be a number of seconds from 0"):
                await runner.acancel("thread", timeout=wrong)


@pytest.mark.parametrize("wrong", [one for one in BAD if one is not None] + [{"usd": 3}])
def test_a_budget_is_set_to_an_allowance(wrong: Any, sqlite_url: str) -> None:
    with Runner(sqlite_url) as runner, pytest.raises(BadInput, match="`cap` must be an Allowance"):
        runner.set_budget(wrong)


@pytest.mark.parametrize("wrong", [one for one in BAD if one is not None] + [0, "week"])
def test_a_window_is_one_that_exists(wrong: Any, sqlite_url: str) -> None:
    with Runner(sqlite_url) as runner, pytest.raises(BadInput, match="`window` must be one of minute, hour, day"):
        runner.set_budget(Allowance(tokens=1), window=wrong)
