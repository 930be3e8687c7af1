"""Agents change to a cheaper model once a part of a budget is spent."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from langgraph.cache.memory import InMemoryCache

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline, supervisor
from guardgraph.guards import Budget, Downgrade, Retry, Schema
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner
from guardgraph.state import Allowance, BadGraph, Plan, Request, RunEvent, Subtask
from tests.storage.sql.conftest import sqlite_url

__all__ = ("sqlite_url",)


def model(text: str) -> ScriptedModel:
    return ScriptedModel(replies=lambda _: text, input_tokens=90, output_tokens=10)


def agent(name: str, **facts: Any) -> Agent:
    return Agent(name, models={"cheap": model("cheap"), "dear": model("dear")}, choose=lambda _: "dear", **facts)


def values_of(*agents: Agent, guards: Any, is_async: bool = False) -> list[Any]:
    """Return which model each agent of a pipeline has used; a call takes 100 tokens."""
    graph, given = pipeline(agents, guards=guards).compile(), {"task": "x"}

    async def streamed() -> list[Any]:
        return [update async for update in graph.astream(given, stream_mode="updates")]

    updates = asyncio.run(streamed()) if is_async else [*graph.stream(given, stream_mode="updates")]
    found = [(node or {}).get("results") for update in updates for node in update.values()]
    return [result.value for results in found if isinstance(results, list) for result in results]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("part", "expected"), [(0.49, "dear dear cheap"), (0.5, "dear dear cheap"), (0.51, "dear dear dear")]
)
def test_attempts_that_begin_after_a_part_is_spent_use_the_cheaper_model(
    part: float, expected: str, is_async: bool
) -> None:
    budget = Budget(tokens=400, reserve=0, at={part: Downgrade("cheap")})

    found = values_of(*map(agent, "abc"), guards=[budget], is_async=is_async)

    assert " ".join(found) == expected


def test_the_reserve_does_not_count_as_what_agents_may_spend() -> None:
    budget = Budget(tokens=500, reserve=0.2, at={0.5: Downgrade("cheap")})

    assert values_of(*map(agent, "abc"), guards=[budget]) == ["dear", "dear", "cheap"]


def test_who_has_no_such_model_or_uses_a_cheaper_one_stays() -> None:
    budget = Budget(tokens=10_000, reserve=0, at={0.001: Downgrade("middle")})
    names = {"cheap": model("cheap"), "middle": model("middle"), "dear": model("dear")}
    first, other = agent("first"), agent("other")
    thrifty = Agent("thrifty", models=names, choose=lambda _: "cheap")
    lavish = Agent("lavish", models=names, choose=lambda _: "dear")

    assert values_of(first, other, thrifty, lavish, guards=[budget]) == ["dear", "dear", "cheap", "middle"]


def test_the_cheapest_of_the_steps_that_are_reached_applies() -> None:
    names = {"cheap": model("cheap"), "middle": model("middle"), "dear": model("dear")}
    agents = [Agent(name, models=names, choose=lambda _: "dear") for name in "abcd"]
    steps = {0.2: Downgrade("middle"), 0.4: Downgrade("cheap")}

    assert values_of(*agents, guards=[Budget(calls=5, reserve=0, at=steps)]) == ["dear", "middle", "cheap", "cheap"]


def test_a_nested_team_is_under_the_steps_of_the_teams_above() -> None:
    inner = pipeline([agent("c"), agent("d")], name="inner").compile()
    budget = Budget(tokens=10_000, reserve=0, at={0.015: Downgrade("cheap")})

    found = values_of(agent("a"), agent("b"), Agent("inner", run=inner), guards=[budget])

    assert found == ["dear", "dear", "cheap"]


def pairs_of(runner: Runner, budget: Budget) -> str:
    """Return which models the two agents of a run have used."""
    run = runner.run(pipeline([agent("a"), agent("b")], guards=[budget]), "x", thread_id="t")
    return " ".join(str(result.value) for result in run.results)


@pytest.mark.parametrize(
    ("per", "window"), [("thread", None), ("tenant", None), ("tenant", "day"), ("thread", timedelta(days=300))]
)
def test_a_step_of_a_budget_that_runs_share_counts_what_earlier_runs_have_spent(
    sqlite_url: str, per: Any, window: Any
) -> None:
    budget = Budget(tokens=1_000, per=per, window=window, at={0.3: Downgrade("cheap")})

    with Runner(sqlite_url) as runner:
        assert [pairs_of(runner, budget) for _ in range(3)] == ["dear dear", "dear cheap", "cheap cheap"]
    with Runner(sqlite_url, tenant="other") as runner:
        assert pairs_of(runner, budget) == "dear dear"


def test_a_step_follows_the_cap_that_an_operator_has_set(sqlite_url: str) -> None:
    budget = Budget(tokens=1_000, per="tenant", at={0.3: Downgrade("cheap")})

    with Runner(sqlite_url) as runner:
        assert [pairs_of(runner, budget) for _ in range(2)] == ["dear dear", "dear cheap"]
        runner.set_budget(Allowance(tokens=10_000))
        assert pairs_of(runner, budget) == "dear dear"


@pytest.mark.parametrize(("per", "expected"), [("agent", "dear dear cheap dear"), ("task", "dear dear dear dear")])
def test_a_step_of_a_budget_per_agent_or_task_counts_that_alone(per: Any, expected: str) -> None:
    def plan(request: Request) -> Plan:
        names = [] if request.results or request.gaps else ["a", "a", "a", "b"]
        found = [Subtask(id=f"s{n}", goal=f"{n}", skill=name, priority=-n) for n, name in enumerate(names)]
        return Plan(subtasks=tuple(found))

    team = supervisor(
        planner=Agent("planner", run=plan),
        workers=[agent("a", skills={"a"}), agent("b", skills={"b"})],
        synthesizer=Agent("writer", run=lambda request: " ".join(str(one.value) for one in request.results)),
        guards=[Budget(tokens=500, per=per, at={0.35: Downgrade("cheap")})],
        concurrency=1,
    )

    assert team.compile().invoke({"task": "x"})["outcome"].value == expected


def test_a_retry_of_a_task_is_under_the_step_of_its_budget() -> None:
    budget = Budget(tokens=500, per="task", at={0.2: Downgrade("cheap")})
    refused = Schema(str, check=lambda value: "too dear" if value == "dear" else None, on_trip=Retry(1))

    assert values_of(agent("a", attempts=2), guards=[budget, refused]) == ["dear", "cheap"]


def test_a_step_for_some_categories_applies_to_their_tasks_alone() -> None:
    budget = Budget(tokens=300, reserve=0, at={0.3: Downgrade("cheap")}).only(categories=["financial"])
    graph = pipeline([agent("a"), agent("b")], guards=[budget]).compile()

    found = [
        graph.invoke({"task": {"goal": "x", "categories": names}})["outcome"].value
        for names in (["financial"], ["safety"])
    ]

    assert found == ["cheap", "dear"]


def test_it_is_an_event_and_holds_after_a_resume(sqlite_url: str) -> None:
    events = list[RunEvent]()

    def note(event: RunEvent) -> None:
        events.append(event)
        if event.kind == "agent_finished" and len(events) < 9:
            runner.drain()

    budget = Budget(tokens=400, reserve=0, at={0.25: Downgrade("cheap")})
    graph = pipeline([agent("a"), agent("b")], guards=[budget])
    with Runner(sqlite_url, graphs={"g": graph}, on_event=note) as runner:
        assert runner.run("g", "x", thread_id="t").status == "stopped"
    with Runner(sqlite_url, graphs={"g": graph}, on_event=events.append) as runner:
        outcome = runner.resume("t").outcome
    assert outcome is not None
    assert outcome.value == "cheap"
    [event] = [event for event in events if event.kind == "model_downgraded"]
    assert event.path[-1] == "b"
    reason = "25% of the budget is spent, and from 25% on it uses this model"
    assert event.data == {"model": "cheap", "instead_of": "dear", "reason": reason}


def test_the_answer_of_a_cheaper_model_is_not_cached() -> None:
    cache: Any = InMemoryCache()
    steps = {0.1: Downgrade("cheap")}

    assert values_of(agent("a"), agent("b", cache=cache), guards=[Budget(tokens=300, reserve=0, at=steps)]) == [
        "dear",
        "cheap",
    ]
    assert values_of(agent("a"), agent("b", cache=cache), guards=[Budget(tokens=9_999, reserve=0)]) == ["dear", "dear"]


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ({0: Downgrade("cheap")}, "`at` names 0: a part of the budget is above 0 and at most 1"),
        ({1.01: Downgrade("cheap")}, "`at` names 1.01"),
        ({-0.5: Downgrade("cheap")}, "`at` names -0.5"),
        ({float("nan"): Downgrade("cheap")}, "`at` names nan"),
        ({True: Downgrade("cheap")}, "`at` names True"),
        ({"0.8": Downgrade("cheap")}, "`at` names '0.8'"),
        ({0.8: "cheap"}, r"`at\[0.8\]` must be a Downgrade"),
        ([0.8], "`at` must map parts of the budget to steps"),
    ],
)
def test_what_is_no_step_is_refused(at: Any, reason: str) -> None:
    with pytest.raises(BadGraph, match=reason):
        Budget(tokens=9, at=at)


def test_a_model_that_no_agent_has_is_refused_where_the_team_is_built() -> None:
    budget = Budget(tokens=9, at={1: Downgrade("cheep")})

    with pytest.raises(
        BadGraph, match="names the model 'cheep', which no agent has in `models`; the nearest is 'cheap'"
    ):
        pipeline([agent("a")], guards=[budget])
    with pytest.raises(BadGraph, match="`model` must be a name"):
        Downgrade(" ")
    assert hash(budget) == hash(Budget(tokens=9))
