"""Finding the classes that a graph may store."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import InitVar, dataclass
from functools import partial, wraps
from http import HTTPStatus
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph
from langgraph.types import Command
from pydantic import BaseModel, create_model
from typing_extensions import TypedDict

from guardgraph.storage import SQLSaver, types_of_graph
from guardgraph.storage.sql.codec.graph_types import has_unstored_graph


class State(TypedDict, total=False):
    value: Any


class Found(BaseModel):
    name: str = ""


class Part(BaseModel):
    part: str = ""


class Inner(TypedDict):
    found: Found


@dataclass
class Unstorable:
    """A dataclass that cannot be made from its fields."""

    name: str
    key: InitVar[str]

    def __post_init__(self, key: str) -> None:
        self.name += key


class Holder(BaseModel):
    held: Unstorable


def graph_of(node: Any) -> Any:
    graph: Any = StateGraph(State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    return graph


def inner() -> Any:
    graph: Any = StateGraph(Inner)
    graph.add_node("find", lambda state: {})
    graph.add_edge(START, "find")
    return graph


INNER = inner().compile()
TABLE = {"inner": [INNER]}


def uses_a_global(state: Any) -> Any:
    return helper(state)


def helper(state: Any) -> Any:
    return [INNER.invoke(item) for item in state]


def uses_a_table(state: Any) -> Any:
    return (lambda name: TABLE[name][0].invoke(state))("inner")


def uses_a_module(state: Any) -> Any:
    return sys.modules, dataclasses.fields, HTTPStatus.OK, Found


def given(graph: Any, state: Any) -> Any:
    return graph.invoke(state)


def logged(work: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(work)
    def wrapper(*args: Any) -> Any:
        return work(*args)

    return wrapper


@logged
def decorated(state: Any) -> Any:
    return INNER.invoke(state)


def keeps(state: Any, graph: Any = INNER) -> Any:
    return graph.invoke(state)


class Worker:
    def __init__(self) -> None:
        self.graph = inner().compile()

    def work(self, state: Any) -> Any:
        return self.graph.invoke(state)


class Builder:
    def __call__(self, state: Any) -> Any:
        return self.made.invoke(state)

    @property
    def made(self) -> Any:
        return inner().compile()


@tool
def looks_up(name: str) -> str:
    """Look a name up."""
    return str(INNER.invoke({"found": name}))


def by_a_tool() -> Any:
    tools = [looks_up]
    return lambda state: tools[0].invoke(state)


@entrypoint()
def functional(value: str) -> Found:
    return Found(name=value)


def asks_the_functional_api(state: Any) -> Any:
    return functional.invoke(state)


def test_a_graph_gives_the_classes_of_its_state_and_of_its_nodes_inputs() -> None:
    class Declared(TypedDict):
        found: list[Found]

    class Private(TypedDict):
        part: Part

    def node(state: Private) -> Declared:
        return {"found": []}

    graph: Any = StateGraph(Declared)
    graph.add_node("node", node, input_schema=Private)
    graph.add_edge(START, "node")

    assert set(types_of_graph(graph)) == {Found, Part}


@pytest.mark.parametrize(
    "node",
    [
        pytest.param(uses_a_global, id="global"),
        pytest.param(uses_a_table, id="table"),
        pytest.param(uses_a_module, id="module"),
        pytest.param(partial(given, INNER), id="partial"),
        pytest.param(decorated, id="decorated"),
        pytest.param(keeps, id="default"),
        pytest.param(Worker().work, id="method"),
        pytest.param(Builder(), id="callable object"),
        pytest.param(RunnableLambda(uses_a_global) | RunnableLambda(lambda value: value), id="sequence"),
        pytest.param(RunnableLambda(uses_a_global).with_retry(), id="retry"),
        pytest.param(by_a_tool(), id="tool"),
        pytest.param(asks_the_functional_api, id="functional API"),
    ],
)
def test_what_a_node_can_reach_by_name_is_found(node: Any) -> None:
    assert Found in types_of_graph(graph_of(node))


def test_what_decides_on_a_route_is_looked_at_too() -> None:
    graph = graph_of(lambda state: {})
    graph.add_conditional_edges("node", uses_a_global, ["node"])

    assert Found in types_of_graph(graph)


def test_what_no_code_names_and_what_is_the_frameworks_is_not_found() -> None:
    def quiet(state: Any) -> Any:
        return Command(update=Part(part=""))

    assert types_of_graph(graph_of(quiet)) == (Part,)


def test_what_cannot_be_stored_is_left_out() -> None:
    def holds(state: Any) -> Any:
        return Holder, Unstorable, Found

    types = types_of_graph(graph_of(holds))
    assert types == (Found,)
    with SQLSaver.from_url("sqlite://") as saver:
        saver.with_types(*types)


def test_classes_of_one_name_are_left_out_and_a_declared_one_stays() -> None:
    other = create_model("Found", __module__=__name__)
    other.__qualname__ = Found.__qualname__

    def names(state: Any) -> Any:
        return Found, other, Part

    class Declared(TypedDict, total=False):
        found: Found

    assert types_of_graph(graph_of(names)) == (Part,)
    graph: Any = StateGraph(Declared)
    graph.add_node("node", names)
    assert types_of_graph(graph) == (Found, Part)


def test_a_large_program_is_not_searched_without_end() -> None:
    class Endless:
        def __init__(self) -> None:
            self.chain: Any = None
            for _ in range(50_000):
                self.chain = partial(given, self.chain)

        def work(self, state: Any) -> Any:
            return self.chain

    assert types_of_graph(graph_of(Endless().work)) == ()


@pytest.mark.parametrize("checkpointer", [False, None])
def test_a_graph_without_a_checkpointer_is_found_where_a_function_calls_it(checkpointer: Any) -> None:
    def step(state: Any) -> dict[str, Any]:
        return {}

    def graph_of(node: Any) -> Any:
        return StateGraph[Any, Any, Any, Any](dict).add_node("node", node).add_edge("__start__", "node")

    within = graph_of(step).compile(checkpointer=checkpointer)
    outer = graph_of(lambda state: within.invoke(state))
    types_of_graph(outer)

    assert has_unstored_graph(outer) == (checkpointer is False)
    assert not has_unstored_graph(graph_of(step))
