from __future__ import annotations

from random import Random
from typing import Any

import pytest
from langgraph.graph import END, START

from guardgraph.graphs import Stage, pipeline
from guardgraph.graphs.draw import GraphDescription, describe
from tests.graphs.draw.drawn_graphs import GRAPHS, a_supervisor, agent, chat_agent, nodes_of


def back(graph: GraphDescription) -> set[tuple[str, str]]:
    return {edge.ends for edge in graph.edges if edge.is_back}


def test_what_a_supervisor_repeats_leads_back() -> None:
    assert back(describe(a_supervisor(2))) == {
        ("guard_dispatch", "planner"),
        ("guard_handoff", "planner"),
        ("guard_handoff", "guard_dispatch"),
        ("guard_handoff", "worker-1"),
        ("guard_handoff", "worker-2"),
        ("guard_exit", "writer"),
    }


def test_what_a_pipeline_skips_leads_forward_and_what_it_repeats_back() -> None:
    stages = [agent("a"), Stage(agent("b"), critical=False), agent("c", attempts=2)]

    assert back(describe(pipeline(stages))) == {
        ("guard_handoff_a", "a"), ("guard_handoff_b", "b"), ("guard_handoff_c", "c"), ("guard_exit", "c")
    }  # fmt: skip


def test_tools_lead_back_to_their_model_though_that_edge_is_always_taken() -> None:
    graph: Any = nodes_of("model", "tools")
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", lambda state: END, ["tools", END])
    graph.add_edge("tools", "model")

    assert back(describe(graph)) == back(describe(chat_agent())) == {("tools", "model")}


@pytest.mark.parametrize("name", GRAPHS)
def test_forward_edges_follow_the_order_of_the_nodes(name: str) -> None:
    found = describe(GRAPHS[name](), xray=True)
    place = {node.id: number for number, node in enumerate(found.nodes)}

    assert all(place[edge.source] < place[edge.target] for edge in found.edges if not edge.is_back)
    assert all(place[edge.source] >= place[edge.target] for edge in found.edges if edge.is_back)


@pytest.mark.parametrize("seed", range(20))
def test_without_the_edges_back_a_random_graph_has_no_cycle(seed: int) -> None:
    random, names = Random(seed), [f"n{number}" for number in range(12)]
    graph: Any = nodes_of(*names)
    graph.add_edge(START, names[0])
    for _ in range(25):
        graph.add_edge(random.choice(names), random.choice(names))
    found = describe(graph)
    place = {node.id: number for number, node in enumerate(found.nodes)}

    assert all((place[edge.source] >= place[edge.target]) == edge.is_back for edge in found.edges)
