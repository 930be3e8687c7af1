"""Classes that only the code of an agent names: stored where they are found, else one attempt fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import AutoStrategy, ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel, create_model
from typing_extensions import TypedDict

from guardgraph.agents import Agent
from guardgraph.graphs import Team, supervisor
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Run, Runner
from guardgraph.state import Plan, Request, RunState, Subtask


class Weather(BaseModel):
    city: str


class Approval(BaseModel):
    about: str


MODEL = ScriptedModel(
    replies=lambda messages: AIMessage("", tool_calls=[{"name": "Weather", "args": {"city": "Bern"}, "id": "1"}])
)


def team(worker: Agent, *goals: str) -> Any:
    plan = Plan(subtasks=tuple(Subtask(id=goal, goal=goal) for goal in goals or ("a",)))
    return supervisor(planner=Agent("planner", run=lambda r: plan if r.round == 1 else Plan()), workers=[worker])


def given(graph: Any) -> Any:
    return graph.invoke({"messages": [HumanMessage("?")]})


async def aasked(graph: Any) -> Any:
    return await graph.ainvoke({"messages": [HumanMessage("?")]})


def agent_of(response_format: Any) -> Any:
    return create_agent(MODEL, tools=[], response_format=response_format)


def directly() -> Agent:
    return Agent("worker", run=agent_of(ToolStrategy(Weather)))


def in_a_function() -> Agent:
    inner = agent_of(ToolStrategy(Weather))
    return Agent("worker", run=lambda request: given(inner)["structured_response"].city)


def in_an_async_function() -> Agent:
    inner = agent_of(ToolStrategy(Weather | Approval))

    async def work(request: Request) -> str:
        return (await aasked(inner))["structured_response"].city

    return Agent("worker", run=work)


def in_a_graph_of_the_users() -> Agent:
    class State(MessagesState):
        structured_response: Any

    graph: Any = StateGraph(State)
    graph.add_node("inner", agent_of(ToolStrategy(Weather)))
    graph.add_edge(START, "inner")
    return Agent("worker", run=graph.compile())


class Caller:
    """An agent that is an object, and makes its graph when it is called."""

    def __call__(self, request: Request) -> str:
        return given(agent_of(AutoStrategy(Weather)))["structured_response"].city


def in_an_object() -> Agent:
    return Agent("worker", run=Caller())


def in_a_nested_team() -> Agent:
    return Agent("low", run=team(in_a_function()).compile())


async def run_on(runner: Runner, how: str, graph: str = "graph") -> Run:
    if how == "sync":
        return await asyncio.to_thread(runner.run, graph, "t", thread_id="thread")
    return await runner.arun(graph, "t", thread_id="thread")


HOWS = pytest.mark.parametrize("how", ["sync", "async"])


@HOWS
@pytest.mark.parametrize(
    "make",
    [directly, in_a_function, in_an_async_function, in_a_graph_of_the_users, in_an_object, in_a_nested_team],
)
async def test_an_agent_may_answer_in_a_response_format(database_url: str, make: Callable[[], Agent], how: str) -> None:
    with Runner(database_url, graphs={"graph": lambda: team(make())}) as runner:
        run = await run_on(runner, how)

        assert run.status == "completed", run
        assert "Bern" in str(run.outcome and run.outcome.value)
        assert runner.status("thread").status == "completed"
        assert runner.history("thread")
        assert [one.status for one in runner.list_runs()] == ["completed"]


def unknown_to_all() -> Any:
    """Return an agent whose response format stands nowhere in its code."""
    formats = iter([ToolStrategy(create_model("Weather", city=(str, ...)))])

    def work(request: Request) -> Any:
        return given(agent_of(next(formats)))["structured_response"].city if request.goal == "a" else request.goal

    return work


@HOWS
@pytest.mark.parametrize("is_nested", [False, True])
async def test_what_is_unknown_fails_that_attempt_only(database_url: str, how: str, is_nested: bool) -> None:
    def build() -> Any:
        if is_nested:
            return team(Agent("low", run=team(Agent("worker", run=unknown_to_all()), "a", "b").compile()))
        return team(Agent("worker", run=unknown_to_all()), "a", "b")

    with Runner(database_url, graphs={"graph": build}) as runner:
        run = await run_on(runner, how)

        assert run.outcome is not None
        assert run.status == "degraded"
        [gap] = run.outcome.gaps
        assert (gap.subtask, gap.agent) == ("a", "worker")
        assert "Weather is not a type that is stored; register it: Runner(types=[Weather]) or" in gap.reason
        assert runner.status("thread").status == "degraded"


@HOWS
async def test_a_foreign_graph_with_what_is_unknown_fails_its_attempt_only(database_url: str, how: str) -> None:
    formats = iter([create_model("Weather", city=(str, ...))])

    class State(TypedDict):
        found: Any

    graph: Any = StateGraph(State)
    graph.add_node("find", lambda state: {"found": next(formats)(city="Bern")})
    graph.add_node("tell", lambda state: {"found": state["found"].city})
    graph.add_edge(START, "find").add_edge("find", "tell")
    inner = Agent("worker", run=graph.compile(), to_input=lambda r: {"found": r.goal}, from_output=lambda s: s["found"])

    with Runner(database_url, graphs={"graph": lambda: team(inner)}) as runner:
        run = await run_on(runner, how)

    assert run.outcome is not None
    assert "Weather is not a type that is stored" in run.outcome.gaps[0].reason


@HOWS
async def test_a_question_may_be_a_model(database_url: str, how: str) -> None:
    def asks(request: Request) -> str:
        return interrupt(Approval(about=request.goal))

    with Runner(database_url, graphs={"graph": lambda: team(Agent("worker", run=asks))}) as runner:
        run = await run_on(runner, how)
        assert [wait.value for wait in run.waiting] == [Approval(about="a")]

        stored = runner.status("thread")
        assert (stored.status, stored.plain_types) == ("waiting", (f"{__name__}:Approval",))
        assert [wait.value for wait in stored.waiting] == [{"about": "a"}]
        assert [one.status for one in runner.list_runs()] == ["waiting"]
        assert runner.resume("thread", answers={stored.waiting[0].id: "yes"}).status == "completed"


@HOWS
async def test_a_question_of_an_unknown_class_fails_its_attempt_only(database_url: str, how: str) -> None:
    kinds = iter([create_model("Question", about=(str, ...))])

    def asks(request: Request) -> str:
        return interrupt(next(kinds)(about="it")) if request.goal == "a" else request.goal

    with Runner(database_url, graphs={"graph": lambda: team(Agent("worker", run=asks), "a", "b")}) as runner:
        run = await run_on(runner, how)

    assert run.outcome is not None
    assert (run.status, [gap.subtask for gap in run.outcome.gaps]) == ("degraded", ["a"])
    assert "Question is not a type that is stored; register it" in run.outcome.gaps[0].reason


class Extended(RunState, total=False):
    weather: Weather


def with_a_channel_of_its_own() -> Any:
    def ask(state: Any) -> dict[str, Any]:
        return {"weather": Weather(city=interrupt("where?"))}

    def tell(state: Any) -> dict[str, Any]:
        return {"weather": state["weather"]} if state["weather"].city else {}

    own = Team("own", guards=[], entry=lambda gate: "ask", destinations=["ask"], state=Extended)
    own.add_node("ask", ask, to="tell").add_node("tell", tell, to="guard_exit")
    return own.build()


def test_what_is_stored_is_read_as_plain_fields_where_only_the_graph_knows_its_class(database_url: str) -> None:
    with Runner(database_url, graphs={"own": with_a_channel_of_its_own}) as runner:
        waiting = runner.run("own", "t", thread_id="thread").waiting
        ended = runner.resume("thread", answers={waiting[0].id: "Bern"})
        assert ended.state["weather"] == Weather(city="Bern")
        assert ended.plain_types == ()

        stored = runner.status("thread")
        assert stored.state["weather"] == {"city": "Bern"}
        assert stored.plain_types == (f"{__name__}:Weather",)
        assert runner.resume("thread").plain_types == (f"{__name__}:Weather",)
        assert len(runner.history("thread")) > 3
        assert [one.status for one in runner.list_runs()] == [ended.status]

    with Runner(database_url, types=[Weather]) as runner:
        assert runner.status("thread").state["weather"] == Weather(city="Bern")
        assert runner.status("thread").plain_types == ()
