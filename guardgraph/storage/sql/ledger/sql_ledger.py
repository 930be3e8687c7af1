"""A ledger in a SQL database: the same books for many threads, processes and machines."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, and_, or_, select, update

from guardgraph.state import (
    Allowance,
    Amount,
    BadInput,
    Balance,
    ReservationDenied,
    StorageBusy,
    Usage,
    account_chain,
    check_caps,
    exact_decimal,
)
from guardgraph.storage.sql.engine import engine_of, read_transaction, write_transaction
from guardgraph.storage.sql.ledger.rows import (
    Changes,
    account_row,
    balance_of,
    cap_row,
    changed,
    entry_row,
    fits,
    held_by,
    in_nanos,
    key_of,
    keys_of,
    reserved_in,
    settled_row,
    settling,
    usage_of,
)
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.run_tables import accounts, entries, inserted
from guardgraph.storage.sql.statements import insert_new

__all__ = ("SQLLedger",)

_TRIES = 100


class SQLLedger:
    """Keeps the books in SQLite or PostgreSQL; they outlive the process, and no two processes overspend a cap.

    It implements `Ledger`. Every method blocks for one transaction: call it from a thread, not from an event
    loop; agents on a loop do.
    Money is kept in nano-dollars; an entry's is rounded up. One entry books at most 2^53 of anything.

    Every transaction that changes accounts begins with the run's outermost one, so none can wait for another in a
    circle; spendings of one run happen one after the other, those of different runs do not wait for each other.
    """

    blocks = True

    def __init__(self, engine: Engine) -> None:
        """Use an engine, as `engine_of` makes one, which the caller disposes of; tables are made at the first use."""
        self.engine = engine_of(engine)

    def open(self, account: str, cap: Allowance) -> int:
        """See `Ledger.open`. The part of `account` before the first `/` is the run's id: at most 255 characters."""
        with self._opening(account) as connection:
            return _open(connection, account, cap)

    def reopen(self, account: str, at_least: Allowance) -> int:
        """See `Ledger.reopen`."""
        with self._opening(account) as connection:
            known = [balance_of(name, row).cap for name, row in _opened(connection, account) if name == account]
            return _open(connection, account, at_least.widen(*known) if known else at_least)

    def reserve(self, entry: str, account: str, epoch: int, amount: Amount) -> ReservationDenied | None:
        """See `Ledger.reserve`."""
        booked = in_nanos(amount)
        row = entry_row(entry, account, booked)
        for _ in range(_TRIES):
            if self._book(row, account, epoch, booked):
                return None
            refusal, repeated = self._why_not(row, account, epoch, booked)
            if refusal is not None or repeated:
                return refusal
        raise StorageBusy(f"account {account!r} changed {_TRIES} times while {entry!r} was being booked; try again")

    def settle(self, entry: str, usage: Usage | None) -> None:
        """See `Ledger.settle`."""
        mine = and_(entries.c.entry == key_of(entry), entries.c.settled.is_(False))
        found = select(entries, accounts.c.name.label("holder")).where(accounts.c.account == entries.c.account)
        with self._writing() as connection:
            row = connection.execute(found.where(mine)).one_or_none()
            if row is None:
                return
            account, amount = bytes(row.holder).decode("utf-8", "surrogatepass"), reserved_in(row)
            _lock(connection, account)
            if connection.execute(update(entries).where(mine).values(settled_row(usage, amount))).rowcount:
                connection.execute(changed(keys_of(account), settling(usage, amount)))

    def close(self, account: str, epoch: int) -> None:
        """See `Ledger.close`."""
        mine = and_(accounts.c.account == key_of(account), accounts.c.epoch == epoch)
        with self._writing() as connection:
            _lock(connection, account)
            if connection.execute(update(accounts).where(mine).values(closed=True)).rowcount:
                _settle_all(connection, account)

    def balances(self, account: str) -> tuple[Balance, ...]:
        """See `Ledger.balances`."""
        with self._reading() as connection:
            return tuple(balance_of(name, row) for name, row in _opened(connection, account))

    def usage(self, account: str) -> Usage:
        """See `Ledger.usage`."""
        with self._reading() as connection:
            found = select(accounts).where(accounts.c.account == key_of(account), accounts.c.epoch > 0)
            row = connection.execute(found).one_or_none()
            return Usage() if row is None else usage_of(row)

    def top_up(self, run_id: str, add: Allowance) -> None:
        """Raise the limits of a run's outermost account and of its `/work` account by what `add` names.

        Counts and depth are added, a deadline is replaced by a later one; what is unlimited stays so. `open` sets the
        limits of an account anew, `reopen` keeps what was added.

        Raises:
            BadInput: the run has no account.
        """
        with self._writing() as connection:
            _lock(connection, run_id)
            opened = _opened(connection, f"{run_id}/work")
            if not any(name == run_id for name, _ in opened):
                raise BadInput(f"run {run_id!r} has no account in this database; nothing can be added to it")
            for name, row in opened:
                cap = _raised(balance_of(name, row).cap, add)
                connection.execute(update(accounts).where(accounts.c.account == key_of(name)).values(cap_row(cap)))

    def _book(self, row: dict[str, Any], account: str, epoch: int, amount: Amount) -> bool:
        """Book a reservation in every account of the chain, or in none."""
        keys, changes = keys_of(account), held_by(amount)
        mine = and_(accounts.c.epoch == epoch, accounts.c.epoch > 0)
        is_open = or_(accounts.c.closed.is_(False), accounts.c.epoch == 0)
        allowed = and_(fits(amount), is_open, or_(accounts.c.account != keys[-1], mine))
        with self._writing() as connection:
            for some in (keys[:1], keys[1:]):  # the outermost first: whoever has it is alone in this run
                if some and connection.execute(changed(some, changes).where(allowed)).rowcount != len(some):
                    connection.rollback()
                    return False
            if not inserted(connection, entries, row):
                connection.rollback()  # a repeated entry books nothing
            return True

    def _why_not(
        self, row: dict[str, Any], account: str, epoch: int, amount: Amount
    ) -> tuple[ReservationDenied | None, bool]:
        """Say why a reservation does not fit, and whether its entry is booked already; neither: try again."""
        with self._reading() as connection:
            same = select(entries.c.entry).where(entries.c.entry == row["entry"])
            if connection.execute(same).one_or_none() is not None:
                return None, True
            opened = _opened(connection, account)
        last = opened[-1] if opened and opened[-1][0] == account else None
        if last is None or last[1].epoch != epoch or any(row.closed for _, row in opened):
            return ReservationDenied(account, "closed"), False
        return check_caps(tuple(balance_of(name, found) for name, found in opened), amount), False

    @contextmanager
    def _opening(self, account: str) -> Generator[Connection]:
        """Give a transaction in which `account` and all above it have a row, and nobody else changes them."""
        rows = [account_row(name) for name in account_chain(account)]
        with self._writing() as connection:
            for row in rows:
                connection.execute(insert_new(connection.dialect, accounts), row)
            _lock(connection, account)
            yield connection

    @contextmanager
    def _writing(self) -> Generator[Connection]:
        migrate(self.engine)
        with write_transaction(self.engine) as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Generator[Connection]:
        migrate(self.engine)
        with read_transaction(self.engine) as connection:
            yield connection


