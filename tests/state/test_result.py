"""A result tells how an attempt ended, in JSON data."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from guardgraph.state import AgentError, Gap, Result, ResultStatus, Usage, to_json


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
