from __future__ import annotations

from decimal import Decimal, Inexact, getcontext, localcontext

import pytest

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
    ledger = MemoryLedger() if kind == "memory" else SQLLedger(engine_of("sqlite://"))
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
        starts = can_start("r/a", Amount(usd=price_in_full), above=[balance], flights={})
        said = bound_call(rooms, read=100, wanted=10**18, least=1)
        return [costs.expected("a"), costs.expected("third"), rooms[0].rest, starts, said]

    usual = seen()
    with localcontext(prec=4):
        assert seen() == usual
    third = costs.expected("third")
    assert third is not None
    assert third.usd == Decimal("0.3333333333333333333333333334")
