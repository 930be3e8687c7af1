"""Nodes and agents that a graph has renamed since a thread was stored."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

from langgraph.graph import StateGraph

from guardgraph.state import BadGraph, Gap, Result

__all__ = ("NAMED", "renamed", "with_former_names")

_Graph = StateGraph[Any, Any, Any, Any]

NAMED = ("results", "plans", "reviews", "draft", "gaps")
"""The channels of guardgraph's own whose values name agents."""


def with_former_names(graph: _Graph, names: Mapping[str, str]) -> _Graph:
    """Return a graph whose nodes are also reached under the names that they had before.

    So what was sent to a node comes to it, and an open question, a nested team or a finished task there keeps
    its id, of which the name of the node is a part.

    Raises:
        BadGraph: the graph has a node of a former name.
    """
    taken = sorted(names.keys() & graph.nodes.keys())
    if taken:
        raise BadGraph(f"node {taken[0]!r} cannot be renamed by a migration: the graph has a node of that name")
    former = {old: new for old, new in names.items() if new in graph.nodes}
    if not former:
        return graph
    found = copy.copy(graph)
    found.nodes = {**graph.nodes, **{old: graph.nodes[new] for old, new in former.items()}}
    found.edges = {
        *graph.edges,
        *((old, end) for old, new in former.items() for start, end in graph.edges if start == new),
    }
    branches = {old: graph.branches[new] for old, new in former.items() if new in graph.branches}
    found.branches = defaultdict(dict, {**graph.branches, **branches})
    return found


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return results and gaps, one or several, with the present names of their agents."""
    if isinstance(value, list):
        return [renamed(one, names) for one in cast("list[Any]", value)]
    if isinstance(value, Result):
        first = value.fallback_for and names.get(value.fallback_for, value.fallback_for)
        return value.model_copy(update={"agent": names.get(value.agent, value.agent), "fallback_for": first})
    if isinstance(value, Gap) and value.agent is not None and value.agent in names:
        new = names[value.agent]
        return value.model_copy(
            update={"agent": new, "subtask": new if value.subtask == value.agent else value.subtask}
        )
    return value
