"""Accounts that several runs and processes share: in each kind of database, reserved in all of them or in none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine

from guardgraph.state import (
    Allowance,
    Amount,
    BadInput,
    Balance,
    Per,
    SideAccount,
    StaleWriter,
    StorageCorrupt,
    Usage,
    Window,
)
from guardgraph.storage.sql.engine import engine_of, write_transaction
from guardgraph.storage.sql.leases import Claim, Fence, acquire
from guardgraph.storage.sql.ledger.run_ledger import RunLedger
from guardgraph.storage.sql.ledger.shared_budgets import SQLBudgets
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.shared_account_table import operator_caps, shared_accounts
from tests.storage.sql.leased import expire_leases

CALL = Amount(tokens=10, usd=Decimal("0.1"), calls=1)
USED = Usage(input_tokens=6, usd=Decimal("0.06"), calls=1)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
UNLIMITED = Allowance()


@dataclass
class Database:
    """A database, and a clock that the test sets."""

    engine: Engine
    now: datetime = NOON
    fences: dict[str, Fence] = field(default_factory=dict[str, Fence])

    def fence(self, thread: str, *, owner: str = "test") -> Fence:
        with write_transaction(migrate(self.engine)) as connection:
            return acquire(connection, Claim(thread, f"run-{thread}", owner, 60, "acme"))

    def run(self, thread: str, *sides: SideAccount, owner: str = "test", is_new: bool = True) -> RunLedger:
        """Return the ledger of a run whose account draws on side accounts."""
        fence, run_id = self.fence(thread, owner=owner), f"run-{thread}"
        ledger = RunLedger(self.engine, run_id, tenant="acme", fence=fence, is_new=is_new, clock=lambda: self.now)
        ledger.reopen(run_id, UNLIMITED)
        ledger.draw_on(run_id, sides)
        return ledger


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(engine_of(database_url))
    yield opened
    opened.engine.dispose()


def tenant(cap: Allowance, window: Window | None = None, per: Per = "tenant") -> SideAccount:
    return SideAccount(f"={per}" if window is None else f"={per}@{window}", per, cap, window)


def begin(ledger: RunLedger, name: str = "a", *sides: SideAccount) -> tuple[str, int]:
    """Open an attempt of the run and return its account and epoch."""
    account = f"{ledger.run_id}/{name}"
    epoch = ledger.open(account, UNLIMITED)
    ledger.draw_on(account, sides)
    return account, epoch


def side_of(ledger: RunLedger, account: str, name: str = "=tenant") -> Balance:
    return next(one for one in ledger.balances(account) if one.account == name)


def test_two_runs_do_not_overspend_what_they_share(database: Database) -> None:
    side = tenant(Allowance(tokens=25))
    first, second = database.run("t1", side), database.run("t2", side)
    (one, mine), (other, theirs) = begin(first), begin(second)

    assert first.reserve("e1", one, mine, CALL) is None
    assert second.reserve("e2", other, theirs, CALL) is None
    denied = first.reserve("e3", one, mine, CALL)

    assert denied is not None
    assert (denied.what, denied.wanted, denied.left, denied.retryable) == ("tokens", 10, 5, True)
    assert str(denied) == "10 tokens wanted, 5 left of tenant acme"
    assert first.balances(one)[-1].reserved == CALL, "what was denied is released in the run's own accounts"
    second.settle("e2", USED)
    first.settle("e1", USED)
    assert side_of(first, one).spent == Amount(12, Decimal("0.12"), 2)
    assert first.reserve("e3", one, mine, CALL) is None, "a denied entry can be used again"
    assert side_of(second, other).reserved == CALL


def test_it_is_reserved_in_all_accounts_or_in_none(database: Database) -> None:
    wide, narrow = tenant(Allowance(calls=9)), tenant(Allowance(calls=1), per="thread")
    ledger = database.run("t1", wide, narrow)
    account, epoch = begin(ledger)

    assert ledger.reserve("e1", account, epoch, CALL) is None
    denied = ledger.reserve("e2", account, epoch, CALL)

    assert denied is not None
    assert str(denied) == "1 calls wanted, 0 left of thread t1"
    assert {one.account: one.reserved.calls for one in ledger.balances(account)} == {
        "=tenant": 1,
        "=thread": 1,
        "run-t1": 1,
        account: 1,
    }


@pytest.mark.parametrize(
    ("window", "later", "is_other", "label"),
    [
        ("minute", timedelta(seconds=59), False, "minute 2026-11-23 12:00"),
        ("minute", timedelta(seconds=60), True, "minute 2026-11-23 12:01"),
        ("hour", timedelta(hours=1), True, "hour 2026-11-23 13:00"),
        ("day", timedelta(hours=11, minutes=59), False, "day 2026-11-23"),
        ("day", timedelta(hours=12), True, "day 2026-11-24"),
        ("month", timedelta(days=7), False, "month 2026-11"),
        ("month", timedelta(days=8), True, "month 2026-12"),
        (5_400, timedelta(minutes=89), False, "window of 1:30:00 from 2026-11-23 12:00:00"),
        (5_400, timedelta(minutes=90), True, "window of 1:30:00 from 2026-11-23 13:30:00"),
    ],
)
def test_each_period_is_counted_by_itself(
    database: Database, window: Window, later: timedelta, is_other: bool, label: str
) -> None:
    ledger = database.run("t1", tenant(Allowance(calls=1), window))
    account, epoch = begin(ledger)
    assert ledger.reserve("e1", account, epoch, CALL) is None
    database.now += later

    denied = ledger.reserve("e2", account, epoch, CALL)

    assert (denied is None) is is_other
    assert denied is None or str(denied) == f"1 calls wanted, 0 left of tenant acme's {label}"
    assert side_of(ledger, account, f"=tenant@{window}").label == f"tenant acme's {label}"


def test_a_call_counts_in_the_period_in_which_it_was_reserved(database: Database) -> None:
    ledger = database.run("t1", tenant(Allowance(tokens=100), "hour"))
    account, epoch = begin(ledger)
    ledger.reserve("e1", account, epoch, CALL)
    database.now += timedelta(hours=1)
    ledger.settle("e1", USED)

    assert side_of(ledger, account, "=tenant@hour").spent == Amount()
    database.now -= timedelta(hours=1)
    assert side_of(ledger, account, "=tenant@hour").spent == Amount(6, Decimal("0.06"), 1)


def test_what_is_closed_is_settled_in_full_there_too(database: Database) -> None:
    ledger = database.run("t1", tenant(Allowance(tokens=100)))
    account, epoch = begin(ledger)
    ledger.reserve("e1", account, epoch, CALL)
    ledger.close(account, epoch)
    ledger.settle("e1", USED)

    assert side_of(ledger, account).spent == CALL
    assert side_of(ledger, account).reserved == Amount()


def test_what_is_reported_without_a_reservation_is_charged(database: Database) -> None:
    ledger = database.run("t1", tenant(Allowance(tokens=10)))
    account, epoch = begin(ledger)
    ledger.reserve("told", account, epoch, Amount())
    ledger.settle("told", Usage(input_tokens=12, calls=2))

    assert side_of(ledger, account).spent == Amount(12, Decimal(0), 2)


def test_what_a_dead_process_has_left_is_settled_in_full_when_its_run_goes_on(database: Database) -> None:
    side = tenant(Allowance(tokens=100))
    dead = database.run("t1", side)
    account, epoch = begin(dead)
    dead.reserve("e1", account, epoch, CALL)
    dead.store()
    expire_leases(database.engine)

    alive = database.run("t1", side, owner="another", is_new=False)

    assert side_of(alive, "run-t1").spent == CALL
    assert side_of(alive, "run-t1").reserved == Amount()
    alive.open(account, UNLIMITED)
    assert alive.usage("run-t1") == Usage(input_tokens=10, usd=Decimal("0.1"), calls=1)
    assert side_of(alive, "run-t1").spent == CALL, "it counts once"
    dead.settle("e1", USED)
    assert side_of(alive, "run-t1").spent == CALL, "the dead process comes too late"
    with pytest.raises(StaleWriter):
        dead.reserve("e2", account, epoch, CALL)


def test_what_a_dead_process_has_left_keeps_nobody_waiting_once_its_lease_is_gone(database: Database) -> None:
    side = tenant(Allowance(tokens=15))
    dead, alive = database.run("t1", side), database.run("t2", side)
    left, epoch = begin(dead)
    dead.reserve("e1", left, epoch, CALL)
    account, mine = begin(alive)
    waiting = alive.reserve("e2", account, mine, CALL)
    expire_leases(database.engine)
    database.fence("t2")  # its own lease is renewed meanwhile
    alive = database.run("t2", side, is_new=False)
    account, mine = begin(alive)

    refused = alive.reserve("e3", account, mine, CALL)

    assert waiting is not None
    assert waiting.retryable
    assert refused is not None
    assert not refused.retryable
    assert side_of(alive, account).spent == CALL


def test_who_waits_for_room_by_its_balances_sees_that_a_dead_process_holds_none(database: Database) -> None:
    side = tenant(Allowance(tokens=15))
    dead, alive = database.run("t1", side), database.run("t2", side)
    left, epoch = begin(dead)
    dead.reserve("e1", left, epoch, CALL)
    account, _ = begin(alive)
    before = side_of(alive, account)
    expire_leases(database.engine)
    database.fence("t2")
    alive = database.run("t2", side, is_new=False)
    account, _ = begin(alive)

    after = side_of(alive, account)

    assert (before.spent, before.reserved) == (Amount(), CALL)
    assert (after.spent, after.reserved) == (CALL, Amount())


def test_many_threads_at_once_never_exceed_the_cap(database: Database) -> None:
    sides = (tenant(Allowance(calls=20), "day"), tenant(Allowance(calls=50)))
    ledgers = [database.run(f"t{number}", *sides) for number in range(4)]
    attempts = [(ledger, *begin(ledger, str(n))) for ledger in ledgers for n in range(2)]

    def spend(attempt: tuple[RunLedger, str, int]) -> int:
        ledger, account, epoch = attempt
        granted = 0
        for number in range(5):
            if ledger.reserve(f"{account}:{number}", account, epoch, CALL) is None:
                ledger.settle(f"{account}:{number}", USED)
                granted += 1
        return granted

    with ThreadPoolExecutor(8) as pool:
        granted = sum(pool.map(spend, attempts))

    assert granted == 20
    assert side_of(ledgers[0], attempts[0][1], "=tenant@day").spent.calls == 20


def test_an_alert_is_emitted_once_by_whoever_is_first_and_again_by_it_alone(database: Database) -> None:
    side = tenant(Allowance(calls=2), "day")
    first, second = database.run("t1", side), database.run("t2", side)
    balance = first.side_balances([side])[0]

    assert first.alert_once(balance, 0.5, "gate 1")
    assert not second.alert_once(balance, 0.5, "gate 2")
    assert first.alert_once(balance, 0.5, "gate 1"), "it is done again after a crash"
    assert second.alert_once(balance, 0.8, "gate 2")
    assert not first.alert_once(balance, 0.5, "gate 9")
    assert second.side_balances([side])[0].alerted == 0.8
    database.now += timedelta(days=1)
    assert second.side_balances([side])[0].alerted == 0


def test_tenants_and_threads_are_apart(database: Database) -> None:
    side, thread = tenant(Allowance(calls=1)), tenant(Allowance(calls=1), per="thread")
    ours = database.run("t1", side, thread)
    account, epoch = begin(ours)
    ours.reserve("e1", account, epoch, CALL)
    with write_transaction(database.engine) as connection:
        fence = acquire(connection, Claim("t1", "run-t1", "other", 60, "zeta"))
    theirs = RunLedger(database.engine, "run-z", tenant="zeta", fence=fence, is_new=True, clock=lambda: NOON)
    theirs.reopen("run-z", UNLIMITED)
    theirs.draw_on("run-z", [side, thread])

    assert [one.reserved.calls for one in theirs.balances("run-z")] == [0, 0, 0]
    assert side_of(database.run("t2", side, thread), "run-t2", "=thread").reserved.calls == 0


def test_a_ledger_without_a_lease_shares_nothing(database: Database) -> None:
    ledger = RunLedger(database.engine, "r", tenant="acme", is_new=True)

    with pytest.raises(BadInput, match="a budget of the tenant is counted in a database"):
        ledger.draw_on("r", [tenant(UNLIMITED)])


def test_side_accounts_of_a_run_come_back_with_it(database: Database) -> None:
    agent = SideAccount("run-t1/=agent:press", "agent", Allowance(calls=3), None, "press")
    ledger = database.run("t1")
    account, epoch = begin(ledger, "a", agent)
    ledger.reserve("e1", account, epoch, CALL)
    ledger.settle("e1", USED)
    ledger.reserve("e2", account, epoch, CALL)
    assert ledger.alert_once(ledger.side_balances([agent])[0], 0.5, "gate 1")
    ledger.store()

    again = database.run("t1", is_new=False)

    before = side_of(again, account, agent.name)
    assert (before.spent.calls, before.reserved.calls, before.alerted, before.label) == (1, 1, 0.5, "agent press")
    account, epoch = begin(again, "a", agent)
    assert side_of(again, account, agent.name).spent.calls == 2, "what was left open is settled in full"
    assert again.reserve("e3", account, epoch, CALL) is None
    denied = again.reserve("e4", account, epoch, CALL)
    assert str(denied) == "1 calls wanted, 0 left of agent press"
    assert again.usage("run-t1").calls == 2


def test_what_happens_while_the_shared_accounts_reserve_is_settled_there(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = database.run("t1", tenant(Allowance(tokens=100)))
    account, epoch = begin(ledger)
    shared = ledger._shared  # pyright: ignore[reportPrivateUsage]
    assert shared is not None
    reserve: Callable[..., object] = shared.reserve

    def slow(*given: Any) -> object:
        ledger.close(account, epoch)
        return reserve(*given)

    monkeypatch.setattr(shared, "reserve", slow)
    ledger.reserve("e1", account, epoch, CALL)

    assert side_of(ledger, account).reserved == Amount()
    assert side_of(ledger, account).spent == CALL


@pytest.mark.parametrize("damaged", [b"{", b"[]", b"null", b'{"x": "a"}', b"\xff"])
def test_damaged_alerts_and_caps_are_named(damaged: bytes, database: Database) -> None:
    side = tenant(Allowance(tokens=100))
    ledger = database.run("t", side)
    account, epoch = begin(ledger)
    budgets = SQLBudgets(database.engine, tenant="acme", clock=lambda: database.now)
    budgets.set(Allowance(tokens=50))
    balance = side_of(ledger, account)

    with write_transaction(database.engine) as connection:
        connection.execute(shared_accounts.update().values(alerts=damaged))
    with pytest.raises(StorageCorrupt, match="the alerts of the budget of tenant acme are damaged"):
        ledger.balances(account)
    with pytest.raises(StorageCorrupt, match="the alerts of the budget of tenant acme are damaged"):
        ledger.alert_once(balance, 0.5, "me")
    with write_transaction(database.engine) as connection:
        connection.execute(shared_accounts.update().values(alerts=b"{}"))
        connection.execute(operator_caps.update().values(cap=damaged))
    with pytest.raises(StorageCorrupt, match=r"a cap of a budget is damaged: .*; set it anew"):
        ledger.reserve("e", account, epoch, CALL)
    with pytest.raises(StorageCorrupt, match="a cap of a budget is damaged"):
        budgets.listed()
    budgets.set(Allowance(tokens=50))
    assert ledger.reserve("f", account, epoch, CALL) is None
