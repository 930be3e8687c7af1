"""Why a graph has ended without an outcome."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Send, StateSnapshot

from guardgraph.state import Gap

__all__ = ("dead_end",)

_GOTO = "branch:to:"
_SENDS = "__pregel_tasks"


def dead_end(graph: CompiledStateGraph[Any, Any, Any, Any], last: StateSnapshot) -> Gap:
    """Return what to tell of a graph whose `last` state has no outcome, no question and nothing left to do.

    LangGraph stores a route to a node that does not exist, and then only logs it. So what the nodes of the last
    superstep wrote names the node and its route.
    """
    saver, before = graph.checkpointer, last.parent_config
    if before is None or not isinstance(saver, BaseCheckpointSaver):
        return Gap(subtask="run", reason="the graph ended without an outcome")
    names = {task.id: task.name for task in graph.get_state(before).tasks}
    stored = saver.get_tuple(before)
    writes = stored.pending_writes or [] if stored else []
    lost = [(names.get(task), route) for task, channel, value in writes if (route := _lost(graph, channel, value))]
    if lost:
        node, route = lost[0]
        reason = f"node {node!r} went to {route!r}, which does not exist; the nodes are: {_listed(_nodes(graph))}"
        return Gap(subtask="run", agent=node, reason=reason)
    reason = f"the graph ended without an outcome after {_listed(names.values())}; every way must lead to 'conclude'"
    return Gap(subtask="run", reason=reason)


def _lost(graph: CompiledStateGraph[Any, Any, Any, Any], channel: str, value: object) -> str | None:
    """Return the node that a write wants to go to, if there is none of that name."""
    route = channel.removeprefix(_GOTO) if channel.startswith(_GOTO) else None
    if channel == _SENDS and isinstance(value, Send):
        route = value.node
    return route if route is not None and route not in graph.nodes else None


def _nodes(graph: CompiledStateGraph[Any, Any, Any, Any]) -> list[str]:
    return [name for name in graph.nodes if not name.startswith("__")]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(set(names))))
