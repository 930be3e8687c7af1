"""What is counted is counted over the whole tree of teams."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import guarded, pipeline
from guardgraph.guards import Budget, Depth, Guard, Limits
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Amount, Request
from tests.graphs.loops import Loop
from tests.graphs.peers import outcome_of
from tests.graphs.teams import WAYS, plan_of, team, worker


def three_tiers(*, top: int | None, mid: int | None = None, worked: list[str]) -> Any:
    """Return a team of two teams, each of which has two teams of two workers: 2 + 4 + 8 subtasks."""

    def works(request: Request) -> str:
        worked.append(request.idempotency_key)
        return "done"

    def limits(cap: int | None) -> list[Limits]:
        return [] if cap is None else [Limits(subtasks=cap)]

    low = team(plan_of("a", "b"), workers=[worker("leaf", works)], guards=[], name="low", concurrency=1).compile()
    staff = [Agent("low", run=low)]
    middle = team(plan_of("m", "n"), workers=staff, guards=limits(mid), name="mid", concurrency=1).compile()
    staff = [Agent("mid", run=middle)]
    return team(plan_of("x", "y"), workers=staff, guards=limits(top), concurrency=1).compile()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cap", [0, 1, 2, 5, 13])
def test_a_cap_on_subtasks_counts_those_of_every_team_below(way: str, cap: int) -> None:
    worked: list[str] = []

    outcome = WAYS[way](three_tiers(top=cap, worked=worked), "the task", None)

    assert outcome.stopped_by == "Limits"
    assert outcome.status == ("degraded" if worked else "failed")
    assert {gap.guard for gap in outcome.gaps} == {"Limits"}
    assert len(worked) <= max(cap - 2, 0)
    if cap == 13:
        assert len(worked) == 7
        assert [len(gap.path) for gap in outcome.gaps] == [2]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cap", [14, None])
def test_a_cap_that_is_just_enough_stops_nothing(way: str, cap: int | None) -> None:
    worked: list[str] = []

    outcome = WAYS[way](three_tiers(top=cap, worked=worked), "the task", None)

    assert (outcome.status, outcome.gaps, len(worked)) == ("completed", (), 8)


@pytest.mark.parametrize("way", WAYS)
def test_a_cap_of_one_branch_leaves_the_others_theirs(way: str) -> None:
    worked: list[str] = []

    outcome = WAYS[way](three_tiers(top=14, mid=5, worked=worked), "the task", None)

    assert (outcome.status, outcome.stopped_by) == ("degraded", "Limits")
    assert len(worked) == 6
    assert [gap.path[0] for gap in outcome.gaps] == ["mid:x", "mid:y"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("limit", "levels"), [(1, []), (2, ["low"])])
def test_the_depth_of_a_team_above_holds_in_one_without_guards(way: str, limit: int, levels: list[str]) -> None:
    worked: list[str] = []
    low = pipeline([Agent("low", run=lambda request: worked.append("low") or "done")], guards=[], name="inner")
    graph = pipeline([Agent("inner", run=low.compile())], guards=[Depth(limit)]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert worked == levels
    assert outcome.stopped_by == (None if levels else "Depth")


def looping(*guards: Any) -> Any:
    return pipeline([Agent("w", run=Loop().agent)], guards=[*guards]).compile()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("guards", "by"),
    [
        ([Limits(calls=3)], "Limits"),
        ([Limits(calls=3), Budget(tokens=10_000, reserve=0)], "Limits"),
        ([Limits(calls=9), Budget(tokens=400, reserve=0)], "Budget"),
        ([Limits(calls=3), Budget(calls=3, reserve=0)], "Budget"),
        ([Limits(), Budget(calls=3, reserve=0)], "Budget"),
        ([Limits(calls=3), Budget(calls=9, reserve=0)], "Limits"),
        ([Limits(calls=9), Budget(calls=3, reserve=0)], "Budget"),
        ([Limits(calls=3), Budget(calls=9, per="agent")], "Limits"),
        ([Limits(calls=9), Budget(calls=3, per="agent")], "Budget"),
        ([Limits(calls=9), Budget(tokens=400, per="agent")], "Budget"),
        ([Limits(calls=4), Budget(tokens=400, reserve=0)], "Budget"),
    ],
)
def test_a_stop_names_the_guard_whose_cap_is_reached(guards: list[Guard], by: str, way: str) -> None:
    outcome = WAYS[way](looping(*guards), "the task", None)

    assert (outcome.status, outcome.stopped_by) == ("degraded", by)
    assert {gap.guard for gap in outcome.gaps} == {by}


@pytest.mark.parametrize(
    ("guards", "by"),
    [
        ([Limits(calls=3), Budget(calls=9, reserve=0)], "Limits"),
        ([Limits(calls=9), Budget(calls=3, reserve=0)], "Budget"),
        ([Budget(calls=9, reserve=0), Limits(calls=3)], "Limits"),
    ],
)
def test_so_does_a_stop_between_two_agents(guards: list[Guard], by: str) -> None:
    stages = [Agent(name, model=ScriptedModel(replies=lambda messages: "done")) for name in "abcde"]

    outcome = outcome_of(pipeline(stages, guards=guards))

    assert (outcome.stopped_by, outcome.usage.calls) == (by, 3)
    assert {gap.guard for gap in outcome.gaps} == {by}


def test_calls_that_are_needed_beyond_the_limit_name_it_too() -> None:
    worker = Agent("w", model=ScriptedModel(replies=lambda messages: "done"), expected_cost=Amount(tokens=9, calls=2))
    guards = [Budget(tokens=100_000, reserve=0), Limits(calls=1)]

    outcome = outcome_of(team(plan_of("a"), workers=[worker], guards=guards))

    assert (outcome.stopped_by, outcome.gaps[0].reason) == ("Limits", "1 calls left, 2 needed")


def test_so_does_a_guarded_graph() -> None:
    graph = guarded(Loop().agent, [Limits(calls=3)]).compile()

    assert graph.invoke({"messages": [("user", "look")]})["outcome"].stopped_by == "Limits"
