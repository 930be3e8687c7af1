"""A described graph as text."""

from __future__ import annotations

from collections import defaultdict

from guardgraph.graphs.draw.description import EdgeDescription, GraphDescription, NodeDescription
from guardgraph.graphs.draw.text_width import shortened

__all__ = ("text_of",)

_SIGNS = {"gate": "◆", "agent": "○", "node": "□", "start": "▷", "end": "■"}
_ARROWS = {"always": "→", "decision": "⇢", "error": "⚠"}
_LEGEND = "◆ gate   ○ agent   □ other node   → always   ⇢ by decision   ↩ back"


def text_of(graph: GraphDescription) -> str:
    """Return a line for each node, with the nodes to which it leads; the guards of a gate are below it."""
    edges: dict[str, list[EdgeDescription]] = defaultdict(list)
    for edge in graph.edges:
        edges[edge.source].append(edge)
    names = {node.id: shortened(_name(node), 80) for node in graph.nodes}
    width = max(map(len, names.values()), default=0)
    lines = [_LEGEND, ""]
    for node in graph.nodes:
        targets = "  ".join(_target(edge, names) for edge in edges[node.id])
        lines.append(f"{_SIGNS[node.kind]} {names[node.id].ljust(width)}  {targets}".rstrip())
        lines += [f"    {gate}: {judging}" for gate, judging in node.guards]
        lines += ["    routes to nodes that it does not declare"] if node.is_open else []
    return "\n".join(lines) + "\n"


def _target(edge: EdgeDescription, names: dict[str, str]) -> str:
    label = f" ({shortened(edge.label, 40)})" if edge.label else ""
    return f"{'↩' if edge.is_back else ''}{_ARROWS[edge.kind]} {names[edge.target]}{label}"


def _name(node: NodeDescription) -> str:
    """Return the id, or the names of what is folded."""
    return f"{node.cluster}:{node.label}" if node.members and node.cluster else node.label if node.members else node.id
