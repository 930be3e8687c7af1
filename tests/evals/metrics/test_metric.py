"""Every metric that measures something in a case gives a score, whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from guardgraph.evals import Case, Score
from guardgraph.evals.metrics import FactsFound, StatusAsExpected
from guardgraph.evals.metrics.metric import scores_of
from guardgraph.state import Outcome, Task

CASE = Case(id="a", task=Task(goal="x"))
DONE = Outcome(status="completed")


@dataclass(frozen=True)
class Custom:
    name: str
    answer: Callable[[], Any]

    def __call__(self, case: Case, outcome: Outcome) -> Score | None:
        return self.answer()


def explode() -> None:
    raise ZeroDivisionError("no rows")


def test_a_metric_that_raises_is_a_failed_score_and_the_others_go_on() -> None:
    scores = scores_of([Custom("mine", explode), StatusAsExpected()], CASE, DONE)

    assert [(score.metric, score.value, score.passed) for score in scores] == [
        ("mine", 0, False),
        ("outcome_status", 1, True),
    ]
    assert scores[0].reason == "the metric raised ZeroDivisionError: no rows"


def test_a_metric_that_returns_something_else_is_a_failed_score() -> None:
    (score,) = scores_of([Custom("mine", lambda: 0.7)], CASE, DONE)

    assert score == Score(metric="mine", value=0, passed=False, reason="the metric returned float, not a Score: 0.7")


def test_a_score_bears_the_name_of_its_metric() -> None:
    (score,) = scores_of([Custom("mine", lambda: Score(metric="other", value=1, passed=True))], CASE, DONE)

    assert score.metric == "mine"


def test_without_an_outcome_every_metric_that_measures_the_case_fails() -> None:
    expects_failure = CASE.model_copy(update={"expected_status": "failed"})

    scores = scores_of([StatusAsExpected(), FactsFound()], expects_failure, None, error="OSError: gone")

    assert scores == (Score(metric="outcome_status", value=0, passed=False, reason="no outcome: OSError: gone"),)
