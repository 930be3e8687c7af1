from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.guards import Escalate, Finish, GuardContext, Limits, OnTrip, Refuse, Retry, guard
from guardgraph.nodes.decisions.review import can_retry, retry_targets, review_results, unreviewed_results
from guardgraph.state import AgentError, Allowance, Gap, Request, Result, Subtask, Task
from tests.nodes.gates import NOW, gate_of, position, spec_of

TASK = Task(goal="compare")
SPARE = Agent("spare", run=str)
WORKER = Agent("w", run=str, attempts=2, fallback=SPARE)
SUBTASK = Subtask(id="a", goal="a")


def refuses(on_trip: OnTrip) -> Any:
    @guard(at="handoff", on_trip=on_trip)
    def strict(context: GuardContext) -> str | None:
        return "too short" if context.subject.value == "bad" else None

    return strict


def result(value: Any = None, agent: str = "w", **facts: Any) -> Result:
    failed = {"status": "failed", "error": AgentError(kind="raised", message="boom")} if value is None else {}
    return Result.model_validate({"id": f"{agent}-{value}", "agent": agent, "value": value, **failed, **facts})


def gate_with(*results: Result, agent: Agent = WORKER, tries: int = 1, guards: Any = (), **state: Any) -> Any:
    request = Request(task=TASK, tries=tries, feedback="earlier")
    requests = {one.id: request for one in results}
    spec = spec_of(*agent.fallback_chain, guards=guards)
    known: dict[str, Any] = {"admitted": TASK, "results": list(results), "requests": requests, **state}
    return gate_of(spec, **known)


def retried(gate: Any, agent: Agent = WORKER) -> list[tuple[str, int, int, str | None]]:
    sends: Any = review_results(gate, [agent]) or []
    requests = [(send.node, send.arg["request"]) for send in sends if not isinstance(sends, str)]
    return [(name, request.attempt, request.tries, request.feedback) for name, request in requests]


def test_a_result_with_a_value_is_accepted_and_a_partial_one_leaves_a_gap() -> None:
    gate = gate_with(whole := result("good"), part := result("part", status="partial", subtask="a"))

    assert review_results(gate, [WORKER]) is None
    assert (gate.state["accepted"], gate.reviewed) == (["w-good", "w-part"], (whole, part))
    assert [gap.subtask for gap in gate.gaps] == ["a"]
    assert gate.state["requests"] == {}


@pytest.mark.parametrize(
    ("tries", "expected"),
    [(1, ("w", 2, 2, "boom")), (2, ("spare", 2, 1, "boom"))],
    ids=["the same agent", "its fallback"],
)
def test_a_failed_result_is_tried_again_by_its_agent_and_then_by_its_fallback(tries: int, expected: Any) -> None:
    gate = gate_with(result(), tries=tries)

    assert retried(gate) == [expected]
    assert (gate.state["refused"], gate.gaps) == (["w-None"], [])


def test_the_last_attempt_that_fails_is_a_gap() -> None:
    gate = gate_with(result(agent="spare"))

    assert retried(gate) == []
    assert [(gap.subtask, gap.agent, gap.reason) for gap in gate.gaps] == [("spare", "spare", "boom")]


@pytest.mark.parametrize(
    ("on_trip", "tries", "names"),
    [(Retry(3), 3, ["w"]), (Retry(3), 4, ["spare"]), (Finish(), 1, []), (Refuse(), 1, [])],
)
def test_a_guard_says_how_often_what_it_refuses_is_tried_again(on_trip: OnTrip, tries: int, names: list[str]) -> None:
    gate = gate_with(result("bad"), tries=tries, guards=[refuses(on_trip)])

    assert [name for name, *_ in retried(gate)] == names
    assert [verdict.guard for verdict in gate.state["verdicts"]] == ["strict"]
    assert [gap.guard for gap in gate.gaps] == ([] if names else ["strict"])
    assert gate.state.get("ending") is None


