from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from time import perf_counter
from typing import Any
from xml.etree import ElementTree

import pytest
from langgraph.graph import START

from guardgraph.graphs import draw
from guardgraph.graphs.draw import describe
from guardgraph.graphs.draw.layout import PlacedCluster, PlacedNode, layout
from guardgraph.guards import Breaker, Budget, Deadline, Depth
from tests.graphs.draw.drawn_graphs import GRAPHS, a_supervisor, nodes_of

HOSTILE = ["<script>alert(1)</script>", '"><img src=x>', "a&b;--> end", "]]>", "line\nbreak\x00\x1b[31m", "名前" * 30]


def parsed(svg: str) -> Any:
    return ElementTree.fromstring(svg)


def found(svg: str, attribute: str) -> list[Any]:
    return [element for element in parsed(svg).iter() if attribute in element.attrib]


@pytest.mark.parametrize("name", GRAPHS)
def test_every_node_and_edge_is_in_the_picture_and_no_other(name: str) -> None:
    graph = GRAPHS[name]()
    described, svg = describe(graph, xray=True), draw(graph, xray=True).svg

    assert sorted(one.attrib["data-id"] for one in found(svg, "data-id")) == sorted(n.id for n in described.nodes)
    drawn = [(one.attrib["data-source"], one.attrib["data-target"]) for one in found(svg, "data-source")]
    assert sorted(drawn) == sorted(edge.ends for edge in described.edges)
    clusters = {one.attrib["data-cluster"] for one in found(svg, "data-cluster")}
    assert clusters == {one.id for one in described.clusters}


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("name", GRAPHS)
def test_boxes_never_overlap_and_lines_begin_and_end_at_their_nodes(name: str, direction: Any) -> None:
    placed = layout(describe(GRAPHS[name](), xray=True), direction)
    boxes = {one.node.id: one for one in placed.nodes}

    assert not [(a.node.id, b.node.id) for a, b in combinations(placed.nodes, 2) if overlap(a, b)]
    for one in placed.edges:
        assert touches(boxes[one.edge.source], one.points[0])
        assert touches(boxes[one.edge.target], one.points[-1])
    for cluster in placed.clusters:
        inside = {one.node.id for one in placed.nodes if contains(cluster, one)}
        assert inside == {id for id in boxes if id.startswith(f"{cluster.cluster.id}:")}


@pytest.mark.parametrize("name", GRAPHS)
def test_what_leads_forward_leads_down_and_what_leads_back_up(name: str) -> None:
    placed = layout(describe(GRAPHS[name]()), "down")
    top = {one.node.id: one.y for one in placed.nodes}

    for one in placed.edges:
        assert (top[one.edge.source] < top[one.edge.target]) != one.edge.is_back, one.edge


def test_names_are_text_whatever_they_contain() -> None:
    graph: Any = nodes_of(*HOSTILE)
    for name in HOSTILE:
        graph.add_edge(START, name)
    picture = draw(graph, title="<b>")

    tags = {element.tag.partition("}")[2] for element in parsed(picture.svg).iter()}
    assert tags == {"svg", "title", "style", "defs", "marker", "path", "rect", "g", "text"}
    assert picture.html.count("<script>") == picture.html.count("</script>") == 1
    assert "<img" not in picture.html
    for form in (picture.mermaid, picture.text):
        assert "\x00" not in form
        assert "\x1b" not in form
    assert not [line for line in picture.mermaid.splitlines() if "<script" in line or "-->" in line.partition('"')[2]]


def test_names_that_mermaid_reserves_or_that_look_alike_stay_apart() -> None:
    names = ["end", "end_", "a b", "a_b", "a--b", "graph", "flowchart", "end-turn"]
    graph: Any = nodes_of(*names)
    for name in names:
        graph.add_edge(START, name)
    ids = [line.split("[")[0].strip() for line in draw(graph).mermaid.splitlines() if ":::node" in line]

    assert len(set(ids)) == len(names)
    assert {"end", "flowchart"}.isdisjoint(ids)
    assert "-" not in "".join(ids)  # `a--b` begins a link, and `end-turn` is read as `end`


def test_tooltips_name_guards_facts_and_what_is_folded() -> None:
    svg = draw(a_supervisor(40)).svg
    hints = {one.attrib["data-id"]: one[0].text for one in found(svg, "data-id")}

    assert "dispatch: Depth, Cycle, Limits" in hints["guard_dispatch"]
    assert "agents of its team at a time: 4" in hints["worker-1"]
    assert "worker-17" in hints["worker-1"]


def test_a_text_is_fitted_to_its_box() -> None:
    svg = draw(a_supervisor(3)).svg
    for node in found(svg, "data-id"):
        box, *texts = [element for element in node if element.tag.endswith(("rect", "text"))]
        for text in texts:
            assert float(text.attrib["textLength"]) < float(box.attrib["width"])


@pytest.mark.parametrize("workers", [4, 10, 60, 1_000])
def test_a_picture_takes_seconds_however_many_workers_there_are(workers: int) -> None:
    began = perf_counter()
    draw(a_supervisor(workers)).svg  # noqa: B018 - drawing is what is measured

    assert perf_counter() - began < 20


def overlap(one: PlacedNode, other: PlacedNode) -> bool:
    apart = one.x + one.width <= other.x or other.x + other.width <= one.x
    return not (apart or one.y + one.height <= other.y or other.y + other.height <= one.y)


def touches(box: PlacedNode, point: Iterable[float]) -> bool:
    x, y = point
    return box.x - 1 <= x <= box.x + box.width + 1 and box.y - 1 <= y <= box.y + box.height + 1


def contains(cluster: PlacedCluster, node: PlacedNode) -> bool:
    across = cluster.x <= node.x and node.x + node.width <= cluster.x + cluster.width
    return across and cluster.y <= node.y and node.y + node.height <= cluster.y + cluster.height


def test_the_guards_of_a_gate_are_written_out_over_several_lines() -> None:
    guards = [Depth(2), Budget(tokens=9), Budget(tokens=9, per="tenant", window="day"), Deadline(9), Breaker(rate=0.5)]
    placed = layout(describe(a_supervisor(2, guards=guards)), "down")
    gate = next(one for one in placed.nodes if one.node.id == "guard_admission")

    assert gate.lines[1:] == ("admission: Depth, Budget,", "Budget [tenant's day], Deadline")
