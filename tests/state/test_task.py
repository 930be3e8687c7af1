"""A task says what is to be done, within bounds."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardgraph.state import Task

LONGEST = 200_000


def test_a_goal_is_enough() -> None:
    task = Task(goal="Compare the three vendors")

    assert task.stakes == "normal"
    assert task.categories == frozenset()
    assert task.inputs == {}
    assert task.origin is None


def test_tasks_without_an_id_get_one_each() -> None:
    first, second = Task(goal="same"), Task(goal="same")

    assert len(first.id) == 32
    assert first.id != second.id


@pytest.mark.parametrize("goal", ["x", "x" * LONGEST, "  x  "])
def test_a_goal_is_kept_as_it_was_said(goal: str) -> None:
    assert Task(goal=goal).goal == goal


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, r"goal\n  Field required"),
        ({"goal": ""}, r"goal\n  String should have at least 1 character"),
        ({"goal": "x" * (LONGEST + 1)}, r"goal\n  String should have at most 200000 characters"),
        ({"goal": " \n\t"}, "the goal is empty; say what is to be done"),
        ({"goal": 7}, r"goal\n  Input should be a valid string"),
        ({"goal": "x", "id": ""}, r"id\n  String should have at least 1 character"),
        ({"goal": "x", "id": "i" * 201}, r"id\n  String should have at most 200 characters"),
        ({"goal": "x", "origin": "o" * (LONGEST + 1)}, r"origin\n  String should have at most 200000 characters"),
        ({"goal": "x", "stakes": "huge"}, r"stakes\n  Input should be 'low', 'normal' or 'high'"),
        ({"goal": "x", "categories": ["fun"]}, r"Input should be 'financial', 'safety', 'personal' or 'irreversible'"),
        ({"goal": "x", "inputs": {"at": object()}}, r"(?s)inputs.*input was not a valid JSON value"),
        ({"gaol": "x", "goal": "x"}, r"gaol\n  Extra inputs are not permitted"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Task.model_validate(fields)


@pytest.mark.parametrize("length", [1, 200])
def test_an_id_at_its_bounds_passes(length: int) -> None:
    assert len(Task(goal="x", id="i" * length).id) == length
