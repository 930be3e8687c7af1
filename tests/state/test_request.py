"""A request holds all that an agent is given."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardgraph.state import ContextItem, Request, Subtask, Task

TASK = Task(goal="Compare the vendors")


def test_the_goal_is_the_subtasks_else_the_tasks() -> None:
    assert Request(task=TASK).goal == "Compare the vendors"
    assert Request(task=TASK, subtask=Subtask(id="a", goal="Read the first")).goal == "Read the first"


def test_the_task_is_always_part_of_it() -> None:
    assert Request(task=TASK, subtask=Subtask(id="a", goal="Read the first")).task.goal == "Compare the vendors"
    with pytest.raises(ValidationError, match=r"task\n  Field required"):
        Request.model_validate({})


def test_results_and_gaps_are_picked_from_the_context_in_order() -> None:
    pieces = tuple(
        ContextItem(kind=kind, title=kind) for kind in ("gap", "result", "worker", "background", "result", "gap")
    )

    request = Request(task=TASK, context=pieces)

    assert request.results == (pieces[1], pieces[4])
    assert request.gaps == (pieces[0], pieces[5])


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"attempt": 0}, r"attempt\n  Input should be greater than or equal to 1"),
        ({"context": [{"kind": "rumour", "title": "t"}]}, "Input should be 'result', 'gap', 'worker' or 'background'"),
        ({"task": {"goal": ""}}, r"task.goal\n  String should have at least 1 character"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Request.model_validate({"task": TASK, **fields})
