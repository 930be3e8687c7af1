"""The side accounts of a run that it shares with other runs and processes, in the database.

Every transaction locks the rows of its accounts first, in the order of their keys, so there is no deadlock among them.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, Select, Update, delete, select, update

from guardgraph.state import Allowance, Amount, Balance, ReservationDenied, SideAccount, StorageBusy, Usage, check_caps
from guardgraph.storage.sql.engine import is_sqlite, read_transaction, write_transaction
from guardgraph.storage.sql.leases import Fence, leases_of
from guardgraph.storage.sql.ledger.rows import key_of
from guardgraph.storage.sql.ledger.shared_rows import (
    SharedPlace,
    account_row,
    alerts_of,
    cap_of,
    entry_row,
    held_by,
    reserved_in,
    settling,
    shared_balance,
)
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.shared_account_table import operator_caps, shared_accounts, shared_entries
from guardgraph.storage.sql.statements import inserted

__all__ = ("SharedAccounts",)

_T = TypeVar("_T")
_TRIES = 5
_LOOK_EVERY = 1.0
"""After how many seconds, at the earliest, it is looked again for what dead processes have left open."""
_KEPT = 400
"""How many periods of an account are kept."""


class _Open(NamedTuple):
    """A reservation of this process."""

    keys: tuple[bytes, ...]
    amount: Amount


class SharedAccounts:
    """What one run counts in accounts that other runs and processes share. Every method blocks for a transaction.

    An account per window counts a call in the period in which it was reserved. The caps that operators have set
    replace those that are declared. What a dead process has left open is settled in full once its run goes on, or once
    its lease has run out and its reservation is in the way of another call.
    """

    def __init__(self, engine: Engine, run_id: str, *, fence: Fence, clock: Callable[[], datetime]) -> None:
        self._engine, self._fence, self._clock = engine, fence, clock
        self._run = {"tenant": fence.tenant, "run_id": run_id, "thread_id": fence.thread_id, "lease": fence.epoch}
        self._made: set[bytes] = set()
        self._open: dict[str, _Open] = {}
        self._is_clean = False
        self._look_again = 0.0

    def balances(self, sides: Sequence[SideAccount]) -> tuple[Balance, ...]:
        """Return the balances of these accounts at this moment."""
        self._settle_left()
        places = self._places(sides)
        self._try_again(lambda: self._make(places))
        found = self._read(places)
        if any(one.reserved != Amount() for one in found) and time.monotonic() >= self._look_again:
            self._look_again = time.monotonic() + _LOOK_EVERY  # who waits for room only reads the balances
            if self._try_again(lambda: self._settle_dead(places)):
                found = self._read(places)
        return found

    def _read(self, places: Sequence[SharedPlace]) -> tuple[Balance, ...]:
        with read_transaction(migrate(self._engine)) as connection:
            rows = {bytes(row.account): row for row in connection.execute(_found(place.key for place in places))}
            caps = _operator_caps(connection, places)
        return tuple(shared_balance(place, rows.get(place.key), caps.get(place.owner)) for place in places)

    def reserve(self, entry: str, sides: Sequence[SideAccount], amount: Amount) -> ReservationDenied | None:
        """Reserve in all of these accounts, or return why that is not possible: then nothing is reserved."""
        self._settle_left()
        places = self._places(sides)
        denied = self._try_again(lambda: self._reserve(entry, places, amount))
        if denied is not None and denied.retryable and self._try_again(lambda: self._settle_dead(places)):
            denied = self._try_again(lambda: self._reserve(entry, places, amount))
        return denied

    def settle(self, entry: str, usage: Usage | None) -> bool:
        """Replace a reservation of this process by the usage (`None` settles in full); return whether there was one."""
        held = self._open.get(entry)
        if held is None:
            return False
        self._try_again(lambda: self._settle(key_of(self._fence.tenant, entry), held, usage))
        self._open.pop(entry, None)
        return True

    def charge(self, sides: Sequence[SideAccount], usage: Usage) -> None:
        """Add what was spent without a reservation, even where it is more than was left."""
        places = self._places(sides)

        def charge() -> None:
            self._make(places)
            with self._writing() as connection:
                _locked(connection, [place.key for place in places])
                connection.execute(_changed([place.key for place in places], settling(usage, None)))

        self._try_again(charge)

    def alert_once(self, key: bytes, threshold: float, by: str) -> bool:
        """See `Ledger.alert_once`."""

        def alert() -> bool:
            with self._writing() as connection:
                row = next(iter(_locked(connection, [key]).values()), None)
                alerts = {} if row is None else alerts_of(row)
                if alerts.get(threshold) == by:
                    return True
                if row is None or threshold <= max(alerts, default=0.0):
                    return False
                stored = json.dumps({**alerts, threshold: by}).encode()
                mine = shared_accounts.c.account == key
                connection.execute(update(shared_accounts).where(mine).values(alerts=stored))
                return True

        return self._try_again(alert)

    def _places(self, sides: Iterable[SideAccount]) -> list[SharedPlace]:
        now, fence = self._clock(), self._fence
        found = [SharedPlace.of(side, now, tenant=fence.tenant, thread_id=fence.thread_id) for side in sides]
        return sorted(found, key=lambda place: place.key)

    def _reserve(self, entry: str, places: Sequence[SharedPlace], amount: Amount) -> ReservationDenied | None:
        keys = tuple(place.key for place in places)
        self._make(places)
        with self._writing() as connection:
            rows = _locked(connection, keys)
            if len(rows) < len(keys):  # deleted with a thread, or by a downgrade
                self._made.difference_update(keys)
                raise StorageBusy("accounts of a budget were deleted meanwhile; try again")
            caps = _operator_caps(connection, places)
            balances = tuple(shared_balance(place, rows[place.key], caps.get(place.owner)) for place in places)
            denied = check_caps(balances, amount)
            if denied is not None:
                return denied
            connection.execute(_changed(keys, held_by(amount)))
            name = key_of(self._fence.tenant, entry)
            connection.execute(shared_entries.insert(), [entry_row(place, name, amount, self._run) for place in places])
        self._open[entry] = _Open(keys, amount)
        return None

    def _settle(self, entry: bytes, held: _Open, usage: Usage | None) -> None:
        with self._writing(fenced=False) as connection:
            _locked(connection, held.keys)
            mine = (shared_entries.c.entry == entry, shared_entries.c.account.in_(held.keys))
            open_keys = [
                bytes(key) for key in connection.execute(select(shared_entries.c.account).where(*mine)).scalars()
            ]
            if open_keys:  # else it was settled in full by others, since our lease was lost
                connection.execute(delete(shared_entries).where(*mine))
                connection.execute(_changed(open_keys, settling(usage, held.amount)))

    def _settle_left(self) -> None:
        """Settle in full what earlier processes have left open in this run."""
        if not self._is_clean:
            run = (shared_entries.c.tenant == self._fence.tenant, shared_entries.c.run_id == self._run["run_id"])
            left = select(shared_entries).where(*run, shared_entries.c.lease != self._fence.epoch)
            self._try_again(lambda: self._settle_rows(left, lambda _connection, rows: rows))
            self._is_clean = True

    def _settle_dead(self, places: Sequence[SharedPlace]) -> bool:
        """Settle in full what dead processes have left open in these accounts; return whether there was anything."""
        accounts = shared_entries.c.account.in_([place.key for place in places])
        others = select(shared_entries).where(accounts, shared_entries.c.run_id != self._run["run_id"])
        return self._settle_rows(others, self._dead)

    def _dead(self, connection: Connection, rows: Sequence[Any]) -> Sequence[Any]:
        leases = leases_of(connection, {row.thread_id for row in rows}, self._fence.tenant) if rows else {}
        live = {(lease.thread_id, lease.epoch) for lease in leases.values() if lease.state == "live"}
        return [row for row in rows if (row.thread_id, row.lease) not in live]

    def _settle_rows(self, found: Select[Any], choose: Callable[[Connection, Sequence[Any]], Sequence[Any]]) -> bool:
        """Settle in full those of the entries `found` that `choose` returns."""
        with read_transaction(migrate(self._engine)) as connection:
            chosen = choose(connection, connection.execute(found).all())
        if not chosen:
            return False
        with self._writing() as connection:
            _locked(connection, sorted({bytes(row.account) for row in chosen}))
            for row in chosen:
                key = bytes(row.account)
                mine = (shared_entries.c.account == key, shared_entries.c.entry == bytes(row.entry))
                if connection.execute(delete(shared_entries).where(*mine)).rowcount:
                    connection.execute(_changed([key], settling(None, reserved_in(row))))
        return True

    def _make(self, places: Iterable[SharedPlace]) -> None:
        """Store the rows of accounts that are new, and delete those of periods that are long over.

        Each is a transaction of its own, so that no row is locked twice in one, or in another order.
        """
        for place in places:
            if place.key in self._made:
                continue
            row, mine = account_row(place, self._fence.tenant), shared_accounts.c.account == place.key
            with self._writing() as connection:
                is_new = inserted(connection, shared_accounts, row)
            if not is_new:
                with self._writing() as connection:
                    connection.execute(update(shared_accounts).where(mine).values(declared=row["declared"]))
            elif place.period is not None:
                oldest = row["starts"] - _KEPT * (row["ends"] - row["starts"])
                old = (shared_accounts.c.owner == place.owner, shared_accounts.c.starts < oldest)
                with self._writing() as connection:
                    connection.execute(delete(shared_accounts).where(*old))
            self._made.add(place.key)

    @contextmanager
    def _writing(self, *, fenced: bool = True) -> Generator[Connection]:
        with write_transaction(migrate(self._engine), thread_id=self._fence.thread_id) as connection:
            if fenced:
                self._fence.check(connection)
            yield connection

    def _try_again(self, work: Callable[[], _T]) -> _T:
        """Do `work` again where a server has ended its transaction, as it does to break a deadlock."""
        for left in reversed(range(_TRIES)):
            try:
                return work()
            except StorageBusy:
                if not left or is_sqlite(self._engine):  # SQLite has waited already, and has no deadlocks
                    raise
                time.sleep(random.uniform(0.005, 0.05))
        raise AssertionError("unreachable")


def _locked(connection: Connection, keys: Iterable[bytes]) -> dict[bytes, Any]:
    """Lock accounts in the order of their keys, and return their rows."""
    found = _found(keys).order_by(shared_accounts.c.account).with_for_update()
    return {bytes(row.account): row for row in connection.execute(found)}


def _found(keys: Iterable[bytes]) -> Select[Any]:
    return select(shared_accounts).where(shared_accounts.c.account.in_(list(keys)))


def _operator_caps(connection: Connection, places: Iterable[SharedPlace]) -> dict[bytes, Allowance]:
    """Return the caps that operators have set, by what is counted together."""
    owners = [place.owner for place in places]
    found = select(operator_caps.c.owner, operator_caps.c.cap).where(operator_caps.c.owner.in_(owners))
    return {bytes(row.owner): cap_of(bytes(row.cap)) for row in connection.execute(found)}


def _changed(keys: Iterable[bytes], changes: dict[str, int]) -> Update:
    """Add `changes` to the sums of these accounts."""
    sums = {name: shared_accounts.c[name] + value for name, value in changes.items()}
    return update(shared_accounts).where(shared_accounts.c.account.in_(list(keys))).values(sums)
