"""Threads that LangGraph's own savers store, each left in the middle, and how each goes on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from operator import add
from typing import Annotated, Any, NamedTuple

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

from guardgraph.models.offline import ScriptedModel

__all__ = ("SCENARIOS", "Scenario", "config_of", "stock_saver")

Graph = Any


class Scenario(NamedTuple):
    """A graph that notes what its nodes do; `begin` leaves a thread in the middle, `go_on` tells how it ends."""

    build: Callable[[list[str]], Any]
    begin: Callable[[Graph, RunnableConfig], Any]
    go_on: Callable[[Graph, RunnableConfig], Any]


@contextmanager
def stock_saver(url: str) -> Generator[BaseCheckpointSaver[Any]]:
    """Open LangGraph's own saver for a database URL."""
    if url.startswith("sqlite"):
        with SqliteSaver.from_conn_string(url.removeprefix("sqlite:///")) as saver:
            yield saver
    else:
        with PostgresSaver.from_conn_string(url) as saver:
            saver.setup()
            yield saver


def config_of(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "customer": 7}, "metadata": {"kind": "test"}}


class Log(TypedDict, total=False):
    log: Annotated[list[Any], add]
    large: str


def interrupted(did: list[str]) -> Any:
    """A subgraph asks beside tasks that were sent out; a first question is answered before."""

    def work(state: Any) -> Any:
        did.append(f"work {state['item']}")
        return {"log": [("worked", state["item"])]}

    def ask(state: Any) -> Any:
        did.append("ask")
        return {"log": [interrupt({"may I": state["log"][:1]})]}

    inner: Any = StateGraph(Log)
    inner.add_node("ask", ask)
    inner.add_edge(START, "ask")
    outer: Any = StateGraph(Log)
    outer.add_node("first", lambda state: {"log": [interrupt("name?")], "large": "x" * 2000})
    outer.add_node("work", work)
    outer.add_node("inner", inner.compile())
    outer.add_node("last", lambda state: {"log": [len(state["log"])]})
    outer.add_edge(START, "first")
    outer.add_conditional_edges(
        "first", lambda state: [Send("inner", state), *(Send("work", {"item": n}) for n in range(3))], ["inner", "work"]
    )
    outer.add_edge(["inner"], "last")
    return outer


def begin_interrupted(graph: Graph, config: RunnableConfig) -> None:
    graph.invoke({"log": ["input"]}, config, durability="sync")
    graph.invoke(Command(resume="Ada"), config, durability="sync")


def end_interrupted(graph: Graph, config: RunnableConfig) -> Any:
    (task,) = graph.get_state(config, subgraphs=True).tasks[:1]
    question = task.state.tasks[0].interrupts[0]
    return question, graph.invoke(Command(resume={question.id: "yes"}), config, durability="sync")


def failed(did: list[str]) -> Any:
    """One of three nodes at once fails, until another graph is built."""
    fails = not did

    def node(name: str) -> Callable[[Any], Any]:
        def run(state: Any) -> Any:
            if name == "b" and fails:
                raise ValueError("not today")
            did.append(name)
            return {"log": [name]}

        return run

    graph: Any = StateGraph(Log)
    for name in "abc":
        graph.add_node(name, node(name))
        graph.add_edge(START, name)
        graph.add_edge(name, END)
    return graph


def begin_failed(graph: Graph, config: RunnableConfig) -> None:
    with suppress(ValueError):
        graph.invoke({"log": []}, config, durability="sync")


def end_failed(graph: Graph, config: RunnableConfig) -> Any:
    error = [task.error for task in graph.get_state(config).tasks]
    return error, graph.invoke(None, config, durability="sync")


def travelled(did: list[str]) -> Any:
    """A thread that was forked, and whose state was updated."""
    graph: Any = StateGraph(Log)
    for before, name in ((START, "a"), ("a", "b"), ("b", "c")):
        graph.add_node(name, lambda state, name=name: {"log": [name * 400]})
        graph.add_edge(before, name)
    return graph


def begin_travelled(graph: Graph, config: RunnableConfig) -> None:
    graph.invoke({"log": ["input"]}, config, durability="sync")
    old = [*graph.get_state_history(config)][2]
    graph.invoke(None, old.config, durability="sync")
    graph.update_state(config, {"log": ["by hand"]}, as_node="a")


def end_travelled(graph: Graph, config: RunnableConfig) -> Any:
    at = graph.get_state(config)
    ended = graph.invoke(None, config, durability="sync")
    oldest = [*graph.get_state_history(config)][-2]
    return at.values, at.next, ended, graph.invoke(None, oldest.config, durability="sync")


def _extended(log: Any, writes: Sequence[Any]) -> list[Any]:
    return [*(log or ()), *(item for write in writes for item in write)]


class Delta(TypedDict, total=False):
    log: Annotated[list[Any], DeltaChannel(_extended, snapshot_frequency=3)]
    rare: Annotated[list[Any], DeltaChannel(_extended, snapshot_frequency=1000)]
    turns: int


def delta(did: list[str]) -> Any:
    """Two delta channels; nodes that run at once write in the order of their paths."""
    graph: Any = StateGraph(Delta)
    for name in ("z", "a", "m"):
        graph.add_node(name, lambda state, name=name: {"log": [f"{name}{len(state.get('log') or ())}"], "rare": [name]})
        graph.add_edge("turn", name)
    graph.add_node("turn", lambda state: {"turns": state.get("turns", 0) + 1})
    graph.add_edge(START, "turn")
    return graph


def begin_delta(graph: Graph, config: RunnableConfig) -> None:
    for turn in range(4):
        graph.invoke({"log": [f"input {turn}"]}, config, durability="sync")


def end_delta(graph: Graph, config: RunnableConfig) -> Any:
    past = [state.values for state in graph.get_state_history(config)]
    return past, graph.invoke({"log": ["more"]}, config, durability="sync")


def agent(did: list[str]) -> Any:
    """LangChain's agent, whose tool asks a human."""

    def transfer(amount: int) -> str:
        """Transfer money."""
        did.append(f"transfer {amount}")
        return str(interrupt(f"transfer {amount}?"))

    def reply(messages: Sequence[Any]) -> Any:
        if messages[-1].type == "tool":
            return AIMessage(f"done: {messages[-1].content}")
        return AIMessage("", tool_calls=[{"name": "transfer", "args": {"amount": 7}, "id": f"call {len(messages)}"}])

    return create_agent(ScriptedModel(replies=reply), [transfer])


def begin_agent(graph: Graph, config: RunnableConfig) -> None:
    graph.invoke({"messages": [("user", "pay")]}, config, durability="sync")


def end_agent(graph: Graph, config: RunnableConfig) -> Any:
    graph.invoke(Command(resume="yes"), config, durability="sync")
    ended = graph.invoke({"messages": [("user", "pay again")]}, config, durability="sync")
    return [(item.type, item.content) for item in ended["messages"]]


SCENARIOS = {
    "interrupted": Scenario(interrupted, begin_interrupted, end_interrupted),
    "failed": Scenario(failed, begin_failed, end_failed),
    "travelled": Scenario(travelled, begin_travelled, end_travelled),
    "delta": Scenario(delta, begin_delta, end_delta),
    "agent": Scenario(agent, begin_agent, end_agent),
}
"""By name, which is that of the thread too."""
