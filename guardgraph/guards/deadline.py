"""A deadline for a team."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import Finish, OnTrip
from guardgraph.state import Allowance, BadGraph, Gate, Verdict
from guardgraph.state.argument_checks import check_fields

__all__ = ("Deadline",)

_LONGEST = 1_000_000_000
"""Seconds, about 31 years; more may not fit the calendar."""


@dataclass(frozen=True, slots=True)
class Deadline(Composable):
    """End the work of the team `seconds` after it was admitted; results that are late are gaps.

    Agents have to be back a tenth of the time (at most 10 s) before it, the one that concludes half a second after it:
    so the outcome is returned a second after the deadline at the latest. A gate that is reached at the deadline itself
    is too late.
    """

    seconds: float
    on_trip: OnTrip = Finish()
    gates = frozenset[Gate]({"admission", "dispatch", "round"})

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 < self.seconds <= _LONGEST:
            raise BadGraph(f"`seconds` must be more than 0 and at most {_LONGEST:_}, got {self.seconds!r}")

    def narrow(self, context: GuardContext) -> Allowance:
        """Return an allowance that ends `seconds` from now."""
        return Allowance(deadline=context.now + timedelta(seconds=self.seconds))

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip once the deadline of the allowance has passed."""
        until = context.allowance.deadline
        late = until is not None and context.now >= until
        limit = None if until is None else until.isoformat()
        reason = f"the deadline {limit} has passed"
        return context.verdict(self, trips=late, reason=reason, measured=context.now.isoformat(), limit=limit)
