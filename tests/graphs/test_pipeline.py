from __future__ import annotations

import time
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from guardgraph.agents import Agent
from guardgraph.graphs import Stage, pipeline
from guardgraph.guards import Deadline, Escalate, Finish, Guard, GuardContext, OnTrip, Retry, guard
from guardgraph.state import BadGraph, Outcome, Request


def told(*stages: Stage | Agent, guards: list[Guard] | None = None) -> Outcome:
    return pipeline(list(stages), guards=guards).compile().invoke({"task": "count"})["outcome"]


def append(mark: str) -> Agent:
    def run(request: Request) -> str:
        before = request.results[-1].value if request.results else request.task.goal
        return f"{before}{mark}"

    return Agent(mark, run=run)


def broken(name: str, attempts: int = 1, fallback: Agent | None = None) -> Agent:
    def run(request: Request) -> str:
        raise ValueError(f"{name} is broken")

    return Agent(name, run=run, attempts=attempts, fallback=fallback)


async def test_each_stage_gets_what_the_one_before_has_answered() -> None:
    graph = pipeline([append("a"), append("b"), append("c")]).compile()

    outcome = graph.invoke({"task": "count"})["outcome"]

    assert outcome.status == "completed"
    assert outcome.value == "countabc"
    assert (await graph.ainvoke({"task": "count"}))["outcome"].value == "countabc"


def test_every_stage_sees_the_original_intent() -> None:
    def run(request: Request) -> str:
        return request.task.goal

    assert told(append("a"), append("b"), Agent("c", run=run)).value == "count"


def test_the_stages_of_a_nested_pipeline_see_the_results_of_the_team_above() -> None:
    def run(request: Request) -> list[Any]:
        return [item.value for item in request.results]

    inner = pipeline([Agent("c", run=run), Agent("d", run=run)]).compile()

    assert told(append("a"), append("b"), Agent("inner", run=inner)).value == [
        "counta",
        "countab",
        ["counta", "countab"],
    ]


def test_an_optional_stage_that_fails_is_skipped_and_is_a_gap() -> None:
    outcome = told(append("a"), Stage(broken("b"), critical=False), append("c"))

    assert outcome.status == "degraded"
    assert outcome.value == "countac"
    assert [(gap.subtask, gap.reason) for gap in outcome.gaps] == [("b", "ValueError: b is broken")]


def test_a_critical_stage_that_fails_fails_the_run_and_the_later_ones_never_work() -> None:
    worked: list[str] = []

    def run(request: Request) -> str:
        worked.append("c")
        return "c"

    outcome = told(append("a"), broken("b"), Agent("c", run=run))

    assert outcome.status == "failed"
    assert outcome.value == [{"subtask": None, "agent": "a", "value": "counta"}]
    assert {gap.subtask: gap.reason.partition(":")[0] for gap in outcome.gaps} == {
        "b": "ValueError",
        "c": "not reached, since the run was stopped",
    }
    assert worked == []


def test_an_optional_last_stage_leaves_the_value_to_the_one_before() -> None:
    assert told(append("a"), Stage(broken("b"), critical=False)).value == "counta"


def test_a_stage_is_tried_as_often_as_its_agent_allows_then_by_its_fallback() -> None:
    tries: list[int] = []

    def run(request: Request) -> str:
        tries.append(request.attempt)
        raise ValueError("no")

    outcome = told(Agent("a", run=run, attempts=3, fallback=append("z")))

    assert tries == [1, 2, 3]
    assert outcome.status == "completed"
    assert outcome.value == "countz"


class Count(BaseModel):
    number: int


def test_a_value_that_does_not_fit_goes_back_with_the_reason() -> None:
    seen: list[str | None] = []

    def run(request: Request) -> dict[str, Any]:
        seen.append(request.feedback)
        return {"number": "many"} if request.attempt == 1 else {"number": 3}

    outcome = told(Agent("a", run=run, output=Count))

    assert outcome.value == {"number": 3}
    assert seen[0] is None
    assert seen[1] is not None
    assert seen[1].startswith("the value does not fit Count: number: Input should be a valid integer")


def test_a_gate_stops_a_stage_before_the_next_one_works() -> None:
    @guard(at="handoff")
    def short(view: GuardContext) -> str | None:
        return "too long" if len(str(view.subject.value)) > 6 else None

    outcome = told(append("a"), append("b"), append("c"), guards=[short])

    assert outcome.status == "failed"
    assert outcome.stopped_by == "short"
    assert [(gap.subtask, gap.guard) for gap in outcome.gaps] == [("b", "short"), ("c", "short")]


def test_a_draft_that_is_refused_at_the_exit_is_written_again() -> None:
    def run(request: Request) -> str:
        return f"draft {request.attempt}"

    @guard(at="exit", on_trip=Retry(1))
    def second(view: GuardContext) -> str | None:
        return None if view.subject.value == "draft 2" else "not good enough"

    outcome = told(append("a"), Agent("b", run=run), guards=[second])

    assert outcome.status == "completed"
    assert outcome.value == "draft 2"


