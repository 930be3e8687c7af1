from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from guardgraph.agents import Agent
from guardgraph.agents.results import failed_result, gap_of, result_id, result_of_answer
from guardgraph.state import (
    AgentError,
    ErrorKind,
    Evidence,
    Gap,
    Outcome,
    OutcomeStatus,
    Reply,
    Request,
    ReservationDenied,
    Result,
    Subtask,
    Task,
    Usage,
)

TASK = Task(goal="compare", id="t")
REQUEST = Request(task=TASK, subtask=Subtask(id="s-1", goal="search"), round=2, attempt=3)
USAGE = Usage(input_tokens=3, output_tokens=4, calls=1)
QUOTE = Evidence(source="a.txt", quote="two")
STOP = ReservationDenied("r", "tokens", 10, 5)


class Report(BaseModel):
    title: str
    price: Decimal = Decimal("1.50")
    at: datetime | None = None
    count: int = Field(default=0, le=5)

    @field_validator("title")
    @classmethod
    def _known(cls, title: str) -> str:
        if title == "unknown":
            raise KeyError(title)  # pydantic lets this through as it is
        return title


@dataclass
class Pair:
    left: int
    right: tuple[int, ...]


def agent(output: Any = None) -> Agent:
    return Agent("analyst", run=print, version="7", output=output)


def test_a_copy_of_a_reply_that_does_not_fit_is_no_answer() -> None:
    copy = Reply(value=1).model_copy(update={"confidence": 7})  # pydantic does not check what is updated

    result = result_of_answer(agent(), REQUEST, copy, usage=USAGE, stopped=None)

    assert result.error is not None
    assert (result.status, result.error.kind) == ("failed", "invalid")
    assert "the value does not fit Reply: confidence: Input should be less than or equal to 1" in result.error.message


def result_of(raw: object, output: Any = None, stopped: ReservationDenied | None = None) -> Result:
    return result_of_answer(agent(output), REQUEST, raw, usage=USAGE, stopped=stopped)


def test_a_result_names_its_agent_request_and_cost() -> None:
    result = result_of("42")

    assert result == Result(
        id="analyst/s-1#3", agent="analyst", version="7", subtask="s-1", round=2, attempt=3, value="42", usage=USAGE
    )


@pytest.mark.parametrize(
    ("request_", "id_"),
    [
        (Request(task=TASK), "a/r1#1"),
        (Request(task=TASK, round=2, attempt=3), "a/r2#3"),
        (Request(task=TASK, subtask=Subtask(id="s", goal="g"), round=2, attempt=3), "a/s#3"),
    ],
)
def test_the_id_of_a_result_names_agent_subject_and_attempt(request_: Request, id_: str) -> None:
    assert result_id("a", request_) == id_


def test_a_reply_has_evidence_confidence_reasoning_and_subtasks() -> None:
    more = Subtask(id="s-2", goal="look deeper")
    reply = Reply(value=1, evidence=(QUOTE,), confidence=0.5, reasoning="it says so", subtasks=(more,))

    result = result_of(reply)

    assert (result.value, result.evidence, result.confidence) == (1, (QUOTE,), 0.5)
    assert (result.reasoning, result.subtasks) == ("it says so", (more,))


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, None),
        (Report(title="t"), {"title": "t", "price": "1.50", "at": None, "count": 0}),
        (Pair(1, (2, 3)), {"left": 1, "right": [2, 3]}),
        ({"at": datetime(2030, 1, 1, tzinfo=UTC)}, {"at": "2030-01-01T00:00:00Z"}),
        ((1, {2}), [1, [2]]),
        (10**30, 10**30),
    ],
)
def test_a_value_is_stored_as_json_data(value: object, stored: object) -> None:
    assert result_of(value).value == stored


@pytest.mark.parametrize("metadata", [Field(gt=1), {"unit": "EUR"}], ids=["hashable", "not hashable"])
def test_each_declared_type_is_checked_as_it_is_annotated(metadata: Any) -> None:
    assert result_of(2, Annotated[int, metadata]).value == 2
    assert result_of("two", Annotated[int, metadata]).status == "failed"
    assert result_of(1, Annotated[int, Field(gt=1)]).status == "failed"
    assert result_of(1, int).value == 1


@pytest.mark.parametrize("output", [None, str, Report])
def test_a_bare_none_is_no_answer(output: Any) -> None:
    result = result_of(None, output)

    assert (result.status, result.value) == ("failed", None)
    assert result.error is not None
    assert result.error.kind == "invalid"
    assert result.error.message.startswith("it returned None: did you forget `return`? Return `Reply(value=None)`")


