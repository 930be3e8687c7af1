"""A supervisor plans, workers work in parallel, a synthesizer writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents.agent import Agent
from guardgraph.graphs.team import Team
from guardgraph.guards import Convergence, Depth, Guard, Limits, Schema
from guardgraph.nodes.context import worker_roster
from guardgraph.nodes.decisions.dispatch import nothing_to_send, pending_subtasks, read_plan_and_dispatch
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.state import BadGraph, Plan
from guardgraph.state.argument_checks import must_be

__all__ = ("supervisor",)


def supervisor(
    *,
    planner: Agent,
    workers: Sequence[Agent],
    synthesizer: Agent | None = None,
    guards: Sequence[Guard] | None = None,
    concurrency: int | None = 4,
    name: str = "supervisor",
) -> StateGraph[Any, Any, Any, Any]:
    """Return a team as an uncompiled graph: plan, work in parallel, review, plan again, write.

    The planner answers a `Plan` and plans again with accepted results and gaps; an empty plan ends the rounds. All
    subtasks that can start are sent at once; `concurrency` caps how many agents work at a time. `guards=None` means
    `Depth()`, `Convergence()`, `Limits()` and `Schema()`; `[]` means none. Without a synthesizer the value is the list
    of accepted results. Raises `BadGraph` for names that are empty, reserved or not unique, and for agents and guards
    of another type.
    """
    must_be("supervisor", "planner", planner, Agent)
    must_be("supervisor", "workers", workers, Sequence[Agent])
    must_be("supervisor", "synthesizer", synthesizer, Agent | None)
    if not workers:
        raise BadGraph("a supervisor needs at least one worker")
    if planner.kind == "model" and planner.output is None:
        planner = replace(planner, output=Plan)
    team = Team(
        name,
        guards=guards,
        default=(Depth(), Convergence(), Limits(), Schema()),
        entry=[planner],
        author=synthesizer,
        concurrency=concurrency,
    )
    team.add_agents([planner], gate="dispatch", channel="plans", context=worker_roster(workers))
    team.add_agents(workers, gate="handoff")
    team.add_gate(
        "dispatch",
        read_plan_and_dispatch,
        agents=[planner, *workers],
        route=partial(_plan_again, planner=planner),
        destinations=[planner],
    )
    team.add_gate(
        "handoff", agents=workers, route=partial(_after_work, planner=planner), destinations=["dispatch", planner]
    )
    return team.build()


def _after_work(gate: GateContext, *, planner: Agent) -> Destination:
    return "dispatch" if pending_subtasks(gate.state) else _plan_again(gate, planner=planner)


def _plan_again(gate: GateContext, *, planner: Agent) -> Destination:
    stop = nothing_to_send(gate) or gate.next_round()
    if stop is None:
        return gate.send(planner)
    if not gate.gaps:  # with nothing missing, no other round is needed
        return gate.conclude()
    return gate.stop_early(stop)
