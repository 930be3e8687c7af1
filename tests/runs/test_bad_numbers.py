"""What a `Runner` is given: what makes no sense is refused, and the error names the argument."""

from __future__ import annotations

from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest

from guardgraph.agents import RateLimit
from guardgraph.runs import Runner
from guardgraph.state import Allowance, BadInput
from guardgraph.storage import SQLSaver

BAD: list[Any] = [-1, -0.5, nan, inf, -inf, True, "3", "", None, 10**400, Decimal("NaN"), [], {}, object]


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
        given: dict[str, Any] = {name: wrong}
        with pytest.raises(BadInput, match=f"`{name}` must be a number of seconds above 0, at most 31622400; got "):
            Runner(sqlite_url, **given)


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


@pytest.mark.parametrize("wrong", ["", " ", "\t"])
def test_a_tenant_and_a_thread_have_a_name(wrong: str, sqlite_url: str) -> None:
    with pytest.raises(BadInput, match=r"`tenant` is empty, got .*; leave it out"):
        Runner(sqlite_url, tenant=wrong)
    with pytest.raises(BadInput, match="`tenant` is empty"):
        SQLSaver.from_url(sqlite_url, tenant=wrong)
    with Runner(sqlite_url) as runner, pytest.raises(BadInput, match="`thread_id` is empty"):
        runner.set_budget(Allowance(tokens=1), thread_id=wrong)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("opnai", "openai"), ("OpenAI", "openai"), ("antropic:claude", "anthropic"), ("groqq", "groq")],
)
def test_a_mistyped_provider_is_refused_with_the_nearest_one(name: str, nearest: str, sqlite_url: str) -> None:
    with pytest.raises(BadInput, match=rf"`rate_limits` names a provider that is not known; .*'{nearest}'.*; got "):
        Runner(sqlite_url, rate_limits={name: RateLimit(1)})


@pytest.mark.parametrize("name", ["openai", "mistralai:mistral-large", "inhouse", "my-gateway:large"])
def test_other_providers_are_taken(name: str, sqlite_url: str) -> None:
    Runner(sqlite_url, rate_limits={name: RateLimit(1)}).close()
