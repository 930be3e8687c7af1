from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.runtime.budget.open_calls import InFlight, Risk, held_back
from guardgraph.state import Allowance, Amount, Balance, ReservationDenied


def above(cap: int, *, spent: int = 0, held: int = 0) -> list[Balance]:
    return [Balance("r", Allowance(tokens=cap), Amount(spent), Amount(held))]


def risks(*tokens: int | None) -> list[Risk]:
    return [Risk(f"r/a{number}", more) for number, more in enumerate(tokens)]


@pytest.mark.parametrize(
    ("mine", "others", "free", "begins"),
    [
        pytest.param(None, [], 10, True, id="alone"),
        pytest.param(None, [0, 0], 10, True, id="one unknown"),
        pytest.param(None, [None], 10**9, False, id="two unknown"),
        pytest.param(0, [None], 10, True, id="a certain one beside an unknown one"),
        pytest.param(7, [None], 16, False, id="an uncertain one beside an unknown one"),
        pytest.param(7, [None], 17, True, id="which what is left pays for"),
        pytest.param(7, [5, 3], 17, False, id="all but the largest have to fit"),
        pytest.param(7, [5, 3], 18, True, id="and fit"),
    ],
)
def test_a_call_begins_where_all_in_flight_but_one_may_take_the_worst(
    mine: int | None, others: list[int | None], free: int, begins: bool
) -> None:
    denied = held_back(Risk("r/mine", mine), risks(*others), above(100 + free, spent=60, held=40), tokens=10, usd=_NONE)

    assert denied == (None if begins else ReservationDenied("r", "tokens", 10, free, retryable=True))


_NONE = Decimal(0)


def test_money_is_looked_at_like_tokens() -> None:
    balance = [Balance("r", Allowance(usd=Decimal("1.00")), Amount(), Amount())]
    others = [Risk("r/a", 0, Decimal("0.60")), Risk("r/b", 0, Decimal("0.50"))]

    denied = held_back(Risk("r/c", 0, Decimal("0.10")), others, balance, tokens=10, usd=Decimal("0.50"))

    assert denied == ReservationDenied("r", "usd", Decimal("0.50"), Decimal("1.00"), retryable=True)


def test_calls_under_other_accounts_and_accounts_without_a_limit_hold_no_call_back() -> None:
    free = [Balance("r", Allowance(calls=9), Amount(), Amount()), *above(100)]
    elsewhere = [Risk("other/a", None), Risk("rx/a", None)]

    assert held_back(Risk("r/mine", None), elsewhere, free, tokens=10, usd=_NONE) is None


some_calls = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 200), st.floats(0, 1)), max_size=12)


@given(some_calls, st.integers(1, 600))
def test_what_is_let_through_overshoots_by_no_more_than_one_call(found: list[tuple[int, int, float]], cap: int) -> None:
    begun: list[tuple[int, Risk]] = []
    taken: list[int] = []
    for number, (reserved, more, part) in enumerate(found):
        risk, held = Risk(f"r/{number}", more), sum(tokens for tokens, _ in begun)
        fits = held + reserved <= cap
        beside = [one for _, one in begun]
        if fits and held_back(risk, beside, above(cap, held=held), tokens=reserved, usd=_NONE) is None:
            begun.append((reserved, risk))
            taken.append(reserved + int(more * part))

    assert sum(taken) <= cap + max(taken, default=0)


def test_calls_are_forgotten_when_they_end_when_their_attempt_has_ended_and_after_a_while() -> None:
    calls = InFlight()
    for entry, account in (("1", "r/a"), ("2", "r/a"), ("3", "r/b"), ("4", "r/ab")):
        calls.add(entry, Risk(account, 1))

    calls.remove("1")
    calls.remove("1")
    calls.remove_attempt("r/a")
    assert calls.risks() == [Risk("r/b", 1), Risk("r/ab", 1)]

    expired = InFlight(timeout=0)
    expired.add("1", Risk("r/a", None))
    assert expired.risks() == []
