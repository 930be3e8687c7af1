"""Agents of every kind, each with every behaviour."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from threading import Event
from typing import Any, Literal, get_args

from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel

from guardgraph.agents import Agent
from guardgraph.graphs import guarded, supervisor
from guardgraph.guards import Budget, Deadline, Depth
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Plan, Request, Subtask

__all__ = ("AGENTS", "BEHAVIOURS", "Behaviour", "Hold", "answer", "hold")

Behaviour = Literal["answers", "raises", "hangs", "garbage", "nothing", "asks"]
BEHAVIOURS: tuple[Behaviour, ...] = get_args(Behaviour)
NAME = "tested"
_TIMEOUT = 0.25
_LONGER = 0.6
"""Where models are called before something hangs: they have to be done by then."""


class Hold:
    """What hangs on purpose waits here, until it is released."""

    def __init__(self) -> None:
        self._released = Event()

    def wait(self) -> None:
        self._released.wait(60)

    def release(self) -> None:
        """Let go all that waits now; what waits later waits again."""
        self._released.set()
        self._released = Event()


hold = Hold()


def answer(asked: Any) -> str:
    """Answer what an agent asks."""
    assert asked == {"about": "it"}
    return "yes"


def act(behaviour: Behaviour) -> Any:
    """Do as a sync function is to behave."""
    if behaviour == "raises":
        raise ValueError("it cannot be done")
    if behaviour == "hangs":
        hold.wait()
    if behaviour == "asks":
        return f"said {interrupt({'about': 'it'})}"
    return None if behaviour == "nothing" else "said"


def declared(behaviour: Behaviour, timeout: float = _TIMEOUT) -> dict[str, Any]:
    """Return what the agent declares: garbage is what does not fit its output."""
    facts: dict[str, Any] = {"output": int} if behaviour == "garbage" else {}
    return {**facts, "timeout": timeout} if behaviour == "hangs" else facts


def function(behaviour: Behaviour) -> Agent:
    def work(request: Request) -> Any:
        return act(behaviour)

    return Agent(NAME, run=work, **declared(behaviour))


def async_function(behaviour: Behaviour) -> Agent:
    async def work(request: Request) -> Any:
        if behaviour == "hangs":
            await asyncio.sleep(60)
        return act(behaviour)

    return Agent(NAME, run=work, **declared(behaviour))


def runnable(behaviour: Behaviour) -> Agent:
    return Agent(NAME, run=RunnableLambda(lambda request: act(behaviour)), **declared(behaviour))


class HangingModel(ScriptedModel):
    """Never answers by itself."""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        hold.wait()
        return super()._generate(messages, *args, **kwargs)

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        await asyncio.sleep(60)
        return await super()._agenerate(messages, *args, **kwargs)

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        hold.wait()
        yield from super()._stream(messages, *args, **kwargs)

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        await asyncio.sleep(60)
        async for chunk in super()._astream(messages, *args, **kwargs):
            yield chunk


def chat_model(behaviour: Behaviour) -> Agent:
    def say(messages: list[BaseMessage]) -> Any:
        if behaviour == "raises":
            return ValueError("it cannot be done")
        return "" if behaviour == "nothing" else "said"

    kind = HangingModel if behaviour == "hangs" else ScriptedModel
    return Agent(NAME, model=kind(replies=say, input_tokens=30, output_tokens=10), **declared(behaviour))


class Said(BaseModel):
    """The form of an answer."""

    text: str


def _calling(behaviour: Behaviour, last: Callable[[], AIMessage]) -> tuple[ScriptedModel, list[Any]]:
    """Return a model that calls a tool and then says `last`, and the tool."""

    @tool
    def look(what: str) -> str:
        """Look something up."""
        return str(act("answers" if behaviour in ("garbage", "nothing") else behaviour))

    def say(messages: list[BaseMessage]) -> Any:
        if isinstance(messages[-1], HumanMessage):
            return AIMessage("", tool_calls=[{"name": "look", "args": {"what": "it"}, "id": "call-1"}])
        return last()

    return ScriptedModel(replies=say, input_tokens=30, output_tokens=10), [look]


def agent_with_tools(behaviour: Behaviour) -> Agent:
    model, tools = _calling(behaviour, lambda: AIMessage("" if behaviour == "nothing" else "said"))
    return Agent(NAME, run=create_agent(model, tools=tools), **declared(behaviour, _LONGER))


def agent_with_response_format(behaviour: Behaviour) -> Agent:
    def last() -> AIMessage:
        return AIMessage("", tool_calls=[{"name": "Said", "args": {"text": "said"}, "id": "call-2"}])

    model, tools = _calling(behaviour, last)
    run = create_agent(model, tools=tools, response_format=ToolStrategy(Said))
    return Agent(NAME, run=run, **declared(behaviour, _LONGER))


def nested_team(behaviour: Behaviour) -> Agent:
    def plan(request: Request) -> Plan:
        return Plan(subtasks=(Subtask(id="inner", goal="do it inside"),)) if request.round == 1 else Plan()

    def work(request: Request) -> Any:
        return act(behaviour)

    inner = Agent("inner_worker", run=work, **declared(behaviour))
    team = supervisor(planner=Agent("inner_planner", run=plan), workers=[inner], name="inside")
    return Agent(NAME, run=team.compile())


def guarded_graph(behaviour: Behaviour) -> Agent:
    """Return a graph that knows nothing of guards, with guards around guards around it."""

    def work(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(str(act(behaviour) or ""))]}

    graph = StateGraph(MessagesState)
    graph.add_node("work", work)
    graph.add_edge(START, "work")
    within = guarded(graph.compile(), [Budget(calls=9), Deadline(60)])
    return Agent(NAME, run=guarded(within.compile(), [Budget(calls=5), Depth(9)]).compile(), **declared(behaviour))


AGENTS: Mapping[str, Callable[[Behaviour], Agent]] = {
    "function": function,
    "async function": async_function,
    "Runnable": runnable,
    "chat model": chat_model,
    "create_agent with tools": agent_with_tools,
    "create_agent with response_format": agent_with_response_format,
    "nested team": nested_team,
    "guarded graph": guarded_graph,
}
"""Every kind of agent. A new one is one more line."""
