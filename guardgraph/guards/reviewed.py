"""An agent judges what no rule can: tone, completeness, whether an answer meets the task."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, cast

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.guard import check_compensate
from guardgraph.guards.on_trip import OnTrip, Retry
from guardgraph.guards.reviewable import REVIEWED_AT, Question, Unreviewed, check_review
from guardgraph.state import BadGraph, Gate, Verdict
from guardgraph.state.argument_checks import check_fields

__all__ = ("Reviewed",)


@dataclass(frozen=True, slots=True)
class Reviewed(Composable):
    """Refuse results that a reviewer does not approve: an agent that the pattern is given in `reviewers`.

    `question` is what must hold of a result. It is judged `at` the gate `handoff`, or the draft at `exit`, or both. By
    default the agent tries once more, with the reviewer's reason. `compensate` names the agent that puts right what is
    refused; see `Schema`. A result of which there is no opinion (the reviewer has failed, its time or budget is over)
    is refused for good, or passes with an alert with `unreviewed="pass"`.
    """

    review: str
    question: str
    on_trip: OnTrip = Retry(1)
    at: Gate | Collection[Gate] = "handoff"
    compensate: str | None = None
    unreviewed: Unreviewed = "trip"

    def __post_init__(self) -> None:
        check_fields(self, "question", "on_trip", "compensate")
        check_review("Reviewed", self.review or "", self.unreviewed)
        if not self.question.strip():
            raise BadGraph("Reviewed: `question` is empty; state what must hold of an answer")
        check_compensate(self.compensate)
        given: Any = self.at
        named: Any = [given] if isinstance(given, str) or not isinstance(given, Collection) else given
        gates = frozenset[Any](named)
        if not gates or not gates <= REVIEWED_AT:
            known = " and ".join(map(repr, sorted(REVIEWED_AT)))
            raise BadGraph(f"Reviewed: `at` must name one or both of {known}, got {given!r:.80}")
        object.__setattr__(self, "at", gates)

    @property
    def gates(self) -> frozenset[Gate]:
        """Where it judges."""
        return cast("frozenset[Gate]", self.at)

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip: without an opinion nothing passes."""
        return context.verdict(self, trips=True, reason=f"the reviewer {self.review!r} has given no opinion")

    def asks(self, context: GuardContext, verdict: Verdict) -> Question:
        """Return the question."""
        return Question(self.question, has_verdict=False)
