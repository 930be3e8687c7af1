"""The ledger of a run that this process alone works on: checked in memory, stored with what else is committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, Engine

from guardgraph.state import (
    COUNTS,
    Allowance,
    Amount,
    Balance,
    ReservationDenied,
    SideAccount,
    Usage,
    account_chain,
    merged_sides,
)
from guardgraph.storage.memory import Account, MemoryLedger
from guardgraph.storage.sql.engine import engine_of
from guardgraph.storage.sql.group_commit import group_commit_of
from guardgraph.storage.sql.leases import Fence
from guardgraph.storage.sql.ledger.rows import (
    entry_row,
    in_nanos,
    settled_row,
    usage_in_nanos,
)
from guardgraph.storage.sql.ledger.shared_accounts import SharedAccounts
from guardgraph.storage.sql.ledger.stored_accounts import load_accounts, stored_account
from guardgraph.storage.sql.prepared import Prepared
from guardgraph.storage.sql.statements import insert_or_replace
from guardgraph.storage.sql.tables import accounts, entries

__all__ = ("RunLedger",)

_set_account = Prepared(lambda dialect: insert_or_replace(dialect, accounts))
_set_entry = Prepared(lambda dialect: insert_or_replace(dialect, entries))
_UNSETTLED = dict.fromkeys(("input_tokens", "output_tokens", "used_usd", "used_calls", "microseconds"))


@dataclass(slots=True)
class _Unstored:
    """What has changed since it was stored last."""

    entries: dict[bytes, dict[str, Any]] = field(default_factory=dict[bytes, dict[str, Any]])
    """The rows of entries, by their keys."""
    accounts: dict[str, Account] = field(default_factory=dict[str, Account])

    def add(self, older: _Unstored) -> None:
        """Add what is older: what has changed again since then stays."""
        self.entries = {**older.entries, **self.entries}
        self.accounts = {**older.accounts, **self.accounts}


class RunLedger(MemoryLedger):
    """The ledger of one run in a SQL database. The lease of its thread makes this process its only spender.

    A reservation of tokens, calls or money is stored before `reserve` returns, with those of other threads in one
    commit. All else is stored with the next commit, by `store` at the latest; after a crash a reservation that was not
    settled in the database counts in full. Money is kept in nano-dollars, rounded up.

    What is shared with other runs is reserved in a transaction of its own, after what is the run's own.
    """

    reserving_blocks = True

    def __init__(
        self,
        engine: Engine,
        run_id: str,
        *,
        tenant: str,
        fence: Fence | None = None,
        is_new: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Load what is stored of a tenant's run; one that `is_new` has nothing yet. Writes are checked by `fence`.

        By `clock` it is known in which period of a window a call is counted. Without a `fence` nothing is shared.
        """
        super().__init__()
        self.run_id, self.tenant, self._fence = run_id, tenant, fence
        self._commits = group_commit_of(engine_of(engine))
        self._known: set[bytes] = set()
        self._unstored = _Unstored()
        self._storing: list[_Unstored] = []
        self._raised: Mapping[str, tuple[Any, Any]] = {}
        self._shared = None if fence is None else SharedAccounts(engine, run_id, fence=fence, clock=clock)
        self._draws_on_shared = False
        self._unsettled: list[tuple[str, tuple[SideAccount, ...], Usage | None]] = []
        if not is_new:
            self._accounts, self._entries, self._known = load_accounts(engine, run_id, tenant=tenant)

    @property
    def blocks(self) -> bool:
        """Whether any call may block: once there are accounts that are shared."""
        return self._draws_on_shared

    @property
    def has_shared_accounts(self) -> bool:
        """See `Ledger.has_shared_accounts`."""
        return self._shared is not None

    def inherit(self, admitted: Allowance, raised: Allowance) -> None:
        """Open limits that equal those of `admitted` as those of `raised`, from now on.

        Agents and teams inherit the limits of the run unless they are narrowed, and requests that were sent before a
        top-up keep their original limits.
        """
        limits = {what: (getattr(admitted, what), getattr(raised, what)) for what in COUNTS}
        self._raised = {what: limit for what, limit in limits.items() if limit[0] != limit[1]}

    def open(self, account: str, cap: Allowance) -> int:
        """See `Ledger.open`. The part of `account` before the first `/` is the run's id."""
        epoch = super().open(account, cap)
        self._settle_shared()
        return epoch

    def reopen(self, account: str, at_least: Allowance) -> int:
        """See `Ledger.reopen`."""
        epoch = super().reopen(account, at_least)
        self._settle_shared()
        return epoch

    def draw_on(self, account: str, sides: Sequence[SideAccount]) -> None:
        """See `Ledger.draw_on`."""
        with self._lock:
            super().draw_on(account, sides)
            self._draws_on_shared |= any(side.is_shared for side in sides)
            self._changed(account)

    def reserve(self, entry: str, account: str, epoch: int, amount: Amount) -> ReservationDenied | None:
        """See `Ledger.reserve`."""
        exact = in_nanos(amount)
        row = entry_row(self.tenant, entry, account, exact)
        is_spending = bool(amount.tokens or amount.calls or amount.usd != 0)
        with self._lock:
            if row["entry"] in self._known:
                return None
            denied = super().reserve(entry, account, epoch, exact)
            if denied is not None:
                return denied
        if is_spending:
            denied = self._reserve_shared(entry, account, exact)
        if denied is not None:
            return denied
        with self._lock:
            self._known.add(row["entry"])
            if entry in self._accounts[account].entries:  # else it was settled meanwhile, and so is its row
                self._unstored.entries[row["entry"]] = {**_UNSETTLED, **row}
            self._changed(account)
        if is_spending:
            self._store_now(entry)
        return None

    def settle(self, entry: str, usage: Usage | None) -> None:
        """See `Ledger.settle`."""
        super().settle(entry, usage)
        self._settle_shared()

    def close(self, account: str, epoch: int) -> None:
        """See `Ledger.close`."""
        with self._lock:
            super().close(account, epoch)
            self._changed(account)
        self._settle_shared()

    def balances(self, account: str) -> tuple[Balance, ...]:
        """See `Ledger.balances`."""
        shared = self._sides_of(account)
        found = super().balances(account)
        return (*self._shared.balances(shared), *found) if shared and self._shared else found

    def side_balances(self, sides: Sequence[SideAccount]) -> tuple[Balance, ...]:
        """See `Ledger.side_balances`."""
        shared = [side for side in sides if side.is_shared]
        found = super().side_balances(sides)
        return (*self._shared.balances(shared), *found) if shared and self._shared else found

    def alert_once(self, balance: Balance, threshold: float, by: str) -> bool:
        """See `Ledger.alert_once`."""
        if balance.key and self._shared is not None:
            return self._shared.alert_once(balance.key, threshold, by)
        with self._lock:
            self._changed(balance.account)
            return super().alert_once(balance, threshold, by)

    def keep_notes(self, account: str, notes: Callable[[], JsonValue] | None) -> None:
        """See `Ledger.keep_notes`."""
        with self._lock:
            super().keep_notes(account, notes)
            self._unstored.accounts[account] = self._accounts[account]

    def store(self) -> None:
        """Store all that has changed, and wait for what another thread is storing: that may not be committed yet."""
        with self._lock:
            is_stored = not (self._unstored.entries or self._unstored.accounts or self._storing)
        if not is_stored:
            self._commits.write(self._write_fenced, after=self.written, joins=True, fence=self._fence)

    def _write_fenced(self, connection: Connection) -> None:
        if self._fence is not None:
            self._fence.check(connection)
        self.write_changes(connection)

    def write_changes(self, connection: Connection) -> None:
        """Write what has changed, in a transaction of the caller's, who calls `written` after it."""
        with self._lock:
            unstored, self._unstored = self._unstored, _Unstored()
            self._storing.append(unstored)
            rows = [stored_account(self.tenant, account) for account in unstored.accounts.values()]
        for store, given in ((_set_account, rows), (_set_entry, [*unstored.entries.values()])):
            if given:
                store.each(connection, given)

    def written(self, is_committed: bool, /) -> None:  # noqa: FBT001 - `GroupCommit` calls it
        """Note whether what was written last is committed; else it is written again."""
        with self._lock:
            for older in () if is_committed else reversed(self._storing):
                self._unstored.add(older)
            self._storing.clear()

    def _open(self, account: str, cap: Allowance) -> int:
        inherited = {what: now for what, (before, now) in self._raised.items() if getattr(cap, what) == before}
        epoch = super()._open(account, cap.model_copy(update=inherited) if inherited else cap)
        self._changed(account)
        return epoch

    def _settle(self, held: Account, entry: str, usage: Usage | None) -> None:
        amount = held.entries[entry]
        exact = None if usage is None else usage_in_nanos(usage)
        row = {**entry_row(self.tenant, entry, held.name, amount), **settled_row(exact, amount)}
        super()._settle(held, entry, exact)
        if self._draws_on_shared:
            self._unsettled.append((entry, self._sides_of(held.name), exact))
        self._unstored.entries[row["entry"]] = row
        self._changed(held.name)

    def _changed(self, account: str) -> None:
        for name in account_chain(account):
            if name in self._accounts:
                self._unstored.accounts[name] = self._accounts[name]
                for side in self._accounts[name].sides:
                    self._unstored.accounts[side.name] = side

    def _store_now(self, entry: str) -> None:
        try:
            self.store()
        except BaseException:  # nothing is spent: the call that it was for is not made
            self.settle(entry, Usage())
            raise

    def _sides_of(self, account: str) -> tuple[SideAccount, ...]:
        """Return the shared accounts in which an account counts: its own, and those of the accounts above."""
        if not self._draws_on_shared:
            return ()
        with self._lock:
            chain = [self._accounts[name] for name in account_chain(account) if name in self._accounts]
            return merged_sides(side for one in chain for side in one.shared)

    def _reserve_shared(self, entry: str, account: str, amount: Amount) -> ReservationDenied | None:
        """Reserve in the shared accounts; where that is not possible, release what is reserved in the run's own."""
        sides = self._sides_of(account)
        if not sides or self._shared is None:
            return None
        denied: ReservationDenied | None = ReservationDenied(account, "closed")
        try:
            denied = self._shared.reserve(entry, sides, amount)
        finally:
            with self._lock:
                is_open = entry in self._accounts[account].entries
                if denied is not None and is_open:
                    self._forget(entry)
        if denied is None and not is_open:  # the account was closed meanwhile, which settles in full
            self._shared.settle(entry, None)
        return denied

    def _settle_shared(self) -> None:
        """Settle in the shared accounts what was settled in the run's own; never while the lock is held.

        What was reported without a reservation is charged.
        """
        while self._shared is not None and self._unsettled:
            with self._lock:
                if not self._unsettled:
                    return
                entry, sides, usage = self._unsettled.pop(0)
            try:
                if not self._shared.settle(entry, usage) and sides and usage is not None and usage != Usage():
                    self._shared.charge(sides, usage)
            except BaseException:
                with self._lock:
                    self._unsettled.insert(0, (entry, sides, usage))
                raise
