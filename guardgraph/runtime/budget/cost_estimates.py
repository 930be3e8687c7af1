"""Which attempts are under way, what they are expected to cost, and whether one more can be paid for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from threading import Lock
from typing import NamedTuple

from guardgraph.state import Amount, Balance, ReservationDenied, Usage, account_chain, exact_decimal

__all__ = ("CostEstimator", "InFlightAttempt", "can_start", "concurrent_attempts")

_MEAN = Context(prec=28, rounding=ROUND_CEILING)
_ONE = Decimal(1)
_DOUBT = 7
_PRESUMED = Amount(tokens=8_000, usd=Decimal("0.10"), calls=2)


class InFlightAttempt(NamedTuple):
    """An attempt under way."""

    account: str
    expects: Amount | None
    """What it is expected to cost in all; `None` if nobody knows."""
    spent: Amount


class _Input(NamedTuple):
    """The most that calls of one size have counted and read."""

    counted: int
    read: int
    ratio: float


@dataclass(slots=True)
class CostEstimator:
    """What attempts have cost so far in this process, by the agent's role: the mean, and the most that a call wrote."""

    _sums: dict[str, tuple[int, Usage]] = field(default_factory=dict[str, tuple[int, Usage]])
    _written: dict[str, int] = field(default_factory=dict[str, int])
    _inputs: dict[str, dict[int, _Input]] = field(default_factory=dict[str, "dict[int, _Input]"])
    _measured: dict[str, dict[int, int]] = field(default_factory=dict[str, "dict[int, int]"])
    _dearer: dict[str, Decimal] = field(default_factory=dict[str, Decimal])
    _lock: Lock = field(default_factory=Lock)

    def learn(self, role: str, usage: Usage) -> None:
        """Take note of what a finished attempt has cost."""
        with self._lock:
            count, total = self._sums.get(role, (0, Usage()))
            self._sums[role] = (count + 1, total + usage)

    def learn_call(self, role: str, *, counted: int, read: int, written: int, dearer: Decimal = _ONE) -> None:
        """Take note of one model call: tokens counted before, input and output tokens reported after.

        `dearer` is how many times the plain price of these tokens it has cost.
        """
        with self._lock:
            self._measure(role, counted)
            self._dearer[role] = max(self._dearer.get(role, _ONE), dearer)
            self._written[role] = max(self._written.get(role, 0), written)
            if counted > 0 and read:
                sizes = self._inputs.setdefault(role, {})
                known = sizes.get(counted.bit_length(), _Input(0, 0, 0.0))
                sizes[counted.bit_length()] = _Input(
                    max(known.counted, counted), max(known.read, read), max(known.ratio, read / counted)
                )

    def learn_silent_call(self, role: str, counted: int) -> None:
        """Take note of a model call that reported nothing: it costs what is reserved for it."""
        with self._lock:
            self._measure(role, counted)

    def doubt(self, role: str, counted: int, *, is_declared: bool = False) -> Fraction | None:
        """Return by which part of its reservation a call may exceed it at worst; `None` if nobody can tell.

        That is 7 times at the first one after one that was measured, a seventh after 49: the more calls of its size
        were seen, the less likely is one that exceeds them all. One whose size was not seen yet, while others were or
        its cost `is_declared`, is taken as the first one.
        """
        with self._lock:
            sizes = self._measured.get(role) or {}
        count = sizes.get(counted.bit_length(), 1 if sizes or is_declared else 0)
        return Fraction(_DOUBT, count) if count else None

    def has_measured(self, role: str, counted: int) -> bool:
        """Return whether a call of this size has ended."""
        return counted.bit_length() in (self._measured.get(role) or {})

    def dearer(self, role: str) -> Decimal:
        """Return the most that a call has cost, as a multiple of the plain price of its tokens; at least 1."""
        return self._dearer.get(role, _ONE)

    def expected(self, role: str) -> Amount | None:
        """Return the mean cost of an attempt, rounded up; `None` before the first has finished."""
        count, total = self._sums.get(role, (0, Usage()))
        if not count:
            return None
        usd = None if total.usd is None else _MEAN.divide(total.usd, Decimal(count))
        return Amount(tokens=-(-total.tokens // count), usd=usd, calls=-(-total.calls // count))

    def largest_output(self, role: str) -> int:
        """Return the most output tokens of any model call so far; 0 if there was none."""
        return self._written.get(role, 0)

    def input_of(self, role: str, counted: int) -> int:
        """Return how many input tokens a call will be reported to have read, from what calls of its size have read.

        A size is a power of two. For a size that was not seen yet the nearest one tells; before the first call it is
        what was counted.
        """
        with self._lock:
            sizes = dict(self._inputs.get(role) or {})
        if not sizes:
            return counted
        nearest = min(sizes, key=lambda size: abs(size - counted.bit_length()))
        known = sizes[nearest]
        if nearest != counted.bit_length():
            return int(counted * known.ratio)
        return known.read + int(max(counted - known.counted, 0) * known.ratio)

    def _measure(self, role: str, counted: int) -> None:
        sizes = self._measured.setdefault(role, {})
        sizes[counted.bit_length()] = sizes.get(counted.bit_length(), 0) + 1


@exact_decimal
def can_start(
    account: str,
    expects: Amount | None,
    *,
    above: Iterable[Balance],
    flights: Mapping[str, InFlightAttempt],
    may_be_free: bool = False,
) -> ReservationDenied | None:
    """Say whether an attempt can be paid for beside those under way; `None` lets it start.

    A `retryable` denial may turn out otherwise once an attempt under way has ended. What works inside an attempt that
    was let through waits only for others inside it, or two attempts could wait for each other's ends. An attempt whose
    cost nobody knows is presumed to be dear, but the only one under way is always let through: it shows what the others
    cost. What costs nothing always starts, and so does what `may_be_free` once all is spent: it can take from nobody.
    """
    inside = next((name for name in reversed(account_chain(account)[:-1]) if name in flights), None)
    for balance in above:
        if balance.cap.usd is not None and expects is not None and expects.usd is None:
            return ReservationDenied(balance.account, "price")
        known = concurrent_attempts(balance.account, account, flights)
        rivals = [flights[name] for name in known if inside is None or name.startswith(f"{inside}/")]
        for what in ("tokens", "usd", "calls"):
            cap = getattr(balance.cap, what)
            if cap is None:
                continue
            spent = getattr(balance.spent, what)
            free = (cap if spent is None else cap - spent) - sum((_due(f, what) for f in rivals), type(cap)(0))
            wanted = getattr(_PRESUMED if expects is None else expects, what) or 0
            if not wanted or (expects is None and may_be_free and spent is not None and cap <= spent):
                continue
            if free <= 0 or wanted > free:
                known_lack = expects is not None or free <= 0
                if rivals:
                    return ReservationDenied(balance.account, what, wanted, max(free, type(cap)(0)), retryable=True)
                if known_lack:
                    return ReservationDenied(balance.account, what, wanted, max(free, type(cap)(0)))
    return None


def concurrent_attempts(account: str, mine: str, flights: Iterable[str]) -> list[str]:
    """Return the outermost flights under `account`, except `mine` and those above it."""
    above = frozenset(account_chain(mine))
    under = {name for name in flights if name.startswith(f"{account}/") and name not in above}
    return [name for name in under if not under.intersection(account_chain(name)[:-1])]


def _due(flight: InFlightAttempt, what: str) -> int | Decimal:
    expects = _PRESUMED if flight.expects is None else flight.expects
    expected, spent = getattr(expects, what) or 0, getattr(flight.spent, what) or 0
    return max(expected - spent, type(expected)(0))
