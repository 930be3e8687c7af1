"""What becomes of a plan that a guard refuses."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Convergence, Finish, Guard, GuardContext, OnTrip, Retry, guard
from guardgraph.state import Plan, Request, Subtask
from tests.graphs.teams import WAYS, listed, plan_of, worker

BARE, SOURCED = plan_of("a"), Plan(subtasks=(Subtask(id="a", goal="from X"),))


def names_a_source(on_trip: OnTrip) -> Guard:
    @guard(at="round", on_trip=on_trip)
    def sourced(view: GuardContext) -> str | None:
        return None if all("from" in subtask.goal for subtask in view.subject.subtasks) else "name a source"

    return sourced


def replans(told: list[str | None]) -> Any:
    """Return a planner that names a source once it is told to."""

    def plan(request: Request) -> Plan:
        told.append(request.feedback)
        if request.results or request.gaps:
            return Plan()
        return BARE if request.feedback is None else SOURCED

    return plan


@pytest.mark.parametrize("way", WAYS)
def test_a_plan_that_a_guard_refuses_goes_back_to_its_planner_with_the_reason(way: str) -> None:
    told: list[str | None] = []
    planner, writer = Agent("planner", run=replans(told)), Agent("writer", run=lambda request: request.results[0].title)
    guards = [names_a_source(Retry(2)), Convergence(1)]
    graph = supervisor(planner=planner, workers=[worker()], synthesizer=writer, guards=guards).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.value, outcome.stopped_by) == ("completed", "from X", None)
    assert told == [None, "name a source"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("on_trip", "asked"), [(Retry(2), 3), (Retry(1), 2), (Retry(0), 1), (Finish(), 1)])
def test_a_planner_that_does_not_listen_is_asked_as_often_as_the_guard_allows(
    way: str, on_trip: OnTrip, asked: int
) -> None:
    told: list[str | None] = []

    def stubborn(request: Request) -> Plan:
        told.append(request.feedback)
        return plan_of("a")

    guards = [names_a_source(on_trip)]
    graph = supervisor(planner=Agent("planner", run=stubborn), workers=[worker()], guards=guards).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert told == [None, *["name a source"] * (asked - 1)]
    assert (outcome.status, outcome.stopped_by) == ("failed", "sourced")


def test_a_plan_that_was_sent_back_does_not_count_as_worked_on() -> None:
    @guard(at="round", on_trip=Retry(1))
    def begins_with_x(view: GuardContext) -> str | None:
        return "begin with X" if view.round == 1 and view.subject == BARE else None

    def plan(request: Request) -> Plan:
        if request.round > 2:
            return Plan()
        return SOURCED if request.feedback else BARE

    guards = [begins_with_x, Convergence(2)]
    outcome = WAYS["sync"](
        supervisor(planner=Agent("planner", run=plan), workers=[worker()], guards=guards).compile(), "the task", None
    )

    assert outcome.status == "completed"
    assert [item["value"] for item in listed(outcome)] == ["done: from X", "done: do a"]
