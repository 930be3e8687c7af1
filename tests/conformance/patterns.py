"""The graphs in which the tested agent works, beside a helper that always answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.graphs import Stage, frame, pipeline, supervisor
from guardgraph.guards import Depth, Guard, Schema
from guardgraph.nodes import Agent, Scene, agent_node, gate, send
from guardgraph.state import Plan, Request, Subtask

__all__ = ("PATTERNS", "add_gate")

_Graph = StateGraph[Any, Any, Any, Any]


def _helper() -> Agent:
    return Agent("helper", run=lambda request: "helped")


def _gather(request: Request) -> list[Any]:
    return [piece.value for piece in request.results]


def _plan(request: Request) -> Plan:
    if request.round > 1:
        return Plan()
    work = [Subtask(id=name, goal=f"do what is for the {name}", skill=name) for name in ("helper", "tested")]
    return Plan(subtasks=tuple(work))


def a_supervisor(agent: Agent) -> _Graph:
    return supervisor(
        planner=Agent("planner", run=_plan),
        workers=[_helper(), agent],
        synthesizer=Agent("writer", run=_gather),
    )


def a_pipeline(agent: Agent) -> _Graph:
    return pipeline([_helper(), Stage(agent, critical=False), Agent("closing", run=_gather)])


def an_own_pattern(agent: Agent) -> _Graph:
    guards = [Depth(), Schema()]
    writer = Agent("writer", run=_gather)
    helper = _helper()

    def after(scene: Scene) -> Any:
        return [send(writer, scene.state)]

    graph = frame(
        "own",
        guards=guards,
        begin=lambda state: [send(helper, state), send(agent, state)],
        begins_at=["helper", agent.name],
        author=writer,
    )
    for member in (helper, agent):
        graph.add_node(member.name, agent_node(member))
        graph.add_edge(member.name, "guard_handoff")
    add_gate(graph, guards, agents=[helper, agent], then=after, author=writer)
    return graph


def add_gate(graph: _Graph, guards: Sequence[Guard], *, agents: Sequence[Agent], then: Any, author: Agent) -> None:
    """Add the gate behind `agents`; `then` may go to them, to the author and to the end."""
    names = [member.name for agent in (*agents, author) for member in agent.line]
    node = gate(guards, agents=agents, then=then, goes=[], author=author)
    graph.add_node("guard_handoff", node, destinations=(*names, "conclude"))


def a_nested_supervisor(agent: Agent) -> _Graph:
    team = Agent("team", run=a_supervisor(agent).compile())

    def plan(request: Request) -> Plan:
        return Plan(subtasks=(Subtask(id="outer", goal="do it by a team"),)) if request.round == 1 else Plan()

    return supervisor(planner=Agent("planner", run=plan), workers=[team], name="above")


PATTERNS: Mapping[str, Callable[[Agent], _Graph]] = {
    "supervisor": a_supervisor,
    "pipeline": a_pipeline,
    "own pattern": an_own_pattern,
    "nested supervisor": a_nested_supervisor,
}
"""Every pattern, given the agent that is tested. A new one is one more line."""
