"""A team spends what it may, and somebody hears of it before it is gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.guards import Budget, GuardContext, evaluate_guards
from guardgraph.state import Allowance, Amount, BadGraph, Balance, ReservationDenied, Usage, Verdict
from tests.guards.views import view_of_subtask, view_of_task

BUDGET = Budget(tokens=10**9)
"""One that judges; its own cap is narrowed into the allowance by others."""


def alert(limit: float, account: str = "") -> Verdict:
    return Verdict(guard="Budget", gate="dispatch", subject="s-1", action="alert", limit=limit, account=account)


def spending(used: int, *, of: int = 100, known: tuple[Verdict, ...] = ()) -> GuardContext:
    """Return a context in which `used` of `of` tokens are spent."""
    allowance, spent = Allowance(tokens=of), Usage(input_tokens=used)
    return view_of_subtask(
        allowance=allowance, remaining=Allowance(tokens=10**9), spent=spent, state={"verdicts": known}
    )


@pytest.mark.parametrize("what", ["tokens", "usd", "calls"])
@pytest.mark.parametrize(("left", "action"), [(9, "trip"), (10, "pass"), (11, "pass")])
def test_what_a_subtask_is_expected_to_cost_must_be_left(what: str, left: int, action: str) -> None:
    caps = Allowance.model_validate({what: left})
    costs: dict[str, Any] = {what: Decimal(10) if what == "usd" else 10}

    assert BUDGET(view_of_subtask(allowance=caps, remaining=caps, expected_cost=Amount(**costs))).action == action


@pytest.mark.parametrize(("left", "action"), [(0, "trip"), (1, "pass")])
def test_without_an_expectation_something_must_be_left(left: int, action: str) -> None:
    assert BUDGET(view_of_subtask(remaining=Allowance(tokens=left))).action == action


def test_a_trip_says_what_is_left_and_what_is_needed() -> None:
    verdict = BUDGET(
        view_of_subtask(remaining=Allowance(usd=Decimal("0.10")), expected_cost=Amount(usd=Decimal("0.25")))
    )

    assert verdict.reason == "0.10 usd left, 0.25 needed"
    assert (verdict.measured, verdict.limit) == ("0.10", "0.25")
    assert BUDGET(view_of_subtask(remaining=Allowance(calls=0))).reason == "no calls left"


def test_a_small_amount_of_money_is_written_as_people_write_it() -> None:
    verdict = BUDGET(
        view_of_subtask(remaining=Allowance(usd=Decimal("3E-7")), expected_cost=Amount(usd=Decimal("0.25")))
    )

    assert verdict.reason == "0.0000003 usd left, 0.25 needed"
    assert str(ReservationDenied("run", "usd", Decimal("0.25"), Decimal("3E-7"))) == "0.25 usd wanted, 0.0000003 left"


def test_money_is_compared_exactly() -> None:
    left, expects = Allowance(usd=Decimal("0.3")), Amount(usd=Decimal("0.1") + Decimal("0.2"))

    assert BUDGET(view_of_subtask(remaining=left, expected_cost=expects)).action == "pass"


@pytest.mark.parametrize("usd", [Decimal("1.00"), Decimal(0)])
def test_an_unknown_price_does_not_pass_where_money_is_limited(usd: Decimal) -> None:
    verdict = Budget(usd="1")(view_of_subtask(remaining=Allowance(usd=usd), expected_cost=Amount(tokens=5, usd=None)))

    assert verdict.action == "trip"
    assert verdict.reason.startswith("the price of what it needs is unknown")


def test_an_unknown_price_passes_where_only_tokens_are_limited() -> None:
    context = view_of_subtask(
        remaining=Allowance(tokens=5), expected_cost=Amount(tokens=5, usd=None), spent=Usage(usd=None)
    )

    assert Budget(tokens=5)(context).action == "pass"


def test_what_was_spent_at_an_unknown_price_leaves_no_money() -> None:
    allowance, spent = Allowance(usd=Decimal(5)), Usage(usd=None)

    assert BUDGET(view_of_subtask(allowance=allowance, remaining=allowance.minus(spent), spent=spent)).action == "trip"


@pytest.mark.parametrize("budget", [Budget(tokens=0), Budget(usd=0), Budget(usd="0.00"), Budget(calls=0)])
def test_a_budget_of_nothing_stops_before_anything(budget: Budget) -> None:
    allowance = budget.narrow(view_of_task())

    assert budget(view_of_task(allowance=allowance, remaining=allowance)).action == "trip"


def test_no_budget_never_trips() -> None:
    assert BUDGET(view_of_subtask(expected_cost=Amount(tokens=10**9), spent=Usage(input_tokens=10**9))).action == "pass"


@pytest.mark.parametrize(
    ("used", "mark"), [(49, None), (50, 0.5), (51, 0.5), (79, 0.5), (80, 0.8), (99, 0.8), (100, 1.0), (140, 1.0)]
)
def test_alerts_come_at_half_at_four_fifths_and_at_the_whole(used: int, mark: float | None) -> None:
    verdict = BUDGET(spending(used))

    assert (verdict.action, verdict.limit) == (("alert", mark) if mark else ("pass", None))
    assert verdict.measured == used / 100


def test_an_alert_says_how_much_is_spent() -> None:
    assert BUDGET(spending(80)).reason == "80% of the budget is spent"


@pytest.mark.parametrize(("used", "of"), [("0.08", "0.1"), ("0.56", "0.7"), ("2.4", "3")])
def test_marks_are_met_exactly(used: str, of: str) -> None:
    allowance, spent = Allowance(usd=Decimal(of)), Usage(usd=Decimal(used))

    assert BUDGET(view_of_subtask(allowance=allowance, remaining=allowance.minus(spent), spent=spent)).limit == 0.8


def test_the_cap_that_is_nearest_to_its_end_counts() -> None:
    allowance = Allowance(tokens=100, usd=Decimal(10), calls=10)
    spent = Usage(input_tokens=10, usd=Decimal(1), calls=8)

    verdict = BUDGET(view_of_subtask(allowance=allowance, remaining=allowance.minus(spent), spent=spent))

    assert (verdict.action, verdict.limit) == ("alert", 0.8)


@given(st.lists(st.integers(0, 120), max_size=30).map(sorted))
def test_however_it_is_spent_each_mark_is_said_at_most_once_and_only_when_it_is_passed(course: list[int]) -> None:
    known: tuple[Verdict, ...] = ()
    for used in course:
        known += evaluate_guards([BUDGET], spending(used, known=known)).alerts
    marks = [mark for mark in (0.5, 0.8, 1.0) for alert in known if alert.limit == mark]

    assert [alert.limit for alert in known] == marks == sorted(set(marks))
    assert bool(marks) == any(used >= 50 for used in course)


def test_alerts_of_other_guards_do_not_silence_it() -> None:
    other = Verdict(guard="Other", gate="dispatch", subject="s-1", action="alert", limit=1.0)
    trip = Verdict(guard="Budget", gate="dispatch", subject="s-1", action="trip", limit="100")

    assert BUDGET(spending(60, known=(other, trip))).action == "alert"


def account(name: str, used: int, **facts: Any) -> Balance:
    return Balance(name, Allowance(tokens=100), Amount(tokens=used), Amount(tokens=0), **facts)


@pytest.mark.parametrize(("known", "action"), [(alert(0.5), "alert"), (alert(0.8), "pass")])
def test_a_threshold_that_the_state_knows_is_not_emitted_again(known: Verdict, action: str) -> None:
    beside = alert(1.0, "agent 'b'")

    assert BUDGET(spending(85, known=(known, beside))).action == action


@pytest.mark.parametrize(("alerted", "action"), [(0.5, "alert"), (0.8, "pass")])
def test_a_threshold_that_the_ledger_knows_of_the_account_is_not_emitted_again(alerted: float, action: str) -> None:
    balances = (account("run/other", 0, alerted=1.0), account("run", 85, alerted=alerted))
    context = replace(spending(85), account="run", balances=balances)

    assert BUDGET(context).action == action


def test_accounts_beside_the_run_are_those_of_its_own_kind() -> None:
    accounts = (account("a", 40, kind="agent", label="agent 'a'"), account("b", 99, kind="tenant@day", label="today"))
    context = view_of_subtask(balances=accounts)

    assert (Budget(tokens=100, per="agent").alert(context).action, Budget(tokens=100).alert(context).action) == (
        "pass",
        "pass",
    )
    assert Budget(tokens=100, per="agent").alert(context).measured == 0.4
    assert Budget(tokens=100, per="task").alert(context).measured == 0
    found = Budget(tokens=100, per="tenant", window="day").alert(context)
    assert (found.action, found.limit, found.account) == ("alert", 0.8, "today")
    assert found.reason == "99% of the budget of today is spent"


def test_what_is_spent_is_measured_to_four_digits() -> None:
    assert BUDGET(spending(1, of=3)).measured == 0.3333
    assert BUDGET(spending(2, of=3)).measured == 0.6667


@pytest.mark.parametrize("window", [timedelta(seconds=1), timedelta(days=366), "minute", "hour", "day", "month"])
def test_windows_are_whole_seconds_up_to_a_year_or_those_of_a_calendar(window: Any) -> None:
    assert Budget(calls=1, window=window).window == window


@pytest.mark.parametrize(
    "window", [timedelta(0), timedelta(seconds=1.5), timedelta(days=366, seconds=1), timedelta(seconds=-5), "week", 60]
)
def test_other_windows_are_refused(window: Any) -> None:
    with pytest.raises(BadGraph, match="`window` must be"):
        Budget(calls=1, window=window)


def test_the_largest_cap() -> None:
    assert Budget(tokens=10**18).tokens == 10**18
    with pytest.raises(BadGraph, match="at most"):
        Budget(tokens=10**18 + 1)


def test_narrows_the_allowance_to_its_caps() -> None:
    assert Budget(tokens=0).narrow(view_of_task()) == Allowance(tokens=0)
    caps = Budget(usd="2.00", tokens=5, calls=6).narrow(view_of_task())
    assert caps == Allowance(usd=Decimal("2.00"), tokens=5, calls=6)
    assert str(caps.usd) == "2.00"


@pytest.mark.parametrize(
    ("caps", "message"),
    [
        ({}, "a Budget caps something: give `usd`, `tokens` or `calls`"),
        ({"usd": [1]}, r"`usd` must be Decimal \| str \| int \| None, got list"),
        ({"tokens": "400k"}, r"`tokens` must be int \| None, got '400k'"),
        ({"usd": "two"}, "`usd` must be a number, got 'two'"),
        ({"usd": ""}, "`usd` must be a number, got ''"),
        ({"usd": "1e40"}, "`usd` must be at most 1e\\+18, got '1e40'; `None` sets no cap"),
        ({"usd": "-0.01"}, "`usd` must not be negative, got '-0.01'"),
        ({"usd": Decimal("NaN")}, "`usd` must be finite, got Decimal"),
        ({"usd": "Infinity"}, "`usd` must be finite, got 'Infinity'; `None` sets no cap"),
        ({"tokens": -1}, "`tokens` must not be negative, got -1"),
        ({"calls": -1}, "`calls` must not be negative, got -1"),
        ({"tokens": 1.5}, r"`tokens` must be int \| None, got 1.5"),
        ({"calls": 1, "reserve": -0.1}, "`reserve` must be from 0 to below 1, got -0.1"),
        ({"calls": 1, "reserve": 1}, "`reserve` must be from 0 to below 1, got 1"),
        ({"calls": 1, "reserve": float("nan")}, "`reserve` must be from 0 to below 1, got nan"),
    ],
)
def test_what_is_no_budget_is_refused(caps: dict[str, Any], message: str) -> None:
    with pytest.raises(BadGraph, match=message):
        Budget(**caps)


@pytest.mark.parametrize(("wrong", "text"), [(0.5, "0.5"), (2.0, "2.0"), (1e-7, "0.0000001")])
def test_a_float_is_answered_with_the_text_to_write(wrong: Any, text: str) -> None:
    with pytest.raises(BadGraph, match=rf"`usd` must not be a float, .*: write usd='{text}'$"):
        Budget(usd=wrong)


@pytest.mark.parametrize("reserve", [0, 0.2, 0.999])
def test_a_reserve_is_a_part(reserve: float) -> None:
    assert Budget(calls=1, reserve=reserve).reserve == reserve
