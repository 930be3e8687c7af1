"""Finding the classes that a state may hold."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired

from langgraph.graph import START, StateGraph
from pydantic import BaseModel, JsonValue
from typing_extensions import TypeAliasType, TypedDict

from guardgraph.storage import types_of_graph
from guardgraph.storage.sql.codec.schemas import named_types, types_in


class Colour(Enum):
    RED = 1


class Leaf(BaseModel):
    colour: Colour = Colour.RED
    parent: Tree | None = None


class Tree(BaseModel):
    leaves: list[Leaf] = []


class Point(NamedTuple):
    where: Annotated[Mapping[str, Span], "meters"]


@dataclass
class Span:
    trees: dict[str, tuple[Tree, ...]]


Alias = NewType("Alias", Span)
Named = TypeAliasType("Named", list[Tree])


class State(TypedDict, total=False):
    point: NotRequired[Annotated[list[Point], operator.add]]
    kind: Literal["a", "b"]
    anything: Any


class Private(TypedDict):
    note: Leaf


class Lost(TypedDict):
    name: NoSuchName  # type: ignore[name-defined]  # noqa: F821


ALL = {Point, Span, Tree, Leaf, Colour}


def test_every_class_in_a_schema_is_found_however_deep() -> None:
    assert set(types_in(State)) == ALL
    assert set(types_in(list[Alias])) == ALL - {Point}
    assert set(types_in(Leaf | None, Colour)) == {Leaf, Tree, Colour}
    assert set(types_in(Named, JsonValue)) == {Leaf, Tree, Colour}


def test_plain_annotations_hold_no_class() -> None:
    assert types_in(int, dict[str, list[int]], Any, None, Literal["a"]) == ()


def test_a_name_that_only_the_type_checker_sees_is_passed_over() -> None:
    assert types_in(Lost) == ()


def test_a_graph_gives_the_classes_of_its_state_and_of_its_nodes_inputs() -> None:
    def node(state: Private) -> State:
        return {}

    graph = StateGraph(State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")

    assert set(types_of_graph(graph)) == ALL


def test_only_registrable_classes_of_imported_modules_are_found_by_name() -> None:
    names = {(__name__, "Leaf"), (__name__, "operator"), ("os", "system"), ("no.such", "Leaf"), (__name__, "Missing")}

    assert named_types(names) == (Leaf,)