@pytest.mark.parametrize(("value", "output"), [(Reply(value=None), None), (None, str | None), (None, type(None))])
def test_a_reply_with_the_value_none_is_an_answer(value: object, output: Any) -> None:
    result = result_of(value, output)

    assert (result.status, result.value) == ("ok", None)


def test_nothing_after_a_stop_is_the_stop() -> None:
    result = result_of(None, stopped=STOP)

    assert (result.status, result.stopped_by) == ("failed", "Budget")
    assert result.error == AgentError(kind="stopped", message="10 tokens wanted, 5 left")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_a_result_that_is_ok_can_always_be_written_as_json(value: object) -> None:
    result = result_of(Reply(value=value))

    assert Result.model_validate_json(result.model_dump_json()) == result
    assert result.status == "failed" or result.value == value


@pytest.mark.parametrize(
    "value", [math.nan, [math.inf], "\ud800", b"\xff", object(), {"f": print}, test_a_value_is_stored_as_json_data]
)
def test_a_value_without_a_json_form_is_invalid(value: object) -> None:
    result = result_of(value)

    assert (result.status, result.value) == ("failed", None)
    assert result.error is not None
    assert result.error.kind == "invalid"
    assert result.error.message.startswith("the value cannot be stored as JSON: ")


def test_a_value_that_holds_itself_is_invalid() -> None:
    endless: list[Any] = []
    endless.append(endless)

    assert "Circular reference" in str(result_of(endless).error)


@pytest.mark.parametrize(
    "value", [{"title": "t", "count": "5"}, Report(title="t", count=5), Reply(value={"title": "t", "count": 5})]
)
def test_a_value_is_stored_as_its_declared_output_writes_it(value: object) -> None:
    result = result_of(value, Report)

    assert result.status == "ok"
    assert result.value == {"title": "t", "price": "1.50", "at": None, "count": 5}
    assert Report.model_validate(result.value) == Report(title="t", count=5)


@pytest.mark.parametrize(
    ("value", "output", "message"),
    [
        ("garbage", Report, "the value does not fit Report: value: Input should be a valid dictionary"),
        (
            {"title": "t", "count": 6},
            Report,
            "the value does not fit Report: count: Input should be less than or equal to 5",
        ),
        ("seven", int, "the value does not fit int: value: Input should be a valid integer"),
        ({"title": "unknown"}, Report, "the value could not be checked: KeyError: 'unknown'"),
        (math.nan, float, "the value cannot be stored as JSON"),
    ],
)
def test_a_value_that_does_not_fit_its_declared_output_is_invalid(value: object, output: Any, message: str) -> None:
    result = result_of(value, output)

    assert (result.status, result.value, result.usage) == ("failed", None, USAGE)
    assert result.error is not None
    assert result.error.kind == "invalid"
    assert message in result.error.message


def test_no_more_than_five_faults_are_named() -> None:
    result = result_of(["x"] * 9, list[int])

    assert result.error is not None
    assert result.error.message.count("valid integer") == 5


def test_an_answer_after_a_stop_is_partial() -> None:
    result = result_of("half", stopped=STOP)

    assert (result.status, result.value, result.stopped_by) == ("partial", "half", "Budget")
    assert result.error == AgentError(kind="stopped", message="10 tokens wanted, 5 left")
    assert result.has_value


@pytest.mark.parametrize(
    ("kind", "status", "by"),
    [
        ("raised", "failed", None),
        ("invalid", "failed", None),
        ("timeout", "timeout", None),
        ("deadline", "timeout", "Deadline"),
        ("stopped", "failed", "Budget"),
        ("skipped", "skipped", "Budget"),
    ],
)
def test_the_error_sets_the_status_and_the_guard_that_stopped_it(kind: ErrorKind, status: str, by: str | None) -> None:
    result = failed_result(agent(), REQUEST, AgentError(kind=kind, message="why"), usage=USAGE)

    assert (result.status, result.stopped_by, result.usage) == (status, by, USAGE)
    assert not result.has_value


GAP = Gap(subtask="leaf", agent="worker", reason="no data", path=("inner:x",))


