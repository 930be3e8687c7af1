"""How many tokens one model call may take of what several agents share. Pure: no clock, no ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from guardgraph.state import Balance, ModelPrice, ReservationDenied, exact_decimal

__all__ = ("Headroom", "bound_call", "headrooms")

_THOUSAND = 1_000


@dataclass(frozen=True, slots=True)
class Headroom:
    """What one account has for one call: tokens, or US dollars where there is a price."""

    account: str
    rest: int | Decimal
    """What is not spent."""
    free: int | Decimal
    """What is neither spent nor reserved."""
    sharers: int
    """How many attempts in flight draw on it."""
    price: ModelPrice | None = None
    """What a token costs; `None` where tokens are limited."""
    label: str = ""
    """What it is called in a message, where it is a side account."""

    def tokens(self, amount: int | Decimal, read: int) -> int:
        """Return the tokens that `amount` pays for, where `read` of them are input; 0 if not even those are paid."""
        return int(amount) if self.price is None else _bought(self.price, read, Decimal(amount))

    def refusal(self, left: int | Decimal, *, read: int, total: int, waits: bool = False) -> ReservationDenied:
        """Return why a call of `total` tokens cannot be made of what is `left`."""
        if self.price is None:
            return ReservationDenied(self.account, "tokens", total, max(int(left), 0), waits, self.label)
        usd, rest = self.price.usd(read, total - read), max(Decimal(left), Decimal(0))
        return ReservationDenied(self.account, "usd", usd, rest, waits, self.label)


def headrooms(
    balances: Iterable[Balance], price: ModelPrice | None, *, sharers: Callable[[str], int]
) -> list[Headroom]:
    """Return the headroom of each account that limits tokens, or money where the price is known."""
    capped = [balance for balance in balances if balance.cap.is_metered]
    return _headrooms(capped, price, sharers) if capped else []


@exact_decimal
def _headrooms(balances: Iterable[Balance], price: ModelPrice | None, sharers: Callable[[str], int]) -> list[Headroom]:
    found: list[Headroom] = []
    for balance in balances:
        account, cap, spent, held = balance.account, balance.cap, balance.spent, balance.reserved
        if cap.tokens is not None:
            rest = cap.tokens - spent.tokens
            found.append(Headroom(account, rest, rest - held.tokens, sharers(account), label=balance.label))
        if cap.usd is not None and price is not None and not price.is_free:
            money = cap.usd - (spent.usd or 0)
            free = money - (held.usd or 0)
            found.append(Headroom(account, money, free, sharers(account), price, balance.label))
    return found


def bound_call(
    limits: Sequence[Headroom], *, read: int, wanted: int, least: int, must: int = 1
) -> int | ReservationDenied:
    """Return how many tokens a call may take in all, reading included, or why it cannot be made.

    It gets the `wanted` output, or else a fair part of what is not spent yet, but at least the `least` output, or else
    all that is left; it needs at least the output that it `must` have. A `retryable` denial may no longer hold once
    the reservations of others are settled.
    """
    return _bounded(limits, read, wanted, least, must) if limits else read + wanted


@exact_decimal
def _bounded(limits: Sequence[Headroom], read: int, wanted: int, least: int, must: int) -> int | ReservationDenied:
    total, floor = read + wanted, read + max(least, must)
    for limit in limits:
        rest = limit.tokens(limit.rest, read)
        if rest < read + must:
            return limit.refusal(limit.rest, read=read, total=floor)
        fair = limit.tokens(Decimal(limit.rest) / limit.sharers, read)
        total = min(total, max(fair, floor), rest)
    for limit in limits:
        if limit.tokens(limit.free, read) < total:
            return limit.refusal(limit.free, read=read, total=total, waits=True)
    return total


def _bought(price: ModelPrice, read: int, usd: Decimal) -> int:
    """Return the tokens, `read` ones included, that `usd` pays for."""
    reading = price.usd(read, 0)
    each = (price.usd(read, _THOUSAND) - reading) / _THOUSAND
    if usd < reading:
        return 0
    return read + int((usd - reading) / each) if each else 10**12
