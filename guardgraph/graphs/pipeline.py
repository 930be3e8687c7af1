"""Stages in a fixed order, with a gate behind each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents.agent import Agent
from guardgraph.graphs.stage import Stage
from guardgraph.graphs.team import Team
from guardgraph.guards import Depth, Guard, Schema
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.state import BadGraph, EarlyStop, Gap
from guardgraph.state.argument_checks import must_be

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
    if not stages:
        raise BadGraph("a pipeline needs at least one stage")
    line = [stage if isinstance(stage, Stage) else Stage(stage) for stage in stages]
    team = Team(
        name,
        guards=guards,
        default=(Depth(), Schema()),
        begin=partial(_next_stage, following=line),
        goes=_reachable(line),
        expected=[stage.agent for stage in line],
    )
    for number, stage in enumerate(line, 1):
        gate, following = f"handoff_{stage.agent.name}", line[number:]
        then = partial(_after_stage, stage=stage, following=following)
        team.add_agents([stage.agent], to=gate, drafts=not following)
        team.add_gate(gate, agents=[stage.agent], then=then, goes=_reachable(following))
    return team.build()


def _reachable(stages: Sequence[Stage]) -> list[Agent]:
    """Return whom a gate may send to: an optional stage that a guard stops is skipped."""
    first = next((number for number, stage in enumerate(stages, 1) if stage.critical), len(stages))
    return [stage.agent for stage in stages[:first]]


def _after_stage(gate: GateContext, *, stage: Stage, following: Sequence[Stage]) -> Destination:
    """Go on to the next stage. Behind the last one, what was accepted last is the draft."""
    names = {agent.name for agent in stage.agent.fallback_chain}
    if stage.critical and not any(result.agent in names for result in gate.accepted):
        gap: Gap = gate.state["gaps"][-1]
        reason = f"stage {stage.agent.name!r} is critical and failed: {gap.reason}"
        return gate.end(EarlyStop(status="failed", stopped_by=gap.guard, reason=reason))
    return _next_stage(gate, following=following)


def _next_stage(gate: GateContext, *, following: Sequence[Stage]) -> Destination:
    for stage in following:
        if gate.state.get("ending") is not None:
            break
        send = gate.send(stage.agent)
        if stage.critical or gate.allow([send]):
            return send
    accepted = gate.accepted
    return gate.conclude(accepted[-1]) if accepted else gate.conclude()
