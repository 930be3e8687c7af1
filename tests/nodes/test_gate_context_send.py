from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from langgraph.types import Send

from guardgraph.agents import Agent
from guardgraph.nodes import worker_roster
from guardgraph.state import BadInput, ContextItem, DelegationScope, Gap, Plan, Request, Result, Subtask, Task
from tests.nodes.gates import gate_of, spec_of

TASK = Task(goal="compare", id="t")
POSITION = DelegationScope(run_id="r", account="r", spending_account="r/work", started=datetime(2030, 1, 1, tzinfo=UTC))
BACKGROUND = ContextItem(kind="background", title="house rules")
PLAN = Plan(subtasks=tuple(Subtask(id=id_, goal=f"do {id_}") for id_ in ("a", "b", "c", "d")))
STATE: dict[str, Any] = {
    "admitted": TASK,
    "position": POSITION,
    "context": [BACKGROUND],
    "round": 2,
    "subtasks": list(PLAN.subtasks),
    "results": [Result(id=f"w/{id_}#1", agent="w", subtask=id_, value=id_) for id_ in ("a", "b", "c")],
    "accepted": ["w/a#1", "w/b#1"],
    "refused": ["w/c#1"],
    "gaps": [Gap(subtask="c", reason="refused"), Gap(subtask="d", reason="late")],
}
AGENT = Agent("w", run=print)


def send(state: dict[str, Any], subtask: Subtask | None = None, **more: Any) -> Send:
    return gate_of(spec_of(AGENT), **state).send(AGENT, subtask, **more)


def request_of(sent: Send) -> Request:
    """Return the request that goes to the agent, with the team's position beside it."""
    assert sent.node == "w"
    assert set(sent.arg) == {"request", "position"}
    assert sent.arg["position"] is POSITION
    return sent.arg["request"]


def context_of_request(request: Request) -> list[tuple[str, str]]:
    return [(item.kind, item.title) for item in request.context]


def test_the_task_goes_out_with_all_that_is_accepted_and_missing() -> None:
    request = request_of(send(STATE))

    assert (request.task, request.subtask, request.round, request.attempt) == (TASK, None, 2, 1)
    assert context_of_request(request) == [
        ("background", "house rules"),
        ("result", "do a"),
        ("result", "do b"),
        ("gap", "do c"),
        ("gap", "do d"),
    ]


def test_other_context_a_reason_and_a_number_of_attempt_go_with_it() -> None:
    worker = ContextItem(kind="worker", title="w")

    request = request_of(send(STATE, attempt=3, feedback="no source", context=iter([worker])))

    assert (request.attempt, request.feedback, request.context) == (3, "no source", (worker,))


@pytest.mark.parametrize(("agent", "subtask"), [("w", None), (AGENT, "do a"), (AGENT, {"id": "a", "goal": "do a"})])
def test_what_is_no_agent_or_no_subtask_is_not_sent(agent: Any, subtask: Any) -> None:
    with pytest.raises(BadInput, match="`send` takes an `Agent`, and a `Subtask` as its part of the task; got "):
        gate_of(spec_of(AGENT), **STATE).send(agent, subtask)


def test_a_subtask_goes_out_with_what_it_depends_on_and_nothing_else() -> None:
    subtask = Subtask(id="e", goal="do e", depends_on=("b", "d"))

    request = request_of(send(STATE, subtask, attempt=2, feedback="too short"))

    assert context_of_request(request) == [("background", "house rules"), ("result", "do b"), ("gap", "do d")]
    assert (request.subtask, request.round, request.attempt, request.feedback) == (subtask, 2, 2, "too short")


def test_a_subtask_that_depends_on_nothing_sees_no_result_of_others() -> None:
    assert context_of_request(request_of(send(STATE, Subtask(id="e", goal="do e")))) == [("background", "house rules")]


def test_a_refused_result_is_never_handed_on() -> None:
    subtask = Subtask(id="e", goal="do e", depends_on=("c",))

    assert context_of_request(request_of(send(STATE, subtask))) == [("background", "house rules"), ("gap", "do c")]


def test_a_team_that_has_just_begun_is_in_round_one_and_knows_nothing() -> None:
    state = {"admitted": TASK, "position": POSITION}

    for sent in (send(state), send(state, PLAN.subtasks[0])):
        assert (request_of(sent).round, request_of(sent).context) == (1, ())


def test_the_roster_names_workers_with_their_skills_in_order() -> None:
    workers = [Agent("w", run=print, skills={"z", "a"}), Agent("v", run=print)]

    assert [(item.kind, item.title, item.value) for item in worker_roster(workers)] == [
        ("worker", "w", {"skills": ["a", "z"]}),
        ("worker", "v", {"skills": []}),
    ]
