"""The clock by which a run's deadlines are checked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from guardgraph.state import DelegationScope, Outcome, Usage

__all__ = ("RunClock", "usage_of_work")


@dataclass(frozen=True, slots=True)
class RunClock:
    """How far a run's own clock is behind the wall clock.

    It stops while the run is not worked on, and is turned back when the deadline is extended. So every deadline of the
    tree moves by as much, also those of nested teams and of requests that were sent before.
    """

    paused: timedelta = timedelta(0)
    """How long the run was not worked on."""
    extended: timedelta = timedelta(0)
    """By how much its deadline was extended."""

    @classmethod
    def of(cls, paused: timedelta, deadline: datetime | None, later: datetime | None) -> RunClock:
        """Return the clock of a run whose `deadline` was extended to a `later` one; `None` is no deadline."""
        extended = timedelta(0) if deadline is None or later is None else later - deadline
        return cls(paused, extended)

    def own(self, wall: datetime) -> datetime:
        """Return the run's time at a time of the wall clock."""
        return wall - self.paused - self.extended

    def wall(self, own: datetime) -> datetime:
        """Return the time of the wall clock at a time of the run."""
        return own + self.paused + self.extended

    def timed(self, outcome: Outcome, position: DelegationScope | None, wall: datetime) -> Outcome:
        """Return the outcome with the time of work in its usage, which a clock that was turned back does not give."""
        if position is None or not self.extended:
            return outcome
        usage = usage_of_work(outcome.usage, position.started, self.paused, wall)
        return outcome.model_copy(update={"usage": usage})


def usage_of_work(usage: Usage, started: datetime, paused: timedelta, now: datetime) -> Usage:
    """Return the usage with the time since `started` in which the run was worked on."""
    worked = max(now - paused - started, timedelta(0))
    return usage.model_copy(update={"microseconds": worked // timedelta(microseconds=1)})
