"""The books of one run: what was added to it reaches the accounts that inherit its limits."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from decimal import Decimal
from threading import Event

import pytest
from sqlalchemy import Connection

from guardgraph.state import Allowance, Amount, Usage
from guardgraph.storage import Ledger, SQLLedger
from guardgraph.storage.sql.engine import engine_of
from guardgraph.storage.sql.group_commit import group_commit_of
from guardgraph.storage.sql.ledger.run_ledger import RunLedger

ADMITTED = Allowance(tokens=100, usd=Decimal(1), depth=2)
RAISED = Allowance(tokens=150, usd=Decimal(1), depth=2)


@pytest.fixture
def books(database_url: str) -> Iterator[SQLLedger]:
    opened = SQLLedger(engine_of(database_url), tenant="")
    yield opened
    opened.engine.dispose()


@pytest.fixture
def ledger(books: SQLLedger) -> RunLedger:
    books.open("r", ADMITTED)
    books.open("r/work", Allowance(tokens=80, usd=Decimal(1)))
    books.top_up("r", Allowance(tokens=50))
    made = RunLedger(books.engine, "r", tenant="")
    made.inherit(ADMITTED, RAISED)
    return made


@pytest.mark.parametrize(
    ("cap", "opened"),
    [
        (ADMITTED, RAISED),
        (Allowance(tokens=99, usd=Decimal(1)), Allowance(tokens=99, usd=Decimal(1))),
        (Allowance(tokens=100), Allowance(tokens=150)),
        (Allowance(), Allowance()),
    ],
)
def test_a_limit_that_is_the_runs_own_is_raised_with_it_and_no_other(
    ledger: Ledger, cap: Allowance, opened: Allowance
) -> None:
    ledger.open("r/work/a", cap)

    assert ledger.balances("r/work/a")[-1].cap == opened


def test_the_runs_own_accounts_keep_what_was_added(ledger: Ledger) -> None:
    assert ledger.reopen("r", ADMITTED) == 2
    assert ledger.reopen("r/work", Allowance(tokens=80)) == 2

    assert [balance.cap.tokens for balance in ledger.balances("r/work")] == [150, 130]


def test_notes_are_stored_with_the_next_reservation(ledger: RunLedger, books: SQLLedger) -> None:
    notes = ["first"]
    epoch = ledger.open("r/work/a", ADMITTED)
    ledger.keep_notes("r/work/a", lambda: [*notes])
    ledger.reserve("e1", "r/work/a", epoch, Amount(tokens=1))
    notes.append("later")

    stored = RunLedger(books.engine, "r", tenant="")
    ledger.keep_notes("r/work/a", None)
    ledger.store()

    assert stored.notes("r/work/a") == ["first"]
    assert RunLedger(books.engine, "r", tenant="").notes("r/work/a") is None


def test_it_is_the_same_book(ledger: RunLedger, books: SQLLedger) -> None:
    epoch = ledger.open("r/work/a", ADMITTED)
    assert ledger.reserve("e1", "r/work/a", epoch, Amount(tokens=60, calls=1)) is None
    assert ledger.reserve("e2", "r/work/a", epoch, Amount(tokens=60, calls=1)) is None
    ledger.settle("e1", Usage(input_tokens=30, calls=1))
    ledger.close("r/work/a", epoch)
    ledger.store()

    assert ledger.usage("r") == books.usage("r") == Usage(input_tokens=90, calls=2)
    assert ledger.balances("r/work/a") == books.balances("r/work/a")


def test_a_reservation_that_another_thread_stores_is_waited_for(books: SQLLedger) -> None:
    ledger = RunLedger(books.engine, "r", is_new=True, tenant="")
    epoch = ledger.open("r", Allowance())
    taken, commit = Event(), Event()

    def other(connection: Connection) -> None:
        assert reserved.wait(5)
        ledger.write_changes(connection)  # with the reservation of this test's thread
        taken.set()
        assert commit.wait(5)

    reserved = Event()
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(group_commit_of(books.engine).write, other, after=ledger.written)
        reserving = pool.submit(ledger.reserve, "e", "r", epoch, Amount(subtasks=1))  # waits for no commit
        assert reserving.result(5) is None
        reserved.set()
        assert taken.wait(5)
        storing = pool.submit(ledger.store)
        done, _ = wait([storing], timeout=0.2)
        assert not done, "it is not committed yet"
        commit.set()
        writing.result(5)
        storing.result(5)

    assert books.balances("r")[0].reserved == Amount(subtasks=1)
