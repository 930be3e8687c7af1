"""How sure an agent must be of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import OnTrip, Retry
from guardgraph.guards.reviewable import Question, Unreviewed, check_review
from guardgraph.state import BadGraph, Gate, Result, Verdict
from guardgraph.state.argument_checks import check_fields

__all__ = ("Confidence",)

_QUESTION = (
    "Its agent is not sure of this answer. Is it correct and complete, by the task and by the evidence that it gives?"
)


@dataclass(frozen=True, slots=True)
class Confidence(Composable):
    """Refuse results whose agent is less sure than `at_least`, from 0 to 1, as it states itself.

    By default (`Retry(0)`) such a result goes to the agent's `fallback`, once its own `attempts` are used up, with the
    reason as feedback; `Escalate()` ends the run for a human; what nothing better follows is a gap. A result that
    states no confidence passes, or trips with `missing="trip"`: what an agent states is not calibrated, and an agent
    that states nothing may be as sure as any other.

    `review` names one of the team's `reviewers`: what would be refused is shown to it first, and passes if it approves;
    without an opinion it is refused as ever, or passes with an alert with `unreviewed="pass"`.

    With 0.7 it lets through 0.7, and stops 0.69.
    """

    at_least: float = 0.7
    missing: Literal["pass", "trip"] = "pass"
    on_trip: OnTrip = Retry(0)
    review: str | None = None
    unreviewed: Unreviewed = "trip"
    gates = frozenset[Gate]({"handoff"})

    def __post_init__(self) -> None:
        check_fields(self, "at_least", "on_trip")
        check_review("Confidence", self.review, self.unreviewed)
        if self.missing not in ("pass", "trip"):
            raise BadGraph(f'`missing` must be "pass" or "trip", got {self.missing!r:.80}')
        if not 0 <= self.at_least <= 1:
            raise BadGraph(f"`at_least` must be from 0 to 1, got {self.at_least!r}")
        if self.at_least == 0 and self.missing == "pass":
            raise BadGraph('`at_least=0` refuses nothing; give more, or `missing="trip"`')

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip where the agent is less sure than `at_least`."""
        result: Result = context.subject
        stated, least = result.confidence, self.at_least
        if stated is None:
            reason = f"it states no confidence; at least {least} is needed"
            return context.verdict(self, trips=self.missing == "trip", limit=least, reason=reason)
        reason = f"its confidence is {stated}, at least {least} is needed"
        return context.verdict(self, trips=stated < least, measured=stated, limit=least, reason=reason)

    def asks(self, context: GuardContext, verdict: Verdict) -> Question | None:
        """Return what a second opinion is asked about a result that would be refused."""
        return Question(_QUESTION) if verdict.action == "trip" else None
