"""Events are made only where they have a reader."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from guardgraph.runtime.stream_writer import stream_writer


class _State(TypedDict, total=False):
    is_read: bool


def _graph(found: list[bool]) -> Any:
    def node(state: _State) -> _State:
        writer = stream_writer()
        found.append(writer is not None)
        if writer is not None:
            writer({"kind": "seen"})
        return {"is_read": writer is not None}

    graph: Any = StateGraph(_State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    return graph.compile()


def _around(inner: Any) -> Any:
    graph: Any = StateGraph(_State)
    graph.add_node("inner", inner)
    graph.add_node("calls", lambda state: inner.invoke({}))
    graph.add_edge(START, "inner")
    graph.add_edge("inner", "calls")
    return graph.compile()


def test_there_is_none_outside_of_a_graph() -> None:
    assert stream_writer() is None


@pytest.mark.parametrize("is_nested", [False, True], ids=["graph", "nested"])
def test_there_is_none_where_none_reads_the_stream(*, is_nested: bool) -> None:
    found: list[bool] = []
    graph = _around(_graph(found)) if is_nested else _graph(found)

    graph.invoke({})
    list(graph.stream({}, stream_mode=["values", "updates"], subgraphs=True))
    asyncio.run(graph.ainvoke({}))

    assert found == [False] * (6 if is_nested else 3)


@pytest.mark.parametrize("is_nested", [False, True], ids=["graph", "nested"])
@pytest.mark.parametrize("subgraphs", [False, True])
def test_it_writes_where_one_reads_the_stream(*, is_nested: bool, subgraphs: bool) -> None:
    found: list[bool] = []
    graph = _around(_graph(found)) if is_nested else _graph(found)

    parts = list(graph.stream({}, stream_mode=["custom"], subgraphs=subgraphs))

    is_read = subgraphs or not is_nested  # else LangGraph leaves out what nested graphs write
    assert found == [is_read] * (2 if is_nested else 1)
    assert [part[-1] for part in parts] == [{"kind": "seen"}] * sum(found)


def test_it_writes_where_one_reads_it_async() -> None:
    found: list[bool] = []

    async def read() -> list[Any]:
        return [part async for part in _graph(found).astream({}, stream_mode="custom")]

    assert asyncio.run(read()) == [{"kind": "seen"}]
