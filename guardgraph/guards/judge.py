"""How several guards judge one subject."""

from __future__ import annotations

from collections.abc import Sequence
from traceback import format_exception_only
from typing import NamedTuple, cast

from guardgraph.guards.guard import Guard, name_of
from guardgraph.guards.trip import OnTrip
from guardgraph.guards.view import View
from guardgraph.state import Verdict

__all__ = ("Judgement", "judge")


class Judgement(NamedTuple):
    """What the guards of a place say of one subject."""

    trip: Verdict | None
    """The first verdict that stops the subject, if any."""
    on_trip: OnTrip | None
    """What the guard that tripped wants done."""
    alerts: tuple[Verdict, ...] = ()
    """Verdicts that let it pass, but that somebody should know."""


def judge(guards: Sequence[Guard], view: View) -> Judgement:
    """Ask the guards of `view.gate` one after the other; the first trip ends it.

    A guard that raises trips, and so does one that answers anything but a `Verdict`.
    """
    alerts: list[Verdict] = []
    for guard in guards:
        if view.gate not in guard.gates:
            continue
        verdict = _ask(guard, view)
        if verdict.action == "trip":
            return Judgement(verdict, guard.on_trip, tuple(alerts))
        if verdict.action == "alert":
            alerts.append(verdict)
    return Judgement(None, None, tuple(alerts))


def _ask(guard: Guard, view: View) -> Verdict:
    try:
        verdict = cast("object", guard(view))
    except Exception as error:  # a guard that cannot judge must not let pass
        raised = "".join(format_exception_only(error)).strip()
        return view.verdict(guard, trips=True, reason=f"guard {name_of(guard)!r} raised {raised}")
    if isinstance(verdict, Verdict):
        return verdict
    reason = f"guard {name_of(guard)!r} must answer with a Verdict, got {type(verdict).__name__}"
    return view.verdict(guard, trips=True, reason=reason)
