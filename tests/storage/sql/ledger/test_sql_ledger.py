"""The ledger in SQL: across processes, on both databases."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from threading import Thread

import pytest
from sqlalchemy import select

from guardgraph.state import Allowance, Amount, BadInput, ReservationDenied, StorageReadOnly, Usage, remaining_allowance
from guardgraph.storage import Ledger, SQLLedger
from guardgraph.storage.sql.engine import engine_of, read_transaction
from guardgraph.storage.sql.tables import accounts, entries

CALL = Amount(tokens=100, usd=Decimal("0.01"), calls=1)
USAGE = Usage(input_tokens=60, output_tokens=20, usd=Decimal("0.008"), calls=1, microseconds=5)
WORKER = """
import sys
from decimal import Decimal
from guardgraph.state.allowance import Allowance
from guardgraph.state.usage import Amount
from guardgraph.storage import SQLLedger
from guardgraph.storage.sql.engine import engine_of
from guardgraph.state.usage import Usage

url, worker = sys.argv[1:]
ledger = SQLLedger(engine_of(url, busy_timeout=60), tenant="")
epoch = ledger.open(f"r/work/{worker}", Allowance())
sys.stdin.readline()
amount, booked = Amount(tokens=7, usd=Decimal("0.000000007"), calls=1), 0
for call in range(50):
    entry = f"{worker}#{call}"
    if ledger.reserve(entry, f"r/work/{worker}", epoch, amount) is None:
        booked += 1
        if call % 2:
            ledger.settle(entry, Usage(input_tokens=3, output_tokens=4, usd=amount.usd, calls=1))
ledger.close(f"r/work/{worker}", epoch)
ledger.engine.dispose()
print(booked)
"""

RAISER = """
import sys
from guardgraph.state.allowance import Allowance
from guardgraph.storage import SQLLedger
from guardgraph.storage.sql.engine import engine_of

url, task = sys.argv[1:]
ledger = SQLLedger(engine_of(url, busy_timeout=60), tenant="")
sys.stdin.readline()
for _ in range(50):
    if task == "reopen":
        ledger.reopen("r/work", Allowance(tokens=80))
        ledger.reopen("r", Allowance(tokens=100))
    else:
        ledger.top_up("r", Allowance(tokens=1))