def _lock(connection: Connection, account: str) -> None:
    """Wait until nobody else changes the accounts of this run (SQLite has but one writer anyway)."""
    outermost = key_of(account_chain(account)[0])
    connection.execute(select(accounts.c.account).where(accounts.c.account == outermost).with_for_update()).all()


def _opened(connection: Connection, account: str) -> list[tuple[str, Any]]:
    """Return the names and rows of the opened accounts of a chain, outermost first."""
    names = {key_of(name): name for name in account_chain(account)}
    found = select(accounts).where(accounts.c.account.in_(list(names)), accounts.c.epoch > 0)
    rows = {bytes(row.account): row for row in connection.execute(found).all()}
    return [(name, rows[key]) for key, name in names.items() if key in rows]


def _open(connection: Connection, account: str, cap: Allowance) -> int:
    """Open an account that has a row and is locked, and return its epoch."""
    _settle_all(connection, account)
    mine = accounts.c.account == key_of(account)
    opened = {**cap_row(cap), "closed": False, "epoch": accounts.c.epoch + 1}
    connection.execute(update(accounts).where(mine).values(opened))
    return int(connection.execute(select(accounts.c.epoch).where(mine)).scalar_one())


def _settle_all(connection: Connection, account: str) -> None:
    """Settle in full what is reserved in `account` itself."""
    mine = and_(entries.c.account == key_of(account), entries.c.settled.is_(False))
    total: Changes = {}
    for row in connection.execute(select(entries).where(mine)).all():
        amount = reserved_in(row)
        one = entries.c.entry == bytes(row.entry)
        connection.execute(update(entries).where(one).values(settled_row(None, amount)))
        changes = settling(None, amount)
        total = {name: total.get(name, 0) + value for name, value in changes.items()}
    if total:
        connection.execute(changed(keys_of(account), total))


@exact_decimal
def _raised(cap: Allowance, add: Allowance) -> Allowance:
    """Return `cap` with what `add` names added to it."""

    def sums(what: str) -> Any:
        have, more = getattr(cap, what), getattr(add, what)
        if have is None or more is None:
            return have
        return max(have, more) if what == "deadline" else have + more

    return cap.model_copy(update={what: sums(what) for what in Allowance.model_fields})
