"""The model calls in flight, and how far each of them may go beyond what is reserved for it.

A reservation is an estimate. If many calls were in flight that are all underestimated, the budget would be overshot by
all of their errors together. So a call waits until what all calls in flight would take *at worst* fits into what is
left, one of them excepted: then at most one call's error is overshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from threading import RLock
from time import monotonic
from typing import NamedTuple

from guardgraph.state import NO_SIDES, Balance, ReservationDenied, Sides, counts_in, exact_decimal

__all__ = ("InFlight", "Risk", "held_back")


class Risk(NamedTuple):
    """How much more than its reservation a call may take at worst; `None` if that is unknown."""

    account: str
    tokens: int | None
    usd: Decimal | None = Decimal(0)


class _Call(NamedTuple):
    """A call in flight."""

    risk: Risk
    until: float
    has_ended: Callable[[], bool] | None


@dataclass(slots=True)
class InFlight:
    """The calls in flight in this process. Whoever decides on one more holds the `lock` until it is added."""

    timeout: float = 60.0
    """Seconds after which a call holds back no other: its caller may have abandoned it without a callback."""
    lock: RLock = field(default_factory=RLock)
    _calls: dict[str, _Call] = field(default_factory=dict[str, "_Call"])

    def add(self, entry: str, risk: Risk, has_ended: Callable[[], bool] | None = None) -> None:
        """Add a call that begins; `has_ended` returns whether it has ended without a callback."""
        with self.lock:
            self._calls[entry] = _Call(risk, monotonic() + self.timeout, has_ended)

    def remove(self, entry: str) -> None:
        """Remove a call that has ended."""
        with self.lock:
            self._calls.pop(entry, None)

    def remove_attempt(self, account: str) -> None:
        """Remove the calls of an attempt that has ended, whether they have ended or not."""
        with self.lock:
            self._calls = {entry: call for entry, call in self._calls.items() if call.risk.account != account}

    def risks(self) -> list[Risk]:
        """Return the risks of the calls that hold back others."""
        with self.lock:
            now = monotonic()
            calls = [call for call in self._calls.values() if now < call.until]
            return [call.risk for call in calls if call.has_ended is None or not call.has_ended()]


@exact_decimal
def held_back(
    risk: Risk,
    others: Sequence[Risk],
    above: Iterable[Balance],
    *,
    tokens: int,
    usd: Decimal,
    sides: Sides = NO_SIDES,
) -> ReservationDenied | None:
    """Return why a call that reserves `tokens` and `usd` has to wait for `others` in flight; `None` lets it begin.

    What they all may take at worst has to fit under every account `above`, except for the one of them whose risk is
    unknown, or else that may exceed its reservation by most. `sides` are the side accounts on which accounts draw.
    """
    for balance in above:
        under = [other for other in others if counts_in(balance.account, other.account, sides)]
        for what, wanted in (("tokens", tokens), ("usd", usd)):
            cap = getattr(balance.cap, what)
            if cap is None or not wanted or not under:
                continue
            free = cap - (getattr(balance.spent, what) or 0) - (getattr(balance.reserved, what) or 0)
            most = _all_but_one([getattr(one, what) for one in (risk, *under)])
            if most is None or most + wanted > free:
                return balance.denied(what, wanted, max(free, type(cap)(0)), retryable=True)
    return None


def _all_but_one(risks: Sequence[int | Decimal | None]) -> int | Decimal | None:
    """Return the sum of all but the largest, or `None` where another one besides is unknown."""
    known = [risk for risk in risks if risk is not None]
    if len(known) < len(risks) - 1:
        return None
    return sum(known) - (max(known) if len(known) == len(risks) else 0)
