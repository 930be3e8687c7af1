"""Places a described graph: boxes by the width of their texts, everything else by the layout engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from guardgraph.graphs.draw.description import (
    ClusterDescription,
    EdgeDescription,
    GraphDescription,
    NodeDescription,
)
from guardgraph.graphs.draw.direction import layers
from guardgraph.graphs.draw.engine import elk_layout
from guardgraph.graphs.draw.facts import model_name
from guardgraph.graphs.draw.text_width import shortened, text_width

__all__ = ("Direction", "Layout", "PlacedCluster", "PlacedEdge", "PlacedNode", "layout", "lines_of")

Direction = Literal["right", "down"]
_NAME, _DETAIL, _LABEL = 13.0, 10.5, 10.5
"""Sizes of the texts in pixels; `svg.py` draws with the same."""
_LONGEST = 40
"""The characters of a line that are shown; the tooltip has all."""
_OPTIONS = {
    "elk.algorithm": "layered",
    "elk.edgeRouting": "ORTHOGONAL",
    "elk.layered.cycleBreaking.strategy": "INTERACTIVE",  # by the places that the nodes are given
    "elk.layered.feedbackEdges": "true",
    "elk.layered.nodePlacement.strategy": "NETWORK_SIMPLEX",
    "elk.layered.spacing.nodeNodeBetweenLayers": "38",
    "elk.layered.spacing.edgeNodeBetweenLayers": "16",
    "elk.layered.spacing.edgeEdgeBetweenLayers": "10",
    "elk.spacing.edgeEdge": "10",
    "elk.spacing.edgeNode": "14",
    "elk.spacing.nodeNode": "22",
    "elk.padding": "[top=16,left=16,bottom=16,right=16]",
}
_ROOT_OPTIONS = _OPTIONS | {
    "elk.hierarchyHandling": "INCLUDE_CHILDREN",
    "elk.json.edgeCoords": "ROOT",
    "elk.json.shapeCoords": "ROOT",
}
_MODEL_ORDER = {
    "elk.layered.considerModelOrder.strategy": "NODES_AND_EDGES",
    "elk.layered.crossingMinimization.forceNodeModelOrder": "true",
}
"""Nodes side by side keep their order; elkjs fails with it where edges cross the border of a nested graph."""
_CLUSTER_OPTIONS = _OPTIONS | {"elk.padding": "[top=34,left=14,bottom=14,right=14]"}

_Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class PlacedNode:
    """A node with its box, in pixels."""

    node: NodeDescription
    lines: tuple[str, ...]
    """The name, then the details below it."""
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class PlacedEdge:
    """An edge with the corners of its line, and the top left corner of its label."""

    edge: EdgeDescription
    points: tuple[_Point, ...]
    label: str = ""
    label_at: _Point = (0, 0)


@dataclass(frozen=True, slots=True)
class PlacedCluster:
    """A nested graph with its box."""

    cluster: ClusterDescription
    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Layout:
    """A graph with coordinates, in pixels from the top left."""

    width: float
    height: float
    nodes: tuple[PlacedNode, ...]
    edges: tuple[PlacedEdge, ...]
    clusters: tuple[PlacedCluster, ...]


def layout(graph: GraphDescription, direction: Direction | None = None) -> Layout:
    """Return a graph with coordinates; without a direction, the one whose picture is closer to a page.

    Raises what `elk_layout` raises.
    """
    texts = {node.id: lines_of(node) for node in graph.nodes}
    direction = direction or _direction(graph)
    options = _ROOT_OPTIONS | ({} if graph.clusters else _MODEL_ORDER) | {"elk.direction": direction.upper()}
    root: dict[str, Any] = {"id": "root", "layoutOptions": options}
    boxes: dict[str, dict[str, Any]] = {"": root}
    for cluster in graph.clusters:
        boxes[cluster.id] = {"id": f"c:{cluster.id}", "layoutOptions": _CLUSTER_OPTIONS}
    shapes = {node.id: _shape(node, texts[node.id]) for node in graph.nodes}
    placed: set[str] = set()
    for number, node in enumerate(graph.nodes):
        place = {"x": number * 1_000, "y": number * 1_000}
        boxes[node.cluster].setdefault("children", []).append(shapes[node.id] | place)
        _nest(graph, boxes, node.cluster, placed, place)
    levels = layers(graph)
    root["edges"] = [_edge(edge, number, is_step=_is_step(edge, levels)) for number, edge in enumerate(graph.edges)]
    found = elk_layout(root)
    by_id = {shape["id"]: shape for shape in _shapes(found)}
    return Layout(
        width=found["width"],
        height=found["height"],
        nodes=tuple(PlacedNode(node, texts[node.id], **_box(by_id[f"n:{node.id}"])) for node in graph.nodes),
        edges=tuple(_placed_edge(edge, graph.edges[int(edge["id"])]) for edge in found.get("edges", ())),
        clusters=tuple(
            PlacedCluster(one, shortened(one.label, _LONGEST), **_box(by_id[f"c:{one.id}"])) for one in graph.clusters
        ),
    )


def _wrapped(names: str) -> list[str]:
    """Return names that commas separate in lines that are not too long; only a name that is longer will be cut."""
    lines = [""]
    for name in names.split(", "):
        longer = f"{lines[-1]}, {name}" if lines[-1] else name
        if len(longer) < _LONGEST or not lines[-1]:
            lines[-1] = longer
        else:
            lines[-1] += ","
            lines.append(name)
    return lines


def lines_of(node: NodeDescription) -> tuple[str, ...]:
    """Return what is written in the box of a node."""
    if node.kind in ("start", "end"):
        return (node.label.strip("_"),)
    if node.kind == "gate":
        details = [line for gate, names in node.guards for line in _wrapped(f"{gate}: {names}")]
    elif node.agent is not None:
        details = [name] if (name := model_name(node.agent)) else []
    else:
        details = [fact for fact in node.facts if fact.startswith("tools: ")]
    if node.is_open:
        details.append("goes where it decides")
    return tuple(shortened(line, _LONGEST) for line in (node.label, *details))


def _nest(
    graph: GraphDescription,
    boxes: Mapping[str, dict[str, Any]],
    cluster: str,
    placed: set[str],
    place: Mapping[str, int],
) -> None:
    """Put a cluster into its parent, where its first node comes in the order."""
    parents = {one.id: one.parent for one in graph.clusters}
    while cluster and cluster not in placed:
        placed.add(cluster)
        boxes[cluster].update(place)
        boxes[parents[cluster]].setdefault("children", []).append(boxes[cluster])
        cluster = parents[cluster]


def _shape(node: NodeDescription, lines: tuple[str, ...]) -> dict[str, Any]:
    widths = [text_width(lines[0], _NAME), *(text_width(line, _DETAIL) for line in lines[1:])]
    if node.kind in ("start", "end"):
        return {"id": f"n:{node.id}", "width": max(widths) + 22, "height": 24}
    return {"id": f"n:{node.id}", "width": max(84, *(width + 26 for width in widths)), "height": 24 + 14 * len(lines)}


def _edge(edge: EdgeDescription, number: int, *, is_step: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"id": str(number), "sources": [f"n:{edge.source}"], "targets": [f"n:{edge.target}"]}
    if is_step:
        found["layoutOptions"] = {"elk.layered.priority.straightness": "10", "elk.layered.priority.shortness": "10"}
    if edge.label:
        text = shortened(edge.label, 24)
        found["labels"] = [{"text": text, "width": text_width(text, _LABEL) + 6, "height": 14}]
    return found


def _is_step(edge: EdgeDescription, levels: Mapping[str, int]) -> bool:
    """Return whether an edge leads one layer on, and skips none; such edges are drawn as straight as possible."""
    return not edge.is_back and levels[edge.target] == levels[edge.source] + 1


def _direction(graph: GraphDescription) -> Direction:
    """Return the direction in which a page of 4:3 would have to be shrunk least."""
    levels = layers(graph)
    width = max(Counter(levels.values()).values(), default=1)
    length = max(levels.values(), default=1) + 1
    right, down = max(length * 190 / 4, width * 80 / 3), max(width * 170 / 4, length * 110 / 3)
    return "right" if right <= down else "down"


def _shapes(shape: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    for child in shape.get("children", ()):
        yield child
        yield from _shapes(child)


def _box(shape: Mapping[str, Any]) -> dict[str, float]:
    return {key: shape[key] for key in ("x", "y", "width", "height")}


def _placed_edge(found: Mapping[str, Any], edge: EdgeDescription) -> PlacedEdge:
    section = found["sections"][0]
    corners = (section["startPoint"], *section.get("bendPoints", ()), section["endPoint"])
    points = tuple((corner["x"], corner["y"]) for corner in corners)
    if not found.get("labels"):
        return PlacedEdge(edge, points)
    (label,) = found["labels"]
    return PlacedEdge(edge, points, label["text"], (label["x"], label["y"]))
