"""Why a graph has ended without an outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import StateSnapshot

from guardgraph.runs.head import route_of
from guardgraph.state import Gap

__all__ = ("missing_outcome",)


def missing_outcome(graph: CompiledStateGraph[Any, Any, Any, Any], last: StateSnapshot) -> Gap:
    """Return the gap of a run whose `last` state has no outcome, no interrupt and no next node.

    LangGraph stores a route to a node that does not exist, and then only logs it. So the node and its route are found
    in the writes of the run, the latest first.
    """
    node, route = next(_lost_routes(graph, last), (None, None))
    if route is not None:
        nodes = _listed(name for name in graph.nodes if not name.startswith("__"))
        reason = f"node {node!r} went to {route!r}, which does not exist; the nodes are: {nodes}"
        return Gap(subtask="run", agent=node, reason=reason)
    ended = _listed(_tasks_at(graph, last.parent_config).values())
    reason = f"the graph ended without an outcome after {ended}; every way must lead to 'guard_exit'"
    return Gap(subtask="run", reason=reason)


def _lost_routes(
    graph: CompiledStateGraph[Any, Any, Any, Any], last: StateSnapshot
) -> Iterator[tuple[str | None, str]]:
    """Yield each node and its route to a missing node, superstep by superstep back to the beginning of the run."""
    saver, at = graph.checkpointer, last.parent_config
    run_id = (last.metadata or {}).get("run_id")
    while at is not None and isinstance(saver, BaseCheckpointSaver):
        stored = saver.get_tuple(at)
        if stored is None or stored.metadata.get("run_id") != run_id:
            return
        for task, channel, value in stored.pending_writes or ():
            route = route_of(channel, value)
            if route is not None and route not in graph.nodes:
                yield _tasks_at(graph, at).get(task), route
        at = stored.parent_config


def _tasks_at(graph: CompiledStateGraph[Any, Any, Any, Any], config: RunnableConfig | None) -> dict[str, str]:
    """Return the names of the nodes that ran on a checkpoint, by the ids of their tasks."""
    return {} if config is None else {task.id: task.name for task in graph.get_state(config).tasks}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(set(names))))
