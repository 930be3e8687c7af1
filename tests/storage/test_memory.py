"""What every ledger promises: the same tests for the one in memory and the one in a SQL database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from guardgraph.state import (
    Allowance,
    Amount,
    Balance,
    ReservationDenied,
    Usage,
    account_chain,
    check_caps,
    full_usage,
    remaining_allowance,
)
from guardgraph.storage import Ledger, MemoryLedger, SQLLedger
from guardgraph.storage.sql.engine import engine_of
from guardgraph.storage.sql.ledger.run_ledger import RunLedger
from tests.storage.sql.conftest import postgres_url as postgres_url
from tests.storage.sql.conftest import sqlite_url as sqlite_url

USD = Decimal("0.01")
CALL = Amount(tokens=100, usd=USD, calls=1)


@pytest.fixture(params=["memory", "sqlite", "postgres", "run in sqlite", "run in postgres"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    if request.param == "memory":
        yield MemoryLedger()
        return
    engine = engine_of(request.getfixturevalue(f"{request.param.rpartition(' ')[2]}_url"))
    yield (
        RunLedger(engine, "r", is_new=True, tenant="")
        if request.param.startswith("run")
        else SQLLedger(engine, tenant="")
    )
    engine.dispose()


def balance_of(ledger: Ledger, account: str) -> Balance:
    return ledger.balances(account)[-1]


@pytest.mark.parametrize(("wanted", "fits"), [(99, True), (100, True), (101, False)])
def test_a_spending_fits_up_to_the_cap(ledger: Ledger, wanted: int, fits: bool) -> None:
    epoch = ledger.open("r", Allowance(tokens=100))

    refusal = ledger.reserve("e", "r", epoch, Amount(tokens=wanted))

    assert refusal == (None if fits else ReservationDenied("r", "tokens", wanted, 100, retryable=False))
    assert balance_of(ledger, "r").reserved.tokens == (wanted if fits else 0)


@pytest.mark.parametrize(
    ("what", "cap", "amount"),
    [
        ("tokens", Allowance(tokens=5), Amount(tokens=3)),
        ("usd", Allowance(usd=Decimal(5)), Amount(usd=Decimal(3))),
        ("calls", Allowance(calls=5), Amount(calls=3)),
        ("subtasks", Allowance(subtasks=5), Amount(subtasks=3)),
        ("messages", Allowance(messages=5), Amount(messages=3)),
    ],
)
def test_everything_that_is_counted_is_capped(ledger: Ledger, what: str, cap: Allowance, amount: Amount) -> None:
    epoch = ledger.open("r", cap)

    assert ledger.reserve("e1", "r", epoch, amount) is None
    assert ledger.reserve("e2", "r", epoch, amount) == ReservationDenied("r", what, 3, 2, retryable=True)


def test_a_spending_counts_in_every_account_above(ledger: Ledger) -> None:
    for name in ("r", "r/work", "r/work/a", "r/work/b"):
        ledger.open(name, Allowance())

    ledger.reserve("e", "r/work/a", 1, CALL)

    assert [balance.reserved.tokens for balance in ledger.balances("r/work/a")] == [100, 100, 100]
    ledger.settle("e", Usage(input_tokens=30, output_tokens=20, usd=USD / 2, calls=1, microseconds=7))
    assert [balance.spent.tokens for balance in ledger.balances("r/work/a")] == [50, 50, 50]
    assert [balance.reserved for balance in ledger.balances("r/work/a")] == [Amount()] * 3
    assert ledger.usage("r") == Usage(input_tokens=30, output_tokens=20, usd=USD / 2, calls=1, microseconds=7)
    assert ledger.usage("r/work/b") == Usage()


def test_the_outermost_account_that_has_too_little_is_named_and_nothing_is_booked(ledger: Ledger) -> None:
    ledger.open("r", Allowance(tokens=1000))
    ledger.open("r/work", Allowance(tokens=150))
    ledger.open("r/work/a", Allowance(tokens=120))
    ledger.reserve("e1", "r/work/a", 1, CALL)

    refusal = ledger.reserve("e2", "r/work/a", 1, CALL)

    assert refusal == ReservationDenied("r/work", "tokens", 100, 50, retryable=True)
    assert str(refusal) == "100 tokens wanted, 50 left"
    assert [balance.reserved.tokens for balance in ledger.balances("r/work/a")] == [100, 100, 100]


def test_a_spending_waits_only_for_what_may_come_back(ledger: Ledger) -> None:
    ledger.open("r", Allowance(tokens=150))
    ledger.reserve("e1", "r", 1, CALL)
    ledger.settle("e1", Usage(input_tokens=100, calls=1))

    assert ledger.reserve("e2", "r", 1, CALL) == ReservationDenied("r", "tokens", 100, 50, retryable=False)


def test_a_repeated_entry_books_nothing_also_when_nothing_more_would_fit(ledger: Ledger) -> None:
    ledger.open("r", Allowance(tokens=100))
    ledger.reserve("e", "r", 1, CALL)

    assert ledger.reserve("e", "r", 1, CALL) is None
    assert balance_of(ledger, "r").reserved == CALL
    ledger.settle("e", Usage(calls=1))
    assert ledger.reserve("e", "r", 1, CALL) is None
    assert balance_of(ledger, "r").reserved == Amount()


def test_a_second_settlement_and_an_unknown_entry_change_nothing(ledger: Ledger) -> None:
    ledger.open("r", Allowance())
    ledger.reserve("e", "r", 1, CALL)
    ledger.settle("e", Usage(input_tokens=10, calls=1))

    ledger.settle("e", Usage(input_tokens=99, calls=9))
    ledger.settle("never booked", None)

    assert ledger.usage("r") == Usage(input_tokens=10, calls=1)


def test_subtasks_and_messages_are_spent_as_they_were_reserved(ledger: Ledger) -> None:
    ledger.open("r", Allowance())
    ledger.reserve("e", "r", 1, Amount(subtasks=2, messages=3))

    ledger.settle("e", Usage())

    assert balance_of(ledger, "r").spent == Amount(subtasks=2, messages=3)


def test_a_call_may_turn_out_dearer_than_it_was_reserved(ledger: Ledger) -> None:
    ledger.open("r", Allowance(tokens=100))
    ledger.reserve("e", "r", 1, CALL)

    ledger.settle("e", Usage(input_tokens=130, calls=1))

    assert remaining_allowance(ledger.balances("r")).tokens == 0
    assert ledger.reserve("e2", "r", 1, Amount(tokens=1)) == ReservationDenied("r", "tokens", 1, 0, retryable=False)
    assert ledger.reserve("e3", "r", 1, Amount(subtasks=1)) is None


def test_closing_settles_in_full_and_refuses_what_comes_later(ledger: Ledger) -> None:
    ledger.open("r", Allowance())
    ledger.open("r/a", Allowance())
    ledger.reserve("above", "r", 1, CALL)
    ledger.reserve("own", "r/a", 1, CALL)

    ledger.close("r/a", 1)

    assert ledger.usage("r/a") == Usage(input_tokens=100, usd=USD, calls=1) == full_usage(CALL)
    assert balance_of(ledger, "r").reserved == CALL
    assert ledger.reserve("late", "r/a", 1, CALL) == ReservationDenied("r/a", "closed")
    ledger.settle("own", Usage())
    assert ledger.usage("r").tokens == 100


def test_what_stands_below_a_closed_account_books_nothing_until_that_is_opened_again(ledger: Ledger) -> None:
    for name in ("r", "r/a", "r/a/team/leaf"):
        ledger.open(name, Allowance())

    ledger.close("r/a", 1)

    assert ledger.reserve("late", "r/a/team/leaf", 1, CALL) == ReservationDenied("r/a/team/leaf", "closed")
    assert ledger.balances("r")[0].reserved == Amount(usd=ledger.balances("r")[0].reserved.usd)
    ledger.open("r/a", Allowance())
    assert ledger.reserve("again", "r/a/team/leaf", 1, CALL) is None


def test_reopening_settles_what_an_earlier_epoch_left_and_shuts_it_out(ledger: Ledger) -> None:
    ledger.open("r", Allowance(tokens=500))
    ledger.reserve("left", "r", 1, CALL)

    assert ledger.open("r", Allowance(tokens=300)) == 2

    assert balance_of(ledger, "r") == Balance("r", Allowance(tokens=300), CALL, Amount())
    assert ledger.reserve("zombie", "r", 1, CALL) == ReservationDenied("r", "closed")
    ledger.close("r", 1)
    assert ledger.reserve("e", "r", 2, CALL) is None


@pytest.mark.parametrize("epoch", [0, 1])
def test_an_account_that_was_never_opened_is_closed(ledger: Ledger, epoch: int) -> None:
    ledger.open("r/work/a", Allowance())

    assert ledger.reserve("e1", "nobody", epoch, CALL) == ReservationDenied("nobody", "closed")
    assert ledger.reserve("e2", "r/work", epoch, CALL) == ReservationDenied("r/work", "closed")
    assert str(ReservationDenied("nobody", "closed")) == "account 'nobody' is closed"
    assert ledger.balances("nobody") == ()
    assert ledger.usage("nobody") == Usage()
    assert ledger.usage("r") == Usage()


def test_an_account_that_is_opened_late_knows_what_was_spent_below_it(ledger: Ledger) -> None:
    ledger.open("r/work/a", Allowance())
    ledger.reserve("e1", "r/work/a", 1, CALL)
    ledger.reserve("e2", "r/work/a", 1, CALL)
    ledger.settle("e1", Usage(input_tokens=60, calls=1))

    ledger.open("r", Allowance(tokens=1000))
    ledger.settle("e2", None)

    assert [balance.account for balance in ledger.balances("r/work/a")] == ["r", "r/work/a"]
    assert balance_of(ledger, "r").spent.tokens == 160
    assert balance_of(ledger, "r").reserved == Amount()


def test_balances_give_back_the_whole_cap(ledger: Ledger) -> None:
    cap = Allowance(tokens=1, usd=Decimal("0.1234567891"), depth=2, deadline=datetime(2030, 1, 1, tzinfo=UTC))

    ledger.open("r", cap)

    assert balance_of(ledger, "r").cap == cap
    assert remaining_allowance(ledger.balances("r")).depth == 2


def test_an_unknown_price_does_not_fit_where_money_is_limited(ledger: Ledger) -> None:
    ledger.open("r", Allowance(usd=Decimal(1)))

    refusal = ledger.reserve("e", "r", 1, replace(CALL, usd=None))

    assert refusal == ReservationDenied("r", "price")
    assert "limit tokens instead" in str(refusal)


def test_an_unknown_price_that_was_reserved_leaves_nothing_unknown_when_the_bill_is_known(ledger: Ledger) -> None:
    ledger.open("r", Allowance(tokens=1000))
    ledger.reserve("e1", "r", 1, replace(CALL, usd=None))
    ledger.reserve("e2", "r", 1, CALL)
    assert balance_of(ledger, "r").reserved == Amount(tokens=200, usd=None, calls=2)

    ledger.settle("e1", Usage(input_tokens=10, usd=USD, calls=1))

    assert balance_of(ledger, "r").reserved == CALL
    assert balance_of(ledger, "r").spent.usd == USD


def test_after_an_unknown_bill_no_money_is_left_under_a_limit(ledger: Ledger) -> None:
    ledger.open("r", Allowance(usd=Decimal(1)))
    ledger.reserve("e1", "r", 1, CALL)

    ledger.settle("e1", Usage(input_tokens=10, usd=None, calls=1))

    assert ledger.usage("r").usd is None
    assert remaining_allowance(ledger.balances("r")).usd == 0
    assert ledger.reserve("e2", "r", 1, CALL) == ReservationDenied("r", "price", USD, Decimal(0), retryable=False)
    assert ledger.reserve("e3", "r", 1, Amount(subtasks=1)) is None


@pytest.mark.parametrize("name", ["r/" + "x" * 1000, "r/\0", "r/\ud800", "r/ä\N{SNOWMAN}", "r//", "r/%_'\""])
def test_names_may_be_long_and_hold_anything(ledger: Ledger, name: str) -> None:
    ledger.open("r", Allowance())
    epoch = ledger.open(name, Allowance())

    assert ledger.reserve(f"{name}#1", name, epoch, CALL) is None
    ledger.settle(f"{name}#1", Usage(input_tokens=5, calls=1))

    assert balance_of(ledger, name).account == name
    assert ledger.usage("r").tokens == 5


def test_threads_cannot_overspend(ledger: Ledger) -> None:
    ledger.open("r", Allowance(tokens=2500))
    for worker in range(4):
        ledger.open(f"r/{worker}", Allowance())
    refused: list[ReservationDenied] = []

    def work(worker: int) -> None:
        for call in range(10):
            entry = f"{worker}#{call}"
            refusal = ledger.reserve(entry, f"r/{worker}", 1, CALL)
            if refusal is None:
                ledger.settle(entry, Usage(input_tokens=100, calls=1))
            else:
                refused.append(refusal)

    threads = [Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert balance_of(ledger, "r").spent.tokens == 2500
    assert len(refused) == 15


@pytest.mark.parametrize(
    ("before", "at_least", "now"), [(100, 50, 100), (50, 100, 100), (None, 50, None), (50, None, None)]
)
def test_reopened_an_account_keeps_the_wider_limit(
    ledger: Ledger, before: int | None, at_least: int | None, now: int | None
) -> None:
    assert ledger.reopen("r", Allowance(tokens=before)) == 1
    ledger.reserve("left", "r", 1, CALL)

    assert ledger.reopen("r", Allowance(tokens=at_least)) == 2

    assert balance_of(ledger, "r").cap == Allowance(tokens=now)
    assert balance_of(ledger, "r").reserved == Amount()


def test_an_account_that_only_stands_above_another_has_no_limit_to_keep(ledger: Ledger) -> None:
    ledger.open("r/below", Allowance())

    ledger.reopen("r", Allowance(tokens=50))

    assert balance_of(ledger, "r").cap == Allowance(tokens=50)


def test_a_chain_runs_from_the_outermost_account_down() -> None:
    assert account_chain("r") == ("r",)
    assert account_chain("r/a/b") == ("r", "r/a", "r/a/b")


def test_what_is_only_reserved_counts_as_left() -> None:
    balances = (Balance("r", Allowance(tokens=100), Amount(tokens=30), Amount(tokens=50)),)

    assert remaining_allowance(balances).tokens == 70
    assert check_caps(balances, Amount(tokens=20)) is None


# The properties: a small tree of accounts, and any sequence of operations on it.

ACCOUNTS = ("", "work", "work/a", "work/b", "rest")
SMALL = st.integers(min_value=0, max_value=6)
NANOS = SMALL.map(lambda number: Decimal(number) / 10**9)
AMOUNTS = st.builds(Amount, tokens=SMALL, usd=st.none() | NANOS, calls=SMALL, subtasks=SMALL, messages=SMALL)
LIMIT = st.none() | st.integers(min_value=0, max_value=15)
CAPS = st.builds(
    Allowance,
    tokens=LIMIT,
    usd=st.none() | NANOS.map(lambda usd: usd * 3),
    calls=LIMIT,
    subtasks=LIMIT,
    messages=LIMIT,
)
USAGES = st.none() | st.builds(
    Usage, input_tokens=SMALL, output_tokens=SMALL, usd=st.none() | NANOS, calls=SMALL, microseconds=SMALL
)
Step = Callable[[Ledger, str], object]


def at(run: str, account: str) -> str:
    return f"{run}/{account}" if account else run


def opening(account: str, cap: Allowance) -> Step:
    return lambda ledger, run: ledger.open(at(run, account), cap)


def reserving(entry: int, account: str, epoch: int, amount: Amount) -> Step:
    return lambda ledger, run: ledger.reserve(f"{run}#{entry}", at(run, account), epoch, amount)


def settling(entry: int, usage: Usage | None) -> Step:
    return lambda ledger, run: ledger.settle(f"{run}#{entry}", usage)


def closing(account: str, epoch: int) -> Step:
    return lambda ledger, run: ledger.close(at(run, account), epoch)


ACCOUNT = st.sampled_from(ACCOUNTS)
ENTRY = st.integers(min_value=0, max_value=8)
EPOCH = st.sampled_from((1, 1, 1, 2, 0))
STEPS = st.lists(
    st.one_of(
        st.builds(opening, ACCOUNT, CAPS),
        st.builds(reserving, ENTRY, ACCOUNT, EPOCH, AMOUNTS),
        st.builds(reserving, ENTRY, ACCOUNT, EPOCH, AMOUNTS),
        st.builds(settling, ENTRY, USAGES),
        st.builds(closing, ACCOUNT, EPOCH),
    ),
    max_size=12,
)
_runs = count()
_sql = SQLLedger(engine_of("sqlite://"), tenant="")


@pytest.fixture(scope="module", autouse=True)
def closes_its_database() -> Iterator[None]:
    yield
    _sql.engine.dispose()


@settings(max_examples=100)
@given(st.lists(CAPS, min_size=len(ACCOUNTS), max_size=len(ACCOUNTS)), STEPS)
def test_the_books_in_memory_and_in_sql_agree_after_every_step(caps: list[Allowance], steps: list[Step]) -> None:
    run, memory = f"agree{next(_runs)}", MemoryLedger()
    openings = [opening(account, cap) for account, cap in zip(ACCOUNTS[:3], caps, strict=False)]

    for step in [*openings, *steps]:
        assert step(memory, run) == step(_sql, run)
        for account in ("work/a", "work/b", "rest"):
            assert memory.balances(at(run, account)) == _sql.balances(at(run, account))
    for account in ACCOUNTS:
        assert memory.usage(at(run, account)) == _sql.usage(at(run, account))


@pytest.mark.parametrize("kind", ["memory", "sql"])
@settings(max_examples=50)
@given(
    caps=st.lists(CAPS, min_size=len(ACCOUNTS), max_size=len(ACCOUNTS)),
    spendings=st.lists(st.tuples(ACCOUNT, AMOUNTS, st.none() | st.fractions(0, 1)), max_size=10),
)
def test_no_cap_is_ever_exceeded_when_nothing_costs_more_than_it_reserved(
    kind: str, caps: list[Allowance], spendings: list[tuple[str, Amount, float | None]]
) -> None:
    run, ledger = f"caps{next(_runs)}", MemoryLedger() if kind == "memory" else _sql
    for account, cap in zip(ACCOUNTS, caps, strict=True):
        ledger.open(at(run, account), cap)

    for number, (account, amount, part) in enumerate(spendings):
        if ledger.reserve(f"{run}#{number}", at(run, account), 1, amount) is None and part is not None:
            ledger.settle(f"{run}#{number}", Usage(input_tokens=int(amount.tokens * part), usd=amount.usd))
        for name in ("work/a", "work/b", "rest"):
            for balance in ledger.balances(at(run, name)):
                assert exceeded(balance) == []


def exceeded(balance: Balance) -> list[str]:
    total = balance.spent + balance.reserved
    return [
        what
        for what in ("tokens", "usd", "calls", "subtasks", "messages")
        if (cap := getattr(balance.cap, what)) is not None and (used := getattr(total, what)) is not None and used > cap
    ]


def test_the_notes_of_an_account_are_those_of_now_until_they_are_dropped(ledger: Ledger) -> None:
    known: list[JsonValue] = []
    epoch = ledger.open("r", Allowance())
    ledger.keep_notes("r", lambda: [*known])
    known.append("x")
    before = ledger.notes("r")
    ledger.close("r", epoch)
    closed = ledger.notes("r")
    ledger.keep_notes("r", None)

    kept = None if isinstance(ledger, SQLLedger) else ["x"]  # which is for reading: a run has a `RunLedger`
    assert (before, closed, ledger.notes("r"), ledger.notes("other")) == (kept, kept, None, None)
