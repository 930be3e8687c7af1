"""A described graph as plain JSON data."""

from __future__ import annotations

from typing import Any

from guardgraph.graphs.draw.description import GraphDescription

__all__ = ("data_of",)


def data_of(graph: GraphDescription) -> dict[str, Any]:
    """Return nodes, edges and clusters; `guard` marks a gate, `conditional` an edge by decision."""
    return {
        "nodes": [
            {
                "id": node.id,
                "guard": node.kind == "gate",
                "label": node.label,
                "kind": node.kind,
                "cluster": node.cluster or None,
                "guards": [{"gate": gate, "names": names.split(", ")} for gate, names in node.guards],
                "facts": list(node.facts),
                "open": node.is_open,
                "members": list(node.members),
            }
            for node in graph.nodes
        ],
        "edges": [
            {
                "source": edge.source,
                "target": edge.target,
                "conditional": edge.kind == "decision",
                "label": edge.label or None,
                "kind": edge.kind,
                "back": edge.is_back,
            }
            for edge in graph.edges
        ],
        "clusters": [
            {"id": one.id, "label": one.label, "parent": one.parent or None, "facts": list(one.facts)}
            for one in graph.clusters
        ],
    }
