"""Turns under rate limits, which all runs of a database share, or of this process where there is none."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic

from pydantic import JsonValue

from guardgraph.runtime.rates.rate_limit import RateLimit
from guardgraph.runtime.rates.window import Window
from guardgraph.state import RateLimitExceeded
from guardgraph.storage.memory_values import PROCESS_VALUES
from guardgraph.storage.shared_values import SharedValues, decoded

__all__ = ("Turn", "Turns")


@dataclass(frozen=True, slots=True)
class Turn:
    """One call that was granted: when it may be made, and how much was counted for it."""

    limits: Mapping[str, RateLimit]
    """The limits under which it was granted, by name."""
    tokens: int
    """How many tokens were counted for it."""
    granted: float
    """When it may be made, by the clock of the store."""
    due: float
    """When it may be made, on the monotonic clock of this process."""
    wait: float
    """How many seconds that was from when it was asked for."""

    @property
    def rest(self) -> float:
        """Seconds until it may be made."""
        return max(self.due - monotonic(), 0.0)

    @property
    def is_stale(self) -> bool:
        """Whether its time has passed by more than a hundredth of a window: made now, it would not be counted well."""
        return monotonic() - self.due > min(limit.per for limit in self.limits.values()) / 100


@dataclass(slots=True)
class Turns:
    """Grants turns in the order in which they are asked for, of all processes; the clock is that of the store."""

    values: SharedValues = PROCESS_VALUES
    limits: Mapping[str, RateLimit] = field(default_factory=dict[str, RateLimit])
    """Those of models and providers, by `provider:model` and `provider`."""
    _corrections: defaultdict[str, list[tuple[float, int]]] = field(
        default_factory=lambda: defaultdict[str, list[tuple[float, int]]](list)
    )
    """Tokens that calls have taken beyond what was counted: stored with the next turn under the same limit."""
    _lock: Lock = field(default_factory=Lock)

    def of_model(self, provider: str | None, model: str | None) -> dict[str, RateLimit]:
        """Return the limits of a model and its provider, by name."""
        if not self.limits or provider is None:
            return {}
        return {name: self.limits[name] for name in (provider, f"{provider}:{model}") if name in self.limits}

    def take(self, limits: Mapping[str, RateLimit], *, tokens: int = 0, within: float | None = None) -> Turn:
        """Take the next turn under all of some limits. Blocks where the store does, but does not wait for the turn.

        Raises `RateLimitExceeded`, and takes none, where it would come later than `within` seconds from now.
        """
        corrections, granted = self._taken(limits), list[float]()

        def change(there: Mapping[str, JsonValue], now: float) -> dict[str, JsonValue]:
            windows = {
                name: decoded(Window.of, name, there.get(name)).corrected(corrections[name]).since(limit.per, now)
                for name, limit in limits.items()
            }
            turns = {name: windows[name].grant(limit, tokens, now) for name, limit in limits.items()}
            latest = max(turns, key=lambda name: turns[name])
            granted.extend((now, turns[latest], monotonic()))  # what comes before and after may wait for a lock
            if within is not None and turns[latest] - now > within:
                raise RateLimitExceeded(latest, str(limits[latest]), wait=turns[latest] - now, within=within)
            return {name: windows[name].plus(limit, tokens, turns[latest]).stored() for name, limit in limits.items()}

        try:
            self.values.update("rate", limits, change)
        except BaseException:
            for name, more in corrections.items():
                self._correct(name, more)
            raise
        now, at, here = granted
        return Turn(limits, tokens, at, due=here + (at - now), wait=at - now)

    def give_back(self, turn: Turn) -> None:
        """Take a turn back that was not used. Who waits keeps its own."""

        def change(there: Mapping[str, JsonValue], now: float) -> dict[str, JsonValue]:
            return {
                name: decoded(Window.of, name, there.get(name))
                .since(limit.per, now)
                .minus(limit, turn.tokens, turn.granted)
                .stored()
                for name, limit in turn.limits.items()
                if name in there
            }

        self.values.update("rate", turn.limits, change)

    def settle(self, turns: Sequence[Turn], tokens: int) -> None:
        """Note how many tokens the call of some turns has taken; that is stored with the next turn."""
        counted = Counter[str]()
        for turn in turns:
            counted.update({name: turn.tokens for name, limit in turn.limits.items() if limit.tokens is not None})
        for name, count in counted.items():
            granted = max(turn.granted for turn in turns if name in turn.limits)
            if tokens != count:
                self._correct(name, [(granted, tokens - count)])

    def _taken(self, limits: Mapping[str, RateLimit]) -> dict[str, list[tuple[float, int]]]:
        with self._lock:
            return {name: self._corrections.pop(name, []) for name in limits}

    def _correct(self, name: str, more: list[tuple[float, int]]) -> None:
        with self._lock:
            self._corrections[name].extend(more)
