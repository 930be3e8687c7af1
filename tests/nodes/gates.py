"""A team's gate at hand, without a graph."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents import Agent
from guardgraph.graphs import GateContext
from guardgraph.guards import Guard
from guardgraph.nodes.team_spec import TeamSpec
from guardgraph.runtime.execution_context import KEY, ExecutionContext
from guardgraph.runtime.services import Services
from guardgraph.state import DelegationScope, RunState

__all__ = ("NOW", "gate_of", "position", "spec_of")

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def position(**facts: Any) -> DelegationScope:
    return DelegationScope.model_validate(
        {"run_id": "r", "account": "r", "spending_account": "r", "path": ("team",), "started": NOW, **facts}
    )


def spec_of(
    *agents: Agent, name: str = "team", guards: Sequence[Guard] = (), state: type[Any] = RunState, **facts: Any
) -> TeamSpec:
    """Return a team of workers."""
    known: dict[str, Any] = {"workers": frozenset(agent.name for agent in agents), **facts}
    return TeamSpec(
        name=name,
        guards=tuple(guards),
        channels=dict(StateGraph(state).channels),
        agents={agent.name: agent for agent in agents},
        **known,
    )


def gate_of(
    spec: TeamSpec | None = None, *, team: DelegationScope | None = None, services: Services | None = None, **state: Any
) -> GateContext:
    """Return the gate `guard_handoff` of a team in this state."""
    at_hand = services or Services(clock=lambda: NOW)
    known = {"position": team or position(), **state}
    return GateContext(spec or spec_of(), "guard_handoff", known, {"configurable": {KEY: ExecutionContext(at_hand)}})
