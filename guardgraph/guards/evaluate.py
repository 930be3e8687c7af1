"""Evaluation of several guards for one subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from guardgraph.guards.applying import applying
from guardgraph.guards.context import GuardContext, name_of
from guardgraph.guards.function import FunctionGuard
from guardgraph.guards.guard import AccountLimiter, Guard, narrows_allowance
from guardgraph.guards.on_trip import Escalate, Finish, OnTrip, Refuse, Retry
from guardgraph.guards.verdicts import returned_by, verdict_of
from guardgraph.state import Allowance, EarlyStop, OutcomeStatus, Verdict

__all__ = ("GuardDecision", "alert_of", "allowance_or_trip", "evaluate_guards")


class GuardDecision(NamedTuple):
    """What the guards of a gate decide about one subject."""

    trip: Verdict | None
    """The first verdict that stops the subject, if any."""
    on_trip: OnTrip | None
    """The reaction that the guard that tripped declares."""
    alerts: tuple[Verdict, ...] = ()
    """Verdicts that let it pass with a warning."""
    compensate: str | None = None
    """The agent that is to put right what the guard that tripped has refused, where that names one."""
    passes: tuple[Verdict, ...] = ()
    """What reviewers have approved: verdicts for the log of events alone."""
    trusted: bool = True
    """Whether the reason of the trip is text of the declaration, or of a trusted reviewer."""
    undecided: bool = False
    """Whether it trips only for want of an opinion, so that nothing is known against the subject."""

    @classmethod
    def of(cls, guard: Guard, verdict: Verdict) -> GuardDecision:
        """Return what the verdict of one guard decides."""
        if verdict.action == "trip":
            return cls(verdict, guard.on_trip, compensate=getattr(guard, "compensate", None))
        return cls(None, None, (verdict,)) if verdict.action == "alert" else _PASS

    def without_opinion(self) -> GuardDecision:
        """Return the same for want of an opinion: another try, or an agent that compensates, would not bring one."""
        on_trip = Finish() if isinstance(self.on_trip, Retry) else self.on_trip
        return self._replace(on_trip=on_trip, compensate=None, undecided=True)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The alerts, and the trip if there is one."""
        return self.alerts if self.trip is None else (*self.alerts, self.trip)

    def ending(self, *, otherwise: OutcomeStatus) -> EarlyStop | None:
        """Return how the trip ends the run: after `Escalate` and `Refuse` as these do, else as `otherwise`."""
        if self.trip is None:
            return None
        wanted = self.on_trip
        status = "escalated" if isinstance(wanted, Escalate) else "refused" if isinstance(wanted, Refuse) else otherwise
        return EarlyStop(status=status, stopped_by=self.trip.guard, reason=self.trip.reason)


_PASS = GuardDecision(None, None)


def evaluate_guards(guards: Sequence[Guard], context: GuardContext) -> GuardDecision:
    """Evaluate the guards of `context.gate` in order, up to the first trip.

    A guard that raises trips, also with a `SystemExit`, and so does one that returns anything but a `Verdict`.
    """
    alerts: list[Verdict] = []
    for guard in applying(guards):
        if context.gate not in guard.gates:
            continue
        decision = GuardDecision.of(guard, verdict_of(guard, context))
        if decision.trip is not None:
            return decision._replace(alerts=tuple(alerts))
        alerts += decision.alerts
    return GuardDecision(None, None, tuple(alerts)) if alerts else _PASS


def alert_of(guard: AccountLimiter, context: GuardContext) -> Verdict | None:
    """Return the alert of a guard, if it has one; none where it raises, which is a trip where it judges."""
    found = returned_by(guard, guard.alert, context, Verdict)
    return found if isinstance(found, Verdict) and found.action == "alert" else None


def allowance_or_trip(guard: Guard, context: GuardContext) -> Allowance | Guard:
    """Return the allowance that `guard` leaves; where it raises, a guard in its place that trips at the gate."""
    if not narrows_allowance(guard):
        return Allowance()
    found = returned_by(guard, guard.narrow, context, Allowance)
    if isinstance(found, Allowance):
        return found
    return FunctionGuard(name_of(guard), lambda _: found, frozenset({context.gate}), guard.on_trip)
