"""A described graph as Mermaid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from guardgraph.graphs.draw.description import EdgeDescription, GraphDescription, NodeDescription
from guardgraph.graphs.draw.text_width import shortened

__all__ = ("mermaid_of",)

_SHAPES = {"start": ("([", "])"), "end": ("([", "])"), "gate": ("{{", "}}"), "agent": ("(", ")"), "node": ("[", "]")}
_ARROWS = {"always": "-->", "decision": "-.->", "error": "-.-x"}
_STYLE = (
    "classDef gate fill:#fff1c2,stroke:#bf8700,color:#1f2328",
    "classDef agent fill:#ddf4ff,stroke:#0969da,color:#1f2328",
    "classDef node fill:#f0f1f3,stroke:#818b98,color:#1f2328",
)
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_RESERVED = frozenset(
    [
        "end",
        "graph",
        "flowchart",
        "subgraph",
        "style",
        "class",
        "click",
        "call",
        "href",
        "default",
        "classDef",
        "linkStyle",
        "interpolate",
    ]
)
_ENTITIES = str.maketrans({"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "`": "#96;"})


def mermaid_of(graph: GraphDescription) -> str:
    """Return a flow chart: gates are hexagons, agents have round corners, nested graphs are subgraphs."""
    ids = _ids([*(node.id for node in graph.nodes), *(f"cluster:{one.id}" for one in graph.clusters)])
    lines = ["flowchart TD", *_inside(graph, ids, "", "  "), *(_edge(edge, ids) for edge in graph.edges)]
    return "\n".join([*lines, *(f"  {style};" for style in _STYLE)]) + "\n"


def _inside(graph: GraphDescription, ids: Mapping[str, str], cluster: str, indent: str) -> Iterable[str]:
    yield from (f"{indent}{_node(node, ids)}" for node in graph.inside(cluster))
    for nested in graph.clusters:
        if nested.parent == cluster and nested.id:
            yield f'{indent}subgraph {ids[f"cluster:{nested.id}"]}["{_text(nested.label)}"]'
            yield from _inside(graph, ids, nested.id, indent + "  ")
            yield f"{indent}end"


def _node(node: NodeDescription, ids: Mapping[str, str]) -> str:
    before, after = _SHAPES[node.kind]
    is_end = node.kind in ("start", "end")
    lines = [node.label.strip("_") if is_end else node.label, *(f"{gate}: {names}" for gate, names in node.guards)]
    text = "<br/>".join(map(_text, lines))
    style = "" if is_end else f":::{node.kind}"
    return f'{ids[node.id]}{before}"{text}"{after}{style};'


def _edge(edge: EdgeDescription, ids: Mapping[str, str]) -> str:
    label = f'|"{_text(edge.label)}"|' if edge.label else ""
    return f"  {ids[edge.source]} {_ARROWS[edge.kind]}{label} {ids[edge.target]};"


def _ids(names: Iterable[str]) -> dict[str, str]:
    """Return an id that Mermaid reads for each name; different names have different ids."""
    found: dict[str, str] = {}
    used = set(_RESERVED)
    for name in names:
        id = "".join(c if c in _SAFE else "_" for c in name)
        while id in used:
            id += "_"
        found[name] = id
        used.add(id)
    return found


def _text(text: str) -> str:
    return shortened(text, 80).translate(_ENTITIES)
