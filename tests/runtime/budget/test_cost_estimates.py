from __future__ import annotations

from decimal import Decimal

import pytest

from guardgraph.runtime.budget.cost_estimates import CostEstimator, InFlightAttempt, can_start
from guardgraph.state import Allowance, Amount, Balance, Usage


def balance(cap: int, spent: int = 0) -> Balance:
    return Balance("r", Allowance(tokens=cap), Amount(tokens=spent), Amount())


@pytest.mark.parametrize(("wanted", "starts"), [(99, True), (100, True), (101, False)])
def test_an_attempt_starts_if_what_is_left_pays_for_it(wanted: int, starts: bool) -> None:
    refusal = can_start("r/a", Amount(tokens=wanted), above=[balance(150, 50)], in_flight={})

    assert (refusal is None) is starts


@pytest.mark.parametrize(("spent", "starts"), [(0, False), (49, False), (50, True)])
def test_what_attempts_under_way_will_still_cost_is_kept_for_them(spent: int, starts: bool) -> None:
    in_flight = {"r/b": InFlightAttempt("r/b", Amount(tokens=100), Amount(tokens=spent))}

    refusal = can_start("r/a", Amount(tokens=100), above=[balance(200, 50)], in_flight=in_flight)

    assert (refusal is None) is starts
    assert refusal is None or refusal.retryable


def test_an_attempt_of_unknown_cost_starts_alone_and_waits_beside_others() -> None:
    in_flight = {"r/b": InFlightAttempt("r/b", Amount(), Amount())}

    assert can_start("r/a", None, above=[balance(100)], in_flight={}) is None
    refusal = can_start("r/a", None, above=[balance(100)], in_flight=in_flight)
    assert refusal is not None
    assert refusal.retryable


@pytest.mark.parametrize(("cap", "starts"), [(15_999, False), (16_000, True)])
def test_attempts_of_unknown_cost_are_each_presumed_to_need_8000_tokens(cap: int, starts: bool) -> None:
    in_flight = {"r/b": InFlightAttempt("r/b", None, Amount())}

    assert (can_start("r/a", None, above=[balance(cap)], in_flight=in_flight) is None) is starts


@pytest.mark.parametrize(("usd", "starts"), [("0.19", False), ("0.20", True)])
def test_attempts_of_unknown_cost_are_each_presumed_to_need_ten_cents(usd: str, starts: bool) -> None:
    limited = Balance("r", Allowance(usd=Decimal(usd)), Amount(), Amount())
    in_flight = {"r/b": InFlightAttempt("r/b", None, Amount())}

    assert (can_start("r/a", None, above=[limited], in_flight=in_flight) is None) is starts


def test_code_that_may_be_free_starts_when_all_is_spent() -> None:
    assert can_start("r/a", None, above=[balance(100, 100)], in_flight={}, may_be_free=True) is None
    assert can_start("r/a", None, above=[balance(100, 100)], in_flight={}) is not None
    assert can_start("r/a", Amount(), above=[balance(100, 100)], in_flight={}) is None


def test_costs_are_the_mean_of_what_attempts_have_cost_rounded_up() -> None:
    costs = CostEstimator()
    assert costs.expected("a") is None

    for tokens in (10, 11):
        costs.learn("a", Usage(input_tokens=tokens, calls=1))

    assert costs.expected("a") == Amount(tokens=11, calls=1)


def test_an_agent_that_called_no_model_is_expected_to_cost_nothing() -> None:
    costs = CostEstimator()
    costs.learn("a", Usage())

    assert costs.expected("a") == Amount()


@pytest.mark.parametrize(("counted", "read"), [(10, 80), (9, 80), (15, 120), (40, 90), (20, 160), (160, 360)])
def test_the_input_of_a_call_is_estimated_by_calls_of_its_size(counted: int, read: int) -> None:
    costs = CostEstimator()
    assert costs.input_of("a", counted) == counted

    costs.learn_call("a", counted=10, read=80, written=20)
    costs.learn_call("a", counted=40, read=90, written=10)

    assert costs.input_of("a", counted) == read


def test_the_largest_output_of_any_call_is_remembered() -> None:
    costs = CostEstimator()
    assert costs.largest_output("a") == 0

    for written in (20, 30, 10):
        costs.learn_call("a", counted=10, read=80, written=written)

    assert costs.largest_output("a") == 30
