"""The protocol of metrics, and scoring one outcome by several of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, cast

from guardgraph.evals.case import Case, Score
from guardgraph.state import Outcome, error_text

__all__ = ("Metric", "scores_of")


class Metric(Protocol):
    """Scores one outcome; a frozen object with a name, called with a case and its outcome.

    A metric that raises gives a failed score, never a missing one. `None` means that the case expects nothing that this
    metric measures: such a case is not counted, neither as passed nor as failed. That must depend on what is
    *expected*, not on the outcome.
    """

    @property
    def name(self) -> str:
        """The name of its scores; unique among the metrics of a run."""
        ...

    def __call__(self, case: Case, outcome: Outcome) -> Score | None:
        """Return the score of `outcome`, or `None` when the case expects nothing that this metric measures."""
        ...


def scores_of(
    metrics: Iterable[Metric], case: Case, outcome: Outcome | None, *, error: str | None = None
) -> tuple[Score, ...]:
    """Return the score of each metric that measures something in `case`; without an outcome all of them fail."""
    return tuple(filter(None, (_score_of(metric, case, outcome, error) for metric in metrics)))


def _score_of(metric: Metric, case: Case, outcome: Outcome | None, error: str | None) -> Score | None:
    try:
        score = cast(object, metric(case, outcome or Outcome(status="failed")))
    except Exception as raised:
        reason = f"the metric raised {error_text(raised)}"
    else:
        if score is None:
            return None
        if isinstance(score, Score) and outcome:
            return score.model_copy(update={"metric": metric.name})
        returned = f"the metric returned {type(score).__name__}, not a Score: {score!r:.80}"
        reason = returned if outcome else f"no outcome: {error}"
    return Score(metric=metric.name, value=0, passed=False, reason=reason)
