"""Agents that a declaration names and the team does not have, and budgets that need a database where there is none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from langchain.agents import create_agent

from guardgraph.agents import Agent, GuardMiddleware
from guardgraph.graphs import Rule, consensus, guarded, pipeline, router, swarm
from guardgraph.guards import Budget, Schema
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import BadGraph, BadInput

NO_AGENTS: list[Any] = ["nobody", 3, len, ["a"], []]


def agent(name: str, **fields: Any) -> Agent:
    return Agent(name, run=lambda request: 1, **fields)


STAFF = [agent("a"), agent("b"), agent("c")]
RULES = [Rule("any", "a", lambda task: True)]


@pytest.mark.parametrize("wrong", NO_AGENTS)
@pytest.mark.parametrize(
    ("field", "declare"),
    [
        ("fallback", lambda wrong: agent("a", fallback=wrong)),
        ("fallback", lambda wrong: router(STAFF, fallback=wrong, rules=RULES)),
        ("tie_breaker", lambda wrong: consensus(STAFF, tie_breaker=wrong)),
        ("tie_breaker", lambda wrong: swarm(STAFF, tie_breaker=wrong)),
    ],
)
def test_what_is_no_agent_is_refused_by_the_name_of_the_field(field: str, declare: Any, wrong: Any) -> None:
    with pytest.raises(BadGraph, match=f"`{field}`"):
        declare(wrong)


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (
            lambda: swarm(STAFF, tie_breaker=[agent("z")]),
            "`tie_breaker` names 'z', which is no peer; there",
        ),
        (lambda: pipeline(STAFF, guards=[Schema(compensate="bb")]), "no agent 'bb' to compensate; the nearest is 'b'"),
        (lambda: pipeline(STAFF, guards=[Schema().only(agents={"bb"})]), "names 'bb', which is no agent of the team"),
        (
            lambda: pipeline([agent("a", guards=[Schema().only(agents={"bb"})]), *STAFF[1:]]),
            "names 'bb', which is no agent of the team",
        ),
    ],
)
def test_an_agent_that_the_team_does_not_have_is_named(declare: Any, says: str) -> None:
    with pytest.raises(BadGraph) as caught:
        declare()

    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("budget", "field"),
    [
        (Budget(tokens=5, window="day"), "window='day'"),
        (Budget(tokens=5, per="agent", window=timedelta(hours=1)), "window=3600"),
        (Budget(tokens=5, per="thread"), "per='thread'"),
        (Budget(tokens=5, per="tenant"), "per='tenant'"),
    ],
)
async def test_what_is_counted_in_a_database_is_refused_where_there_is_none(budget: Budget, field: str) -> None:
    team: Any = pipeline(STAFF, guards=[budget]).compile()
    around: Any = guarded(create_agent(ScriptedModel(replies=["x"])), [budget]).compile()

    with pytest.raises(BadInput, match=f"`{field}` of a Budget of team 'pipeline' is counted in a database"):
        team.invoke({"task": "x"})
    with pytest.raises(BadInput, match=f"`{field}` of a Budget of team 'pipeline'"):
        await team.ainvoke({"task": "x"})
    with pytest.raises(BadInput, match=f"`{field}` of a Budget of team 'guarded'"):
        around.invoke({"messages": [("user", "x")]})
    with pytest.raises(BadGraph, match=r"per=.* and window=.* is not counted inside one agent's loop"):
        GuardMiddleware([budget])
    for nested in (team, team.with_retry()):
        outer: Any = pipeline([Agent("inner", run=nested)], guards=[], name="outer").compile()
        for graph in (outer, pipeline([Agent("outer", run=outer)], guards=[]).compile()):
            with pytest.raises(BadInput, match=f"`{field}` of a Budget of team 'pipeline' is counted in a database"):
                graph.invoke({"task": "x"})


def test_only_when_its_task_is_known_is_a_budget_for_some_tasks_refused() -> None:
    limited = Budget(tokens=5, window="day").only(categories={"financial"})
    team: Any = pipeline(STAFF, guards=[limited]).compile()
    outer: Any = pipeline([Agent("inner", run=team)], guards=[]).compile()

    assert outer.invoke({"task": "x"})["outcome"].status == "completed"
    outcome = outer.invoke({"task": {"goal": "x", "categories": ["financial"]}})["outcome"]
    assert "`window='day'` of a Budget of team 'pipeline'" in outcome.gaps[0].reason
