from __future__ import annotations

from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.func import entrypoint
from langgraph.graph import END, START

from guardgraph.agents import Agent
from guardgraph.graphs import draw, pipeline, supervisor
from guardgraph.graphs.draw import GraphDescription, describe
from guardgraph.state import BadInput
from tests.graphs.draw.drawn_graphs import GRAPHS, agent, chat_agent, nodes_of


def edges(graph: GraphDescription) -> set[tuple[str, str, bool]]:
    return {(*edge.ends, edge.kind == "decision") for edge in graph.edges if edge.kind != "error"}


@pytest.mark.parametrize("xray", [False, True])
@pytest.mark.parametrize("name", GRAPHS)
def test_no_edge_and_no_node_is_missing_or_added(name: str, xray: bool) -> None:
    graph = GRAPHS[name]()
    compiled = graph if hasattr(graph, "invoke") else graph.compile()
    drawn = compiled.get_graph(xray=xray)

    for given in {id(graph): graph, id(compiled): compiled}.values():
        found = describe(given, xray=xray)

        assert edges(found) == {(edge.source, edge.target, edge.conditional) for edge in drawn.edges}
        assert {node.id for node in found.nodes} == set(drawn.nodes)
        assert {node.cluster for node in found.nodes} - {""} <= {one.id for one in found.clusters}


def test_gates_agents_and_other_nodes_are_told_apart() -> None:
    graph = supervisor(planner=agent("planner"), workers=[Agent("w", model="offline:extractive", timeout=5)], guards=[])
    found = {node.id: node for node in describe(graph).nodes}

    assert [found[id].kind for id in ("__start__", "guard_exit", "planner", "__end__")] == [
        "start", "gate", "agent", "end"
    ]  # fmt: skip
    assert found["guard_handoff"].guards == ()
    assert {"model: offline:extractive", "timeout: 5 s"} <= set(found["w"].facts)
    assert {node.kind for node in describe(chat_agent()).nodes} == {"start", "end", "node"}


def test_a_gate_has_the_guards_of_its_node() -> None:
    found = {node.id: node.guards for node in describe(supervisor(planner=agent("p"), workers=[agent("w")])).nodes}

    assert found["guard_dispatch"] == (("round", "Convergence"), ("dispatch", "Depth, Cycle, Limits"))


def test_a_depth_shows_so_many_levels() -> None:
    inner = pipeline([agent("a")]).compile()
    middle = pipeline([Agent("inner", run=inner)]).compile()
    outer = pipeline([Agent("middle", run=middle)])

    clusters = {depth: [one.id for one in describe(outer, xray=depth).clusters] for depth in (0, 1, 2)}
    assert clusters == {0: [], 1: ["middle"], 2: ["middle", "middle:inner"]}


def test_a_branch_without_destinations_is_open_and_no_edge_is_made_up() -> None:
    graph: Any = nodes_of("a", "b")
    graph.add_edge(START, "a")
    graph.add_conditional_edges("a", lambda state: "b")
    found = describe(graph)

    assert [node.id for node in found.nodes if node.is_open] == ["a"]
    assert edges(found) == {(START, "a", False)}
    assert "routes to nodes that it does not declare" in draw(graph).text


def test_an_error_handler_is_joined_to_its_node() -> None:
    graph: Any = nodes_of("a")
    graph.add_node("b", lambda state: {}, error_handler=lambda state: {})
    graph.add_edge(START, "a")
    graph.add_edge("a", "b")
    (error,) = [edge for edge in describe(graph).edges if edge.kind == "error"]

    assert error.source == "b"
    assert error.target in {node.id for node in describe(graph).nodes}


def test_a_chain_is_read_to_its_end_however_long_it_is() -> None:
    names = [f"n{number}" for number in range(400)]
    graph: Any = nodes_of(*names)
    for source, target in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(source, target)

    assert len(describe(graph).edges) == 401
    assert len(graph.compile().get_graph().edges) < 401  # LangGraph's own drawing ends before


def test_a_graph_that_leads_nowhere_is_described() -> None:
    graph: Any = nodes_of("a")
    graph.add_edge(START, "a")
    graph.add_edge("a", "gone")
    (gone,) = [node for node in describe(graph, xray=True).nodes if node.id == "gone"]

    assert gone.facts == ("this node does not exist",)


def test_any_runnable_is_read_and_nothing_else() -> None:
    @entrypoint()
    def flow(number: int) -> int:
        return number

    chain = RunnableLambda(str) | RunnableLambda(len)

    assert "flow" in {node.id for node in describe(flow).nodes}
    assert len(describe(chain).nodes) == len(chain.get_graph().nodes)
    with pytest.raises(BadInput, match="must be a LangGraph graph, compiled or not, got int"):
        describe(3)
