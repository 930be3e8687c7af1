"""Stages in a fixed order, with a gate after each."""

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
from guardgraph.state import BadGraph, EarlyStop
from guardgraph.state.argument_checks import must_be

__all__ = ("pipeline",)


def pipeline(
    stages: Sequence[Stage | Agent],
    *,
    guards: Sequence[Guard] | None = None,
    name: str = "pipeline",
) -> StateGraph[Any, Any, Any, Any]:
    """Return stages that follow each other as an uncompiled graph; the value is the answer of the last one.

    Every stage is given the task and the answers of earlier stages, the latest last. A stage that fails is tried again
    as its agent allows; then an optional one is skipped and is a gap, a critical one fails the run (a bare `Agent` is
    critical). After a crash the run resumes at the unfinished stage. `guards=None` means `Depth()` and `Schema()`;
    `[]` means none. Raises `BadGraph` for no stages, and for names that are not unique or are reserved.
    """
    must_be("pipeline", "stages", stages, Sequence[Stage | Agent])
    if not stages:
        raise BadGraph("a pipeline needs at least one stage")
    ordered = [stage if isinstance(stage, Stage) else Stage(stage) for stage in stages]
    team = Team(
        name,
        guards=guards,
        default_guards=(Depth(), Schema()),
        entry=partial(_next_stage, following=ordered),
        destinations=_reachable(ordered),
        required=[stage.agent for stage in ordered],
    )
    for number, stage in enumerate(ordered, 1):
        gate, following = f"handoff_{stage.agent.name}", ordered[number:]
        team.add_agents([stage.agent], gate=gate, can_rewrite=not following)
        team.add_gate(
            gate,
            agents=[stage.agent],
            route=partial(_after_stage, stage=stage, following=following),
            destinations=_reachable(following),
        )
    return team.build()


def _reachable(stages: Sequence[Stage]) -> list[Agent]:
    """Return the agents to which a gate may send: an optional stage that a guard stops is skipped."""
    critical = next((number for number, stage in enumerate(stages, 1) if stage.critical), len(stages))
    return [stage.agent for stage in stages[:critical]]


def _after_stage(gate: GateContext, *, stage: Stage, following: Sequence[Stage]) -> Destination:
    if stage.critical and not any(result in gate.accepted for result in gate.reviewed):
        gap, failed = gate.gaps[-1], f"stage {stage.agent.name!r} is critical and failed"
        return gate.end(EarlyStop(status="failed", stopped_by=gap.guard, reason=f"{failed}: {gap.reason}"))
    return _next_stage(gate, following=following)


def _next_stage(gate: GateContext, *, following: Sequence[Stage]) -> Destination:
    """Go on to the next stage. After the last one, the last accepted result is the draft."""
    for stage in following:
        if gate.state.get("ending") is not None:
            break
        send = gate.send(stage.agent)
        if stage.critical or gate.allowed([send]):
            return send
    return gate.conclude(next(reversed(gate.accepted), None))
