"""The description of a graph: what a picture shows, and what checks of a graph read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from guardgraph.agents.agent import Agent

__all__ = ("ClusterDescription", "EdgeDescription", "EdgeKind", "GraphDescription", "NodeDescription", "NodeKind")

NodeKind = Literal["start", "end", "gate", "agent", "node"]
"""`node` is any node that is neither a gate nor an `Agent`, such as every node of a foreign graph."""
EdgeKind = Literal["always", "decision", "error"]
"""Taken always, taken where a node decides so, or taken when a node has raised."""


@dataclass(frozen=True, slots=True)
class NodeDescription:
    """One node; inside a nested graph its id is `cluster:label`."""

    id: str
    label: str
    kind: NodeKind
    cluster: str = ""
    """The id of the cluster that contains it; empty at the top."""
    guards: tuple[tuple[str, str], ...] = ()
    """The guards that judge in a gate, as `("dispatch", "Depth, Limits")`; a gate without any only routes."""
    facts: tuple[str, ...] = ()
    """What else is known, for readers: model, tools, attempts, interrupts."""
    is_open: bool = False
    """Whether it routes to nodes that it does not declare, so that edges are unknown."""
    members: tuple[str, ...] = ()
    """The ids of the nodes that are folded into this one."""
    agent: Agent | None = None
    """The declaration of an agent."""


@dataclass(frozen=True, slots=True)
class EdgeDescription:
    """One edge, from node to node."""

    source: str
    target: str
    kind: EdgeKind = "always"
    label: str = ""
    is_back: bool = False
    """Whether it leads back to what has already run."""

    @property
    def ends(self) -> tuple[str, str]:
        """Source and target."""
        return self.source, self.target


@dataclass(frozen=True, slots=True)
class ClusterDescription:
    """A nested graph."""

    id: str
    label: str
    parent: str = ""
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphDescription:
    """All of a graph: nodes in the order in which they run, where that is known."""

    nodes: tuple[NodeDescription, ...]
    edges: tuple[EdgeDescription, ...]
    clusters: tuple[ClusterDescription, ...] = ()

    def inside(self, cluster: str) -> Iterable[NodeDescription]:
        """Return the nodes directly in a cluster; `""` is the top."""
        return (node for node in self.nodes if node.cluster == cluster)
