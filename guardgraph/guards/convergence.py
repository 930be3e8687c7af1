"""A limit on rounds of planning."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import Finish, OnTrip
from guardgraph.state import Gate, Plan, Result, Verdict
from guardgraph.state.argument_checks import check_fields

__all__ = ("Convergence",)

_Work = frozenset[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Convergence(Composable):
    """Stop a planner that wants more than `rounds` rounds, or that repeats an earlier plan.

    A plan is the same when it has the same work (goal and inputs) for the same skills, whatever its ids, its order
    and its white space. After `rounds` rounds the planner does not run again: where something is missing then, the
    outcome is degraded.
    """

    rounds: int = 2
    on_trip: OnTrip = Finish()
    gates = frozenset[Gate]({"round"})

    def __post_init__(self) -> None:
        check_fields(self, at_least={"rounds": 1})

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip on one round too many, and on a plan that repeats an earlier one."""
        if isinstance(context.subject, Plan) and not context.subject.subtasks:
            return context.verdict(self, trips=False, measured=context.round, limit=self.rounds)
        if context.round > self.rounds:
            reason = f"the planner wants round {context.round}, {self.rounds} are allowed"
            return context.verdict(self, trips=True, measured=context.round, limit=self.rounds, reason=reason)
        wanted = _work(context.subject)
        before = next((number for number, work in _earlier(context) if work == wanted), None)
        reason = f"round {context.round} asks for the same work as round {before}"
        return context.verdict(self, trips=before is not None, measured=context.round, limit=self.rounds, reason=reason)


def _work(plan: Plan) -> _Work:
    """Return the work of a plan: goal, skill and inputs of each subtask."""
    return frozenset(subtask.work for subtask in plan.subtasks)


def _earlier(context: GuardContext) -> list[tuple[int, _Work]]:
    """Return the work of the plans of earlier rounds, as the state keeps the planner's results."""
    attempts: list[Result] = [plan for plan in context.state.get("plans") or () if plan.round < context.round]
    last = {attempt.round: attempt for attempt in attempts}  # plans that were sent back were not carried out
    return [(number, _work(plan)) for number, attempt in last.items() if (plan := _plan(attempt)) is not None]


def _plan(attempt: Result) -> Plan | None:
    """Return the plan of an attempt; `None` for one without a plan."""
    try:
        return Plan.of(attempt.value) if attempt.has_value else None
    except ValidationError:
        return None
