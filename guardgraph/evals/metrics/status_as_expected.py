"""Whether a run ended as its case expects."""

from __future__ import annotations

from dataclasses import dataclass

from guardgraph.evals.case import Case, Score
from guardgraph.state import Outcome

__all__ = ("StatusAsExpected",)


@dataclass(frozen=True, slots=True)
class StatusAsExpected:
    """Pass an outcome whose status is the expected one; the reason of a failure names the first gap."""

    name: str = "outcome_status"

    def __call__(self, case: Case, outcome: Outcome) -> Score:
        """Score 1 or 0."""
        passed = outcome.status == case.expected_status
        return Score(metric=self.name, value=float(passed), passed=passed, reason="" if passed else _why(case, outcome))


def _why(case: Case, outcome: Outcome) -> str:
    stop = f", stopped by {outcome.stopped_by}" if outcome.stopped_by else ""
    gap = f", missing: {outcome.gaps[0].reason}" if outcome.gaps else ""
    return f"{outcome.status!r} instead of {case.expected_status!r}{stop}{gap}"
