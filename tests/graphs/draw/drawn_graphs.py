"""Graphs to draw: ours, and those of LangChain and LangGraph alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal
from warnings import catch_warnings, simplefilter

from langchain.agents import create_agent
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command
from typing_extensions import TypedDict

from guardgraph.agents import Agent
from guardgraph.graphs import WideTeamWarning, pipeline, supervisor
from guardgraph.models.resolve import resolve_model
from tests.conformance.patterns import PATTERNS

__all__ = ("GRAPHS", "OWN", "a_supervisor", "agent", "chat_agent", "nodes_of", "plain", "reviewed_chat")


class Numbers(TypedDict):
    number: int


def agent(name: str, **declared: Any) -> Agent:
    return Agent(name, run=str, **declared)


def a_supervisor(workers: int | Sequence[Agent], **given: Any) -> StateGraph[Any, Any, Any, Any]:
    staff = workers if not isinstance(workers, int) else [agent(f"worker-{n}") for n in range(1, workers + 1)]
    with catch_warnings():
        simplefilter("ignore", WideTeamWarning)
        return supervisor(planner=agent("planner"), workers=staff, synthesizer=agent("writer"), **given)


def search(text: str) -> str:
    """Search."""
    return text


def chat_agent() -> Any:
    return create_agent(resolve_model("offline:extractive"), [search])


def nodes_of(*names: str) -> StateGraph[Any, Any, Any, Any]:
    """Return a graph with nodes that do nothing, and no edges."""
    graph: Any = StateGraph(Numbers)
    for name in names:
        graph.add_node(name, lambda state: {})
    return graph


def plain() -> StateGraph[Any, Any, Any, Any]:
    """A fan-out, a join, a branch with labels and a `Command`."""

    def is_good(state: Numbers) -> str:
        return "good" if state["number"] else "poor"

    def ask(state: Numbers) -> Command[Literal["left", "join"]]:
        return Command(goto="join")

    graph: Any = nodes_of("left", "right", "join")
    graph.add_node("ask", ask)
    graph.add_edge(START, "left")
    graph.add_edge(START, "right")
    graph.add_edge(["left", "right"], "join")
    graph.add_conditional_edges("join", is_good, {"good": END, "poor": "ask"})
    return graph


def reviewed_chat() -> StateGraph[Any, Any, Any, Any]:
    """A `create_agent` graph as a node, repeated until a check is content."""

    def check(state: MessagesState) -> str:
        return "fine"

    graph: Any = StateGraph(MessagesState)
    graph.add_node("chat", chat_agent())
    graph.add_node("check", lambda state: {})
    graph.add_edge(START, "chat")
    graph.add_edge("chat", "check")
    graph.add_conditional_edges("check", check, {"not good enough": "chat", "fine": END})
    return graph


OWN: Mapping[str, Callable[[], Any]] = {name: partial(build, agent("tested")) for name, build in PATTERNS.items()}
GRAPHS: Mapping[str, Callable[[], Any]] = {
    **OWN,
    "long pipeline": lambda: pipeline([agent(f"stage-{number}") for number in range(6)]),
    "create_agent": chat_agent,
    "plain": plain,
    "a create_agent graph inside": reviewed_chat,
}