@pytest.mark.parametrize(
    ("on_trip", "status", "by"), [(Finish(), "failed", "never"), (Escalate(), "escalated", "only_once")]
)
def test_a_draft_is_written_again_only_if_the_guards_of_dispatch_let_its_agent_work(
    on_trip: OnTrip, status: str, by: str
) -> None:
    sent: list[str] = []

    @guard(at="dispatch", on_trip=on_trip)
    def only_once(view: GuardContext) -> str | None:
        sent.append(view.agent.name if view.agent else "")
        return "once is enough" if len(sent) > 1 else None

    @guard(at="exit", on_trip=Retry(3))
    def never(view: GuardContext) -> str:
        return "no"

    worked: list[int] = []
    outcome = told(Agent("a", run=lambda request: worked.append(request.attempt) or "x"), guards=[only_once, never])

    assert (outcome.status, outcome.value, outcome.stopped_by) == (status, None, by)
    assert [(gap.subtask, gap.reason) for gap in outcome.gaps] == [("a", "no")]
    assert (sent, worked) == (["a", "a"], [1])


@guard(at="exit", on_trip=Retry(1))
def says_three(view: GuardContext) -> str | None:
    return None if str(view.subject.value).endswith("3") else "say three"


def test_who_writes_a_draft_again_does_not_find_the_refused_one_among_the_results() -> None:
    seen: list[list[Any]] = []

    def run(request: Request) -> str:
        seen.append([piece.value for piece in request.results])
        return f"{request.results[-1].value}{len(seen) + 1}"

    outcome = told(append("a"), Agent("b", run=run), guards=[says_three])

    assert (outcome.status, outcome.value) == ("completed", "counta3")
    assert seen == [["counta"], ["counta"]]


def test_a_draft_that_stays_refused_leaves_what_was_accepted_before_if_that_passes() -> None:
    @guard(at="exit", on_trip=Retry(1))
    def without_b(view: GuardContext) -> str | None:
        return "no b" if "b" in str(view.subject.value).replace("subtask", "") else None

    kept = told(append("a"), append("b"), guards=[without_b])
    none = told(append("a"), append("b"), guards=[says_three])

    assert (kept.status, kept.value) == ("degraded", [{"subtask": None, "agent": "a", "value": "counta"}])
    assert [(gap.agent, gap.guard, gap.reason) for gap in kept.gaps] == [("b", "without_b", "no b")]
    assert (none.status, none.value) == ("failed", None)
    assert {(gap.subtask, gap.guard) for gap in none.gaps} == {("b", "says_three"), ("result", "says_three")}


def test_nothing_is_drawn_that_never_happens() -> None:
    graph = pipeline([append("a"), Stage(append("b"), critical=False)], guards=[]).compile().get_graph()

    assert {(edge.source, edge.target) for edge in graph.edges} == {
        ("__start__", "guard_admission"),
        ("guard_admission", "a"),
        ("guard_admission", "guard_exit"),
        ("a", "guard_handoff_a"),
        ("guard_handoff_a", "b"),
        ("guard_handoff_a", "guard_exit"),
        ("b", "guard_handoff_b"),
        ("guard_handoff_b", "guard_exit"),
        ("guard_exit", "__end__"),
    }


@pytest.mark.parametrize(
    ("timeout", "guards", "why", "by"),
    [
        (0.1, [], "timeout", None),  # its own timeout is no guard
        (0.1, [Deadline(4)], "timeout", None),
        (4, [Deadline(0.5)], "deadline", "Deadline"),
        (None, [Deadline(0.5)], "deadline", "Deadline"),
    ],
)
def test_a_stage_that_takes_too_long_fails(timeout: float | None, guards: Any, why: str, by: str | None) -> None:
    def run(request: Request) -> str:
        time.sleep(5)
        return "late"

    outcome = told(Agent("a", run=run, timeout=timeout), guards=guards)

    assert outcome.status == "failed"
    assert outcome.gaps[0].reason.startswith("no answer after 0.")
    assert outcome.gaps[0].reason.endswith(f" s ({why})")
    assert (outcome.gaps[0].guard, outcome.stopped_by) == (by, by)


def test_the_second_task_on_a_thread_starts_afresh() -> None:
    graph = pipeline([append("a"), append("b")]).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}

    assert graph.invoke({"task": "one"}, config)["outcome"].value == "oneab"
    assert graph.invoke({"task": "two"}, config)["outcome"].value == "twoab"


@pytest.mark.parametrize(
    ("guards", "judging"),
    [
        (
            None,
            [
                "admission: Depth; dispatch: Depth",
                "handoff: Schema; dispatch: Depth",
                "handoff: Schema; dispatch: Depth",
                "exit: Schema; dispatch: Depth",
            ],
        ),
        ([], ["none"] * 4),
        ([says_three], ["none", "none", "none", "exit: says_three"]),
    ],
)
def test_gates_stand_with_and_without_guards_and_say_which_judge(guards: Any, judging: list[str]) -> None:
    nodes = pipeline([append("a"), append("b")], guards=guards).nodes

    gates = ["guard_admission", "guard_handoff_a", "guard_handoff_b", "guard_exit"]
    assert set(nodes) == {*gates, "a", "b"}
    assert [(nodes[gate].metadata or {})["guards"] for gate in gates] == judging


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "a pipeline needs at least one stage"),
        ([append("a"), append("a")], "agent names must be unique in a team, these are used twice: 'a'"),
        ([append("guard_exit")], "these agent names are taken by the team's own nodes: 'guard_exit'"),
        ([append("handoff_handoff_a"), append("handoff_a")], "taken by the team's own nodes: 'handoff_"),
    ],
)
def test_wrong_declarations_are_refused_when_built(stages: list[Agent], message: str) -> None:
    with pytest.raises(BadGraph, match=message):
        pipeline(stages)
