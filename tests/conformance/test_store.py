"""An agent reads and writes the store of its run, whichever way that is run, and in a team within a team too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langgraph.config import get_store
from langgraph.graph import START, StateGraph
from langgraph.store.base import BaseStore
from typing_extensions import TypedDict

from guardgraph.agents import Agent
from guardgraph.graphs import guarded, pipeline
from guardgraph.guards import Budget, Depth
from guardgraph.state import Request
from guardgraph.testing import WAYS, Trial, Way, impossible, run_way, storages

[STORAGE] = [storage for storage in storages(Path()) if storage.name == "InMemorySaver and store"]


def remember(request: Request) -> str:
    get_store().put(("notes",), "last", {"said": request.goal})
    return "noted"


async def recall(request: Request) -> str:
    item = await get_store().aget(("notes",), "last")
    return "nothing" if item is None else item.value["said"]


@pytest.mark.parametrize(
    "way", [way for way in WAYS if impossible(way, STORAGE, interrupts=False) is None], ids=lambda way: way.name
)
def test_what_one_agent_writes_to_the_store_another_reads(way: Way) -> None:
    def build() -> Any:
        inner = pipeline([Agent("reader", run=recall)], name="inner").compile()
        return pipeline([Agent("writer", run=remember), Agent("inner", run=inner)])

    ran = run_way(way, STORAGE, Trial(build, "buy milk"), limit=30)

    assert (ran.problems, ran.facts and ran.facts.value) == ([], "buy milk")


class Note(TypedDict):
    task: str


class Noted(TypedDict):
    said: str


class Notes(Note, Noted):
    pass


def write(state: Notes, *, store: BaseStore) -> None:
    store.put(("notes",), "last", {"said": state["task"]})


def read(state: Notes) -> dict[str, Any]:
    item = get_store().get(("notes",), "last")
    return {"said": "nothing" if item is None else item.value["said"]}


@pytest.mark.parametrize("name", ["invoke", "ainvoke", "stream values", "astream values", "batch", "abatch"])
def test_a_guarded_graph_reads_and_writes_the_store(name: str) -> None:
    def build() -> Any:
        graph: Any = StateGraph(Notes, input_schema=Note, output_schema=Noted)
        graph.add_sequence([write, read])
        graph.add_edge(START, "write")
        return guarded(guarded(graph.compile(), [Depth(5)]).compile(), [Budget(calls=1)])

    [way] = [way for way in WAYS if way.name == name]
    ran = run_way(way, STORAGE, Trial(build, "buy milk"), limit=30)

    assert (ran.problems, ran.facts and ran.facts.value) == ([], {"said": "buy milk"})
