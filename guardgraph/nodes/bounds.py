"""How many tokens one model call may take of what several agents share. Pure: no clock, no ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from guardgraph.nodes.prices import Price
from guardgraph.state import Balance, Refusal

__all__ = ("Room", "fit", "rooms_of")

_THOUSAND = 1_000


class Room(NamedTuple):
    """What one account has for one call, in tokens; money is what it buys."""

    account: str
    what: str
    """`tokens` or `usd`: what is short where it does not do."""
    rest: int
    """What is not spent."""
    free: int
    """What is neither spent nor reserved."""
    sharers: int
    """How many attempts under way draw on it."""


def rooms_of(
    balances: Iterable[Balance], price: Price | None, *, read: int, sharers: Callable[[str], int]
) -> list[Room]:
    """Return the rooms of all accounts that limit tokens, or money where the price is known, for a call that reads
    `read` tokens.
    """
    found: list[Room] = []
    for balance in balances:
        account, cap, spent, held = balance.account, balance.cap, balance.spent, balance.reserved
        if cap.tokens is not None:
            rest = cap.tokens - spent.tokens
            found.append(Room(account, "tokens", rest, rest - held.tokens, sharers(account)))
        if cap.usd is not None and price is not None and not price.is_free:
            money = cap.usd - (spent.usd or 0)
            rest, free = (_bought(price, read, usd) for usd in (money, money - (held.usd or 0)))
            found.append(Room(account, "usd", rest, free, sharers(account)))
    return found


def fit(rooms: Sequence[Room], *, read: int, wanted: int, least: int) -> int | Refusal:
    """Return how many tokens a call may take in all, reading included, or why it cannot be made.

    It gets the `wanted` output, or else a fair part of what is not spent yet, but at least the `least` output, or else
    all that is left. A refusal that `waits` may turn out otherwise once what others have reserved is settled.
    """
    total = read + wanted
    for room in rooms:
        total = min(total, max(room.rest // room.sharers, read + least), room.rest)
    for room in rooms:
        if room.rest <= read:
            return Refusal(room.account, room.what, read + least, max(room.rest, 0))
    for room in rooms:
        if room.free < total:
            return Refusal(room.account, room.what, total, max(room.free, 0), waits=True)
    return total


def _bought(price: Price, read: int, usd: Decimal) -> int:
    """Return the tokens, `read` ones included, that `usd` pays for."""
    reading = price.usd(read, 0)
    each = (price.usd(read, _THOUSAND) - reading) / _THOUSAND
    if usd <= reading:
        return 0
    return read + int((usd - reading) / each) if each else 10**12
