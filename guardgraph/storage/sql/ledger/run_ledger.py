"""The books of one run, in which more allowance reaches every account that inherits it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from guardgraph.state import Allowance, Amount, Balance, ReservationDenied, Usage
from guardgraph.storage.sql.ledger.sql_ledger import SQLLedger

__all__ = ("RunLedger",)

_COUNTS = ("tokens", "usd", "calls", "subtasks", "messages")


@dataclass(frozen=True, slots=True)
class RunLedger:
    """A `Ledger` for one run, over a ledger that many runs share.

    A run's agents and teams are given its own limits wherever nothing narrows them, and what is on its way keeps the
    limits of the day it was sent: that is what `Request.allowance` and a position still show. So a limit that equals
    the one the run was `admitted` with is opened as `raised`, and the accounts say what may be spent.
    """

    books: SQLLedger
    run_id: str
    admitted: Allowance
    """What the run was given when it began."""
    raised: Allowance
    """What it has now."""
    _more: Mapping[str, tuple[Any, Any]] = field(init=False)

    def __post_init__(self) -> None:
        pairs = {what: (getattr(self.admitted, what), getattr(self.raised, what)) for what in _COUNTS}
        changed = {what: pair for what, pair in pairs.items() if pair[0] != pair[1]}
        object.__setattr__(self, "_more", changed)

    @property
    def blocks(self) -> bool:
        """See `Ledger.blocks`."""
        return self.books.blocks

    def open(self, account: str, cap: Allowance) -> int:
        """See `Ledger.open`."""
        return self.books.open(account, self._raised(cap))

    def reopen(self, account: str, at_least: Allowance) -> int:
        """See `Ledger.reopen`."""
        return self.books.reopen(account, self._raised(at_least))

    def reserve(self, entry: str, account: str, epoch: int, amount: Amount) -> ReservationDenied | None:
        """See `Ledger.reserve`."""
        return self.books.reserve(entry, account, epoch, amount)

    def settle(self, entry: str, usage: Usage | None) -> None:
        """See `Ledger.settle`."""
        self.books.settle(entry, usage)

    def close(self, account: str, epoch: int) -> None:
        """See `Ledger.close`."""
        self.books.close(account, epoch)

    def balances(self, account: str) -> tuple[Balance, ...]:
        """See `Ledger.balances`."""
        return self.books.balances(account)

    def usage(self, account: str) -> Usage:
        """See `Ledger.usage`."""
        return self.books.usage(account)

    def _raised(self, cap: Allowance) -> Allowance:
        inherited = {what: now for what, (before, now) in self._more.items() if getattr(cap, what) == before}
        return cap.model_copy(update=inherited)
