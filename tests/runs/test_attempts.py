"""Runs that were left at a node that their graph does not have any more."""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Any, cast

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import StateGraph
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner
from guardgraph.state import MigrationNeeded, Plan, Request, Subtask

Graph = StateGraph[Any, Any, Any, Any]


def plan(request: Request) -> Plan:
    both = (Subtask(id="a", goal="A"), Subtask(id="b", goal="B"))
    return Plan(subtasks=both if request.round == 1 else ())


def work(request: Request) -> str:
    return request.goal


def write(request: Request) -> str:
    return " ".join(str(piece.value) for piece in request.results)


def team() -> Graph:
    return supervisor(
        planner=Agent("planner", run=plan),
        workers=[Agent("worker", run=work)],
        synthesizer=Agent("writer", run=write),
        guards=[],
    )


def left_at(graph: Graph, former: str, now: str) -> Graph:
    """Return a graph whose node `now` is called `former`, and where the process dies in it."""

    def die(state: Any) -> None:
        raise KeyboardInterrupt

    found = copy(graph)
    node = copy(graph.nodes[now])
    node.runnable = RunnableLambda(die)
    found.nodes = {name: one for name, one in graph.nodes.items() if name != now} | {former: node}
    found.edges = {tuple(former if end == now else end for end in edge) for edge in graph.edges}  # type: ignore[misc]
    for one in found.nodes.values():
        one.ends = ()
    return found


def run(tmp_path: Path, graph: Graph, task: str) -> str:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    with Runner(url, graphs={"team": graph}) as runner, suppress(KeyboardInterrupt):
        runner.run("team", task, thread_id="t")
    return url


def test_a_run_that_was_left_at_a_missing_node_is_an_error_and_can_be_cancelled(tmp_path: Path) -> None:
    url = run(tmp_path, left_at(team(), "review", "guard_handoff"), "go")

    with Runner(url, graphs={"team": team()}) as runner:
        with pytest.raises(MigrationNeeded, match=r"thread 't' does not fit .* left at 'review', .* cancel it"):
            runner.resume("t")
        assert runner.cancel("t").status == "cancelled"


def test_a_nested_team_that_was_left_at_such_a_node_is_an_error(tmp_path: Path) -> None:
    def above(inner: Graph) -> Graph:
        agent = Agent("inner", run=inner.compile())
        return supervisor(planner=Agent("planner", run=plan), workers=[agent])

    url = run(tmp_path, above(left_at(team(), "collect", "guard_handoff")), "go")

    gone = pytest.raises(MigrationNeeded, match="was left at 'inner', where")
    with Runner(url, graphs={"team": above(team())}) as runner, gone:
        runner.resume("t")


@pytest.mark.parametrize("kind", ["function", "runnable"])
def test_so_is_a_team_that_the_code_of_an_agent_calls(tmp_path: Path, kind: str) -> None:
    def above(inner: Graph) -> Graph:
        compiled: Any = inner.compile()

        def call(request: Request) -> Any:
            return compiled.invoke({"task": request.goal})["outcome"].value

        runs: dict[str, Any] = {"function": call, "runnable": RunnableLambda(call)}
        return supervisor(planner=Agent("planner", run=plan), workers=[Agent("inner", run=runs[kind])])

    url = run(tmp_path, above(left_at(team(), "collect", "guard_handoff")), "go")

    gone = pytest.raises(MigrationNeeded, match="was left at 'inner/collect', where")
    with Runner(url, graphs={"team": above(team())}) as runner:
        with gone:
            runner.resume("t")
        assert runner.cancel("t").status == "cancelled"


def with_tool(call: Any) -> Any:
    """Return a graph of LangChain's whose tool calls a team."""

    def answer(messages: list[Any]) -> Any:
        call = {"name": "delegate", "args": {"goal": "go"}, "id": "1"}
        return "done" if messages[-1].type == "tool" else AIMessage("", tool_calls=[call])

    def delegate(goal: str) -> str:
        """Have it done."""
        return call(goal)

    return create_agent(ScriptedModel(replies=answer), tools=[delegate])


@pytest.mark.parametrize(("kind", "found"), [("team", "middle/inner/collect"), ("tool", "middle/tools/collect")])
def test_so_is_a_team_that_is_called_further_below(tmp_path: Path, kind: str, found: str) -> None:
    def above(inner: Graph) -> Graph:
        compiled: Any = inner.compile()

        def call(goal: str) -> Any:
            return compiled.invoke({"task": goal})["outcome"].value

        nested = supervisor(
            planner=Agent("planner", run=plan), workers=[Agent("inner", run=lambda request: call(request.goal))]
        ).compile()
        middle = Agent("middle", run=nested if kind == "team" else with_tool(call))
        return supervisor(planner=Agent("planner", run=plan), workers=[middle])

    url = run(tmp_path, above(left_at(team(), "collect", "guard_handoff")), "go")

    gone = pytest.raises(MigrationNeeded, match=f"was left at '{found}', where")
    with Runner(url, graphs={"team": above(team())}) as runner, gone:
        runner.resume("t")


def test_a_run_with_an_open_task_goes_on_where_another_task_leads_to_a_missing_node(tmp_path: Path) -> None:
    """Agents that ended lead to the gate of before; the one that is asked again leads to that of now."""

    def question(request: Request) -> str:
        return interrupt("how?") if request.subtask and request.subtask.id == "a" else request.goal

    def with_question(node: str) -> Graph:
        graph = supervisor(planner=Agent("planner", run=plan), workers=[Agent("worker", run=question)], guards=[])
        return graph if node == "guard_handoff" else left_at(graph, node, "guard_handoff")

    url = f"sqlite:///{tmp_path / 'runs.db'}"
    with Runner(url, graphs={"team": with_question("collect")}) as runner:
        assert runner.run("team", "go", thread_id="t").status == "waiting"

    with Runner(url, graphs={"team": with_question("guard_handoff")}) as runner:
        waiting = runner.status("t").waiting
        found = runner.resume("t", answers={waiting[0].id: "like this"})

    assert found.status == "completed"
    assert found.outcome
    assert {item["value"] for item in cast("list[Any]", found.outcome.value)} == {"B", "like this"}
