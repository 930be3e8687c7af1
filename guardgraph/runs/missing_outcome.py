"""Why a graph has ended without an outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send, StateSnapshot

from guardgraph.state import Gap

__all__ = ("missing_outcome",)

_GOTO = "branch:to:"
_SENDS = "__pregel_tasks"


def missing_outcome(graph: CompiledStateGraph[Any, Any, Any, Any], last: StateSnapshot) -> Gap:
    """Return what to tell of a graph whose `last` state has no outcome, no question and nothing left to do.

    LangGraph stores a route to a node that does not exist, and then only logs it. So what the nodes of the run have
    written names the node and its route, the latest first.
    """
    node, route = next(_lost_routes(graph, last), (None, None))
    if route is not None:
        nodes = _listed(name for name in graph.nodes if not name.startswith("__"))
        said = f"node {node!r} went to {route!r}, which does not exist; the nodes are: {nodes}"
        return Gap(subtask="run", agent=node, reason=said)
    ended = _listed(_tasks_at(graph, last.parent_config).values())
    reason = f"the graph ended without an outcome after {ended}; every way must lead to 'guard_exit'"
    return Gap(subtask="run", reason=reason)


def _lost_routes(
    graph: CompiledStateGraph[Any, Any, Any, Any], last: StateSnapshot
) -> Iterator[tuple[str | None, str]]:
    """Yield who went where in vain, superstep by superstep back to the beginning of the run."""
    saver, at = graph.checkpointer, last.parent_config
    run_id = (last.metadata or {}).get("run_id")
    while at is not None and isinstance(saver, BaseCheckpointSaver):
        stored = saver.get_tuple(at)
        if stored is None or stored.metadata.get("run_id") != run_id:
            return
        for task, channel, value in stored.pending_writes or ():
            route = _lost(graph, channel, value)
            if route is not None:
                yield _tasks_at(graph, at).get(task), route
        at = stored.parent_config


def _tasks_at(graph: CompiledStateGraph[Any, Any, Any, Any], config: RunnableConfig | None) -> dict[str, str]:
    """Return the names of the nodes that worked on a checkpoint, by their tasks' ids."""
    return {} if config is None else {task.id: task.name for task in graph.get_state(config).tasks}


def _lost(graph: CompiledStateGraph[Any, Any, Any, Any], channel: str, value: object) -> str | None:
    """Return the node that a write wants to go to, if there is none of that name."""
    route = channel.removeprefix(_GOTO) if channel.startswith(_GOTO) else None
    if channel == _SENDS and isinstance(value, Send):
        route = value.node
    return route if route is not None and route not in graph.nodes else None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(set(names))))
