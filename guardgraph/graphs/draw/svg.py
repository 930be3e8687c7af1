"""A placed graph as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from xml.sax.saxutils import escape, quoteattr

from guardgraph.graphs.draw.description import EdgeDescription, GraphDescription, NodeDescription
from guardgraph.graphs.draw.layout import Layout, PlacedCluster, PlacedEdge, PlacedNode
from guardgraph.graphs.draw.text_width import text_width

__all__ = ("svg_of", "tooltip")

_LEGEND_HEIGHT = 26
_SWATCHES = {
    "gate": ("gate", "gate with guards"),
    "routes": ("gate routes", "gate that only routes"),
    "agent": ("agent", "agent"),
    "node": ("node", "other node"),
}
_LINES = {
    "always": ("edge", "", "always"),
    "decision": ("edge decision", "", "by decision"),
    "back": ("edge decision back", "-back", "back"),
    "error": ("edge error", "-error", "after an error"),
}


def svg_of(graph: GraphDescription, placed: Layout, *, title: str) -> str:
    """Return a picture as one SVG document.

    Every node carries `data-id`, every edge `data-source` and `data-target`; tooltips name guards and facts.
    """
    legend, needed = _legend(graph, placed.height + 4)
    width, height = max(placed.width, needed), placed.height + _LEGEND_HEIGHT
    style = (files(__package__ or "") / "style.css").read_text(encoding="utf-8")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="guardgraph" role="img" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">',
        f"<title>{_escaped(title)}</title>",
        f"<style>\n{style}</style>",
        f"<defs>{''.join(map(_marker, ('', '-back', '-error')))}</defs>",
        f'<rect class="page" width="{width:.0f}" height="{height:.0f}"/>',
        *map(_cluster, placed.clusters),
        *map(_edge, sorted(placed.edges, key=lambda one: not one.edge.is_back)),
        *map(_node, placed.nodes),
        *(_label(edge) for edge in placed.edges if edge.label),
        legend,
    ]
    return "\n".join(parts) + "\n</svg>\n"


def tooltip(node: NodeDescription) -> str:
    """Return all that is known of a node, a line each."""
    judging = [f"{gate}: {names}" for gate, names in node.guards]
    routes = ["only routes"] if node.kind == "gate" and not judging else []
    folded = [", ".join(node.members)] if node.members else []
    is_open = ["routes to nodes that it does not declare"] if node.is_open else []
    return "\n".join([node.id, *judging, *routes, *node.facts, *is_open, *folded])


def _node(placed: PlacedNode) -> str:
    node, x, y = placed.node, placed.x, placed.y
    middle, top = x + placed.width / 2, y + 18
    if node.kind in ("start", "end"):
        css, radius, top = "end", 12, y + 16.5
    else:
        css = f"gate{'' if node.guards else ' routes'}" if node.kind == "gate" else node.kind
        radius = {"gate": 4, "agent": 14}.get(node.kind, 0)
        top = y + (placed.height - 14 * (len(placed.lines) - 1)) / 2 + 4.5
    box = f'<rect class="{css}" {_at(placed)} rx="{radius}"/>'
    stack = f'<rect class="{css}" {_at(placed, by=4)} rx="{radius}"/>' if node.members else ""
    texts = [_text(line, middle, top + 14 * n, "detail" if n else "") for n, line in enumerate(placed.lines)]
    hint = f"<title>{_escaped(tooltip(node))}</title>"
    return f'<g data-id={_quoted(node.id)} data-kind="{node.kind}">{hint}{stack}{box}{"".join(texts)}</g>'


def _cluster(placed: PlacedCluster) -> str:
    cluster = placed.cluster
    hint = f"<title>{_escaped(chr(10).join((cluster.id, *cluster.facts)))}</title>"
    box = f'<rect class="cluster" {_at(placed)} rx="8"/>'
    name = _text(placed.label, placed.x + 12, placed.y + 20, "cluster-name")
    return f"<g data-cluster={_quoted(cluster.id)}>{hint}{box}{name}</g>"


def _edge(placed: PlacedEdge) -> str:
    edge = placed.edge
    head = "-error" if edge.kind == "error" else "-back" if edge.is_back else ""
    kinds = " ".join(["edge", *([edge.kind] if edge.kind != "always" else []), *(["back"] if edge.is_back else [])])
    label = f" ({edge.label})" if edge.label else ""
    hint = f"<title>{_escaped(f'{edge.source} → {edge.target}{label}')}</title>"
    ends = f"data-source={_quoted(edge.source)} data-target={_quoted(edge.target)}"
    line = f'd="{_path(placed.points)}" marker-end="url(#guardgraph-head{head})"'
    return f'<path class="{kinds}" {ends} {line}>{hint}</path>'


def _path(points: Sequence[tuple[float, float]], radius: float = 6) -> str:
    """Return a line with rounded corners."""
    parts = [f"M{_xy(points[0])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        reach = min(radius, _distance(before, corner) / 2, _distance(corner, after) / 2)
        parts.append(f"L{_xy(_towards(corner, before, reach))}Q{_xy(corner)} {_xy(_towards(corner, after, reach))}")
    return "".join([*parts, f"L{_xy(points[-1])}"])


def _towards(start: tuple[float, float], end: tuple[float, float], reach: float) -> tuple[float, float]:
    part = reach / (_distance(start, end) or 1)
    return start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part


def _distance(start: tuple[float, float], end: tuple[float, float]) -> float:
    return abs(start[0] - end[0]) + abs(start[1] - end[1])  # lines are horizontal or vertical


def _xy(point: tuple[float, float]) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _at(placed: PlacedNode | PlacedCluster, by: float = 0) -> str:
    size = f'width="{_number(placed.width)}" height="{_number(placed.height)}"'
    return f'x="{_number(placed.x + by)}" y="{_number(placed.y + by)}" {size}'


def _label(placed: PlacedEdge) -> str:
    x, y = placed.label_at
    width = text_width(placed.label, 10.5)
    page = f'<rect class="label-page" x="{_number(x)}" y="{_number(y)}" width="{_number(width + 6)}" height="14"/>'
    return page + _text(placed.label, x + 3 + width / 2, y + 10.5, "label")


_SIZES = {"": 13.0, "cluster-name": 11.5}


def _text(text: str, x: float, y: float, css: str) -> str:
    """Return a text that fills its measured width in any font."""
    kind = f' class="{css}"' if css else ""
    fitted = f'textLength="{_number(text_width(text, _SIZES.get(css, 10.5)))}" lengthAdjust="spacingAndGlyphs"'
    return f'<text{kind} x="{_number(x)}" y="{_number(y)}" {fitted}>{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    """Return a text as XML; characters that XML does not allow are replaced."""
    return escape(_allowed(text))


def _quoted(text: str) -> str:
    return quoteattr(_allowed(text))


def _allowed(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def _marker(kind: str) -> str:
    return (
        f'<marker id="guardgraph-head{kind}" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path class="head{kind}" d="M0 .5L8 4L0 7.5z"/></marker>'
    )


def _legend(graph: GraphDescription, y: float) -> tuple[str, float]:
    """Return the legend of what is in the picture, and its width."""
    parts: list[str] = []
    x = 16.0
    for css, text in (_SWATCHES[kind] for kind in _kinds(graph)):
        radius = 7 if css == "agent" else 3 if css != "node" else 0
        parts.append(f'<rect class="{css}" x="{_number(x)}" y="{_number(y)}" width="20" height="12" rx="{radius}"/>')
        parts.append(_text(text, x + 26, y + 10, "legend"))
        x += 26 + text_width(text, 10.5) + 18
    for css, head, text in (_LINES[kind] for kind in _edge_kinds(graph.edges)):
        line = f'd="M{_number(x)} {_number(y + 6)}h26" marker-end="url(#guardgraph-head{head})"'
        parts.append(f'<path class="{css}" {line}/>' + _text(text, x + 32, y + 10, "legend"))
        x += 32 + text_width(text, 10.5) + 18
    return f"<g>{''.join(parts)}</g>", x


def _kinds(graph: GraphDescription) -> Iterable[str]:
    found = {"routes" if node.kind == "gate" and not node.guards else node.kind for node in graph.nodes}
    return (kind for kind in _SWATCHES if kind in found)


def _edge_kinds(edges: Iterable[EdgeDescription]) -> Iterable[str]:
    found = {"back" if edge.is_back and edge.kind != "error" else edge.kind for edge in edges}
    return (kind for kind in _LINES if kind in found)
