from __future__ import annotations

from guardgraph.graphs import draw
from guardgraph.graphs.draw import describe
from tests.graphs.draw.drawn_graphs import a_supervisor, agent


def test_alike_workers_are_drawn_as_one_above_thirty_nodes() -> None:
    few, many = draw(a_supervisor(22)).graph, draw(a_supervisor(57)).graph

    assert len(few.nodes) == 30
    assert [node.label for node in many.nodes if node.members] == ["worker-1 … worker-57 (57)"]
    assert len(many.nodes) == 9


def test_what_differs_is_not_folded() -> None:
    staff = [agent(f"worker-{number}", skills={"search"} if number % 2 else {"write"}) for number in range(40)]
    staff += [agent("odd", timeout=3)]
    graph = draw(a_supervisor(staff)).graph
    folded = {node.label: node.members for node in graph.nodes if node.members}

    assert {label: len(members) for label, members in folded.items()} == {
        "worker-0 … worker-38 (20)": 20,
        "worker-1 … worker-39 (20)": 20,
    }
    assert "odd" in {node.id for node in graph.nodes}


def test_every_edge_of_what_is_folded_is_drawn_once() -> None:
    whole, folded = describe(a_supervisor(60)), draw(a_supervisor(60)).graph
    shown = {member: node.id for node in folded.nodes for member in node.members or (node.id,)}

    assert sorted(shown) == sorted(node.id for node in whole.nodes)
    assert sorted(edge.ends for edge in folded.edges) == sorted(
        {(shown[edge.source], shown[edge.target]) for edge in whole.edges}
    )


def test_folding_can_be_turned_off() -> None:
    assert len(draw(a_supervisor(40), fold_above=1_000).graph.nodes) == 48
