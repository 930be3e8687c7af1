"""A graph is compiled once, and again as soon as a part of it was changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.runs import Runner
from guardgraph.runs.compiled_graphs import CompiledGraphs
from guardgraph.state import Result
from guardgraph.storage import SQLSaver


@pytest.fixture
def graphs() -> Iterator[CompiledGraphs]:
    with SQLSaver.from_url("sqlite://") as saver:
        yield CompiledGraphs(saver, None)


def two() -> Any:
    return pipeline([Agent(name, run=lambda request: "said") for name in ("first", "second")])


def test_a_graph_is_compiled_once_and_each_copy_has_a_checkpointer_of_its_own(graphs: CompiledGraphs) -> None:
    graph = two()
    first, second = graphs.get("two", graph), graphs.get("two", graph)

    assert first.nodes["first"] is second.nodes["first"]
    first.checkpointer = None
    assert second.checkpointer is not None
    assert graphs.get("two", graph, is_kept=False).nodes["first"] is first.nodes["first"]
    assert graphs.get("two", two()).nodes["first"] is not first.nodes["first"]


def test_a_replaced_node_is_used_by_the_next_run() -> None:
    graph = two()
    with Runner("sqlite://", graphs={"two": graph}) as runner:
        values = [_value(runner)]
        for number in range(5):  # a node that is gone leaves its place in memory to the next one
            former = graph.nodes.pop("second")
            graph.add_node("second", _says(number), destinations=former.ends or None, metadata=former.metadata)
            del former
            values.append(_value(runner))

    assert values == ["said", 0, 1, 2, 3, 4]


def _says(value: int) -> Any:
    def node(state: Any) -> Any:
        return {"results": [Result(id="own", agent="second", value=value)]}

    return node


def _value(runner: Runner) -> Any:
    outcome = runner.run("two", "the task").outcome
    return None if outcome is None else outcome.value
