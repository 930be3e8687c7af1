"""How several guards judge one subject."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from guardgraph.guards.context import GuardContext
from guardgraph.guards.guard import AllowanceLimiter, FunctionGuard, Guard, name_of
from guardgraph.guards.on_trip import Escalate, OnTrip, Refuse
from guardgraph.state import Allowance, EarlyStop, OutcomeStatus, Verdict, error_text

__all__ = ("GuardDecision", "allowance_or_trip", "evaluate_guards")

_Said = TypeVar("_Said", Verdict, Allowance)


class GuardDecision(NamedTuple):
    """What the guards of a place say of one subject."""

    trip: Verdict | None
    """The first verdict that stops the subject, if any."""
    on_trip: OnTrip | None
    """What the guard that tripped wants done."""
    alerts: tuple[Verdict, ...] = ()
    """Verdicts that let it pass, but that somebody should know."""

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The alerts, and the trip if there is one."""
        return self.alerts if self.trip is None else (*self.alerts, self.trip)

    def ending(self, *, otherwise: OutcomeStatus) -> EarlyStop | None:
        """Return how the trip ends the run: as `Escalate` and `Refuse` say, and as `otherwise` for all else."""
        if self.trip is None:
            return None
        wanted = self.on_trip
        status = "escalated" if isinstance(wanted, Escalate) else "refused" if isinstance(wanted, Refuse) else otherwise
        return EarlyStop(status=status, stopped_by=self.trip.guard, reason=self.trip.reason)


def evaluate_guards(guards: Sequence[Guard], view: GuardContext) -> GuardDecision:
    """Ask the guards of `view.gate` one after the other; the first trip ends it.

    A guard that raises trips, also with a `SystemExit`, and so does one that answers anything but a `Verdict`.
    """
    alerts: list[Verdict] = []
    for guard in guards:
        if view.gate not in guard.gates:
            continue
        verdict = _ask(guard, view)
        if verdict.action == "trip":
            return GuardDecision(verdict, guard.on_trip, tuple(alerts))
        if verdict.action == "alert":
            alerts.append(verdict)
    return GuardDecision(None, None, tuple(alerts))


def allowance_or_trip(guard: Guard, view: GuardContext) -> Allowance | Guard:
    """Return the allowance that `guard` leaves; where it cannot say, a guard in its place that trips at the gate."""
    said = _answer(guard, guard.narrow, view, Allowance) if isinstance(guard, AllowanceLimiter) else Allowance()
    if isinstance(said, Allowance):
        return said
    return FunctionGuard(name_of(guard), lambda _: said, frozenset({view.gate}), guard.on_trip)


def _ask(guard: Guard, view: GuardContext) -> Verdict:
    verdict = _answer(guard, guard, view, Verdict)
    if isinstance(verdict, str):
        return view.verdict(guard, trips=True, reason=verdict)
    unsaid = verdict.action == "trip" and not verdict.reason.strip()
    return verdict.model_copy(update={"reason": "no reason given"}) if unsaid else verdict


def _answer(guard: Guard, ask: Callable[[GuardContext], object], view: GuardContext, kind: type[_Said]) -> _Said | str:
    """Return what a guard answers, or the reason why that is none: what cannot judge must not let pass."""
    try:
        said = ask(view)
    except (Exception, SystemExit) as error:
        return f"guard {name_of(guard)!r} raised {error_text(error)}"
    if isinstance(said, kind):
        return said
    return f"guard {name_of(guard)!r} must answer with {kind.__name__}, got {type(said).__name__}"
