"""Folds nodes that differ in their names alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from guardgraph.graphs.draw.description import EdgeDescription, GraphDescription, NodeDescription

__all__ = ("FOLD_ABOVE", "folded")

FOLD_ABOVE = 30
"""Alike nodes are folded in a graph with more nodes than this."""


def folded(graph: GraphDescription, *, above: int = FOLD_ABOVE) -> GraphDescription:
    """Return the graph with alike nodes drawn as one, if it has more than `above` nodes.

    Alike are at least three nodes of one kind, in one cluster, with the same edges, guards and facts.
    """
    if len(graph.nodes) <= above:
        return graph
    groups: dict[object, list[NodeDescription]] = defaultdict(list)
    edges: dict[str, set[tuple[str, EdgeDescription]]] = defaultdict(set)
    for edge in graph.edges:
        edges[edge.source].add(("to", replace(edge, source="")))
        edges[edge.target].add(("from", replace(edge, target="")))
    for node in graph.nodes:
        alike = (node.kind, node.cluster, node.guards, node.facts, node.is_open, frozenset(edges[node.id]))
        groups[alike].append(node)
    into: dict[str, str] = {}
    nodes: dict[str, NodeDescription] = {}
    for group in groups.values():
        shown = _fold(group) if len(group) >= 3 and group[0].kind not in ("start", "end") else None
        for node in group:
            into[node.id] = shown.id if shown else node.id
            nodes[into[node.id]] = shown or node
    kept = {(into[edge.source], into[edge.target]): edge for edge in graph.edges}
    return replace(
        graph,
        nodes=tuple({into[node.id]: nodes[into[node.id]] for node in graph.nodes}.values()),
        edges=tuple(replace(edge, source=source, target=target) for (source, target), edge in kept.items()),
    )


def _fold(group: Sequence[NodeDescription]) -> NodeDescription:
    first, last = group[0], group[-1]
    label = f"{first.label} … {last.label} ({len(group)})"
    return replace(first, label=label, members=tuple(node.id for node in group), agent=None)