def test_where_a_guard_escalates_no_agent_tries_again() -> None:
    gate = gate_with(failed := result(), result("bad"), guards=[refuses(Escalate())])

    assert review_results(gate, [WORKER]) == "guard_exit"
    assert (gate.state["ending"].status, gate.state["ending"].stopped_by) == ("escalated", "strict")
    assert [gap.reason for gap in gate.gaps] == ["too short", failed.error.message if failed.error else ""]


@pytest.mark.parametrize(
    "facts",
    [{"team": position(allowance=Allowance(deadline=NOW))}, {"requests": {}}],
    ids=["after the deadline", "without its request"],
)
def test_nothing_is_tried_again(facts: dict[str, Any]) -> None:
    assert retried(gate_with(result(), **facts)) == []


@pytest.mark.parametrize("kind", ["skipped", "stopped"])
def test_without_budget_only_a_fallback_that_is_a_function_tries_again(kind: Any) -> None:
    error = AgentError(kind=kind, message="no budget")

    assert [name for name, *_ in retried(gate_with(result(error=error)))] == ["spare"]
    assert retried(gate_with(result(error=error, agent="spare"))) == []


def test_retries_that_may_not_go_on_are_gaps_and_end_the_run() -> None:
    late = position(allowance=Allowance(deadline=NOW + timedelta(seconds=1)), started=NOW - timedelta(hours=1))
    gate = gate_with(result(), team=late)

    assert review_results(gate, [WORKER]) == "guard_exit"
    assert (gate.state["ending"].stopped_by, [gap.reason for gap in gate.gaps]) == ("Deadline", ["boom"])


def test_retries_that_a_guard_of_dispatch_stops_are_gaps_and_the_route_decides() -> None:
    @guard(at="dispatch")
    def closed(context: GuardContext) -> str:
        return "closed"

    gate = gate_with(result(handoff=("other",)), guards=[closed])

    assert retried(gate) == []
    assert [(gap.agent, gap.reason) for gap in gate.gaps] == [("w", "boom")]


def test_a_refused_result_names_the_agents_of_a_handoff_unless_it_is_of_a_subtask() -> None:
    gate = gate_with(
        result(agent="spare", handoff=("billing",)), result("x", agent="spare", status="failed", subtask="a")
    )
    review_results(gate, [WORKER])

    assert [(names, gap.agent) for names, gap in gate.handoffs] == [(("billing",), "spare")]


@pytest.mark.parametrize(("share", "is_exhausted"), [(None, True), (0.5, False)])
def test_results_that_the_whole_budget_has_stopped_end_the_run(share: float | None, is_exhausted: bool) -> None:
    agent = Agent("w", run=str, budget_share=share)
    error = AgentError(kind="stopped", message="100 tokens wanted, 0 left")
    gate = gate_with(result(error=error, stopped_by="Budget"), agent=agent)

    assert review_results(gate, [agent]) is None
    assert (gate.stop_reason() is not None) is is_exhausted


def test_results_of_others_and_reviewed_ones_are_left_alone() -> None:
    state = {"results": [result("a"), result("b"), result("c")], "accepted": ["w-a"], "refused": ["w-b"]}

    assert [one.id for one in unreviewed_results(state)] == ["w-c"]
    gate = gate_with(result("good", agent="stranger"))
    assert review_results(gate, [WORKER]) is None
    assert (gate.reviewed, gate.accepted) == ((), [])


@pytest.mark.parametrize(("times", "names"), [(0, ("w", "spare")), (1, ("w", "spare", "once"))])
def test_the_targets_of_retries_are_those_that_may_try_again(times: int, names: tuple[str, ...]) -> None:
    once = Agent("once", run=str)
    guards = [refuses(Retry(times)), Limits()]

    assert retry_targets([WORKER, once], guards, at="handoff") == names
    assert can_retry(guards, at="handoff") is bool(times)
    assert not can_retry(guards, at="exit")


def test_a_gap_names_what_a_nested_team_has_left_open() -> None:
    inner = Gap(subtask="x", reason="late", path=("w",))
    gate = gate_with(result(agent="spare", gaps=(inner,), subtask="a"), subtasks=[SUBTASK])

    review_results(gate, [WORKER])

    assert [(gap.path, gap.subtask) for gap in gate.gaps] == [(("w",), "x"), ((), "a")]
