"""Agents of stock packages that never end by themselves: what they take without guards, and with them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from bench.measuring.peers import Missing, peer
from bench.teams.runaways import RUNAWAYS, Runaway, run
from guardgraph.graphs import guarded
from guardgraph.guards import Budget, Repetition
from tests.loopback import OpenAIServer, tool_call

pytestmark = pytest.mark.filterwarnings("ignore:create_react_agent has been moved")  # `langgraph-supervisor` uses it
_ENDS = {"_swarm": 8, "_supervisor": 8, "_looping": 5, "_self_invoking": 5, "_deep": 5}
"""After how many calls of models each of them is stopped."""


@pytest.fixture(params=RUNAWAYS, ids=[one.build.__name__[1:] for one in RUNAWAYS])
def runaway(request: pytest.FixtureRequest) -> Runaway:
    try:
        request.param.build(())
    except Missing as error:
        pytest.skip(str(error))
    return request.param


def test_nothing_but_a_limit_of_steps_ends_it_without_guards(runaway: Runaway) -> None:
    ran = run(runaway, with_guards=False)

    assert ran.calls >= 50
    assert ran.outcome is None


def test_guards_end_it_before_a_call_too_many(runaway: Runaway) -> None:
    ran = run(runaway, with_guards=True)

    assert ran.calls == _ENDS[runaway.build.__name__]
    assert ran.outcome is not None
    if runaway.build.__name__ != "_self_invoking":  # whose own code goes on after the level that was refused
        assert (ran.outcome.status, ran.outcome.stopped_by) == ("degraded", "Repetition")
        assert ran.outcome.usage.tokens == ran.tokens


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_budget_alone_ends_it_with_every_tool_call_answered(runaway: Runaway, way: str) -> None:
    graph, calls = runaway.build([Budget(calls=12, reserve=0)])
    given, config = {"messages": [HumanMessage("go")]}, {"recursion_limit": 200}

    output = graph.invoke(given, config) if way == "sync" else asyncio.run(graph.ainvoke(given, config))

    asked = {call["id"] for one in output["messages"] if isinstance(one, AIMessage) for call in one.tool_calls}
    assert calls() <= 12
    assert output["outcome"].usage.calls == calls()
    assert asked <= {one.tool_call_id for one in output["messages"] if isinstance(one, ToolMessage)}


def looping(model: Any, tools: list[Any]) -> Any:
    return create_agent(model, tools)


def deep(model: Any, tools: list[Any]) -> Any:
    try:
        return peer("deepagents", distribution="deepagents").create_deep_agent(model, tools=tools)
    except Missing as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("make", [looping, deep])
@pytest.mark.parametrize("levels", [1, 2])
def test_a_real_client_is_stopped_before_it_costs_too_much(make: Any, levels: int, way: str) -> None:
    from langchain_openai import ChatOpenAI

    @tool
    def search(q: str) -> str:
        """Search."""
        return "nothing"

    with OpenAIServer(lambda body: tool_call("search", {"q": "x"})) as server:
        model = ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key="none", max_retries=0)  # type: ignore[arg-type]
        graph = guarded(make(model, [search]), [Budget(usd="0.05"), Repetition(2)]).compile()
        for _ in range(levels - 1):
            graph = guarded(graph, [Budget(calls=20)]).compile()
        given: Any = {"messages": [HumanMessage("go")]}
        output = graph.invoke(given) if way == "sync" else asyncio.run(graph.ainvoke(given))
        sent = len(server.requests)

    assert sent == 4
    assert output["outcome"].stopped_by == "Repetition"
    assert 0 < output["outcome"].usage.usd < 0.05
    asked = [call["id"] for one in output["messages"] if isinstance(one, AIMessage) for call in one.tool_calls]
    assert asked == [one.tool_call_id for one in output["messages"] if isinstance(one, ToolMessage)]
