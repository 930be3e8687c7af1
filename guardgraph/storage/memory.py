"""The ledger of runs in the memory of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from threading import RLock

from pydantic import JsonValue

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
    full_usage,
)

__all__ = ("Account", "MemoryLedger")

_NO_AMOUNT, _NO_USAGE, _NO_MONEY = Amount(), Usage(), Decimal(0)


@dataclass(slots=True)
class Account:
    """One account, with what is spent and reserved in it and below it."""

    name: str
    above: tuple[Account, ...]
    """The accounts above it, outermost first."""
    cap: Allowance = field(default_factory=Allowance)
    epoch: int = 0
    """How often it was opened; 0 if only accounts below it were opened."""
    closed: bool = True
    spent: Amount = _NO_AMOUNT
    reserved: Amount = _NO_AMOUNT
    """Unknown prices are not in its money."""
    unpriced: int = 0
    """How many open reservations have an unknown price."""
    usage: Usage = _NO_USAGE
    entries: dict[str, Amount] = field(default_factory=dict[str, Amount])
    sides: tuple[Account, ...] = ()
    """The side accounts on which it draws itself."""
    shared: tuple[SideAccount, ...] = ()
    """Those of them that are counted in a database."""
    label: str = ""
    """What a side account is called in a message."""
    kind: str = ""
    """What a side account counts together."""
    alerts: dict[float, str] = field(default_factory=dict[float, str])
    """The thresholds of which alerts were emitted, and by what."""
    notes: Callable[[], JsonValue] | None = None
    """Returns what is kept with it."""
    _balance: Balance | None = None

    @property
    def chain(self) -> tuple[Account, ...]:
        """The accounts above it, and itself."""
        return (*self.above, self)

    @property
    def counted(self) -> tuple[Account, ...]:
        """All accounts in which its spendings count: its side accounts, each once, then its chain."""
        chain = self.chain
        sides = {side.name: side for one in chain for side in one.sides}
        return (*sides.values(), *chain) if sides else chain

    @property
    def balance(self) -> Balance:
        """What is spent and reserved in it now."""
        if self._balance is None:
            reserved = replace(self.reserved, usd=None) if self.unpriced else self.reserved
            alerted = max(self.alerts, default=0.0)
            self._balance = Balance(self.name, self.cap, self.spent, reserved, self.label, alerted, self.kind)
        return self._balance

    def reserve(self, amount: Amount, *, unpriced: bool) -> None:
        """Reserve an amount that fits, or the priced part of one that is `unpriced`."""
        self.unpriced += unpriced
        self.reserved = self.reserved + amount
        self._balance = None

    def settle(self, released: Amount, used: Usage, spent: Amount, *, unpriced: bool) -> None:
        """Replace a reservation by what was `spent`; `released` is what takes it off."""
        self.unpriced -= unpriced
        self.reserved = self.reserved + released
        self.spent, self.usage = self.spent + spent, self.usage + used
        self._balance = None

    def open(self, cap: Allowance) -> int:
        """Open it again with other limits; return the new epoch."""
        self.cap, self.closed, self.epoch, self._balance = cap, False, self.epoch + 1, None
        return self.epoch

    def alert(self, threshold: float, by: str) -> bool:
        """See `Ledger.alert_once`."""
        if self.alerts.get(threshold) == by:
            return True
        if threshold <= max(self.alerts, default=0.0):
            return False
        self.alerts[threshold], self._balance = by, None
        return True


class MemoryLedger:
    """A ledger in the memory of this process; it is gone when the process ends."""

    blocks = reserving_blocks = has_shared_accounts = False

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._entries: dict[str, Account] = {}
        self._lock = RLock()

    def open(self, account: str, cap: Allowance) -> int:
        """See `Ledger.open`."""
        with self._lock:
            return self._open(account, cap)

    def reopen(self, account: str, at_least: Allowance) -> int:
        """See `Ledger.reopen`."""
        with self._lock:
            known = self._accounts.get(account)
            return self._open(account, at_least.widen(known.cap) if known and known.epoch else at_least)

    def draw_on(self, account: str, sides: Sequence[SideAccount]) -> None:
        """See `Ledger.draw_on`."""
        shared = tuple(side for side in sides if side.is_shared)
        if shared and not self.has_shared_accounts:
            raise BadInput(f"a budget of {shared[0].label()} is counted in a database, and there is none here")
        with self._lock:
            drawing = self._account(account)
            drawing.sides = tuple(self._opened_side(side) for side in sides if not side.is_shared)
            drawing.shared = shared

    def reserve(self, entry: str, account: str, epoch: int, amount: Amount) -> ReservationDenied | None:
        """See `Ledger.reserve`."""
        with self._lock:
            if entry in self._entries:
                return None
            held = self._accounts.get(account)
            if held is None or not epoch or held.epoch != epoch or any(map(_is_closed, held.chain)):
                return ReservationDenied(account, "closed")
            counted = held.counted
            refusal = check_caps(_balances(counted), amount)
            if refusal is None:
                self._entries[entry] = held
                held.entries[entry] = amount
                priced, unpriced = _priced(amount), amount.usd is None
                for one in counted:
                    one.reserve(priced, unpriced=unpriced)
            return refusal

    def settle(self, entry: str, usage: Usage | None) -> None:
        """See `Ledger.settle`."""
        with self._lock:
            held = self._entries.get(entry)
            if held is not None and entry in held.entries:
                self._settle(held, entry, usage)

    def close(self, account: str, epoch: int) -> None:
        """See `Ledger.close`."""
        with self._lock:
            held = self._accounts.get(account)
            if held is not None and held.epoch == epoch:
                self._settle_all(held)
                held.closed = True

    def balances(self, account: str) -> tuple[Balance, ...]:
        """See `Ledger.balances`."""
        with self._lock:
            held = self._accounts.get(account)
            if held is None:  # those above it count all the same
                known = [self._accounts[name] for name in account_chain(account) if name in self._accounts]
                held = known[-1] if known else None
            return () if held is None else _balances(held.counted)

    def side_balances(self, sides: Sequence[SideAccount]) -> tuple[Balance, ...]:
        """See `Ledger.side_balances`."""
        with self._lock:
            known = [(side, self._accounts.get(side.name)) for side in sides if not side.is_shared]
            return tuple(
                Balance(side.name, side.cap, _NO_AMOUNT, _NO_AMOUNT, side.label(), 0.0, side.kind)
                if held is None
                else held.balance
                for side, held in known
            )

    def alert_once(self, balance: Balance, threshold: float, by: str) -> bool:
        """See `Ledger.alert_once`."""
        with self._lock:
            held = self._accounts.get(balance.account)
            return held is not None and held.alert(threshold, by)

    def keep_notes(self, account: str, notes: Callable[[], JsonValue] | None) -> None:
        """See `Ledger.keep_notes`."""
        with self._lock:
            self._account(account).notes = notes

    def notes(self, account: str) -> JsonValue:
        """See `Ledger.notes`."""
        with self._lock:
            held = self._accounts.get(account)
            return held.notes() if held and held.notes else None

    def usage(self, account: str) -> Usage:
        """See `Ledger.usage`."""
        with self._lock:
            held = self._accounts.get(account)
            return held.usage if held and held.epoch else Usage()

    def _open(self, account: str, cap: Allowance) -> int:
        opened = self._account(account)
        self._settle_all(opened)
        return opened.open(cap)

    def _account(self, account: str) -> Account:
        """Return an account, which is made if it does not exist, as are those above it."""
        above: tuple[Account, ...] = ()
        for name in account_chain(account)[:-1]:
            above = self._accounts.setdefault(name, Account(name, above)).chain
        return self._accounts.setdefault(account, Account(account, above))

    def _opened_side(self, side: SideAccount) -> Account:
        """Return a side account with the cap of now."""
        held = self._account(side.name)
        held.label, held.kind = side.label(), side.kind
        held.open(side.cap)
        return held

    def _settle_all(self, held: Account) -> None:
        for entry in list(held.entries):
            self._settle(held, entry, None)

    def _settle(self, held: Account, entry: str, usage: Usage | None) -> None:
        amount = held.entries.pop(entry)
        used = full_usage(amount) if usage is None else usage
        spent = Amount(used.tokens, used.usd, used.calls, amount.subtasks, amount.messages)
        released, unpriced = -_priced(amount), amount.usd is None
        for one in held.counted:
            one.settle(released, used, spent, unpriced=unpriced)

    def _forget(self, entry: str) -> None:
        """Release a reservation as if it was never made: its id can be used again."""
        held = self._entries.pop(entry)
        amount = held.entries.pop(entry)
        for one in held.counted:
            one.settle(-_priced(amount), _NO_USAGE, _NO_AMOUNT, unpriced=amount.usd is None)


def _balances(counted: Iterable[Account]) -> tuple[Balance, ...]:
    return tuple([one.balance for one in counted if one.epoch])


def _is_closed(one: Account) -> bool:
    """Return whether an account was opened, and closed since."""
    return one.closed and one.epoch > 0


def _priced(amount: Amount) -> Amount:
    if amount.usd is not None:
        return amount
    return Amount(amount.tokens, _NO_MONEY, amount.calls, amount.subtasks, amount.messages)
