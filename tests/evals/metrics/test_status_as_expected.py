"""The metric of how a run ended."""

from __future__ import annotations

from guardgraph.evals import Case, Score
from guardgraph.evals.metrics import StatusAsExpected
from guardgraph.state import Gap, Outcome, Task

CASE = Case(id="a", task=Task(goal="x"), expected_status="degraded")


def test_the_expected_status_passes() -> None:
    score = StatusAsExpected()(CASE, Outcome(status="degraded"))

    assert score == Score(metric="outcome_status", value=1, passed=True)


def test_another_status_fails_and_names_what_stopped_the_run() -> None:
    outcome = Outcome(status="failed", stopped_by="budget", gaps=(Gap(subtask="s", reason="no money"),))

    score = StatusAsExpected()(CASE, outcome)

    assert (score.value, score.passed) == (0, False)
    assert score.reason == "'failed' instead of 'degraded', stopped by budget, missing: no money"


def test_more_than_was_expected_is_not_as_expected() -> None:
    assert not StatusAsExpected()(CASE, Outcome(status="completed")).passed
