"""What is spent is counted exactly."""

from __future__ import annotations

from decimal import Decimal, Inexact, getcontext, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from guardgraph.models.prices import price_of
from guardgraph.runtime.budget.call_bounds import bound_call, headrooms
from guardgraph.runtime.budget.cost_estimates import CostEstimator, can_start
from guardgraph.state import Allowance, Amount, Balance, Usage, exact_decimal, remaining_allowance
from guardgraph.storage import MemoryLedger, SQLLedger
from guardgraph.storage.sql.engine import engine_of

LONG = Decimal("123456789.0123456789012345678901234567890123456789")
CENT = Decimal("0.01")


def test_money_is_counted_exactly_and_the_context_of_the_thread_stays() -> None:
    @exact_decimal
    def summed(*parts: Decimal) -> Decimal:
        return sum(parts, Decimal(0))

    with localcontext(prec=4) as mine:
        assert summed(LONG, CENT) == Decimal("123456789.0223456789012345678901234567890123456789")
        assert getcontext() is mine
        assert mine.prec == 4


@pytest.mark.parametrize("kind", ["memory", "sql"])
def test_no_context_lets_books_overspend(kind: str) -> None:
    ledger = MemoryLedger() if kind == "memory" else SQLLedger(engine_of("sqlite://"), tenant="")
    epoch = ledger.open("r", Allowance(usd=Decimal(100)))
    with localcontext(prec=4) as mine:
        mine.traps[Inexact] = False
        assert ledger.reserve("most", "r", epoch, Amount(usd=Decimal("99.9"))) is None
        ledger.settle("most", None)
        accepted = [ledger.reserve(f"{n}", "r", epoch, Amount(usd=Decimal("0.004"))) is None for n in range(50)]
        for number in range(50):
            ledger.settle(f"{number}", None)
        left = remaining_allowance(ledger.balances("r")).usd
        total = ledger.usage("r").usd

    if isinstance(ledger, SQLLedger):
        ledger.engine.dispose()
    assert accepted.count(True) == 25
    assert (total, left) == (Decimal("100.000"), Decimal(0))


def test_estimates_do_not_depend_on_the_context_either() -> None:
    costs = CostEstimator()
    for usd in ("0.1", "0.2"):
        costs.learn("a", Usage(usd=Decimal(usd), calls=1))
    costs.learn("third", Usage(usd=Decimal(1)))
    for _ in range(2):
        costs.learn("third", Usage())
    price = price_of("openai", "gpt-5-mini")
    balance = Balance("r", Allowance(usd=LONG), Amount(usd=CENT), Amount())
    price_in_full = LONG - CENT

    def seen() -> list[object]:
        rooms = headrooms([balance], price, sharers=lambda _: 3)
        starts = can_start("r/a", Amount(usd=price_in_full), above=[balance], in_flight={})
        said = bound_call(rooms, read=100, wanted=10**18, least=1)
        return [costs.expected("a"), costs.expected("third"), rooms[0].rest, starts, said]

    usual = seen()
    with localcontext(prec=4):
        assert seen() == usual
    third = costs.expected("third")
    assert third is not None
    assert third.usd == Decimal("0.3333333333333333333333333334")


COUNTS = st.integers(min_value=0, max_value=10**20)
MONEY = st.one_of(
    st.sampled_from(["0", "1E+29", "1E-60", "0.000000000000000000000000000000123456789"]).map(Decimal),
    st.decimals(min_value=0, max_value=10**12, places=30, allow_nan=False, allow_infinity=False),
)
KNOWN = st.builds(Usage, input_tokens=COUNTS, output_tokens=COUNTS, usd=MONEY, calls=COUNTS, microseconds=COUNTS)
UNKNOWN = KNOWN.map(lambda usage: usage.model_copy(update={"usd": None}))
USAGES = KNOWN | UNKNOWN


@given(USAGES, USAGES, USAGES)
def test_sums_do_not_depend_on_how_they_are_grouped(first: Usage, second: Usage, third: Usage) -> None:
    assert (first + second) + third == first + (second + third)


@given(USAGES, USAGES)
def test_sums_do_not_depend_on_order(first: Usage, second: Usage) -> None:
    assert first + second == second + first


@given(USAGES)
def test_nothing_spent_changes_no_sum(usage: Usage) -> None:
    assert usage + Usage() == usage
    assert Usage() + usage == usage


@given(st.lists(USAGES, max_size=8).flatmap(st.permutations))
def test_a_total_is_the_sum_of_its_fields(usages: list[Usage]) -> None:
    total = Usage.total(usages)

    assert total.tokens == sum(usage.tokens for usage in usages)
    assert total.calls == sum(usage.calls for usage in usages)
    assert total.microseconds == sum(usage.microseconds for usage in usages)


@given(st.lists(KNOWN, max_size=6), UNKNOWN, st.lists(USAGES, max_size=6))
def test_one_unknown_price_makes_every_sum_unknown(before: list[Usage], unknown: Usage, after: list[Usage]) -> None:
    assert Usage.total([*before, unknown, *after]).usd is None


@given(st.lists(KNOWN, max_size=6))
def test_known_prices_never_become_unknown(usages: list[Usage]) -> None:
    assert Usage.total(usages).usd is not None


@given(USAGES, USAGES)
def test_a_sum_is_as_valid_as_its_parts(first: Usage, second: Usage) -> None:
    total = first + second

    assert Usage.model_validate(total.model_dump()) == total


def test_small_prices_are_not_lost_beside_large_ones() -> None:
    cent = Usage(usd=Decimal("1E-50"))

    assert (Usage(usd=Decimal("1E+20")) + cent).usd == Decimal("100000000000000000000." + "0" * 49 + "1")


def test_nothing_spent_costs_nothing_and_is_known() -> None:
    assert Usage.total([]) == Usage()
    assert Usage().usd == 0
    assert Usage().tokens == 0


def test_tokens_and_seconds_are_derived() -> None:
    usage = Usage(input_tokens=30, output_tokens=12, microseconds=1_500_000)

    assert usage.tokens == 42
    assert usage.seconds == 1.5


@pytest.mark.parametrize("field", ["input_tokens", "output_tokens", "usd", "calls", "microseconds"])
def test_what_was_spent_is_never_negative(field: str) -> None:
    with pytest.raises(ValidationError, match=rf"(?s){field}.*greater than or equal to 0"):
        Usage.model_validate({field: -1})


@pytest.mark.parametrize(
    ("usd", "problem"),
    [
        ("NaN", "finite number"),
        ("Infinity", "finite number"),
        ("1E-61", "no more than 60 decimal places"),
        ("1E+30", "no more than 30 digits before the decimal point"),
    ],
)
def test_money_that_could_not_be_added_exactly_is_refused(usd: str, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Usage(usd=Decimal(usd))
