"""Stages in a fixed order, with a gate behind each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from langgraph.graph import StateGraph

from guardgraph.graphs.frame import frame
from guardgraph.guards import Depth, Grounding, Guard, Schema, must_be
from guardgraph.nodes import Agent, Stage, agent_node, asks_again, exit_gate, retried, send, stage_gate
from guardgraph.state import BadGraph

__all__ = ("pipeline",)


def pipeline(
    stages: Sequence[Stage | Agent],
    *,
    guards: Sequence[Guard] | None = None,
    name: str = "pipeline",
) -> StateGraph[Any, Any, Any, Any]:
    """Return stages that follow each other as an uncompiled graph; the value is what the last one answers.

    Every stage is given the task and what the stages before it have answered, the latest last. A stage that fails is
    tried again as its agent allows; then an optional one is skipped and is a gap, a critical one fails the run (a
    bare `Agent` is critical). A crash is resumed at the stage under way. `guards=None` stands for `Depth()` and
    `Schema()`; `[]` for none. Raises `BadGraph` for no stages, and for names that are not unique or are reserved.
    """
    must_be("pipeline", "stages", stages, Sequence[Stage | Agent])
    must_be("pipeline", "guards", guards, Sequence[Any] | None)
    placed = tuple((Depth(), Schema()) if guards is None else guards)
    line = [stage if isinstance(stage, Stage) else Stage(stage) for stage in stages]
    _check(line)
    first, last = line[0].agent, line[-1].agent
    graph: Any = frame(
        name,
        guards=placed,
        begin=lambda state: [send(first, state)],
        begins_at=[first.name],
        expected=[stage.agent for stage in line],
    )
    judged_at_exit = any("exit" in guard.gates for guard in placed)
    end: Literal["guard_exit", "conclude"] = "guard_exit" if judged_at_exit else "conclude"
    handoff = "guard_handoff" if any("handoff" in guard.gates for guard in placed) else "collect"
    grounded = any(isinstance(guard, Grounding) for guard in placed)
    for number, stage in enumerate(line, 1):
        gate = f"{handoff}_{stage.agent.name}"
        for agent in stage.agent.line:
            graph.add_node(agent.name, agent_node(agent, evidence=grounded))
            graph.add_edge(agent.name, gate)
        on = line[number].agent.name if line[number:] else end
        ways = (*retried([stage.agent], placed, gate="handoff"), on, "conclude")
        node = stage_gate(placed, stage=stage, following=line[number:], end=end)
        graph.add_node(gate, node, destinations=tuple(dict.fromkeys(ways)))
    if judged_at_exit:
        again = [agent.name for agent in last.line] if asks_again(placed, gate="exit") else []
        graph.add_node("guard_exit", exit_gate(placed, author=last), destinations=(*again, "conclude"))
    return graph


def _check(stages: Sequence[Stage]) -> None:
    if not stages:
        raise BadGraph("a pipeline needs at least one stage")
    names = Counter(agent.name for stage in stages for agent in stage.agent.line)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise BadGraph(f"agent names must be unique in a team, these stand twice: {', '.join(map(repr, twice))}")
    reserved = sorted(n for n in names if n == "conclude" or n.startswith(("guard_", "collect_")))
    if reserved:
        raise BadGraph(f"these agent names are taken by the team's own nodes: {', '.join(map(repr, reserved))}")
