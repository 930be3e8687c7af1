"""The latest attempts of an agent, and whether its circuit is open: a pure value, changed by pure functions."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from pydantic import JsonValue

from guardgraph.guards import Breaker, Circuit, CircuitState
from guardgraph.guards.circuit import LONGEST_LOG

__all__ = ("CircuitLog",)


class _Ended(NamedTuple):
    """One attempt that has ended."""

    at: float
    is_ok: bool
    key: str


class CircuitLog(NamedTuple):
    """What is known of an agent; times are in seconds since 1970."""

    ended: tuple[_Ended, ...] = ()
    opened: float | None = None
    """When the circuit was opened last; `None` where it is closed."""
    probe: str = ""
    """The attempt that shows whether the agent works again; empty where there is none."""
    probe_until: float = 0.0
    """Until when that is waited for."""
    window: float = 600.0
    pause: float = 60.0

    @classmethod
    def of(cls, stored: JsonValue) -> CircuitLog:
        """Return a log as it is stored; an empty one for `None`."""
        if stored is None:
            return cls()
        data = cast("dict[str, Any]", stored)
        ended = tuple(_Ended(float(at), bool(is_ok), str(key)) for at, is_ok, key in data["ended"])
        return cls(ended, **{name: data[name] for name in ("opened", "probe", "probe_until", "window", "pause")})

    def stored(self) -> dict[str, JsonValue]:
        """Return it as it is stored."""
        return {**self._asdict(), "ended": [[*one] for one in self.ended]}

    def plus(self, key: str, rule: Breaker, now: float, *, is_ok: bool, attempt: str = "") -> CircuitLog:
        """Return it with an attempt that has ended; one that is known already changes nothing.

        `key` is that with which it was sent, `attempt` its own where several are sent with one key. While the circuit
        is open only the probe counts: the others began before.
        """
        known_as = attempt or key
        if any(one.key == known_as for one in self.ended):
            return self
        if self.opened is not None:
            return self if key != self.probe else self._probed(known_as, now, is_ok=is_ok)
        known = (*self._within(rule.window, now), _Ended(now, is_ok, known_as))[-LONGEST_LOG:]
        failures, rate = sum(not one.is_ok for one in known), rule.rate or 1.0
        opens = not is_ok and len(known) >= rule.least and failures >= rate * len(known)
        return CircuitLog(known, now if opens else None, window=rule.window, pause=rule.pause)

    def sent(self, key: str, now: float) -> CircuitLog:
        """Return it with an attempt that is about to be sent: the probe, where one is due and no other is under way.

        Where the clock was set back since, the circuit is open from now on, and a probe is waited for from now on.
        """
        if self.opened is None:
            return self
        opened, longest = min(self.opened, now), max(self.pause, self.window)
        known = self._replace(opened=opened, probe_until=min(self.probe_until, now + longest))
        if now < opened + self.pause or (known.probe and now < known.probe_until):
            return known
        return known._replace(probe=key, probe_until=now + longest)

    def released(self, key: str) -> CircuitLog:
        """Return it without a probe that has shown nothing: it was not sent, or was ended before it could."""
        return self._replace(probe="", probe_until=0.0) if key and self.probe == key else self

    def circuit(self, agent: str, now: float, key: str = "") -> Circuit:
        """Return what a guard is given, for an attempt with a key."""
        known = self._within(self.window, now) if self.opened is None else self.ended
        failures, rest = sum(not one.is_ok for one in known), 0.0
        state: CircuitState = "closed"
        if self.opened is not None:
            rest = max(min(self.opened, now) + self.pause - now, 0.0)
            state = "open" if rest else "half_open"
        is_probe = state == "half_open" and bool(key) and self.probe == key
        return Circuit(agent, state, len(known), failures, rest, is_probe)

    def _probed(self, key: str, now: float, *, is_ok: bool) -> CircuitLog:
        if is_ok:
            return CircuitLog((_Ended(now, True, key),), window=self.window, pause=self.pause)
        known = (*self.ended, _Ended(now, False, key))[-LONGEST_LOG:]
        return CircuitLog(known, opened=now, window=self.window, pause=self.pause)

    def _within(self, window: float, now: float) -> tuple[_Ended, ...]:
        return tuple(one for one in self.ended if one.at > now - window)
