"""Requests, replies and results."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from guardgraph.state import (
    AgentError,
    ContextItem,
    Evidence,
    Gap,
    Reply,
    Request,
    Result,
    ResultStatus,
    Subtask,
    Task,
    Usage,
    to_json,
)

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
        (
            {"context": [{"kind": "rumour", "title": "t"}]},
            "Input should be 'result', 'gap', 'worker', 'background', 'constraint', 'decision' or 'answer'",
        ),
        ({"task": {"goal": ""}}, r"task.goal\n  String should have at least 1 character"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_by_name(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Request.model_validate({"task": TASK, **fields})


def test_an_empty_reply_is_a_reply() -> None:
    reply = Reply()

    assert reply.value is None
    assert reply.confidence is None
    assert reply.evidence == ()


def test_a_reply_takes_any_value() -> None:
    value = object()

    assert Reply(value=value).value is value


@pytest.mark.parametrize("confidence", [0, 0.5, 1])
def test_a_confidence_from_0_to_1_passes(confidence: float) -> None:
    assert Reply(confidence=confidence).confidence == confidence


@pytest.mark.parametrize(
    ("confidence", "problem"),
    [
        (-0.01, "greater than or equal to 0"),
        (1.01, "less than or equal to 1"),
        (float("nan"), "Input should be"),
    ],
)
def test_a_confidence_outside_is_refused(confidence: float, problem: str) -> None:
    with pytest.raises(ValidationError, match=rf"(?s)confidence.*{problem}"):
        Reply(confidence=confidence)


@pytest.mark.parametrize(("field", "longest"), [("source", 4_096), ("quote", 100_000), ("locator", 1_000)])
def test_evidence_has_bounds(field: str, longest: int) -> None:
    known: dict[str, Any] = {"source": "s", "quote": "q"}

    assert len(getattr(Evidence.model_validate({**known, field: "x" * longest}), field)) == longest
    with pytest.raises(ValidationError, match=rf"{field}\n  String should have at most {longest} characters"):
        Evidence.model_validate({**known, field: "x" * (longest + 1)})


@pytest.mark.parametrize("field", ["source", "quote"])
def test_evidence_without_a_source_or_a_quote_is_none(field: str) -> None:
    with pytest.raises(ValidationError, match=rf"{field}\n  String should have at least 1 character"):
        Evidence.model_validate({"source": "s", "quote": "q", field: ""})


class Report(BaseModel):
    title: str


@pytest.mark.parametrize(
    ("status", "has_value"),
    [
        ("ok", True),
        ("partial", True),
        ("provisional", True),
        ("failed", False),
        ("timeout", False),
        ("skipped", False),
    ],
)
def test_only_some_endings_carry_a_value(status: ResultStatus, has_value: bool) -> None:
    assert Result(id="r", agent="a", status=status).has_value is has_value


def test_a_value_is_stored_as_json_and_made_again_where_it_is_read() -> None:
    result = Result(id="r", agent="a", value=to_json(Report(title="t")))

    assert result.value == {"title": "t"}
    assert Report.model_validate(result.value) == Report(title="t")


@pytest.mark.parametrize("value", [Report(title="t"), object(), {"at": {1, 2}}], ids=["model", "object", "set"])
def test_a_value_that_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match=r"(?s)value.*input was not a valid JSON value"):
        Result(id="r", agent="a", value=value)


def test_a_fresh_result_cost_nothing_and_has_no_error() -> None:
    result = Result(id="r", agent="a")

    assert result.usage == Usage()
    assert result.error is None
    assert result.attempt == 1


@pytest.mark.parametrize(
    ("word", "fields", "problem"),
    [
        (Result, {"id": "r", "agent": "a", "status": "fine"}, "Input should be 'ok', 'partial', 'failed', 'timeout'"),
        (Result, {"id": "r", "agent": "a", "confidence": 2}, r"confidence\n  Input should be less than or equal to 1"),
        (Result, {"agent": "a"}, r"id\n  Field required"),
        (Result, {"id": "r"}, r"agent\n  Field required"),
        (AgentError, {"kind": "bad", "message": "m"}, "Input should be 'raised', 'timeout', 'deadline', 'invalid'"),
        (Gap, {"subtask": "a"}, r"reason\n  Field required"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(word: type[BaseModel], fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        word.model_validate(fields)