ledger.engine.dispose()
"""


@pytest.fixture
def ledger(database_url: str) -> Iterator[SQLLedger]:
    opened = SQLLedger(engine_of(database_url), tenant="")
    yield opened
    opened.engine.dispose()


def at_once(script: str, url: str, names: list[str]) -> list[str]:
    """Run a script in one process per name, all from the same moment on, and return what they say."""
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([sys.executable, "-c", script, url, name], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        for name in names
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=100) for process in processes]
    assert [error for _, error in answers] == [""] * len(names)
    return [said for said, _ in answers]


def test_processes_cannot_overspend(ledger: SQLLedger, database_url: str) -> None:
    ledger.open("r", Allowance(tokens=705, usd=Decimal("0.000001")))
    ledger.open("r/work", Allowance(calls=101))

    answers = at_once(WORKER, database_url, ["0", "1", "2", "3"])

    assert sum(map(int, answers)) == 100
    balance = ledger.balances("r")[0]
    assert balance.spent == Amount(tokens=700, usd=Decimal("0.0000007"), calls=100)
    assert balance.reserved == Amount()


def test_whatever_happens_at_once_in_one_run_nobody_waits_for_ever_and_the_books_add_up(ledger: SQLLedger) -> None:
    ledger.open("r", Allowance(tokens=3000))
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for turn in range(5):
                account = f"r/work/{(worker + turn) % 3}"
                epoch = ledger.open(account, Allowance())
                for call in range(3):
                    ledger.reserve(f"{worker}.{turn}.{call}", account, epoch, CALL)
                ledger.settle(f"{worker}.{turn}.0", USAGE)
                ledger.close(account, epoch)
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    epochs = [ledger.open(f"r/work/{number}", Allowance()) for number in range(3)]

    assert failures == []
    assert sum(epochs) == 4 * 5 + 3
    balance = ledger.balances("r")[0]
    assert balance.reserved == Amount()
    assert 0 < balance.spent.tokens <= 3000
    assert balance.spent.tokens == sum(ledger.usage(f"r/work/{number}").tokens for number in range(3))


def test_a_sql_ledger_is_a_ledger_and_outlives_its_process(ledger: SQLLedger, database_url: str) -> None:
    first: Ledger = ledger
    first.open("r", Allowance(tokens=1000, depth=3))
    first.reserve("settled", "r", 1, CALL)
    first.settle("settled", USAGE)
    first.reserve("left open", "r", 1, CALL)

    second = SQLLedger(engine_of(database_url), tenant="")

    assert second.balances("r") == first.balances("r")
    assert second.usage("r") == USAGE
    assert second.open("r", Allowance(tokens=1000)) == 2
    assert second.usage("r") == USAGE + Usage(input_tokens=100, usd=Decimal("0.01"), calls=1)
    second.engine.dispose()


def test_each_call_is_one_row_that_tells_what_was_reserved_and_what_was_used(ledger: SQLLedger) -> None:
    ledger.open("r", Allowance())
    ledger.reserve("e1", "r", 1, CALL)
    ledger.settle("e1", USAGE)
    ledger.reserve("e2", "r", 1, replace(CALL, usd=None))
    ledger.settle("e2", None)

    with read_transaction(ledger.engine) as connection:
        rows = connection.execute(select(entries).order_by(entries.c.name)).all()

    assert [(bytes(row.name), row.run_id, row.settled, row.in_full) for row in rows] == [
        (b"e1", "r", True, False),
        (b"e2", "r", True, True),
    ]
    assert [(row.tokens, row.usd) for row in rows] == [(100, 10_000_000), (100, None)]
    used = [(row.input_tokens, row.output_tokens, row.used_usd, row.used_calls, row.microseconds) for row in rows]
    assert used == [(60, 20, 8_000_000, 1, 5), (100, 0, None, 1, 0)]


def test_one_row_is_kept_for_each_account_and_none_twice(ledger: SQLLedger) -> None:
    for _ in range(2):
        ledger.open("r/work/" + "x" * 1000, Allowance())

    with read_transaction(ledger.engine) as connection:
        rows = connection.execute(select(accounts).order_by(accounts.c.name)).all()

    assert [(len(bytes(row.name)), row.epoch, row.closed) for row in rows] == [
        (1, 0, True),
        (6, 0, True),
        (1007, 2, False),
    ]


def test_money_below_a_nano_dollar_is_rounded_up_and_never_passes_the_cap(ledger: SQLLedger) -> None:
    ledger.open("r", Allowance(usd=Decimal("0.0000000019")))
    tiny = Amount(usd=Decimal("0.0000000003"))

    assert ledger.reserve("e1", "r", 1, tiny) is None
    refusal = ledger.reserve("e2", "r", 1, tiny)

    nano = Decimal("0.000000001")
    assert refusal == ReservationDenied("r", "usd", nano, Decimal("0.0000000009"), retryable=True)
    ledger.settle("e1", Usage(usd=tiny.usd))
    assert ledger.usage("r").usd == nano


@pytest.mark.parametrize("cap", [Allowance(tokens=2**62), Allowance(tokens=10**40), Allowance(usd=Decimal(10**12))])
def test_a_cap_of_any_size_is_kept(ledger: SQLLedger, cap: Allowance) -> None:
    ledger.open("r", cap)

    assert ledger.reserve("e", "r", 1, Amount(tokens=2**53, usd=Decimal(9_000_000), calls=2**53)) is None
    assert ledger.balances("r")[0].cap == cap


@pytest.mark.parametrize(
    "amount", [Amount(tokens=2**53 + 1), Amount(usd=Decimal(10**7)), Amount(calls=-1), Amount(usd=Decimal(-1))]
)
def test_an_amount_that_no_column_holds_is_refused_and_nothing_booked(ledger: SQLLedger, amount: Amount) -> None:
    ledger.open("r", Allowance())

    with pytest.raises(BadInput, match="an entry holds 0 to 9007199254740992"):
        ledger.reserve("e", "r", 1, amount)

    assert ledger.balances("r")[0].reserved == Amount()


@pytest.mark.parametrize(
    ("account", "message"), [("x" * 256, "at most 255 are stored"), ("a\0/b", "NUL"), ("\ud800", "not valid Unicode")]
)
def test_a_run_id_that_no_database_stores_is_refused(ledger: SQLLedger, account: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        ledger.open(account, Allowance())


def test_more_allowance_raises_the_run_and_its_work_and_nothing_below(ledger: SQLLedger) -> None:
    soon, later = datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 2, tzinfo=UTC)
    ledger.open("r", Allowance(tokens=100, usd=Decimal(1), deadline=soon, depth=2))
    ledger.open("r/work", Allowance(tokens=80))
    ledger.open("r/work/a", Allowance(tokens=50))

    ledger.top_up("r", Allowance(tokens=10, usd=Decimal("0.5"), calls=3, deadline=later, depth=1))

    caps = [balance.cap for balance in ledger.balances("r/work/a")]
    assert caps[0] == Allowance(tokens=110, usd=Decimal("1.5"), deadline=later, depth=3)
    assert caps[1:] == [Allowance(tokens=90), Allowance(tokens=50)]


def test_after_more_allowance_a_spending_fits_that_did_not(ledger: SQLLedger) -> None:
    ledger.open("r", Allowance(tokens=100))
    ledger.reserve("e1", "r", 1, CALL)
    ledger.settle("e1", Usage(input_tokens=100, calls=1))
    assert ledger.reserve("e2", "r", 1, CALL) == ReservationDenied("r", "tokens", 100, 0, retryable=False)

    ledger.top_up("r", Allowance(tokens=100))

    assert remaining_allowance(ledger.balances("r")).tokens == 100
    assert ledger.reserve("e2", "r", 1, CALL) is None
    assert ledger.reserve("e3", "r", 1, CALL) == ReservationDenied("r", "tokens", 100, 0, retryable=True)


def test_more_allowance_never_brings_an_earlier_deadline(ledger: SQLLedger) -> None:
    soon, later = datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 2, tzinfo=UTC)
    ledger.open("r", Allowance(deadline=later))

    ledger.top_up("r", Allowance(deadline=soon))

    assert ledger.balances("r")[0].cap == Allowance(deadline=later)


def test_what_is_added_while_another_process_opens_the_account_again_is_not_lost(
    ledger: SQLLedger, database_url: str
) -> None:
    ledger.open("r", Allowance(tokens=100))
    ledger.open("r/work", Allowance(tokens=80))

    at_once(RAISER, database_url, ["reopen", "top up"])

    assert [balance.cap.tokens for balance in ledger.balances("r/work")] == [150, 130]


def test_an_account_that_is_reopened_keeps_what_is_wider_and_gets_what_is_missing(ledger: SQLLedger) -> None:
    assert ledger.reopen("r", Allowance(tokens=100, calls=5)) == 1
    ledger.reserve("left", "r", 1, CALL)

    assert ledger.reopen("r", Allowance(tokens=50, usd=Decimal(1), calls=None)) == 2

    assert ledger.balances("r")[0].cap == Allowance(tokens=100)
    assert ledger.balances("r")[0].reserved == Amount()


def test_nothing_is_added_to_a_run_without_an_account(ledger: SQLLedger) -> None:
    ledger.open("r/work", Allowance())

    with pytest.raises(BadInput, match="run 'r' has no account"):
        ledger.top_up("r", Allowance(tokens=1))


def test_a_fault_of_the_database_is_a_typed_error_and_books_nothing(sqlite_url: str) -> None:
    path = sqlite_url.removeprefix("sqlite:///")
    ledger = SQLLedger(engine_of(sqlite_url), tenant="")
    ledger.open("r", Allowance())
    reader = SQLLedger(engine_of(f"sqlite:///file:{path}?mode=ro&uri=true"), tenant="")

    with pytest.raises(StorageReadOnly, match="cannot be written"):
        reader.reserve("e", "r", 1, CALL)

    assert ledger.balances("r")[0].reserved == Amount()
    ledger.engine.dispose()
    reader.engine.dispose()
