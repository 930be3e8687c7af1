"""Scoring one outcome by several metrics: every metric that a case asks for gives a score, whatever happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from guardgraph.evals.case import Case
from guardgraph.evals.metrics.metric import Metric
from guardgraph.evals.score import Score
from guardgraph.state import Outcome, error_text

__all__ = ("scores_of",)


def scores_of(
    metrics: Sequence[Metric], case: Case, outcome: Outcome | None, *, error: str | None = None
) -> tuple[Score, ...]:
    """Return the score of each metric that `case` asks for; all of them failed when there is no outcome."""
    scores = (_score_of(metric, case, outcome, error=error) for metric in metrics)
    return tuple(score for score in scores if score is not None)


def _score_of(metric: Metric, case: Case, outcome: Outcome | None, *, error: str | None) -> Score | None:
    name = metric.name
    try:
        score = cast(object, metric(case, outcome or Outcome(status="failed")))
    except Exception as raised:
        return _failed(name, f"the metric raised {error_text(raised)}")
    if score is None:
        return None
    if outcome is None:
        return _failed(name, f"no outcome: {error}")
    if not isinstance(score, Score):
        return _failed(name, f"the metric returned {type(score).__name__}, not a Score: {score!r:.80}")
    return score.model_copy(update={"metric": name})


def _failed(name: str, reason: str) -> Score:
    return Score(metric=name, value=0, passed=False, reason=reason)
