"""One level of a graph, as its checks and estimates read it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph

from guardgraph.agents.agent import Agent
from guardgraph.graphs.draw.description import EdgeDescription, GraphDescription, NodeDescription
from guardgraph.graphs.draw.dominators import postorder
from guardgraph.graphs.draw.reading import describe, nested_graphs
from guardgraph.nodes.team_spec import TeamSpec

__all__ = ("Topology", "cycles", "topology_of")


@dataclass(frozen=True)
class Topology:
    """A graph without the inside of its nested graphs."""

    graph: GraphDescription
    team: TeamSpec | None
    """What the builder of a team knows; `None` for a foreign graph."""
    nested: Mapping[str, Any]
    """The nested graphs, by their nodes."""

    @cached_property
    def nodes(self) -> Mapping[str, NodeDescription]:
        """The nodes by their ids."""
        return {node.id: node for node in self.graph.nodes}

    @cached_property
    def agents(self) -> Mapping[str, Agent]:
        """The agents by their nodes."""
        return {node.id: node.agent for node in self.graph.nodes if node.agent is not None}

    @cached_property
    def targets(self) -> Mapping[str, list[str]]:
        """The nodes to which each node leads."""
        return _grouped((edge.source, edge.target) for edge in self.graph.edges)

    @cached_property
    def sources(self) -> Mapping[str, list[str]]:
        """The nodes that lead to each node."""
        return _grouped((edge.target, edge.source) for edge in self.graph.edges)


def topology_of(graph: Any) -> Topology:
    """Return the topology of a graph, compiled or not. Raises `BadInput` for anything else."""
    described = describe(graph)
    if not isinstance(graph, StateGraph | CompiledStateGraph):
        return Topology(described, None, {})
    builder: Any = cast("Any", graph).builder if isinstance(graph, CompiledStateGraph) else graph
    team = getattr(builder, "team", None)
    return Topology(described, team if isinstance(team, TeamSpec) else None, nested_graphs(graph))


def _grouped(pairs: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for one, other in pairs:
        found[one].append(other)
    return found


def cycles(edges: Iterable[EdgeDescription]) -> list[frozenset[str]]:
    """Return the sets of nodes that lead to each other: the strongly connected components that have a cycle.

    The algorithm is Kosaraju's.
    """
    targets: dict[str, list[str]] = defaultdict(list)
    sources: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        targets[edge.source].append(edge.target)
        sources[edge.target].append(edge.source)
    order: list[str] = []
    seen: set[str] = set()
    for root in [*targets, *sources]:
        order += postorder(targets, root, seen)
    found: list[frozenset[str]] = []
    seen = set()
    for root in reversed(order):
        members = postorder(sources, root, seen)
        if len(members) > 1 or (members and members[0] in targets[members[0]]):
            found.append(frozenset(members))
    return found