@pytest.mark.parametrize(
    ("status", "value", "becomes"),
    [
        ("completed", "all", "partial"),  # says so itself, though something is missing
        ("degraded", "some", "partial"),
        ("degraded", None, "partial"),
        ("escalated", "draft", "failed"),
        ("refused", None, "failed"),
        ("failed", None, "failed"),
    ],
)
def test_a_degraded_team_never_looks_complete_from_above(status: OutcomeStatus, value: Any, becomes: str) -> None:
    outcome = Outcome(status=status, value=value, evidence=(QUOTE,), confidence=0.5, stopped_by="Depth", gaps=(GAP,))

    result = result_of(outcome)

    assert (result.status, result.value, result.evidence, result.confidence) == (becomes, value, (QUOTE,), 0.5)
    assert (result.stopped_by, result.usage) == ("Depth", USAGE)
    assert result.gaps == (GAP.model_copy(update={"path": ("analyst:s-1", "inner:x")}),)
    assert result.error == AgentError(kind="team", message=f"the team ended as {status}: no data")


@pytest.mark.parametrize(("by", "why"), [("Depth", "Depth"), (None, "no value")])
def test_a_team_that_fails_without_gaps_names_what_stopped_it(by: str | None, why: str) -> None:
    request = Request(task=TASK)

    result = result_of_answer(agent(), request, Outcome(status="failed", stopped_by=by), usage=USAGE, stopped=None)

    assert result.error == AgentError(kind="team", message=f"the team ended as failed: {why}")


@pytest.mark.parametrize(
    ("reason", "gaps", "why"),
    [
        ("2 candidates are tied", (), "2 candidates are tied"),
        ("2 candidates are tied", ("no data",), "2 candidates are tied; no data"),
        ("no data", ("no data",), "no data"),
        ("stage 'a' is critical and failed: no data", ("no data", "no key"), "no data; no key"),
        ("a person decides", ("no data", "no key", "no line"), "a person decides; no data; no key"),
    ],
)
def test_the_error_of_a_team_names_why_it_has_ended(reason: str, gaps: tuple[str, ...], why: str) -> None:
    missing = tuple(Gap(subtask=f"s{number}", reason=text) for number, text in enumerate(gaps))
    outcome = Outcome(status="escalated", stopped_by="tie", reason=reason, gaps=missing)

    result = result_of_answer(agent(), Request(task=TASK), outcome, usage=USAGE, stopped=None)

    assert result.error == AgentError(kind="team", message=f"the team ended as escalated: {why}")


def test_the_error_of_a_team_names_each_cause_once() -> None:
    reasons = ["no data", "not reached, since the run was stopped: no data", "no key", "no data", "no line", "no more"]
    gaps = tuple(Gap(subtask=f"s{number}", reason=reason) for number, reason in enumerate(reasons))
    outcome = Outcome(status="failed", gaps=gaps)

    result = result_of_answer(agent(), Request(task=TASK), outcome, usage=USAGE, stopped=None)

    assert result.error == AgentError(kind="team", message="the team ended as failed: no data; no key; no line")


def test_a_gap_of_a_team_without_a_subtask_leads_through_its_name() -> None:
    result = result_of_answer(
        agent(), Request(task=TASK), Outcome(status="failed", gaps=(GAP,)), usage=USAGE, stopped=None
    )

    assert result.gaps[0].path == ("analyst", "inner:x")


def test_the_value_of_a_team_fits_its_declared_output_too() -> None:
    fits = result_of(Outcome(status="completed", value={"title": "t"}), Report)
    unfit = result_of(Outcome(status="degraded", value=["t"], gaps=(GAP,), stopped_by="Deadline"), Report)
    without = result_of(Outcome(status="failed"), Report)

    assert fits.value == {"title": "t", "price": "1.50", "at": None, "count": 0}
    assert (unfit.status, unfit.value, unfit.stopped_by) == ("failed", None, "Deadline")
    assert unfit.error is not None
    assert unfit.error.kind == "invalid"
    assert [gap.subtask for gap in unfit.gaps] == ["leaf"]
    assert without.error is not None
    assert without.error.kind == "team"


def test_a_gap_names_what_a_result_leaves_open() -> None:
    late = failed_result(agent(), REQUEST, AgentError(kind="deadline", message="no answer after 1 s"), usage=USAGE)
    fine = result_of_answer(agent(), Request(task=TASK), "v", usage=USAGE, stopped=None)

    assert gap_of(late) == Gap(subtask="s-1", agent="analyst", reason="no answer after 1 s", guard="Deadline", round=2)
    assert gap_of(late, guard="Schema", reason="unfit").model_dump(include={"guard", "reason"}) == {
        "guard": "Schema",
        "reason": "unfit",
    }
    assert gap_of(fine) == Gap(subtask="analyst", agent="analyst", reason="no answer")


def test_numbers_as_keys_become_texts() -> None:
    assert json.loads(result_of({1: "a"}).model_dump_json())["value"] == {"1": "a"}
