"""What every metric is."""

from __future__ import annotations

from typing import Protocol

from guardgraph.evals.case import Case
from guardgraph.evals.score import Score
from guardgraph.state import Outcome

__all__ = ("Metric",)


class Metric(Protocol):
    """Scores one outcome; a frozen object with a name, called with a case and its outcome.

    A metric that raises gives a failed score, never a missing one. `None` says that the case asks nothing that this
    metric could measure: such a case is not counted, neither as passed nor as failed. That must depend on what is
    *expected*, not on what came.
    """

    @property
    def name(self) -> str:
        """What its scores are called; unique among the metrics of a run."""
        ...

    def __call__(self, case: Case, outcome: Outcome) -> Score | None:
        """Return the score of `outcome`, or `None` when the case asks nothing that this metric measures."""
        ...
