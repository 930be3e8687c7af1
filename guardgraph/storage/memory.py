"""The books of runs in the memory of this process."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from threading import Lock
from typing import Literal

from guardgraph.state import (
    Allowance,
    Amount,
    Balance,
    ReservationDenied,
    Usage,
    account_chain,
    check_caps,
    exact_decimal,
    full_usage,
)

__all__ = ("MemoryLedger",)


@dataclass(slots=True)
class _Account:
    cap: Allowance = field(default_factory=Allowance)
    epoch: int = 0
    """How often it was opened; one that only stands above an opened account has 0."""
    closed: bool = True
    spent: Amount = field(default_factory=Amount)
    priced: Amount = field(default_factory=Amount)
    """What is reserved; unknown prices are not in its money."""
    unpriced: int = 0
    """How many open reservations have an unknown price."""
    usage: Usage = field(default_factory=Usage)
    entries: dict[str, Amount] = field(default_factory=dict[str, Amount])

    @property
    def reserved(self) -> Amount:
        return replace(self.priced, usd=None) if self.unpriced else self.priced

    @exact_decimal
    def hold(self, amount: Amount, *, times: Literal[1, -1]) -> None:
        """Add a reservation, or take it back."""
        self.unpriced += times if amount.usd is None else 0
        self.priced = Amount(
            tokens=self.priced.tokens + times * amount.tokens,
            usd=(self.priced.usd or Decimal(0)) + times * (amount.usd or Decimal(0)),
            calls=self.priced.calls + times * amount.calls,
            subtasks=self.priced.subtasks + times * amount.subtasks,
            messages=self.priced.messages + times * amount.messages,
        )


class MemoryLedger:
    """A ledger in the memory of this process; it is gone when the process ends."""

    blocks = False

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        self._entries: dict[str, str] = {}
        self._lock = Lock()

    def open(self, account: str, cap: Allowance) -> int:
        """See `Ledger.open`."""
        with self._lock:
            return self._open(account, cap)

    def reopen(self, account: str, at_least: Allowance) -> int:
        """See `Ledger.reopen`."""
        with self._lock:
            known = self._accounts.get(account)
            return self._open(account, at_least.widen(known.cap) if known and known.epoch else at_least)

    def reserve(self, entry: str, account: str, epoch: int, amount: Amount) -> ReservationDenied | None:
        """See `Ledger.reserve`."""
        with self._lock:
            if entry in self._entries:
                return None
            held = self._accounts.get(account)
            if held is None or not epoch or held.epoch != epoch or any(map(self._is_closed, account_chain(account))):
                return ReservationDenied(account, "closed")
            refusal = check_caps(self._balances(account), amount)
            if refusal is None:
                self._entries[entry] = account
                held.entries[entry] = amount
                for name in account_chain(account):
                    self._accounts[name].hold(amount, times=1)
            return refusal

    def settle(self, entry: str, usage: Usage | None) -> None:
        """See `Ledger.settle`."""
        with self._lock:
            account = self._entries.get(entry)
            if account is not None and entry in self._accounts[account].entries:
                self._settle(entry, account, usage)

    def close(self, account: str, epoch: int) -> None:
        """See `Ledger.close`."""
        with self._lock:
            held = self._accounts.get(account)
            if held is not None and held.epoch == epoch:
                self._settle_all(account)
                held.closed = True

    def balances(self, account: str) -> tuple[Balance, ...]:
        """See `Ledger.balances`."""
        with self._lock:
            return self._balances(account)

    def usage(self, account: str) -> Usage:
        """See `Ledger.usage`."""
        with self._lock:
            held = self._accounts.get(account)
            return held.usage if held and held.epoch else Usage()

    def _open(self, account: str, cap: Allowance) -> int:
        for name in account_chain(account):
            self._accounts.setdefault(name, _Account())
        held = self._accounts[account]
        self._settle_all(account)
        held.cap, held.closed, held.epoch = cap, False, held.epoch + 1
        return held.epoch

    def _balances(self, account: str) -> tuple[Balance, ...]:
        found = ((name, self._accounts.get(name)) for name in account_chain(account))
        return tuple(Balance(name, held.cap, held.spent, held.reserved) for name, held in found if held and held.epoch)

    def _is_closed(self, account: str) -> bool:
        held = self._accounts[account]
        return held.closed and held.epoch > 0

    def _settle_all(self, account: str) -> None:
        for entry in list(self._accounts[account].entries):
            self._settle(entry, account, None)

    def _settle(self, entry: str, account: str, usage: Usage | None) -> None:
        amount = self._accounts[account].entries.pop(entry)
        used = full_usage(amount) if usage is None else usage
        spent = Amount(used.tokens, used.usd, used.calls, amount.subtasks, amount.messages)
        for name in account_chain(account):
            above = self._accounts[name]
            above.hold(amount, times=-1)
            above.spent = above.spent + spent
            above.usage = above.usage + used
