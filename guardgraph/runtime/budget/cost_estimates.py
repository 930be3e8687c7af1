"""Which attempts are in flight, what they are expected to cost, and whether one more can be paid for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from threading import Lock
from typing import NamedTuple

from guardgraph.state import (
    NO_SIDES,
    Amount,
    Balance,
    ReservationDenied,
    Sides,
    Usage,
    account_chain,
    counts_in,
    exact_decimal,
)

__all__ = ("CostEstimator", "InFlightAttempt", "can_start", "concurrent_attempts")

_MEAN = Context(prec=28, rounding=ROUND_CEILING)
_ONE = Decimal(1)
_NO_USAGE = Usage()
_DOUBT = 7
_PRESUMED = Amount(tokens=8_000, usd=Decimal("0.10"), calls=2)


class InFlightAttempt(NamedTuple):
    """An attempt that has started and not ended."""

    account: str
    expects: Amount | None
    """What it is expected to cost in all; `None` if that is unknown."""
    spent: Amount


class _Input(NamedTuple):
    """The most that calls of one size have counted and read."""

    counted: int
    read: int
    ratio: float


@dataclass(slots=True)
class _Observed:
    """What was observed of one role. The size of a call is a power of two: the bit length of its counted tokens."""

    attempts: int = 0
    usage: Usage = _NO_USAGE
    largest_output: int = 0
    price_factor: Decimal = _ONE
    calls: Counter[int] = field(default_factory=Counter[int])
    """How many calls of each size have ended."""
    inputs: dict[int, _Input] = field(default_factory=dict[int, _Input])


@dataclass(slots=True)
class CostEstimator:
    """What attempts have cost so far in this process, by the agent's role: the mean, and the most that a call wrote."""

    known: Mapping[str, Amount] = field(default_factory=dict[str, Amount])
    """What attempts have cost in earlier runs, by role: expected until one of this process has finished."""
    _roles: defaultdict[str, _Observed] = field(default_factory=lambda: defaultdict[str, _Observed](_Observed))
    _lock: Lock = field(default_factory=Lock)

    def learn(self, role: str, usage: Usage) -> None:
        """Learn from what a finished attempt has cost."""
        with self._lock:
            seen = self._roles[role]
            seen.attempts, seen.usage = seen.attempts + 1, seen.usage + usage

    def learn_call(self, role: str, *, counted: int, read: int, written: int, price_factor: Decimal = _ONE) -> None:
        """Learn from one model call: tokens counted before, input and output tokens reported after.

        `price_factor` is how many times the plain price of these tokens it has cost.
        """
        size = counted.bit_length()
        with self._lock:
            seen = self._roles[role]
            seen.calls[size] += 1
            seen.price_factor = max(seen.price_factor, price_factor)
            seen.largest_output = max(seen.largest_output, written)
            if counted > 0 and read:
                known = seen.inputs.get(size, _Input(0, 0, 0.0))
                seen.inputs[size] = _Input(
                    max(known.counted, counted), max(known.read, read), max(known.ratio, read / counted)
                )

    def learn_silent_call(self, role: str, counted: int) -> None:
        """Learn from a model call that reported nothing: it costs what is reserved for it."""
        with self._lock:
            self._roles[role].calls[counted.bit_length()] += 1

    def doubt(self, role: str, counted: int, *, is_declared: bool = False) -> Fraction | None:
        """Return by which part of its reservation a call may exceed it at worst; `None` if that is unknown.

        That is 7 times at the first call after one that was measured, a seventh after 49: the more calls of its size
        were seen, the less likely is one that exceeds them all. One whose size was not seen yet, while others were or
        its cost `is_declared`, counts as the first one.
        """
        with self._lock:
            calls = self._roles[role].calls
            count = calls[counted.bit_length()] or (1 if calls or is_declared else 0)
        return Fraction(_DOUBT, count) if count else None

    def has_measured(self, role: str, counted: int) -> bool:
        """Return whether a call of this size has ended."""
        return self._roles[role].calls[counted.bit_length()] > 0

    def price_factor(self, role: str) -> Decimal:
        """Return the most that a call has cost, as a multiple of the plain price of its tokens; at least 1."""
        return self._roles[role].price_factor

    def expected(self, role: str) -> Amount | None:
        """Return the mean cost of an attempt, rounded up: of this process, else of earlier runs; `None` if unknown."""
        with self._lock:
            seen = self._roles.get(role)
            count, total = (0, _NO_USAGE) if seen is None else (seen.attempts, seen.usage)
        if not count:
            return self.known.get(role)
        usd = None if total.usd is None else _MEAN.divide(total.usd, Decimal(count))
        return Amount(tokens=-(-total.tokens // count), usd=usd, calls=-(-total.calls // count))

    def largest_output(self, role: str) -> int:
        """Return the most output tokens of any model call so far; 0 if there was none."""
        return self._roles[role].largest_output

    def input_of(self, role: str, counted: int) -> int:
        """Return how many input tokens a call will be reported to have read, from what calls of its size have read.

        For a size that was not seen yet the nearest one is taken; before the first call it is what was counted.
        """
        with self._lock:
            sizes = dict(self._roles[role].inputs)
        if not sizes:
            return counted
        nearest = min(sizes, key=lambda size: abs(size - counted.bit_length()))
        known = sizes[nearest]
        if nearest != counted.bit_length():
            return int(counted * known.ratio)
        return known.read + int(max(counted - known.counted, 0) * known.ratio)


@exact_decimal
def can_start(
    account: str,
    expects: Amount | None,
    *,
    above: Iterable[Balance],
    in_flight: Mapping[str, InFlightAttempt],
    may_be_free: bool = False,
    sides: Sides = NO_SIDES,
) -> ReservationDenied | None:
    """Return why an attempt cannot be paid for beside those in flight; `None` lets it start.

    A `retryable` denial may no longer hold once an attempt in flight has ended. An attempt inside another one waits
    only for others inside it, or two attempts could wait for each other. An attempt of unknown cost is presumed to be
    expensive, but the only one in flight always starts: it shows what the others cost. What costs nothing always
    starts, and so does what `may_be_free` once all is spent. `sides` are the side accounts on which accounts draw.
    """
    inside = next((name for name in reversed(account_chain(account)[:-1]) if name in in_flight), None)
    for balance in above:
        if balance.cap.usd is not None and expects is not None and expects.usd is None:
            return balance.denied("price", None, None)
        known = concurrent_attempts(balance.account, account, in_flight, sides)
        rivals = [in_flight[name] for name in known if inside is None or name.startswith(f"{inside}/")]
        for what in ("tokens", "usd", "calls"):
            cap = getattr(balance.cap, what)
            if cap is None:
                continue
            spent = getattr(balance.spent, what)
            free = (cap if spent is None else cap - spent) - sum((_due(rival, what) for rival in rivals), type(cap)(0))
            wanted = getattr(_PRESUMED if expects is None else expects, what) or 0
            if not wanted or (expects is None and may_be_free and spent is not None and cap <= spent):
                continue
            if free <= 0 or (wanted > free and (rivals or expects is not None)):
                left = max(free, type(cap)(0))
                return balance.denied(what, wanted, left, retryable=bool(rivals))
    return None


def concurrent_attempts(account: str, mine: str, in_flight: Iterable[str], sides: Sides = NO_SIDES) -> list[str]:
    """Return the outermost attempts in flight that count in `account`, except `mine` and those above it."""
    above = frozenset(account_chain(mine))
    under = {name for name in in_flight if name not in above and counts_in(account, name, sides)}
    return [name for name in under if not under.intersection(account_chain(name)[:-1])]


def _due(attempt: InFlightAttempt, what: str) -> int | Decimal:
    """Return what an attempt in flight is expected to spend from now on."""
    expects = _PRESUMED if attempt.expects is None else attempt.expects
    expected, spent = getattr(expects, what) or 0, getattr(attempt.spent, what) or 0
    return max(expected - spent, type(expected)(0))
