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

from guardgraph.state import Balance, ReservationDenied, exact_decimal

__all__ = ("InFlight", "Risk", "held_back")

_PATIENCE = 60.0


class Risk(NamedTuple):
    """How much more than its reservation a call may take at worst; `None` if nobody can tell."""

    account: str
    tokens: int | None
    usd: Decimal | None = Decimal(0)


class _Call(NamedTuple):
    """A call in flight."""

    risk: Risk
    until: float
    is_over: Callable[[], bool] | None


@dataclass(slots=True)
class InFlight:
    """The calls in flight in this process. Whoever decides on one more holds the `lock` until it is noted."""

    patience: float = _PATIENCE
    """Seconds after which nobody waits for a call any more: its caller may have given it up without a word."""
    lock: RLock = field(default_factory=RLock)
    _risks: dict[str, _Call] = field(default_factory=dict[str, "_Call"])

    def note(self, entry: str, risk: Risk, is_over: Callable[[], bool] | None = None) -> None:
        """Take note of a call that begins; one that `is_over` has ended, though nobody said so."""
        with self.lock:
            self._risks[entry] = _Call(risk, monotonic() + self.patience, is_over)

    def drop(self, entry: str) -> None:
        """Forget a call that has ended."""
        with self.lock:
            self._risks.pop(entry, None)

    def leave(self, account: str) -> None:
        """Forget the calls of an attempt that is over, whether they have ended or not."""
        with self.lock:
            for entry in [entry for entry, call in self._risks.items() if call.risk.account == account]:
                del self._risks[entry]

    def risks(self) -> list[Risk]:
        """Return the risks that are still waited for."""
        with self.lock:
            now = monotonic()
            calls = [call for call in self._risks.values() if now < call.until]
            return [call.risk for call in calls if call.is_over is None or not call.is_over()]


@exact_decimal
def held_back(
    risk: Risk, others: Sequence[Risk], above: Iterable[Balance], *, tokens: int, usd: Decimal
) -> ReservationDenied | None:
    """Say where a call that reserves `tokens` and `usd` has to wait for `others` in flight; `None` lets it begin.

    What they all may take at worst has to fit under every account `above`, but for the one of them that nobody can
    tell of, or else that may exceed its reservation by most.
    """
    for balance in above:
        beside = [other for other in others if other.account.startswith(f"{balance.account}/")]
        for what, wanted in (("tokens", tokens), ("usd", usd)):
            cap = getattr(balance.cap, what)
            if cap is None or not wanted or not beside:
                continue
            spent, held = (getattr(part, what) or 0 for part in (balance.spent, balance.reserved))
            free = cap - spent - held
            most = _all_but_one([getattr(one, what) for one in (risk, *beside)])
            if most is None or most + wanted > free:
                return ReservationDenied(balance.account, what, wanted, max(free, type(cap)(0)), retryable=True)
    return None


def _all_but_one(risks: Sequence[int | Decimal | None]) -> int | Decimal | None:
    """Return the sum of all but the largest, or `None` where another one besides is unknown."""
    known = [risk for risk in risks if risk is not None]
    if len(known) < len(risks) - 1:
        return None
    return sum(known) - (max(known) if len(known) == len(risks) else 0)
