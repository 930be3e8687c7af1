"""What is stored about a graph is the same in every process, and changes with its topology alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from operator import add
from typing import Annotated, Any, Literal, Optional

import pytest
from langgraph.channels import EphemeralValue, LastValue

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.runs import GraphVersion, Runner
from guardgraph.runs.graph_facts import CHANNELS, FINGERPRINT, VERSION, facts_of, signature_of
from guardgraph.state import Plan, Result
from tests.house.sources import ROOT
from tests.runs import team
from tests.runs.versioned import Differences, First, More, World


def fingerprint(graph: Any) -> str:
    return facts_of(graph, graph.compile(), "1")[FINGERPRINT]


def nested(inner: Any) -> Any:
    return supervisor(planner=Agent("planner", run=team.plan), workers=[Agent("team", run=inner.compile())])


def test_the_fingerprint_is_the_same_in_another_process_with_another_hash_seed() -> None:
    imports = "from tests.runs import team; from guardgraph.runs.graph_facts import facts_of"
    script = f"{imports}; graph = team.tiers(); print(facts_of(graph, graph.compile(), '1'))"
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    command = [sys.executable, "-c", script]

    other = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)

    assert fingerprint(team.tiers()) in other.stdout


def test_the_fingerprint_changes_with_nodes_edges_and_channels_at_every_level_and_with_nothing_else() -> None:
    world, again = World(), World()
    same = [world.team(), again.team(), again.team(writes={"log": []}), again.team(asks=world.work)]
    others = [world.team(More), world.team(Differences), world.team(more="m"), world.team(worker="w")]
    levels = [*same[:1], *others]

    assert len({fingerprint(graph) for graph in same}) == 1
    assert len({fingerprint(graph) for graph in levels}) == len(levels)
    assert len({fingerprint(nested(graph)) for graph in levels}) == len(levels)
    assert fingerprint(nested(same[0])) == fingerprint(nested(same[1]))


def test_a_reducer_and_a_declared_destination_are_parts_of_it() -> None:
    class Other(First, total=False):
        log: Annotated[list[str], lambda before, new: new]

    class Same(First, total=False):
        log: Annotated[list[str], add]

    graph, further = World().team(), World().team()
    former = further.nodes["guard_handoff"]
    former.ends = (*former.ends, "worker")

    assert len({fingerprint(one) for one in (graph, World().team(Other), further)}) == 3
    assert fingerprint(World().team(Same)) == fingerprint(graph)


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "int"),
        (Optional[int], "None|int"),  # noqa: UP045
        (int | None, "None|int"),
        (list[str], "list[str]"),
        (dict[str, list[Plan | Result]], "dict[str, list[Plan|Result]]"),
        (Literal["a", 1], "Literal['a', 1]"),
        (Annotated[int, "note"], "int"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Any, "Any"),
        (None, "None"),
    ],
)
def test_a_type_has_one_name_on_every_version_of_python(annotation: Any, name: str) -> None:
    assert signature_of(LastValue(annotation)) == f"last[{name}]"
    assert signature_of(EphemeralValue(annotation)) == f"EphemeralValue[{name}]"


@pytest.mark.parametrize("graph", ["asking", "tiers"])
def test_every_checkpoint_names_the_run_the_graph_its_version_and_its_topology(sqlite_url: str, graph: str) -> None:
    built = team.GRAPHS[graph]()
    os.environ.setdefault("WORKED", os.devnull)
    with Runner(sqlite_url, graphs={"own": GraphVersion(built, "7")}) as runner:
        run = runner.run("own", "t", thread_id="t", config={"metadata": {"tag": "mine"}})
        if run.waiting:
            runner.cancel("t")
        stored = [item.metadata for item in runner.saver.list({"configurable": {"thread_id": "t"}})]

    facts = {VERSION: "7", FINGERPRINT: fingerprint(built), CHANNELS: "{}", "run_id": run.run_id, "graph": "own"}
    assert len(stored) > 5
    assert [{key: item.get(key) for key in facts} for item in stored] == [facts] * len(stored)


def test_a_graph_without_a_version_has_its_topology_too(sqlite_url: str) -> None:
    world = World()
    with Runner(sqlite_url) as runner:
        runner.run(world.team(), "t", thread_id="t")
        (newest,) = runner.saver.list({"configurable": {"thread_id": "t"}}, limit=1)

    metadata: Any = newest.metadata
    assert (metadata[VERSION], metadata[FINGERPRINT]) == ("", fingerprint(world.team()))
    assert json.loads(metadata[CHANNELS]) == {"log": "reduced[list[str]]", "score": "last[int]"}
