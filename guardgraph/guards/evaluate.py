"""Evaluation of several guards for one subject."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from guardgraph.guards.context import GuardContext, name_of
from guardgraph.guards.guard import AccountLimiter, AllowanceLimiter, FunctionGuard, Guard
from guardgraph.guards.on_trip import Escalate, OnTrip, Refuse
from guardgraph.state import Allowance, EarlyStop, OutcomeStatus, Verdict, error_text

__all__ = ("GuardDecision", "alert_of", "allowance_or_trip", "evaluate_guards")

_Kind = TypeVar("_Kind", Verdict, Allowance)


class GuardDecision(NamedTuple):
    """What the guards of a gate decide about one subject."""

    trip: Verdict | None
    """The first verdict that stops the subject, if any."""
    on_trip: OnTrip | None
    """The reaction that the guard that tripped declares."""
    alerts: tuple[Verdict, ...] = ()
    """Verdicts that let it pass with a warning."""

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


def evaluate_guards(guards: Sequence[Guard], context: GuardContext) -> GuardDecision:
    """Evaluate the guards of `context.gate` in order, up to the first trip.

    A guard that raises trips, also with a `SystemExit`, and so does one that returns anything but a `Verdict`.
    """
    alerts: list[Verdict] = []
    for guard in guards:
        if context.gate not in guard.gates:
            continue
        verdict = _verdict(guard, context)
        if verdict.action == "trip":
            return GuardDecision(verdict, guard.on_trip, tuple(alerts))
        if verdict.action == "alert":
            alerts.append(verdict)
    return GuardDecision(None, None, tuple(alerts))


def alert_of(guard: AccountLimiter, context: GuardContext) -> Verdict | None:
    """Return the alert of a guard, if it has one; none where it raises, which is a trip where it judges."""
    found = _returned(guard, guard.alert, context, Verdict)
    return found if isinstance(found, Verdict) and found.action == "alert" else None


def allowance_or_trip(guard: Guard, context: GuardContext) -> Allowance | Guard:
    """Return the allowance that `guard` leaves; where it raises, a guard in its place that trips at the gate."""
    if not isinstance(guard, AllowanceLimiter):
        return Allowance()
    found = _returned(guard, guard.narrow, context, Allowance)
    if isinstance(found, Allowance):
        return found
    return FunctionGuard(name_of(guard), lambda _: found, frozenset({context.gate}), guard.on_trip)


def _verdict(guard: Guard, context: GuardContext) -> Verdict:
    verdict = _returned(guard, guard, context, Verdict)
    if isinstance(verdict, str):
        return context.verdict(guard, trips=True, reason=verdict)
    is_bare = verdict.action == "trip" and not verdict.reason.strip()
    return verdict.model_copy(update={"reason": "no reason given"}) if is_bare else verdict


def _returned(
    guard: object, call: Callable[[GuardContext], object], context: GuardContext, kind: type[_Kind]
) -> _Kind | str:
    """Return what a guard returns, or the reason why it trips: a guard that fails must not let anything pass."""
    try:
        returned = call(context)
    except (Exception, SystemExit) as error:
        return f"guard {name_of(guard)!r} raised {error_text(error)}"
    if isinstance(returned, kind):
        return returned
    return f"guard {name_of(guard)!r} must return {kind.__name__}, got {type(returned).__name__}"
