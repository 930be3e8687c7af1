"""Nodes of guardgraph that had other names: a run that was left at one of them goes on where its work is done now."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any

from langgraph.graph import StateGraph

__all__ = ("with_former_nodes",)

_FORMER = {
    "collect": "guard_handoff",
    "conclude": "guard_exit",
    "dispatch": "guard_dispatch",
    "guard_round": "guard_dispatch",
}


def with_former_nodes(graph: StateGraph[Any, Any, Any, Any], names: Iterable[str]) -> StateGraph[Any, Any, Any, Any]:
    """Return a graph with those of the nodes `names` that it had under another name, and the edges to them.

    What has ended beside an agent that waits leads to the old name: the agent has to lead to the same node.
    """
    former = {name: now for name in names if name not in graph.nodes and (now := _now(name)) in graph.nodes}
    if not former:
        return graph
    found = copy(graph)
    found.nodes = {**graph.nodes, **{name: graph.nodes[now] for name, now in former.items()}}
    old = {now: name for name, now in former.items()}
    found.edges = {(start, old.get(end, end)) for start, end in graph.edges}
    return found


def _now(name: str) -> str | None:
    prefix, _, stage = name.partition("_")
    return f"guard_handoff_{stage}" if prefix == "collect" and stage else _FORMER.get(name)
