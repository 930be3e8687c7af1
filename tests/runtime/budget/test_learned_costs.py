"""What attempts have cost: mean and spread, learned over runs."""

from __future__ import annotations

import json
from decimal import Decimal
from statistics import fmean, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.runtime.budget.cost_estimates import CostEstimator
from guardgraph.runtime.budget.learned_costs import LATEST, LearnedCosts, Statistic, expected_costs
from guardgraph.state import Amount, Usage
from guardgraph.storage.memory_values import MemoryValues


def statistic_of(values: list[float]) -> Statistic:
    found = Statistic()
    for value in values:
        found = Statistic(*json.loads(json.dumps(found.plus(value))))
    return found


@given(st.lists(st.floats(0, 1e7), min_size=2, max_size=LATEST))
def test_up_to_the_latest_it_is_the_plain_mean_and_deviation(values: list[float]) -> None:
    found = statistic_of(values)

    assert found.known == len(values)
    assert found.mean == pytest.approx(fmean(values), rel=1e-9, abs=1e-6)
    assert found.spread == pytest.approx(stdev(values), rel=1e-6, abs=1e-2)


def test_one_attempt_has_no_spread_and_equal_ones_have_none() -> None:
    assert statistic_of([5]).spread is None
    assert statistic_of([5, 5, 5]) == Statistic(3, 5, 0)


def test_after_a_change_the_mean_follows() -> None:
    found = statistic_of([100.0] * 1_000 + [900.0] * 3 * LATEST)

    assert 850 < found.mean < 900
    assert found.known == 1_000 + 3 * LATEST


def usage(tokens: int, usd: str | None = "0.5", calls: int = 1) -> Usage:
    return Usage(input_tokens=tokens, usd=None if usd is None else Decimal(usd), calls=calls)


def test_costs_are_learned_over_runs_by_agent_and_model() -> None:
    values = MemoryValues()
    for run in range(2):
        learned = LearnedCosts(values)
        learned.note("team/a", ["openai:big"], usage(100 + 200 * run, "0.1", calls=3))
        learned.note("team/a", ["openai:small"], usage(10, "0.01"))
        learned.note("team/b", ["x:y", "x:c"], usage(7, None))
        learned.note("team/c", [], Usage())
        assert len(learned.listed()) == 3 * run, "what is noted is stored at once"
        learned.store()
        learned.store()

    big, small, other = LearnedCosts(values).listed()
    assert (big.agent, big.model, big.runs, big.tokens, big.calls) == ("team/a", "openai:big", 2, 200, 3)
    assert big.spread == pytest.approx(stdev([100, 300]), abs=0.001)
    assert (big.usd, big.usd_spread) == (pytest.approx(0.1), pytest.approx(0))
    assert (small.runs, small.tokens, small.spread) == (2, 10, 0)
    assert (other.model, other.usd, other.usd_spread) == ("x:c, x:y", None, None)


def test_what_is_expected_is_the_mean_over_the_models_rounded_up() -> None:
    values = MemoryValues()
    learned = LearnedCosts(values)
    for tokens in (100, 101):
        learned.note("a", ["m"], usage(tokens, "0.1", calls=2))
    learned.note("a", ["n"], usage(1_000, "0.4"))
    learned.note("b", ["n"], usage(5, None))
    learned.note("b", ["m"], usage(5, "1"))
    learned.store()

    found = expected_costs(learned.listed())
    assert found["a"] == Amount(tokens=401, usd=Decimal("0.200000"), calls=2)
    assert found["b"].usd is None


def test_a_price_that_becomes_known_is_learned_from_then_on() -> None:
    learned = LearnedCosts(MemoryValues())
    for usd in ("1", None, "3"):
        learned.note("a", ["m"], usage(5, usd))
        learned.store()
        assert learned.listed()[0].usd == (None if usd is None else float(usd))


def test_what_cannot_be_stored_is_noted_still() -> None:
    class Broken(MemoryValues):
        is_broken = True

        def update(self, *args: Any, **options: Any) -> Any:
            if self.is_broken:
                raise OSError("full")
            return super().update(*args, **options)

    values = Broken()
    learned = LearnedCosts(values)
    learned.note("a", ["m"], usage(5))
    with pytest.raises(OSError, match="full"):
        learned.store()
    values.is_broken = False
    learned.store()

    assert learned.listed()[0].runs == 1


def test_the_process_expects_what_is_known_until_it_has_seen_its_own() -> None:
    costs = CostEstimator(known={"a": Amount(tokens=50)})

    assert costs.expected("a") == Amount(tokens=50)
    assert costs.expected("b") is None
    costs.learn("a", usage(10))
    assert costs.expected("a") == Amount(tokens=10, usd=Decimal("0.5"), calls=1)
