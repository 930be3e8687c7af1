"""Cases: tasks with what is expected of them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from guardgraph.evals import Case, CaseResult, Score
from guardgraph.state import Task

GOOD = Score(metric="m", value=1, passed=True)
BAD = Score(metric="n", value=0, passed=False)


def test_a_text_is_a_task_that_is_named_after_the_case() -> None:
    case = Case.model_validate({"id": "budget", "task": "How much?"})

    assert case.task == Task(goal="How much?", id="budget")
    assert case.expected_status == "completed"
    assert case.expected_facts == ()


def test_fields_of_a_task_are_a_task_too() -> None:
    case = Case.model_validate({"id": "a", "task": {"goal": "How much?", "stakes": "high"}, "tags": ["slow"]})

    assert case.task == Task(goal="How much?", id="a", stakes="high")
    assert case.tags == {"slow"}


def test_a_task_stays_as_it_is() -> None:
    task = Task(goal="How much?", id="mine")

    assert Case(id="a", task=task).task == task


@pytest.mark.parametrize("name", ["", "a" * 201, "a\nb", "a\0b"])
def test_a_name_that_cannot_be_stored_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=r"id\n"):
        Case.model_validate({"id": name, "task": "How much?"})


def test_an_empty_fact_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"expected_facts\.0"):
        Case.model_validate({"id": "a", "task": "How much?", "expected_facts": ["  "]})


@pytest.mark.parametrize(
    ("row", "passed"),
    [
        (CaseResult(case="a", scores=(GOOD,)), True),
        (CaseResult(case="a"), True),
        (CaseResult(case="a", scores=(GOOD, BAD)), False),
        (CaseResult(case="a", error="RuntimeError: x"), False),
    ],
)
def test_a_row_passes_when_all_its_scores_do_and_nothing_was_raised(row: CaseResult, passed: bool) -> None:
    assert row.passed is passed
