"""When a call may be made under a rate limit: a log of the calls in a sliding window, as a pure value.

It is the "sliding window log", with turns that are granted in advance. A token bucket, or the generic cell rate
algorithm (ITU-T I.371; https://brandur.org/rate-limiting), keeps one number instead, but lets almost twice the limit
through in one window: what has filled up while it was idle, and what comes in meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from pydantic import JsonValue

from guardgraph.runtime.rates.rate_limit import RateLimit

__all__ = ("LONGEST_LOG", "Window")

LONGEST_LOG = 256
"""How many entries a log keeps; above that neighbours are merged, as if they had come as late as the later one."""

_Log = tuple[tuple[float, int], ...]


class Window(NamedTuple):
    """What was granted lately under one limit: the times, in seconds since 1970, and how much at each."""

    calls: _Log = ()
    tokens: _Log = ()
    last: float = 0
    """When the last call was granted: none that comes later is granted earlier."""

    @classmethod
    def of(cls, stored: JsonValue) -> Window:
        """Return a window as it is stored; an empty one for `None`."""
        if stored is None:
            return cls()
        data = cast("dict[str, Any]", stored)
        calls, tokens = (tuple((float(at), int(n)) for at, n in data.get(name, ())) for name in ("calls", "tokens"))
        return cls(calls, tokens, float(data.get("last", 0)))

    def stored(self) -> dict[str, JsonValue]:
        """Return it as it is stored."""
        return {"calls": [[*one] for one in self.calls], "tokens": [[*one] for one in self.tokens], "last": self.last}

    def grant(self, limit: RateLimit, tokens: int, now: float) -> float:
        """Return when a call of so many tokens may be made, at the earliest `now`; first come, first served."""
        at = max(now, self.last)
        if limit.calls is not None:
            at = _earliest(self.calls, limit.calls, limit.per, 1, at)
        if limit.tokens is not None:
            at = _earliest(self.tokens, limit.tokens, limit.per, tokens, at)
        return at

    def plus(self, limit: RateLimit, tokens: int, at: float) -> Window:
        """Return it with a call that was granted at a time."""
        calls = self.calls if limit.calls is None else _with(self.calls, at, 1)
        spent = self.tokens if limit.tokens is None or not tokens else _with(self.tokens, at, tokens)
        return Window(calls, spent, max(self.last, at))

    def minus(self, limit: RateLimit, tokens: int, at: float) -> Window:
        """Return it without a call that was granted at a time and is not made; who waits keeps its turn."""
        calls = self.calls if limit.calls is None else _with(self.calls, at, -1)
        spent = self.tokens if limit.tokens is None or not tokens else _with(self.tokens, at, -tokens)
        last = max((time for time, _ in (*calls, *spent)), default=0.0) if at == self.last else self.last
        return Window(calls, spent, last)

    def corrected(self, more: Sequence[tuple[float, int]]) -> Window:
        """Return it with more tokens (or fewer) for calls that were granted at some times."""
        spent = self.tokens
        for at, tokens in more:
            spent = _with(spent, at, tokens)
        return self._replace(tokens=spent)

    def since(self, per: float, now: float) -> Window:
        """Return it without what no window of `per` seconds holds that ends now or later."""
        calls, tokens = (tuple(one for one in log if one[0] > now - per) for log in (self.calls, self.tokens))
        return self._replace(calls=_compact(calls), tokens=_compact(tokens))


def _earliest(log: _Log, limit: int, per: float, cost: int, at: float) -> float:
    """Return from when on there is room for `cost`; more than the limit needs an empty window."""
    inside = [one for one in log if one[0] > at - per]
    used, cost = sum(count for _, count in inside), min(cost, limit)
    for time, count in inside:
        if used + cost <= limit:
            break
        at, used = max(at, time + per), used - count
    return at


def _with(log: _Log, at: float, count: int) -> _Log:
    """Return a log, in order of time, with so much more at a time; what comes to nothing goes."""
    counts = dict(log)
    counts[at] = counts.get(at, 0) + count
    return tuple(sorted((time, n) for time, n in counts.items() if n))


def _compact(log: _Log) -> _Log:
    if len(log) <= LONGEST_LOG:
        return log
    odd, pairs = log[len(log) - len(log) % 2 :], zip(log[::2], log[1::2], strict=False)
    return (*((late, first + second) for (_, first), (late, second) in pairs), *odd)
