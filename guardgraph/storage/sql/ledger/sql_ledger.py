"""A ledger in a SQL database, shared by many threads, processes and machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any, Self

from pydantic import JsonValue
from sqlalchemy import Connection, Engine, and_, select, update

from guardgraph.state import (
    Allowance,
    Amount,
    BadInput,
    Balance,
    ReservationDenied,
    SideAccount,
    Usage,
    account_chain,
    check_caps,
    exact_decimal,
)
from guardgraph.storage.sql.engine import engine_of, read_transaction, write_transaction
from guardgraph.storage.sql.leases import Fence
from guardgraph.storage.sql.ledger.rows import (
    account_row,
    balance_of,
    cap_row,
    changed,
    entry_row,
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
from guardgraph.storage.sql.places import checked_id
from guardgraph.storage.sql.statements import insert_new, inserted
from guardgraph.storage.sql.tables import accounts, entries

__all__ = ("SQLLedger",)


class SQLLedger:
    """A ledger in SQLite or PostgreSQL; it outlives the process, and several processes together do not overspend a cap.

    It implements `Ledger`. Every method blocks for one transaction: call it from a thread, not from an event
    loop; agents on a loop do.
    Money is kept in nano-dollars; an entry's is rounded up. One entry holds at most 2^53 of anything.

    Every transaction that changes accounts begins with the run's outermost one, so there is no
    deadlock; reservations of one run happen one after the other, those of different runs do not wait for each other.
    """

    blocks = reserving_blocks = True
    has_shared_accounts = False

    def __init__(self, engine: Engine, *, tenant: str) -> None:
        """Use an engine, as `engine_of` makes one, which the caller disposes of; tables are made at the first use.

        The accounts and entries of one tenant are apart from those of another.
        """
        self.engine = engine_of(engine)
        self.tenant = checked_id("tenant", tenant)
        self._fence: Fence | None = None

    def with_fence(self, fence: Fence) -> Self:
        """Return this ledger for who holds a lease: once it is lost, every booking is refused with `StaleWriter`."""
        ledger = copy(self)
        ledger._fence = fence
        return ledger

    def open(self, account: str, cap: Allowance) -> int:
        """See `Ledger.open`. The part of `account` before the first `/` is the run's id: at most 255 characters."""
        with self._opening(account) as connection:
            return self._open(connection, account, cap)

    def reopen(self, account: str, at_least: Allowance) -> int:
        """See `Ledger.reopen`."""
        with self._opening(account) as connection:
            cap = at_least
            for name, row in self._opened(connection, account):
                cap = cap.widen(balance_of(name, row).cap) if name == account else cap
            return self._open(connection, account, cap)

    def draw_on(self, account: str, sides: Sequence[SideAccount]) -> None:
        """Raise `BadInput` for any side account: this ledger counts in the accounts of the tree alone."""
        if sides:
            raise BadInput(f"a budget of {sides[0].label()} is counted by a `Runner`, not by an `SQLLedger`")

    def side_balances(self, sides: Sequence[SideAccount]) -> tuple[Balance, ...]:
        """Return nothing: there are no side accounts."""
        return ()

    def alert_once(self, balance: Balance, threshold: float, by: str) -> bool:
        """Return `True`: alerts are not recorded."""
        return True

    def keep_notes(self, account: str, notes: Callable[[], JsonValue] | None) -> None:
        """Do nothing: notes are not kept."""

    def notes(self, account: str) -> JsonValue:
        """Return `None`: notes are not kept."""
        return None

    def reserve(self, entry: str, account: str, epoch: int, amount: Amount) -> ReservationDenied | None:
        """See `Ledger.reserve`."""
        exact = in_nanos(amount)
        row = entry_row(self.tenant, entry, account, exact)
        with self._writing() as connection:
            self._lock(connection, account)
            if not inserted(connection, entries, row):
                return None  # a repeated entry reserves nothing
            denied = _denial(self._opened(connection, account), account, epoch, exact)
            if denied is None:
                connection.execute(changed(self._keys(account), held_by(exact)))
            else:
                connection.rollback()
            return denied

    def settle(self, entry: str, usage: Usage | None) -> None:
        """See `Ledger.settle`."""
        mine = and_(entries.c.entry == self._key(entry), entries.c.settled.is_(False))
        found = select(entries, accounts.c.name.label("holder")).where(accounts.c.account == entries.c.account)
        with self._writing() as connection:
            row = connection.execute(found.where(mine)).one_or_none()
            if row is None:
                return
            account, amount = bytes(row.holder).decode("utf-8", "surrogatepass"), reserved_in(row)
            self._lock(connection, account)
            if connection.execute(update(entries).where(mine).values(settled_row(usage, amount))).rowcount:
                connection.execute(changed(self._keys(account), settling(usage, amount)))

    def close(self, account: str, epoch: int) -> None:
        """See `Ledger.close`."""
        mine = and_(accounts.c.account == self._key(account), accounts.c.epoch == epoch)
        with self._writing() as connection:
            self._lock(connection, account)
            if connection.execute(update(accounts).where(mine).values(closed=True)).rowcount:
                self._settle_all(connection, account)

    def balances(self, account: str) -> tuple[Balance, ...]:
        """See `Ledger.balances`."""
        with read_transaction(migrate(self.engine)) as connection:
            return tuple(balance_of(name, row) for name, row in self._opened(connection, account))

    def usage(self, account: str) -> Usage:
        """See `Ledger.usage`."""
        with read_transaction(migrate(self.engine)) as connection:
            found = select(accounts).where(accounts.c.account == self._key(account), accounts.c.epoch > 0)
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
            self._lock(connection, run_id)
            opened = self._opened(connection, f"{run_id}/work")
            if not any(name == run_id for name, _ in opened):
                raise BadInput(f"run {run_id!r} has no account in this database; nothing can be added to it")
            for name, row in opened:
                cap = _raised(balance_of(name, row).cap, add)
                connection.execute(update(accounts).where(accounts.c.account == self._key(name)).values(cap_row(cap)))

    @contextmanager
    def _opening(self, account: str) -> Generator[Connection]:
        """Yield a transaction in which `account` and all above it have a row and are locked."""
        rows = [account_row(self.tenant, name) for name in account_chain(account)]
        with self._writing() as connection:
            for row in rows:
                connection.execute(insert_new(connection.dialect, accounts), row)
            self._lock(connection, account)
            yield connection

    @contextmanager
    def _writing(self) -> Generator[Connection]:
        with write_transaction(migrate(self.engine)) as connection:
            if self._fence is not None:
                self._fence.check(connection)
            yield connection

    def _lock(self, connection: Connection, account: str) -> None:
        """Lock the accounts of this run (SQLite has only one writer anyway)."""
        outermost = self._key(account_chain(account)[0])
        connection.execute(select(accounts.c.account).where(accounts.c.account == outermost).with_for_update()).all()

    def _opened(self, connection: Connection, account: str) -> list[tuple[str, Any]]:
        """Return the names and rows of the opened accounts of a chain, outermost first."""
        names = {self._key(name): name for name in account_chain(account)}
        found = select(accounts).where(accounts.c.account.in_(list(names)), accounts.c.epoch > 0)
        rows = {bytes(row.account): row for row in connection.execute(found).all()}
        return [(name, rows[key]) for key, name in names.items() if key in rows]

    def _open(self, connection: Connection, account: str, cap: Allowance) -> int:
        """Open an account that has a row and is locked, and return its epoch."""
        self._settle_all(connection, account)
        mine = accounts.c.account == self._key(account)
        opened = {**cap_row(cap), "closed": False, "epoch": accounts.c.epoch + 1}
        connection.execute(update(accounts).where(mine).values(opened))
        return int(connection.execute(select(accounts.c.epoch).where(mine)).scalar_one())

    def _settle_all(self, connection: Connection, account: str) -> None:
        """Settle in full what is reserved in `account` itself."""
        mine = and_(entries.c.account == self._key(account), entries.c.settled.is_(False))
        total: Counter[str] = Counter()
        for row in connection.execute(select(entries).where(mine)).all():
            amount = reserved_in(row)
            settled = update(entries).where(entries.c.entry == bytes(row.entry)).values(settled_row(None, amount))
            connection.execute(settled)
            total.update(settling(None, amount))
        if total:
            connection.execute(changed(self._keys(account), total))

    def _key(self, name: str) -> bytes:
        return key_of(self.tenant, name)

    def _keys(self, account: str) -> list[bytes]:
        return keys_of(self.tenant, account)


def _denial(opened: list[tuple[str, Any]], account: str, epoch: int, amount: Amount) -> ReservationDenied | None:
    """Return why an amount cannot be reserved in the last of the opened accounts of a chain; `None` if it can."""
    last, row = opened[-1] if opened else ("", None)
    if row is None or last != account or row.epoch != epoch or any(row.closed for _, row in opened):
        return ReservationDenied(account, "closed")
    return check_caps(tuple(balance_of(name, row) for name, row in opened), amount)


@exact_decimal
def _raised(cap: Allowance, add: Allowance) -> Allowance:
    """Return `cap` with what `add` names added to it."""

    def sums(what: str) -> Any:
        have, more = getattr(cap, what), getattr(add, what)
        if have is None or more is None:
            return have
        return max(have, more) if what == "deadline" else have + more

    return cap.model_copy(update={what: sums(what) for what in Allowance.model_fields})
