"""A limit on rounds of planning."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import Finish, OnTrip
from guardgraph.state import Gate, Plan, Result, Verdict
from guardgraph.state.argument_checks import check_fields

__all__ = ("Convergence",)

_Work = frozenset[tuple[str, str, str]]
_Values = Counter[str]


@dataclass(frozen=True, slots=True)
class Convergence(Composable):
    """Stop a planner that wants more than `rounds` rounds, that repeats an earlier plan, or that gets no further.

    A plan is the same when it has the same work (goal and inputs) for the same skills, whatever its ids, its order
    and its white space. After `rounds` rounds the planner does not run again: where something is missing then, the
    outcome is degraded.

    It gets no further where its workers bring the same accepted values as in the round before (A A), or the same
    values again and again: with a `period` of 4 also A B A B, A B C A B C and A B C D A B C D. A round without an
    accepted result is no repetition. `period=0` does not compare results.
    """

    rounds: int = 2
    period: int = 4
    on_trip: OnTrip = Finish()
    gates = frozenset[Gate]({"round"})

    def __post_init__(self) -> None:
        check_fields(self, at_least={"rounds": 1, "period": 0})

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
        if before is None:
            reason = self._repetition(_brought(context)) or ""
        return context.verdict(self, trips=bool(reason), measured=context.round, limit=self.rounds, reason=reason)

    def _repetition(self, brought: Sequence[_Values | None]) -> str | None:
        """Return how what the last rounds have brought repeats, if it does; the shortest period counts."""
        for period in range(1, min(self.period, len(brought) // 2) + 1):
            last, before = brought[-period:], brought[-2 * period : -period]
            if last == before and None not in last:
                first = len(brought) - 2 * period + 1
                if period == 1:
                    return f"no progress: round {first + 1} has brought the same results as round {first}"
                return f"the results of rounds {first} to {len(brought)} repeat every {period} rounds"
        return None


def _work(plan: Plan) -> _Work:
    """Return the work of a plan: goal, skill and inputs of each subtask."""
    return frozenset(subtask.work for subtask in plan.subtasks)


def _earlier(context: GuardContext) -> list[tuple[int, _Work]]:
    """Return the work of the plans of earlier rounds, as the state keeps the planner's results."""
    attempts: list[Result] = [plan for plan in context.state.get("plans") or () if plan.round < context.round]
    last = {attempt.round: attempt for attempt in attempts}  # plans that were sent back were not carried out
    return [(number, _work(plan)) for number, attempt in last.items() if (plan := _plan(attempt)) is not None]


def _brought(context: GuardContext) -> list[_Values | None]:
    """Return the accepted values of each earlier round, as JSON; `None` for a round without any."""
    accepted = set(context.state.get("accepted") or ())
    found: dict[int, _Values] = {}
    for result in context.state.get("results") or ():
        if result.id in accepted:
            found.setdefault(result.round, Counter())[json.dumps(result.value, sort_keys=True)] += 1
    return [found.get(number) for number in range(1, context.round)]


def _plan(attempt: Result) -> Plan | None:
    """Return the plan of an attempt; `None` for one without a plan."""
    try:
        return Plan.of(attempt.value) if attempt.has_value else None
    except ValidationError:
        return None
