"""What attempts and tools cost beside models is reserved before it is spent."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline, supervisor
from guardgraph.guards import Budget
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner
from guardgraph.state import BadGraph, Outcome, Plan, Request, Subtask

ran: list[str] = []


@pytest.fixture(autouse=True)
def _none_ran() -> None:
    ran.clear()


@tool
def search(query: str) -> str:
    """Search."""
    ran.append(query)
    if query == "fails":
        raise ValueError("no such page")
    return "found"


@tool
async def asearch(query: str) -> str:
    """Search without blocking."""
    ran.append(query)
    return "found"


def parts(*ids: str) -> Any:
    tasks = tuple(Subtask(id=one, goal=one) for one in ids)
    return lambda request: Plan(subtasks=tasks) if request.round == 1 else Plan()


def outcome_of(graph: Any) -> Outcome:
    return graph.compile().invoke({"task": "t"})["outcome"]


def test_an_attempt_that_cannot_be_paid_is_not_started() -> None:
    def work(request: Request) -> str:
        ran.append(request.goal)
        return "done"

    graph = supervisor(
        planner=Agent("planner", run=parts("a", "b", "c")),
        workers=[Agent("worker", run=work, cost="0.02")],
        guards=[Budget(usd="0.05", reserve=0)],
        synthesizer=None,
    )
    outcome = outcome_of(graph)

    assert len(ran) == 2
    assert outcome.usage.usd == Decimal("0.04")
    assert outcome.usage.calls == 0
    assert [gap.reason for gap in outcome.gaps] == ["0.01 usd left, 0.02 needed"]


def test_a_cost_counts_in_side_accounts_and_for_failed_attempts() -> None:
    def work(request: Request) -> str:
        ran.append(request.goal)
        raise ValueError("no")

    agent = Agent("worker", run=work, cost="0.02", attempts=5)
    outcome = outcome_of(pipeline([agent], guards=[Budget(usd="0.05", per="agent")]))

    assert len(ran) == 2
    assert outcome.usage.usd == Decimal("0.04")


def calling(*queries: str, name: str = "search") -> Agent:
    """Return an agent whose model calls a tool with each query, then ends."""
    calls = [[{"name": name, "args": {"query": query}, "id": query}] for query in queries]
    replies = [*(AIMessage("", tool_calls=call) for call in calls), AIMessage("done")]
    model = ScriptedModel(replies=replies, input_tokens=10, output_tokens=1)
    tools = [search if name == "search" else asearch]
    return Agent("worker", model=model, tools=tools, tool_costs={name: "0.005"})


def test_a_tool_is_paid_before_it_runs_and_refused_where_it_does_not_fit() -> None:
    outcome = outcome_of(pipeline([calling("a", "b", "c")], guards=[Budget(usd="0.012", reserve=0)]))

    assert ran == ["a", "b"]
    assert outcome.usage.usd == Decimal("0.010")
    assert "0.005 usd wanted, 0.002 left" in str(outcome)


def test_so_it_is_where_nothing_blocks() -> None:
    graph = pipeline([calling("a", "b", "c", name="asearch")], guards=[Budget(usd="0.012", per="agent")]).compile()
    outcome = asyncio.run(graph.ainvoke({"task": "t"}))["outcome"]

    assert ran == ["a", "b"]
    assert outcome.usage.usd == Decimal("0.010")
    assert "0.002 left of agent worker" in str(outcome)


def test_a_sync_tool_is_paid_in_an_async_run_too(tmp_path: Path) -> None:
    async def run() -> Any:
        async with Runner(f"sqlite:///{tmp_path / 'runs.db'}") as runner:
            return await runner.arun(pipeline([calling("a", "b")], guards=[Budget(usd=1, per="tenant")]), "t")

    found = asyncio.run(run())

    assert found.usage.usd == Decimal("0.010")
    assert ran == ["a", "b"]


def test_a_tool_that_fails_costs_the_same() -> None:
    def work(request: Request) -> str:
        try:
            search.invoke({"query": "fails"})
        except ValueError:
            return "no page"
        return "found"

    agent = Agent("worker", run=work, tool_costs={"search": "0.005"})

    assert outcome_of(pipeline([agent], guards=[Budget(usd=1)])).usage.usd == Decimal("0.005")


@tool
def order(what: str) -> str:
    """Order something."""
    ran.append(what)
    return f"{interrupt('Which size?')} and {interrupt('Which colour?')}"


@tool
async def aorder(what: str) -> str:
    """Order something without blocking."""
    ran.append(what)
    return f"{interrupt('Which size?')} and {interrupt('Which colour?')}"


@pytest.mark.parametrize("one", [order, aorder], ids=["sync", "async"])
@pytest.mark.parametrize("kind", ["model", "code"])
def test_a_tool_that_asks_a_human_costs_once_when_it_has_ended(one: Any, kind: str, tmp_path: Path) -> None:
    def by_code(request: Request) -> str:
        return one.invoke({"what": "a"})

    async def aby_code(request: Request) -> str:
        return await one.ainvoke({"what": "a"})

    def shop() -> Any:
        call = AIMessage("", tool_calls=[{"name": one.name, "args": {"what": "a"}, "id": "1"}])
        model = ScriptedModel(replies=lambda got: AIMessage("done") if got[-1].type == "tool" else call)
        makes: dict[str, Any] = {"run": by_code if one is order else aby_code}
        if kind == "model":
            makes = {"model": model, "tools": [one]}
        agent = Agent("worker", tool_costs={one.name: "0.005"}, **makes)
        return pipeline(
            [agent], guards=[Budget(usd="0.007", reserve=0), Budget(usd="0.007", per="tenant")], name="shop"
        )

    async def sell() -> Any:
        async with Runner(f"sqlite:///{tmp_path / 'runs.db'}", graphs={"shop": shop}) as runner:
            run = await runner.arun("shop", "t")
            assert run.usage.usd == 0
        for answer in ("large", "red"):  # each in a process of its own, as far as guardgraph knows
            async with Runner(f"sqlite:///{tmp_path / 'runs.db'}", graphs={"shop": shop}) as runner:
                run = await runner.aresume(run.thread_id, answers={run.waiting[0].id: answer})
        return run

    run = asyncio.run(sell())

    assert (run.status, len(ran)) == ("completed", 3)
    assert run.usage.usd == Decimal("0.005")


def test_what_is_not_named_costs_nothing() -> None:
    agent = Agent("worker", run=lambda request: search.invoke({"query": "a"}), tool_costs={"other": 1})

    assert outcome_of(pipeline([agent], guards=[Budget(usd=1)])).usage.usd == 0


@pytest.mark.parametrize("usd", ["-1", "NaN", "Infinity", "lots", 10**9])
def test_a_cost_that_is_none_is_refused(usd: Any) -> None:
    with pytest.raises(BadGraph, match="`cost` must be"):
        Agent("worker", run=len, cost=usd)
    with pytest.raises(BadGraph, match=r"`tool_costs\['search'\]` must be"):
        Agent("worker", run=len, tool_costs={"search": usd})


def test_the_cost_of_a_tool_that_it_does_not_have_is_refused() -> None:
    with pytest.raises(BadGraph, match="`tool_costs` names 'serch', which is none of its tools: search"):
        Agent("worker", model="offline:extractive", tools=[search], tool_costs={"serch": 1})


@pytest.mark.parametrize(("inner", "calls"), [({}, 3), ({"search": "0.02"}, 1), ({"other": "1"}, 3)])
def test_the_tools_of_a_nested_team_cost_what_the_agent_around_it_declares(inner: Any, calls: int) -> None:
    def work(request: Request) -> str:
        return " ".join(search.invoke({"query": name}) for name in "abcde")

    nested = pipeline([Agent("worker", run=work, tool_costs=inner)], name="nested").compile()
    team = [Agent("nested", run=nested, tool_costs={"search": "0.01"})]

    outcome = outcome_of(pipeline(team, guards=[Budget(usd="0.03", reserve=0)]))

    assert len(ran) == calls
    assert outcome.usage.usd == Decimal("0.03" if calls == 3 else "0.02")
