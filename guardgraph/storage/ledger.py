"""The protocol of a ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from pydantic import JsonValue

from guardgraph.state import Allowance, Amount, Balance, ReservationDenied, SideAccount, Usage

__all__ = ("Ledger",)


class Ledger(Protocol):
    """The accounts of one or many runs. Every method is atomic and may be called from any thread.

    What is reserved or spent in an account counts in every account above it, also in one that is opened later.
    """

    @property
    def blocks(self) -> bool:
        """Whether any call may block, so that it must not be made on an event loop."""
        ...

    @property
    def reserving_blocks(self) -> bool:
        """Whether `reserve` may block, if no other call does."""
        ...

    @property
    def has_shared_accounts(self) -> bool:
        """Whether it can count in side accounts that are shared by runs and processes."""
        ...

    def open(self, account: str, cap: Allowance) -> int:
        """Open or reopen `account` and return its epoch; what an earlier epoch left reserved is settled in full."""
        ...

    def reopen(self, account: str, at_least: Allowance) -> int:
        """Like `open`, but keep every limit of the account that is wider, such as one that was raised since."""
        ...

    def draw_on(self, account: str, sides: Sequence[SideAccount]) -> None:
        """Count what is reserved from now on in `account`, or below it, in these side accounts too, and in no others.

        It was just opened. Raises `BadInput` for a shared one where there is no database.
        """
        ...

    def reserve(self, entry: str, account: str, epoch: int, amount: Amount) -> ReservationDenied | None:
        """Reserve `amount` under the id `entry`, or return why not. Repeating an entry reserves nothing."""
        ...

    def settle(self, entry: str, usage: Usage | None) -> None:
        """Replace the reservation by the actual usage; `None` settles it in full. Unknown entries are ignored."""
        ...

    def close(self, account: str, epoch: int) -> None:
        """Settle in full what is reserved in `account` itself, and refuse what comes later under this epoch."""
        ...

    def balances(self, account: str) -> tuple[Balance, ...]:
        """Return the balances of the opened accounts from the outermost down to `account`.

        Before them are those of the side accounts in which it counts.
        """
        ...

    def side_balances(self, sides: Sequence[SideAccount]) -> tuple[Balance, ...]:
        """Return the balances of side accounts, also of those on which no account draws yet."""
        ...

    def alert_once(self, balance: Balance, threshold: float, by: str) -> bool:
        """Return whether an alert of an account at `threshold` is to be emitted; record that `by` has done so.

        That is so once per threshold, account and period, and again only for the same `by`: what is done again after a
        crash emits its alert again.
        """
        ...

    def keep_notes(self, account: str, notes: Callable[[], JsonValue] | None) -> None:
        """Keep with an account what `notes` returns each time that it is stored; `None` drops what is kept.

        It is stored with the next reservation or checkpoint. `notes` is called under the lock of the ledger.
        """
        ...

    def notes(self, account: str) -> JsonValue:
        """Return what is kept with an account; `None` if that is nothing."""
        ...

    def usage(self, account: str) -> Usage:
        """Return what was spent in `account` and below it; `Usage()` if it was never opened."""
        ...
