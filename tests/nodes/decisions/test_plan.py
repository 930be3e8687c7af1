from __future__ import annotations

from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.guards import Escalate, Finish, GuardContext, OnTrip, Refuse, Retry, guard
from guardgraph.nodes.decisions.plan import read_plan
from guardgraph.state import AgentError, Gap, Plan, Request, Result, Subtask, Task
from tests.nodes.gates import gate_of, spec_of

TASK = Task(goal="compare")
PLANNER = Agent("planner", run=str, attempts=2)


def plan_of(*ids: str) -> dict[str, Any]:
    return Plan(subtasks=tuple(Subtask(id=id_, goal=f"do {id_}") for id_ in ids)).model_dump(mode="json")


def planned(value: Any, id_: str = "p", **facts: Any) -> Result:
    return Result.model_validate({"id": id_, "agent": "planner", "value": value, **facts})


def gate_with(*plans: Result, tries: int = 1, guards: Any = (), **state: Any) -> Any:
    requests = {one.id: Request(task=TASK, tries=tries) for one in plans}
    return gate_of(
        spec_of(PLANNER, guards=guards, workers=frozenset()),
        admitted=TASK,
        plans=list(plans),
        requests=requests,
        **state,
    )


def rejects(on_trip: OnTrip) -> Any:
    @guard(at="round", on_trip=on_trip)
    def sourced(context: GuardContext) -> str:
        return "name a source"

    return sourced


def gaps(gate: Any) -> list[tuple[str, str, str | None]]:
    return [(gap.subtask, gap.reason, gap.guard) for gap in gate.gaps]


def feedback(sends: Any) -> list[str | None]:
    return [send.arg["request"].feedback for send in sends]


def test_the_subtasks_of_a_plan_are_written_to_the_state() -> None:
    gate = gate_with(planned(plan_of("a", "b")))

    plan = read_plan(gate, PLANNER)

    assert isinstance(plan, Plan)
    assert [subtask.id for subtask in plan.subtasks] == ["a", "b"]
    assert (gate.state["plan"], gate.state["subtasks"], gate.state["requests"]) == (plan, list(plan.subtasks), {})


@pytest.mark.parametrize(
    "taken",
    [
        {"results": [Result(id="1", agent="w", subtask="a")]},
        {"gaps": [Gap(subtask="a", reason="late")]},
        {"subtasks": [Subtask(id="a", goal="something else")]},
    ],
    ids=["result", "gap", "subtask"],
)
def test_a_subtask_gets_an_id_that_nothing_else_in_the_run_has(taken: dict[str, Any]) -> None:
    plan: Any = read_plan(gate_with(planned(plan_of("a", "planner", "run"), round=2), **taken), PLANNER)

    ids = {subtask.id for subtask in plan.subtasks}
    assert len(ids) == 3
    assert ids.isdisjoint({"a", "planner", "run"})


@pytest.mark.parametrize(
    ("plans", "left"),
    [
        ([], [("plan", "there is no plan", None)]),
        ([planned(plan_of())], []),
        ([planned(plan_of(), status="partial")], [("planner", "no answer", None)]),
    ],
    ids=["none", "empty", "empty and partial"],
)
def test_without_subtasks_the_run_concludes(plans: list[Result], left: list[Any]) -> None:
    gate = gate_with(*plans)

    assert read_plan(gate, PLANNER) == "guard_exit"
    assert gaps(gate) == left


FAILED = planned(None, status="failed", error=AgentError(kind="raised", message="boom"))


@pytest.mark.parametrize(
    ("last", "reason"), [(planned("a text"), "this is no plan: "), (FAILED, "boom")], ids=["no plan", "failed"]
)
def test_an_answer_that_is_no_plan_is_tried_again_and_then_a_gap(last: Result, reason: str) -> None:
    again = feedback(read_plan(gate_with(last), PLANNER))
    assert [text and text.startswith(reason) for text in again] == [True]

    gate = gate_with(last, tries=2)
    assert read_plan(gate, PLANNER) == "guard_exit"
    ((name, why, _),) = gaps(gate)
    assert name == "plan"
    assert why.startswith(reason)


@pytest.mark.parametrize(
    ("on_trip", "status"), [(Finish(), "degraded"), (Escalate(), "escalated"), (Refuse(), "refused")]
)
def test_a_plan_that_a_guard_rejects_ends_the_run(on_trip: OnTrip, status: str) -> None:
    gate = gate_with(planned(plan_of("a")), guards=[rejects(on_trip)])

    assert read_plan(gate, PLANNER) == "guard_exit"
    assert (gate.state["ending"].status, gate.state["ending"].stopped_by) == (status, "sourced")
    assert [subtask.id for subtask in gate.state["subtasks"]] == ["a"], "they are gaps of the outcome"


def test_a_plan_that_a_guard_gives_back_is_planned_again_with_the_reason() -> None:
    gate = gate_with(planned(plan_of("a")), guards=[rejects(Retry(1))])

    assert feedback(read_plan(gate, PLANNER)) == ["name a source"]
    assert "subtasks" not in gate.state


def test_the_subtasks_of_a_rejected_plan_are_gaps_where_no_other_plan_follows() -> None:
    trip = rejects(Retry(1))(GuardContext(gate="round", subject=Plan(), now=gate_of().now))
    gate = gate_with(planned(plan_of("a"), "p1"), planned("a text", "p2"), tries=2, verdicts=[trip])

    read_plan(gate, PLANNER)

    assert [(name, guard) for name, _, guard in gaps(gate)] == [("plan", None), ("a", "sourced")]
