"""What becomes of a team whose agents say nothing."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Guard
from guardgraph.state import Plan, Reply, Request
from tests.graphs.teams import WAYS, plan_of, team, worker

BARE: list[list[Guard] | None] = [None, []]


def forgets(request: Request) -> None:
    """Forget to return."""


def forgets_once(request: Request) -> str | None:
    return "said" if request.attempt > 1 else None


@pytest.mark.parametrize("guards", BARE)
@pytest.mark.parametrize("way", WAYS)
def test_a_planner_that_returns_none_fails_the_run(way: str, guards: Any) -> None:
    graph = supervisor(planner=Agent("planner", run=forgets), workers=[worker()], guards=guards).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.value) == ("failed", None)
    assert [(gap.subtask, gap.agent) for gap in outcome.gaps] == [("plan", "planner")]
    assert outcome.gaps[0].reason.startswith("it returned None: did you forget `return`?")


@pytest.mark.parametrize("guards", BARE)
def test_a_writer_that_returns_none_leaves_the_results(guards: Any) -> None:
    graph = team(plan_of("a"), synthesizer=Agent("writer", run=forgets), guards=guards).compile()

    outcome = WAYS["sync"](graph, "the task", None)

    assert outcome.status == "degraded"
    assert outcome.value == [{"subtask": "a", "agent": "worker", "value": "done: do a"}]
    assert [gap.agent for gap in outcome.gaps] == ["writer"]


def test_a_worker_that_returns_none_tries_again() -> None:
    graph = team(plan_of("a"), workers=[worker(run=forgets_once, attempts=2)]).compile()

    outcome = WAYS["sync"](graph, "the task", None)

    assert (outcome.status, outcome.value) == ("completed", ["said"])


def test_a_worker_that_says_that_there_is_nothing_to_tell_is_done() -> None:
    silent = worker(run=lambda _: Reply(value=None))
    outcome = WAYS["sync"](team(plan_of("a"), workers=[silent]).compile(), "the task", None)

    assert (outcome.status, outcome.value) == ("completed", [None])


@pytest.mark.parametrize("guards", BARE)
@pytest.mark.parametrize("answer", [Plan(), [], Reply(value=None)])
def test_an_empty_plan_and_nobody_to_write_is_a_failure(answer: Any, guards: Any) -> None:
    planner = Agent("planner", run=lambda _: answer)
    outcome = WAYS["sync"](supervisor(planner=planner, workers=[worker()], guards=guards).compile(), "the task", None)

    assert (outcome.status, outcome.value) == ("failed", None)
    assert [(gap.subtask, gap.agent, gap.reason) for gap in outcome.gaps] == [
        ("plan", "planner", "the plan is empty, so no worker has worked")
    ]


def test_an_empty_text_is_no_plan() -> None:
    graph = supervisor(planner=Agent("planner", run=lambda _: ""), workers=[worker()]).compile()

    assert "this is no plan" in WAYS["sync"](graph, "the task", None).gaps[0].reason


def test_where_the_plan_is_empty_the_writer_may_answer_by_itself() -> None:
    graph = team(synthesizer=Agent("writer", run=lambda _: "that is easy")).compile()

    outcome = WAYS["sync"](graph, "the task", None)

    assert (outcome.status, outcome.value, outcome.gaps) == ("completed", "that is easy", ())
