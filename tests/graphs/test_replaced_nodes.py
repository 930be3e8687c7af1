"""Any node of an uncompiled team can be replaced by a plain function, by LangGraph's own means."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from langgraph.graph import END, StateGraph
from langgraph.types import Command, Send

from guardgraph.agents import Agent
from guardgraph.graphs import Team, supervisor
from guardgraph.state import DelegationScope, Outcome, Plan, Request, Result, Subtask, Task
from tests.graphs.teams import WAYS, gather

Graph = StateGraph[Any, Any, Any, Any]
PLAN = Plan(subtasks=(Subtask(id="x", goal="do x"),))
every_way = pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)


def plan(request: Request) -> Plan:
    return Plan() if request.results or request.gaps else PLAN


def looked_up(state: Any) -> dict[str, Any]:
    return {"gaps": []}


def supervised() -> Graph:
    return supervisor(
        planner=Agent("planner", run=plan),
        workers=[Agent("worker", run=lambda _: "5")],
        synthesizer=Agent("writer", run=gather),
    )


def with_own_node() -> Graph:
    worker = Agent("worker", run=gather)
    own = Team("own", guards=[], entry=lambda gate: "look_up", destinations=["look_up"])
    own.add_node("look_up", looked_up, to=worker)
    own.add_agents([worker], gate="handoff")
    own.add_gate("handoff", agents=[worker], route=lambda gate: gate.conclude(gate.accepted[-1]))
    return own.build()


def replace(graph: Graph, name: str, node: Callable[..., Any]) -> None:
    """Put a function in the place of a node: it keeps the edges, and the destinations of a gate."""
    former = graph.nodes.pop(name)
    graph.add_node(name, node, destinations=former.ends or None, metadata=former.metadata)


def result(request: Request, agent: str, value: Any) -> Result:
    return Result(
        id=f"{agent}-{request.round}", agent=agent, subtask=request.subtask and request.subtask.id, value=value
    )


def worker(given: Any) -> dict[str, Any]:
    return {"results": [result(given["request"], "worker", "7")]}


async def async_worker(given: Any) -> dict[str, Any]:
    return worker(given)


def planner(given: Any) -> dict[str, Any]:
    request = given["request"]
    subtasks = [] if request.results else [{"id": "x", "goal": "do x"}, {"id": "y", "goal": "do y"}]
    return {"plans": [result(request, "planner", {"subtasks": subtasks})]}


def writer(given: Any) -> dict[str, Any]:
    return {"draft": result(given["request"], "writer", f"it is {given['request'].results[0].value}")}


def admission(state: Any) -> Command[Any]:
    task = Task(goal=state["task"])
    position = DelegationScope(
        run_id="r-1", account="r-1", spending_account="r-1", path=("supervisor",), started=datetime.now(UTC)
    )
    first = Send("planner", {"request": Request(task=task), "position": position})
    return Command(update={"admitted": task, "position": position, "context": [], "round": 1}, goto=[first])


def dispatch(state: Any) -> Command[Any]:
    if state["plans"][-1].value["subtasks"]:
        request = Request(task=state["admitted"], subtask=PLAN.subtasks[0])
        sent = Send("worker", {"request": request, "position": state["position"]})
        return Command(update={"subtasks": [*PLAN.subtasks]}, goto=[sent])
    return Command(goto="guard_exit")


def handoff(state: Any) -> Command[Any]:
    return Command(update={"accepted": [one.id for one in state["results"]]}, goto="guard_exit")


def leave(state: Any) -> Command[Any]:
    outcome = Outcome(status="completed", value=f"{len(state['results'])} result")
    return Command(update={"outcome": outcome}, goto=END)


def own(state: Any) -> dict[str, Any]:
    return {"context": [{"kind": "result", "title": "price list", "value": "2 USD"}]}


REPLACED: dict[str, tuple[Callable[[], Graph], str, Callable[..., Any], Any]] = {
    "worker": (supervised, "worker", worker, ["7"]),
    "async worker": (supervised, "worker", async_worker, ["7"]),
    "planner": (supervised, "planner", planner, ["5", "5"]),
    "author": (supervised, "writer", writer, "it is 5"),
    "gate of admission": (supervised, "guard_admission", admission, ["5"]),
    "gate of dispatch": (supervised, "guard_dispatch", dispatch, [{"subtask": "x", "agent": "worker", "value": "5"}]),
    "gate of handoff": (supervised, "guard_handoff", handoff, [{"subtask": "x", "agent": "worker", "value": "5"}]),
    "gate of exit": (supervised, "guard_exit", leave, "1 result"),
    "own node": (with_own_node, "look_up", own, ["2 USD"]),
    "gate before an agent, behind an own node": (
        with_own_node,
        "guard_dispatch_look_up",
        lambda state: Command(
            goto=Send("worker", {"request": Request(task=state["admitted"]), "position": state["position"]})
        ),
        [],
    ),
}


@every_way
@pytest.mark.parametrize("kind", REPLACED)
def test_a_plain_function_takes_the_place_of_a_node(kind: str, ask: Any) -> None:
    build, name, node, value = REPLACED[kind]
    if kind == "async worker" and ask is WAYS["sync"]:
        pytest.skip("LangGraph runs an async function under `ainvoke` only")
    graph = build()
    replace(graph, name, node)

    outcome = ask(graph.compile())

    assert (outcome.status, outcome.value) == ("completed", value)


@pytest.mark.parametrize("build", [supervised, with_own_node], ids=["supervisor", "own"])
def test_every_kind_of_node_is_among_them(build: Callable[[], Graph]) -> None:
    replaced = {name for made, name, _, _ in REPLACED.values() if made is build}
    covered = {"guard_admission", "guard_handoff", "guard_exit", "worker"}

    assert set(build().nodes) <= replaced | covered


@pytest.mark.parametrize("name", ["planner", "guard_dispatch", "worker", "guard_handoff", "guard_exit"])
def test_the_drawing_keeps_its_edges(name: str) -> None:
    graph = supervised()
    before = {(edge.source, edge.target) for edge in graph.compile().get_graph().edges}

    replace(graph, name, handoff)

    assert {(edge.source, edge.target) for edge in graph.compile().get_graph().edges} == before


def test_what_a_replaced_agent_writes_is_reviewed_like_any_other() -> None:
    graph = supervised()

    def fails(given: Any) -> dict[str, Any]:
        return {"results": [result(given["request"], "worker", None).model_copy(update={"status": "failed"})]}

    replace(graph, "worker", fails)
    outcome = WAYS["sync"](graph.compile(), "the task", None)

    assert outcome.status == "failed"
    assert [gap.subtask for gap in outcome.gaps] == ["x"]
