from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from guardgraph.models.prices import price_of
from guardgraph.runtime.budget.call_reservation import (
    Call,
    bound_of,
    cost_of,
    generations_of,
    names_of,
    risk_of,
    schema_tokens,
)
from guardgraph.runtime.budget.cost_estimates import CostEstimator
from guardgraph.runtime.budget.open_calls import Risk
from guardgraph.runtime.budget.reported_usage import CACHED, UsageReport
from guardgraph.state import Amount, Usage

MINI = price_of("openai", "gpt-5-mini")


def call(*, is_bounded: bool = True, priced: bool = False) -> Call:
    return Call(
        account="r/a",
        role="a",
        entry="e",
        counted=100,
        read=100,
        provider="openai" if priced else None,
        model="gpt-5-mini" if priced else None,
        price=MINI if priced else None,
        is_bounded=is_bounded,
    )


def test_without_observations_the_risk_of_a_call_is_unknown() -> None:
    assert risk_of(call(), 120, costs=CostEstimator(), declared=None) == Risk("r/a", None, None)
    assert risk_of(call(), 120, costs=CostEstimator(), declared=Amount()) == Risk("r/a", None, None)


@pytest.mark.parametrize(
    ("declared", "is_bounded", "more"), [(50, True, 700), (50, False, 840), (1_000, True, 880), (821, True, 701)]
)
def test_with_a_declared_cost_it_is_eight_times_the_reservation_and_what_is_declared(
    declared: int, is_bounded: bool, more: int
) -> None:
    found = risk_of(call(is_bounded=is_bounded), 120, costs=CostEstimator(), declared=Amount(tokens=declared))

    assert found.tokens == more


@pytest.mark.parametrize(("times", "more"), [(1, 700), (2, 350), (7, 100), (700, 1)])
def test_the_more_calls_of_its_size_were_measured_the_less_it_may_take(times: int, more: int) -> None:
    costs = CostEstimator()
    for _ in range(times):
        costs.learn_call("a", counted=100, read=100, written=20)

    assert risk_of(call(), 120, costs=costs, declared=Amount(tokens=10_000)).tokens == more


def test_a_call_of_another_size_is_taken_as_the_first_after_one() -> None:
    costs = CostEstimator()
    for _ in range(9):
        costs.learn_call("a", counted=1_000, read=1_000, written=20)

    assert risk_of(call(), 120, costs=costs, declared=None).tokens == 700


def test_money_may_be_taken_for_more_tokens_and_for_dearer_ones() -> None:
    costs = CostEstimator()
    assert MINI is not None
    cost_of(call(priced=True), UsageReport(100, 0, {"cache_read_tokens": 50}, None), costs=costs)
    assert costs.price_factor("a") == 1
    costs.learn_call("a", counted=100, read=100, written=0, price_factor=Decimal("1.25"))
    for _ in range(5):
        costs.learn_call("a", counted=100, read=100, written=0)

    found = risk_of(call(priced=True), 120, costs=costs, declared=None)

    assert found == Risk("r/a", 100, MINI.usd(200, 20) * Decimal("1.25") - MINI.usd(100, 20))


def test_what_a_call_cost_is_what_it_reports_and_none_where_it_reports_nothing() -> None:
    costs = CostEstimator()

    assert cost_of(call(), None, costs=costs) is None
    assert costs.has_measured("a", 100)
    assert cost_of(call(), CACHED, costs=CostEstimator()) == Usage(calls=1)
    assert cost_of(call(), UsageReport(80, 20, {}, None), costs=costs) == Usage(
        input_tokens=80, output_tokens=20, usd=None, calls=1
    )


@pytest.mark.parametrize(
    ("facts", "bound", "generations"),
    [
        ({}, None, 1),
        ({"max_tokens": 20}, 20, 1),
        ({"max_tokens": 20, "n": 3}, 60, 3),
        ({"max_output_tokens": 20, "candidate_count": 2}, 40, 2),
        ({"max_tokens": None, "n": 0}, None, 1),
        pytest.param({"num_predict": -1}, None, 1, id="Ollama: without end"),
        pytest.param({"num_predict": -2, "max_tokens": 20}, 20, 1, id="another bound holds"),
        pytest.param({"max_tokens": 2**63 - 1}, None, 1, id="the largest integer"),
        pytest.param({"max_tokens": 0}, None, 1, id="zero"),
        pytest.param({"max_tokens": True}, None, 1, id="no number"),
    ],
)
def test_the_bound_is_that_of_all_generations(facts: dict[str, Any], bound: int | None, generations: int) -> None:
    assert (bound_of(facts), generations_of(facts)) == (bound, generations)


def test_names_and_schemas_come_from_the_facts_of_a_call() -> None:
    assert names_of({"ls_provider": "openai", "ls_model_name": ""}) == ("openai", None)
    assert schema_tokens({"tools": ["x" * 396], "response_format": "x" * 40}) == 110
