"""The time by which a run's deadlines are judged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from guardgraph.state import DelegationScope, Outcome

__all__ = ("RunClock",)


@dataclass(frozen=True, slots=True)
class RunClock:
    """How far a run's own clock is behind the wall's.

    It stands still while nobody works on the run, and is turned back by as much as the deadline was moved on. So every
    deadline of the tree moves, also those of nested teams and of what had been sent when the run stopped.
    """

    paused: timedelta = timedelta(0)
    """How long nobody worked on the run."""
    extended: timedelta = timedelta(0)
    """By how much its deadline was moved on."""

    @classmethod
    def of(cls, paused: timedelta, deadline: datetime | None, later: datetime | None) -> RunClock:
        """Return the time of a run whose `deadline` was moved to a `later` one; `None` is no deadline."""
        moved = timedelta(0) if deadline is None or later is None else later - deadline
        return cls(paused, moved)

    def own(self, wall: datetime) -> datetime:
        """Return the run's time at a time of the wall's clock."""
        return wall - self.paused - self.extended

    def wall(self, own: datetime) -> datetime:
        """Return the wall's time at a time of the run's clock."""
        return own + self.paused + self.extended

    def timed(self, outcome: Outcome, position: DelegationScope | None, wall: datetime) -> Outcome:
        """Return the outcome with the time that the run has worked, which a clock that was turned back cannot tell."""
        if position is None or not self.extended:
            return outcome
        took = max(wall - self.paused - position.started, timedelta(0))
        usage = outcome.usage.model_copy(update={"microseconds": took // timedelta(microseconds=1)})
        return outcome.model_copy(update={"usage": usage})
