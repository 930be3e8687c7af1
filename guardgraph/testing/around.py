"""A trial's graph inside another graph, a node function or a tool."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from guardgraph.state import Outcome
from guardgraph.testing.trial import Trial

__all__ = ("as_tool", "from_node", "inside")


class _Outer(TypedDict, total=False):
    task: Any
    outcome: Outcome


def inside(trial: Trial) -> Any:
    """Return a compiled graph in which the trial's graph is a node."""
    return _outer(trial, trial.build().compile())


def from_node(trial: Trial, *, passes_config: bool = False) -> Any:
    """Return a compiled graph with a node that calls the trial's graph; `passes_config`: with its own config."""
    inner: Any = trial.build().compile()

    def call(state: _Outer, config: RunnableConfig) -> Any:
        output = inner.invoke(state, config) if passes_config else inner.invoke(state)
        return {"outcome": output["outcome"]}

    async def acall(state: _Outer, config: RunnableConfig) -> Any:
        output = await (inner.ainvoke(state, config) if passes_config else inner.ainvoke(state))
        return {"outcome": output["outcome"]}

    return _outer(trial, RunnableLambda(call, acall))


def as_tool(trial: Trial) -> Any:
    """Return the compiled graph as a tool."""
    return trial.compiled().as_tool(name="team", description="Does a task.")


def _outer(trial: Trial, node: Any) -> Any:
    graph = StateGraph(_Outer)
    graph.add_node("team", node)
    graph.add_edge(START, "team")
    graph.add_edge("team", END)
    return trial.compiled(graph)
