"""Nothing that was planned vanishes: every subtask is an accepted result, a gap, or replaced by a later one that is."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline, supervisor
from guardgraph.guards import Budget, Convergence, Finish, GuardContext, Refuse, Retry, Schema, guard
from guardgraph.state import Gap, Gate, Outcome, Plan, Request, Subtask
from tests.graphs.teams import WAYS, ask_sync, gather, listed, plan_of, speaker, team, worker


def _alike(*ids: str) -> Plan:
    """Return a plan of subtasks that differ in their inputs alone."""
    return Plan(subtasks=tuple(Subtask(id=id_, goal="Summarise the document", inputs={"doc": id_}) for id_ in ids))


def _fails_for(*ids: str) -> Any:
    def run(request: Request) -> str:
        assert request.subtask is not None
        if request.subtask.id.partition("~")[0] in ids:
            raise LookupError(f"no document {request.subtask.inputs['doc']}")
        return f"summary of {request.subtask.inputs['doc']}"

    return run


def _missing(outcome: Outcome) -> dict[str, str]:
    return {gap.subtask: gap.reason for gap in outcome.gaps}


# What failed is a gap of its own subtask, whatever others are called.


@pytest.mark.parametrize("way", WAYS)
def test_a_subtask_that_failed_is_a_gap_beside_one_of_the_same_goal_that_did_not(way: str) -> None:
    graph = team(_alike("a", "b"), workers=[worker(run=_fails_for("b"))]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert outcome.status == "degraded"
    assert _missing(outcome) == {"b": "LookupError: no document b"}


def test_what_the_budget_leaves_out_of_twenty_alike_is_twelve_gaps() -> None:
    ids = [f"s{number}" for number in range(20)]
    staff = [speaker("worker", read=40, written=10, expected_cost=50)]
    graph = team(_alike(*ids), workers=staff, guards=[Budget(tokens=500)]).compile()

    outcome = ask_sync(graph)

    assert outcome.status == "degraded"
    assert len(listed(outcome)) == 8
    assert len({gap.subtask for gap in outcome.gaps}) == 12


def _two_rounds(second: Plan, run: Any) -> Outcome:
    return ask_sync(team(_alike("a", "b"), second, workers=[worker(run=run)]).compile())


def test_the_same_work_of_a_later_round_closes_the_gap_of_an_earlier_one() -> None:
    failed: list[str] = []

    def run(request: Request) -> str:
        assert request.subtask is not None
        if request.subtask.inputs["doc"] == "b" and not failed:
            failed.append("b")
            raise LookupError("not now")
        return "summary"

    again = Plan(subtasks=(Subtask(id="x", goal="summarise  the DOCUMENT", inputs={"doc": "b"}),))

    outcome = _two_rounds(again, run)

    assert (outcome.status, outcome.gaps) == ("completed", ())
    assert failed == ["b"]


@pytest.mark.parametrize(
    "other",
    [
        Subtask(id="b", goal="Summarise another document", inputs={"doc": "c"}),
        Subtask(id="x", goal="Summarise the document", inputs={"doc": "c"}),
        Subtask(id="x", goal="Summarise the document", inputs={"doc": "b"}, skill="worker"),
        Subtask(id="x", goal="Summarise the document", inputs={"doc": "c"}, replaces=("nobody",)),
    ],
    ids=["other goal under the same id", "other inputs", "other skill", "replaces what is not there"],
)
def test_other_work_of_a_later_round_closes_no_gap(other: Subtask) -> None:
    rounds: list[int] = []

    def run(request: Request) -> str:
        assert request.subtask is not None
        rounds.append(request.round)
        if request.round == 1 and request.subtask.id == "b":
            raise LookupError("no")
        return "summary"

    outcome = _two_rounds(Plan(subtasks=(other,)), run)

    assert sorted(rounds) == [1, 1, 2]
    assert (outcome.status, _missing(outcome)) == ("degraded", {"b": "LookupError: no"})


def test_a_later_subtask_that_replaces_another_closes_its_gap_once_it_is_accepted() -> None:
    simpler = Plan(subtasks=(Subtask(id="x", goal="List its headings", inputs={"doc": "c"}, replaces=("b",)),))

    def run(request: Request) -> str:
        assert request.subtask is not None
        if request.subtask.id == "b":
            raise LookupError("no")
        return "done"

    def never(request: Request) -> str:
        assert request.subtask is not None
        if request.subtask.id in ("b", "x"):
            raise LookupError("no")
        return "done"

    assert _two_rounds(simpler, run).status == "completed"
    assert _missing(_two_rounds(simpler, never)) == {"b": "LookupError: no", "x": "LookupError: no"}


def test_a_gap_that_came_up_from_a_nested_team_is_closed_by_the_subtask_that_replaces_it() -> None:
    inner = team(plan_of("leaf", "other"), workers=[worker(run=_broken_once("leaf"))], name="inner").compile()
    first = Plan(subtasks=(Subtask(id="part", goal="do the part"),))
    graph = team(first, first, workers=[Agent("inner", run=inner)], guards=[Schema()]).compile()

    outcome = ask_sync(graph)

    assert (outcome.status, outcome.gaps) == ("completed", ())


def _broken_once(id_: str) -> Any:
    broken: list[str] = []

    def run(request: Request) -> str:
        assert request.subtask is not None
        if request.subtask.id == id_ and not broken:
            broken.append(id_)
            raise LookupError("not now")
        return "done"

    return run


def test_names_that_a_planner_gives_cannot_hide_what_the_team_itself_is_missing() -> None:
    def breaks(request: Request) -> str:
        raise ValueError("no ink")

    subtasks = plan_of("plan", "writer", "planner")
    graph = team(subtasks, synthesizer=Agent("writer", run=breaks)).compile()

    outcome = ask_sync(graph)

    assert outcome.status == "degraded"
    assert [gap.agent for gap in outcome.gaps] == ["writer"]
    assert len(listed(outcome)) == 3


# Every attempt has an id of its own.


def test_ids_of_results_differ_where_attempts_do() -> None:
    graph = team(plan_of("a"), plan_of("a"), workers=[worker(attempts=2, run=_broken_once("a"))], guards=[]).compile()

    state = list(graph.stream({"task": "t"}, stream_mode="values"))[-1]

    ids = [result.id for result in state["results"]]
    assert len(set(ids)) == len(ids) == 3


# A guard at `exit` judges whatever becomes the value.


@guard(at="exit", on_trip=Refuse())
def harmless(view: GuardContext) -> str | None:
    return "it is harmful" if "harm" in str(view.subject.value) else None


@guard(at="exit", on_trip=Finish())
def decent(view: GuardContext) -> str | None:
    return "it is indecent" if "do " in str(view.subject.value) else None


@pytest.mark.parametrize("way", WAYS)
def test_a_guard_at_exit_judges_the_results_of_a_team_without_a_writer(way: str) -> None:
    graph = team(plan_of("harm"), guards=[harmless], synthesizer=None).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.value, outcome.stopped_by) == ("refused", None, "harmless")
    assert outcome.reason == "it is harmful"


def test_results_behind_a_refused_draft_are_judged_too() -> None:
    writer = Agent("writer", run=lambda request: "I do say")
    graph = team(plan_of("a"), guards=[decent], synthesizer=writer).compile()

    outcome = ask_sync(graph)

    assert (outcome.status, outcome.value) == ("failed", None)
    assert outcome.stopped_by == "decent"
    assert {gap.reason for gap in outcome.gaps} == {"it is indecent"}


def test_results_behind_a_refused_draft_are_the_value_where_they_pass() -> None:
    writer = Agent("writer", run=lambda request: "I do say")
    graph = team(
        plan_of("a"), workers=[worker(run=lambda request: "fine")], guards=[decent], synthesizer=writer
    ).compile()

    outcome = ask_sync(graph)

    assert outcome.status == "degraded"
    assert [one["value"] for one in listed(outcome)] == ["fine"]


def test_what_an_early_end_leaves_is_judged_at_exit_too() -> None:
    graph = team(plan_of("harm"), plan_of("b"), guards=[Convergence(rounds=1), harmless], synthesizer=None).compile()

    assert ask_sync(graph).value is None


# A retry is the original request and the feedback.


def test_a_retried_agent_is_shown_what_it_was_shown_before_and_the_reason() -> None:
    seen: list[tuple[str | None, int, list[Any]]] = []

    def run(request: Request) -> str:
        assert request.subtask is not None
        seen.append((request.feedback, request.attempt, [item.value for item in request.context]))
        return "mine" if request.subtask.id == "late" and request.attempt == 1 else "other"

    @guard(at="handoff", on_trip=Retry(1))
    def not_mine(view: GuardContext) -> str | None:
        return "say other" if view.subject.value == "mine" else None

    graph = team(plan_of("early", "late"), workers=[worker(run=run)], guards=[not_mine]).compile()

    assert ask_sync(graph).status == "completed"
    assert seen[-1] == ("say other", 2, [])


def test_a_stage_that_is_asked_again_sees_nothing_new() -> None:
    seen: list[list[Any]] = []

    def second(request: Request) -> str:
        seen.append([item.value for item in request.context])
        if len(seen) == 1:
            raise LookupError("not now")
        return "b"

    graph = pipeline([Agent("first", run=lambda request: "a"), Agent("second", run=second, attempts=2)]).compile()

    assert ask_sync(graph).value == "b"
    assert seen == [["a"], ["a"]]


# A plan that is refused is named, and not asked for where it cannot be carried out.


def test_subtasks_of_a_refused_plan_are_gaps() -> None:
    @guard(at="round")
    def small(view: GuardContext) -> str | None:
        return "that is too much" if len(view.subject.subtasks) > 3 else None

    outcome = ask_sync(team(plan_of(*map(str, range(20))), guards=[small]).compile())

    assert (outcome.status, outcome.stopped_by, outcome.reason) == ("failed", "small", "that is too much")
    assert {gap.subtask for gap in outcome.gaps} == {str(number) for number in range(20)}


@pytest.mark.parametrize("second", ["raises", "too few steps"])
def test_subtasks_of_a_plan_that_was_sent_back_are_gaps_where_no_other_plan_comes(second: str) -> None:
    @guard(at="round", on_trip=Retry(1))
    def small(view: GuardContext) -> str | None:
        return "that is too much"

    def plan(request: Request) -> Plan:
        if request.attempt == 2:
            raise ValueError("no idea")
        return plan_of("a", "b")

    graph = supervisor(planner=Agent("planner", run=plan), workers=[worker()], guards=[small]).compile()
    outcome = ask_sync(graph, config={"recursion_limit": 7} if second == "too few steps" else None)

    assert outcome.status == "failed"
    assert {gap.subtask for gap in outcome.gaps} >= {"a", "b"}
    assert {gap.reason for gap in outcome.gaps if gap.subtask in "ab"} == {"that is too much"}


@pytest.mark.parametrize(("fails", "status"), [((), "completed"), (("b",), "degraded")])
def test_a_planner_is_not_asked_for_a_round_that_is_not_allowed(fails: tuple[str, ...], status: str) -> None:
    asked: list[int] = []

    def plan(request: Request) -> Plan:
        asked.append(request.round)
        return _alike("a", "b")

    graph = supervisor(
        planner=Agent("planner", run=plan),
        workers=[worker(run=_fails_for(*fails))],
        synthesizer=Agent("writer", run=gather),
        guards=[Convergence(rounds=1)],
    ).compile()

    outcome = ask_sync(graph)

    assert (asked, outcome.status) == ([1], status)
    assert outcome.stopped_by == ("Convergence" if fails else None)
    assert bool(outcome.reason) == bool(fails)


# The outcome says what stopped the run.


@pytest.mark.parametrize("at", ["admission", "round", "exit"])
def test_the_outcome_says_in_a_sentence_what_stopped_it(at: Gate) -> None:
    @guard(at=at, on_trip=Refuse())
    def strict(view: GuardContext) -> str | None:
        return f"not at {at}"

    outcome = ask_sync(team(plan_of("a"), guards=[strict]).compile())

    assert (outcome.status, outcome.stopped_by, outcome.reason) == ("refused", "strict", f"not at {at}")
    assert f"not at {at}" in str(outcome)


def test_a_team_that_is_asked_again_is_told_why() -> None:
    seen: list[list[Any]] = []

    def plan(request: Request) -> Plan:
        seen.append([item.value for item in request.context if item.kind == "background"])
        return Plan() if request.results else plan_of("leaf")

    @guard(at="handoff", on_trip=Retry(1))
    def in_usd(view: GuardContext) -> str:
        return "name the price in USD"

    inner = supervisor(planner=Agent("inner_planner", run=plan), workers=[worker()], guards=[], name="inner").compile()
    ask_sync(team(plan_of("a"), workers=[Agent("inner", run=inner)], guards=[in_usd]).compile())

    assert seen[0] == []
    assert seen[-1] == ["name the price in USD"]


def test_what_a_team_that_plans_is_missing_comes_up() -> None:
    def told(request: Request) -> Outcome:
        gaps = (Gap(subtask="page 2", reason="torn out"),)
        return Outcome(status="degraded", value={"subtasks": [{"id": "a", "goal": "do a"}]}, gaps=gaps)

    graph = supervisor(planner=Agent("planner", run=told), workers=[worker()], guards=[Convergence(1)]).compile()

    assert [(gap.path, gap.subtask) for gap in ask_sync(graph).gaps] == [(("planner",), "page 2")]


def test_an_outcome_that_says_it_is_complete_with_gaps_is_not() -> None:
    def told(request: Request) -> Outcome:
        return Outcome(status="completed", value=1, gaps=(Gap(subtask="q", reason="missing"),))

    outcome = ask_sync(team(plan_of("a"), workers=[worker(run=told)]).compile())

    assert (outcome.status, [gap.reason for gap in outcome.gaps]) == ("degraded", ["missing"])
