"""Small graphs of every shape that a stream can have; each update holds a value of its own."""

from __future__ import annotations

import operator
import random
import time
from typing import Annotated, Any
from uuid import uuid4

from langgraph.cache.memory import InMemoryCache
from langgraph.graph import END, START, StateGraph
from langgraph.types import CachePolicy, Send, interrupt
from typing_extensions import TypedDict


class Log(TypedDict):
    """What the nodes have added."""

    log: Annotated[list[str], operator.add]


def adds(name: str, *, takes: float = 0.0) -> Any:
    """Return a node that adds a value of its own."""

    def node(state: Any) -> dict[str, Any]:
        time.sleep(random.uniform(0, takes))
        return {"log": [f"{name} {uuid4()}"]}

    return node


def chained(*names: str, takes: float = 0.0) -> StateGraph[Any, Any, Any, Any]:
    """Return nodes one after the other."""
    graph = StateGraph(Log)
    for name in names:
        graph.add_node(name, adds(name, takes=takes))
    for one, other in zip((START, *names), (*names, END), strict=True):
        graph.add_edge(one, other)
    return graph


def chain() -> StateGraph[Any, Any, Any, Any]:
    """Return three nodes one after the other."""
    return chained("one", "two", "three")


def fan_out() -> StateGraph[Any, Any, Any, Any]:
    """Return eight tasks of one node, at the same time."""
    graph = StateGraph(Log).add_node("plan", adds("plan")).add_node("work", adds("work", takes=0.03))
    graph.add_edge(START, "plan").add_node("join", adds("join")).add_edge("work", "join")
    return graph.add_conditional_edges("plan", lambda _: [Send("work", {"log": []}) for _ in range(8)], ["work"])


def nested() -> StateGraph[Any, Any, Any, Any]:
    """Return two graphs within a graph, at the same time."""
    graph = StateGraph(Log)
    for name in ("left", "right"):
        graph.add_node(name, chained("one", "two", takes=0.02).compile()).add_edge(START, name)
        graph.add_edge(name, "join")
    return graph.add_node("join", adds("join"))


def unstored() -> StateGraph[Any, Any, Any, Any]:
    """Return a graph without a checkpointer, and one with one below it, beside a node."""
    graph = StateGraph(Log)
    within = StateGraph(Log).add_node("low", chained("one", "two").compile()).add_edge(START, "low")
    graph.add_node("within", within.compile(checkpointer=False)).add_edge(START, "within")
    return graph.add_node("beside", adds("beside", takes=0.02)).add_edge(START, "beside")


def again() -> StateGraph[Any, Any, Any, Any]:
    """Return a node that runs a graph twice."""
    inner = chained("one", "two").compile()

    def twice(state: Any) -> dict[str, Any]:
        inner.invoke({"log": []})
        return {"log": inner.invoke({"log": []})["log"]}

    return StateGraph(Log).add_node("twice", twice).add_edge(START, "twice")


def asks(state: Any) -> dict[str, Any]:
    """Ask, and add the answer."""
    return {"log": [str(interrupt("how"))]}


def asking() -> StateGraph[Any, Any, Any, Any]:
    """Return a node that asks, within a graph, beside one that does not."""
    inner = StateGraph(Log).add_node("one", adds("one")).add_node("ask", asks)
    inner.add_edge(START, "one").add_edge("one", "ask")
    graph = StateGraph(Log).add_node("asks", inner.compile()).add_node("beside", adds("beside", takes=0.02))
    graph.add_edge(START, "asks").add_edge(START, "beside").add_node("join", adds("join"))
    return graph.add_edge("asks", "join").add_edge("beside", "join")


_CACHE = CachePolicy(key_func=lambda _: "same")


def cached() -> StateGraph[Any, Any, Any, Any]:
    """Return nodes of which some are replayed from a cache, beside one that is not."""
    graph = StateGraph(Log).add_node("plan", adds("plan")).add_edge(START, "plan")
    graph.add_node("kept", adds("kept"), cache_policy=_CACHE).add_edge("plan", "kept")
    graph.add_node("beside", adds("beside", takes=0.02)).add_edge("plan", "beside")
    return graph.add_node("last", adds("last"), cache_policy=_CACHE).add_edge("kept", "last")


def failing() -> StateGraph[Any, Any, Any, Any]:
    """Return a node that raises after others."""

    def fails(state: Any) -> dict[str, Any]:
        time.sleep(0.05)
        raise ValueError("no")

    graph = chained("one", "two").add_node("beside", adds("beside")).add_edge("one", "beside")
    return graph.add_node("fails", fails).add_edge("one", "fails")


GRAPHS = {
    "chain": chain,
    "fan_out": fan_out,
    "nested": nested,
    "unstored": unstored,
    "again": again,
    "asking": asking,
    "cached": cached,
    "failing": failing,
}


def compiled(name: str, saver: Any) -> Any:
    """Compile one of the graphs."""
    return GRAPHS[name]().compile(checkpointer=saver, cache=InMemoryCache() if name == "cached" else None)
