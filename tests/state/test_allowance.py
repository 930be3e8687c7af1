"""What may be spent only ever shrinks on its way down."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from guardgraph.state import Allowance, Usage

Step = Callable[[Allowance], Allowance]

COUNTS = st.none() | st.integers(min_value=0, max_value=10**40)
MONEY = st.none() | st.decimals(min_value=0, max_value=10**29, allow_nan=False, allow_infinity=False, places=50)
ALLOWANCES = st.builds(
    Allowance,
    tokens=COUNTS,
    usd=MONEY,
    calls=COUNTS,
    subtasks=COUNTS,
    messages=COUNTS,
    depth=COUNTS,
    deadline=st.none() | st.datetimes(timezones=st.just(UTC)),
)
FRACTIONS = st.floats(min_value=0, max_value=1, allow_nan=False)
USAGES = st.builds(
    Usage,
    input_tokens=st.integers(0, 10**40),
    output_tokens=st.integers(0, 10**40),
    usd=MONEY,
    calls=st.integers(0, 10**40),
)


def narrowing(other: Allowance) -> Step:
    return lambda allowance: allowance.narrow(other)


def sharing(fraction: float) -> Step:
    return lambda allowance: allowance.share(fraction)


def spending(usage: Usage) -> Step:
    return lambda allowance: allowance.minus(usage)


STEPS = st.one_of(ALLOWANCES.map(narrowing), FRACTIONS.map(sharing), USAGES.map(spending))


@given(ALLOWANCES, st.lists(STEPS, max_size=8))
def test_no_chain_of_steps_ever_widens_a_field(parent: Allowance, steps: list[Step]) -> None:
    def take(above: Allowance, step: Step) -> Allowance:
        below = step(above)
        assert below.within(above)
        return below

    child = reduce(take, steps, parent)

    assert child.within(parent)
    assert Allowance.model_validate(child.model_dump()) == child


@given(ALLOWANCES, ALLOWANCES)
def test_the_narrower_of_two_fits_within_both(first: Allowance, second: Allowance) -> None:
    both = first.narrow(second)

    assert both.within(first)
    assert both.within(second)
    assert both == second.narrow(first)


@given(ALLOWANCES, ALLOWANCES, ALLOWANCES)
def test_narrowing_does_not_depend_on_grouping(first: Allowance, second: Allowance, third: Allowance) -> None:
    assert first.narrow(second).narrow(third) == first.narrow(second.narrow(third))


@given(ALLOWANCES)
def test_narrowing_by_itself_or_by_no_limit_changes_nothing(allowance: Allowance) -> None:
    assert allowance.narrow(allowance) == allowance
    assert allowance.narrow(Allowance()) == allowance
    assert allowance.share(1) == allowance
    assert allowance.minus(Usage()) == allowance


@given(ALLOWANCES, USAGES, USAGES)
def test_spending_twice_is_spending_the_sum(allowance: Allowance, first: Usage, second: Usage) -> None:
    assert allowance.minus(first).minus(second) == allowance.minus(first + second)


@given(ALLOWANCES, st.integers(min_value=1, max_value=20))
def test_equal_shares_together_are_no_more_than_the_whole(allowance: Allowance, parts: int) -> None:
    share = allowance.share(1 / parts)

    assert allowance.tokens is None or (share.tokens or 0) * parts <= allowance.tokens * (1 + 1e-15)
    assert (share.tokens is None) == (allowance.tokens is None)


def test_a_share_rounds_down_and_leaves_depth_and_deadline() -> None:
    deadline = datetime(2030, 1, 1, tzinfo=UTC)
    whole = Allowance(tokens=101, usd=Decimal("2.00"), calls=3, subtasks=1, messages=9, depth=2, deadline=deadline)

    half = whole.share(0.5)

    assert half == Allowance(tokens=50, usd=Decimal(1), calls=1, subtasks=0, messages=4, depth=2, deadline=deadline)


def test_spending_stops_at_zero() -> None:
    left = Allowance(tokens=10, usd=Decimal(1), calls=1).minus(Usage(input_tokens=99, usd=Decimal(5), calls=7))

    assert left == Allowance(tokens=0, usd=Decimal(0), calls=0)


def test_an_unknown_price_leaves_no_money() -> None:
    assert Allowance(usd=Decimal(5)).minus(Usage(usd=None)).usd == 0
    assert Allowance().minus(Usage(usd=None)).usd is None


def test_no_limit_fits_only_within_no_limit() -> None:
    assert not Allowance().within(Allowance(tokens=1))
    assert Allowance(tokens=1).within(Allowance())
    assert Allowance(tokens=1).within(Allowance(tokens=1))
    assert not Allowance(tokens=2).within(Allowance(tokens=1))


@pytest.mark.parametrize(
    ("allowance", "metered"),
    [
        (Allowance(), False),
        (Allowance(depth=1, subtasks=1, messages=1), False),
        (Allowance(tokens=0), True),
        (Allowance(usd=Decimal(0)), True),
        (Allowance(calls=0), True),
    ],
)
def test_it_is_metered_when_tokens_money_or_calls_are_limited(allowance: Allowance, metered: bool) -> None:
    assert allowance.is_metered is metered


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_share_is_a_part_of_one(fraction: float) -> None:
    with pytest.raises(ValueError, match="`fraction` must be between 0 and 1, got"):
        Allowance(tokens=1).share(fraction)


@pytest.mark.parametrize("field", ["tokens", "usd", "calls", "subtasks", "messages", "depth"])
def test_no_limit_is_below_zero(field: str) -> None:
    assert getattr(Allowance.model_validate({field: 0}), field) == 0
    with pytest.raises(ValidationError, match=rf"(?s){field}.*greater than or equal to 0"):
        Allowance.model_validate({field: -1})


def test_a_deadline_has_a_time_zone() -> None:
    with pytest.raises(ValidationError, match="Input should have timezone info"):
        Allowance.model_validate({"deadline": "2030-01-01T00:00:00"})
